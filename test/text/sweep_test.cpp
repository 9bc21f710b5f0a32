// 100,000 drawn strings through each tokenizer of the data: the hash of all ids equals that of its own
// library (test/golden/sweep_hashes.py).
#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "data/text.h"
#include "golden.h"

namespace intarsia {
namespace {

class Draw {
 public:
  explicit Draw(uint64_t seed) : state_(seed) {}
  size_t below(size_t bound) {  // splitmix64
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (z ^ (z >> 31)) % bound;
  }

 private:
  uint64_t state_;
};

void append(std::string& text, uint32_t code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
    return;
  }
  const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr int leads[] = {0, 0xc0, 0xe0, 0xf0};
  text += static_cast<char>(leads[more] | static_cast<int>(code >> (6 * more)));
  for (int i = more; i-- > 0;) text += static_cast<char>(0x80 | (code >> (6 * i) & 0x3f));
}

std::vector<std::string> drawn_strings(const Json& file) {
  std::vector<uint32_t> points, narrow, common;
  for (const Json& range : file["ranges"]) {
    for (auto code = range[0].get<uint32_t>(); code <= range[1].get<uint32_t>(); ++code)
      points.push_back(code);
  }
  std::copy_if(points.begin(), points.end(), std::back_inserter(narrow),
               [](uint32_t code) { return code < 0x3000; });
  for (const Json& code : file["common"]) common.push_back(code.get<uint32_t>());
  const auto words = file["words"].get<std::vector<std::string>>();
  Draw draw(1);
  std::vector<std::string> strings(file["count"].get<size_t>());
  for (std::string& text : strings) {
    for (size_t parts = 1 + draw.below(24); parts > 0; --parts) {
      const size_t kind = draw.below(20);
      if (kind < 8) {
        append(text, common[draw.below(common.size())]);
      } else if (kind < 12) {
        append(text, narrow[draw.below(narrow.size())]);
      } else if (kind < 17) {
        append(text, points[draw.below(points.size())]);
      } else {
        text += words[draw.below(words.size())];
      }
    }
  }
  return strings;
}

void hash(uint64_t& sum, uint32_t id) {
  for (int i = 0; i < 4; ++i) sum = (sum ^ (id >> (8 * i) & 0xff)) * 0x100000001b3;
}

TEST(SlowSweep, IdsOfDrawnStringsAreThoseOfEachTokenizersOwnLibrary) {
  const Json file = read_json(golden("../tokenizer_sweep/hashes.json"));
  const std::vector<std::string> strings = drawn_strings(file);
  int found = 0;
  for (const auto& [path, expected] : file["hashes"].items()) {
    const std::filesystem::path packed = data_folder() / path;
    if (!std::filesystem::exists(packed)) continue;
    ++found;
    const Folder folder;
    const std::string name = packed.filename().string();
    std::filesystem::path unpacked = packed;
    if (packed.extension() == ".gz") {
      unpacked = folder.path() / packed.stem();
      std::string text;
      TextSource source(packed);
      for (std::string chunk; source.next(chunk);) text += chunk;
      write_file(unpacked, text);
    }
    const auto tokenizer = load_tokenizer(unpacked);
    uint64_t sum = 0xcbf29ce484222325;
    const std::vector<std::string_view> views(strings.begin(), strings.end());
    for (const Ids& ids : tokenizer->encode_batch(views)) {
      for (const int32_t id : ids) hash(sum, static_cast<uint32_t>(id));
      hash(sum, UINT32_MAX);
    }
    EXPECT_EQ(fmt::format("{:016x}", sum), expected.get<std::string>()) << path;
  }
  if (found == 0) GTEST_SKIP() << data_folder() << " holds none of the tokenizers; set INTARSIA_DATA";
}

}  // namespace
}  // namespace intarsia
