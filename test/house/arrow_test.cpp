// The arrow rule: a room includes itself and the rooms below it, nothing else.
//   core <- kernel <- tensor <- op <- nn <- model <- {train, generate} <- cli;   core <- data <- text;
//   core <- page <- train <- lab <- cli; lab uses generate;
//   model uses text (what a path holds is a model with its tokenizer).
#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "tree.h"

namespace {

using Rooms = std::set<std::string>;

const std::map<std::string, Rooms>& may_include() {
  static const std::map<std::string, Rooms> rule = [] {
    std::map<std::string, Rooms> r;
    const auto room = [&](const std::string& name, std::initializer_list<const char*> below) {
      Rooms all = {name};
      for (const char* b : below) all.insert(r.at(b).begin(), r.at(b).end());
      r[name] = all;
    };
    room("core", {});
    room("kernel", {"core"});
    room("tensor", {"kernel"});
    room("op", {"tensor"});
    room("nn", {"op"});
    room("data", {"core"});
    room("text", {"data"});
    room("model", {"nn", "text"});
    room("page", {"core"});
    room("train", {"model", "text", "page"});
    room("generate", {"model", "text"});
    room("lab", {"train", "generate"});
    room("cli", {"lab", "train", "generate"});
    return r;
  }();
  return rule;
}

// The room whose face a public header is. A model hands out the tokenizer that lies beside it, so that
// header, which is an interface and nothing more, counts as the face of data.
const std::map<std::string, std::string> public_headers = {
    {"array.h", "core"},
    {"error.h", "core"},
    {"random.h", "core"},
    {"simd.h", "kernel"},
    {"elementary.h", "kernel"},
    {"elementary_wide.h", "kernel"},
    {"dual.h", "kernel"},
    {"pointwise.inl", "kernel"},
    {"array_map.h", "kernel"},
    {"map.h", "tensor"},
    {"tensor.h", "tensor"},
    {"recompute.h", "tensor"},
    {"op.h", "op"},
    {"data.h", "data"},
    {"digits.h", "data"},
    {"pipeline.h", "data"},
    {"tokenizer.h", "text"},
    {"autocast.h", "op"},
    {"chat_template.h", "text"},
    {"tokenizer_training.h", "text"},
    {"model.h", "model"},
    {"train.h", "train"},
    {"generate.h", "generate"},
    {"intarsia.h", "cli"},
    {"pointwise_kernel.h", "kernel"},
    {"lambda_kernel.h", "kernel"},
};

struct Include {
  std::string file, included;
  bool angled;
};

std::vector<Include> includes_of(const std::string& file) {
  static const std::regex line_of(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
  std::vector<Include> found;
  std::istringstream lines(house::text_of(file));
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_search(line, match, line_of)) found.push_back({file, match[2], match[1] == "<"});
  }
  return found;
}

// The room a file lies in; empty for files outside the rooms.
std::string room_of(const std::string& file) {
  static const std::string face = "include/intarsia/";
  if (file.starts_with(face)) {
    const auto header = public_headers.find(file.substr(face.size()));
    return header == public_headers.end() ? "" : header->second;
  }
  if (!file.starts_with("src/")) return "";
  return file.substr(4, file.find('/', 4) - 4);
}

// The room of what an #include names; empty if it is none of ours.
std::string room_of_included(const std::string& name) {
  if (name.starts_with("intarsia/")) return room_of("include/" + name);
  const std::string room = name.substr(0, name.find('/'));
  return may_include().contains(room) ? room : "";
}

TEST(ArrowRule, RoomsIncludeOnlyThemselvesAndRoomsBelow) {
  int seen = 0;
  for (const std::string& file : house::files()) {
    if (!file.starts_with("src/") && !file.starts_with("include/")) continue;
    if (!house::has_extension(file, {".h", ".cpp", ".inl"})) continue;
    const std::string room = room_of(file);
    ASSERT_TRUE(may_include().contains(room)) << file << ": no room is known for it; add it to this test";
    for (const Include& i : includes_of(file)) {
      const std::string target = room_of_included(i.included);
      if (target.empty()) {
        EXPECT_TRUE(i.angled) << file << " includes \"" << i.included << "\", which belongs to no room";
        continue;
      }
      seen++;
      EXPECT_TRUE(may_include().at(room).contains(target))
          << file << " (" << room << ") includes " << i.included << " (" << target << ")";
    }
  }
  EXPECT_GT(seen, 50) << "the test found hardly any includes: does it still read them?";
}

TEST(ArrowRule, EveryPublicHeaderHasARoom) {
  for (const std::string& file : house::files()) {
    if (!file.starts_with("include/")) continue;
    EXPECT_NE(room_of(file), "") << file << ": add it to the table of this test";
  }
}

TEST(ArrowRule, PublicHeadersShowOnlyTheStandardLibraryAndThemselves) {
  // No header of another library, so that whoever embeds intarsia needs none of them, and compiles quickly.
  static const std::regex standard("[a-z_0-9]+|immintrin\\.h|math\\.h");
  for (const std::string& file : house::files()) {
    if (!file.starts_with("include/")) continue;
    for (const Include& i : includes_of(file)) {
      const bool own = i.included.starts_with("intarsia/");
      EXPECT_TRUE(own || std::regex_match(i.included, standard)) << file << " includes " << i.included;
    }
  }
}

TEST(ArrowRule, HeavyHeadersStayInSourceFiles) {
  static const std::regex heavy(
      "nlohmann/json\\.hpp|toml\\+\\+/.*|CLI/.*|zip\\.h|pcre2\\.h|png\\.h|jpeglib\\.h|openssl/.*");
  for (const std::string& file : house::files()) {
    // The verbs share the command-line library; nothing includes a header of theirs.
    if (!file.starts_with("src/") || !file.ends_with(".h") || file.starts_with("src/cli/")) continue;
    for (const Include& i : includes_of(file)) {
      EXPECT_FALSE(std::regex_match(i.included, heavy)) << file << " includes " << i.included;
    }
  }
}

TEST(ArrowRule, ExamplesIncludeOnlyTheOneHeader) {
  int seen = 0;
  for (const std::string& file : house::files()) {
    if (!file.starts_with("examples/") || !file.ends_with(".cpp")) continue;
    seen++;
    for (const Include& i : includes_of(file)) {
      const bool standard = i.included.find('/') == std::string::npos;
      EXPECT_TRUE(i.included == "intarsia/intarsia.h" || standard) << file << " includes " << i.included;
    }
  }
  EXPECT_GE(seen, 4);
}

}  // namespace
