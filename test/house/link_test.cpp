// Links of every page of the tree: files exist, anchors are headings of their page.
#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <regex>
#include <set>
#include <sstream>

#include "tree.h"

namespace {

namespace fs = std::filesystem;

// The page without what stands between ``` lines.
std::string prose_of(const std::string& page) {
  std::istringstream lines(house::text_of(page));
  std::string prose;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("```")) inside = !inside;
    if (!inside) prose += line + "\n";
  }
  return prose;
}

// As GitHub names it: lower case, without punctuation, with - for spaces.
std::string anchor_of(const std::string& heading) {
  std::string anchor;
  for (const char c : heading) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || c == '-' || c == '_' || byte >= 0x80)
      anchor += static_cast<char>(std::tolower(byte));
    if (c == ' ') anchor += '-';
  }
  return anchor;
}

std::set<std::string> anchors_of(const std::string& page) {
  std::set<std::string> anchors;
  std::istringstream lines(prose_of(page));
  for (std::string line; std::getline(lines, line);) {
    const size_t level = line.find_first_not_of('#');
    if (level > 0 && level < 7 && level != std::string::npos && line[level] == ' ')
      anchors.insert(anchor_of(line.substr(level + 1)));
  }
  return anchors;
}

TEST(Links, OfEveryPageLeadSomewhere) {
  static const std::regex link(R"(\]\(([^)\s]+)\)|(?:src|href)="([^"]+)\")"), elsewhere("[a-z]+:.*");
  int seen = 0;
  for (const std::string& page : house::files()) {
    if (!page.ends_with(".md")) continue;
    const std::string prose = prose_of(page);
    for (std::sregex_iterator i(prose.begin(), prose.end(), link), end; i != end; ++i) {
      const std::string target = (*i)[1].matched ? (*i)[1] : (*i)[2];
      if (std::regex_match(target, elsewhere)) continue;  // tests need no network
      const size_t hash = target.find('#');
      const std::string file = target.substr(0, hash);
      const fs::path path =
          file.empty() ? fs::path(page) : (fs::path(page).parent_path() / file).lexically_normal();
      seen++;
      ASSERT_TRUE(fs::exists(house::root() / path)) << page << " names " << target;
      if (hash != std::string::npos) {
        EXPECT_TRUE(anchors_of(path.string()).contains(target.substr(hash + 1)))
            << page << " names " << target;
      }
    }
  }
  EXPECT_GE(seen, 6) << "the test found hardly any links: does it still read them?";
}

TEST(Links, AnchorsAreNamedAsGitHubDoes) {
  EXPECT_EQ(anchor_of("The life of an operation"), "the-life-of-an-operation");
  EXPECT_EQ(anchor_of("Speed: what is lost, and `why`"), "speed-what-is-lost-and-why");
}

}  // namespace
