#include "text/model/bpe.h"

#include <algorithm>
#include <atomic>
#include <random>

#include "core/threads.h"
#include "golden.h"

namespace intarsia {
namespace {

// The definition: of all adjacent pairs the one with the lowest rank, the leftmost of equal ones, until none
// is left.
Ids merged_by_definition(Ids ids, const std::vector<Merge>& merges) {
  while (true) {
    const Merge* best = nullptr;
    size_t place = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      for (const Merge& merge : merges) {
        if (merge.left == ids[i] && merge.right == ids[i + 1] && (!best || merge.rank < best->rank)) {
          best = &merge;
          place = i;
        }
      }
    }
    if (!best) return ids;
    ids[place] = best->result;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

// A vocabulary of the letters a, b, c and random merges of random pairs.
struct Made {
  std::vector<std::string> pieces = {"a", "b", "c"};
  std::vector<Merge> merges;
  explicit Made(std::mt19937& random, bool shared_ranks) {
    for (uint32_t i = 0; i < 40; ++i) {
      const auto left = static_cast<int32_t>(random() % pieces.size());
      const auto right = static_cast<int32_t>(random() % pieces.size());
      const std::string piece = pieces[left] + pieces[right];
      if (piece.size() > 12 || std::find(pieces.begin(), pieces.end(), piece) != pieces.end()) continue;
      merges.push_back({left, right, static_cast<int32_t>(pieces.size()), shared_ranks ? i / 4 : i});
      pieces.push_back(piece);
    }
  }
  Bpe model(bool ignore_merges = false) const {
    auto words = std::make_shared<StringTable>();
    for (const std::string& piece : pieces) words->push(piece);
    words->index([](int32_t) { return true; });
    Bpe::Options options;
    options.ignore_merges = ignore_merges;
    return Bpe(words, merges, options, "test");
  }
};

TEST(Bpe, ShortAndLongWordsFollowTheDefinition) {
  std::mt19937 random(1);
  for (int round = 0; round < 400; ++round) {
    const Made made(random, round % 2);
    const Bpe model = made.model();
    std::string word(1 + random() % (round % 4 == 0 ? 200 : 30), 'a');
    for (char& c : word) c = static_cast<char>('a' + random() % (1 + round % 3));
    Ids symbols;
    for (const char c : word) symbols.push_back(c - 'a');
    Ids ids;
    model.encode(word, ids);
    ASSERT_EQ(ids, merged_by_definition(symbols, made.merges)) << word;
  }
}

// Bytes as they are in Chinese and Korean, spaces, a letter, and what is no character.
TEST(Bpe, WordsOfManyScriptsFollowTheDefinitionWhateverTheirTokensLieAcross) {
  std::mt19937 random(21);
  const std::vector<std::string> characters = {
      "日", "本", "旦", "語",   "가",   "각",       "\xf0\x9f\x98\x80",
      "é",  "a",  " ",  "\xe6", "\x97", "\xa5\xa5", "\xf0\x9f"};
  for (int round = 0; round < 60; ++round) {
    std::vector<std::string> pieces;
    for (int byte = 0; byte < 256; ++byte) pieces.emplace_back(1, static_cast<char>(byte));
    // Pairs that occur in random text, mostly.
    std::vector<Merge> merges;
    const auto text = [&](size_t most) {
      std::string made;
      for (size_t i = 1 + random() % most; i > 0; --i) made += characters[random() % characters.size()];
      return made;
    };
    while (merges.size() < 40) {
      Ids ids;
      for (const char c : text(3)) ids.push_back(static_cast<unsigned char>(c));
      ids = merged_by_definition(ids, merges);
      if (ids.size() < 2) continue;
      const size_t at = random() % (ids.size() - 1);
      const std::string piece = pieces[ids[at]] + pieces[ids[at + 1]];
      if (std::find(pieces.begin(), pieces.end(), piece) != pieces.end()) continue;
      merges.push_back(
          {ids[at], ids[at + 1], static_cast<int32_t>(pieces.size()), static_cast<uint32_t>(merges.size())});
      pieces.push_back(piece);
    }
    // Tokens that no merges make.
    for (const char* piece : {"語語", "旦旦a", "각"}) {
      if (std::find(pieces.begin(), pieces.end(), piece) == pieces.end()) pieces.emplace_back(piece);
    }
    auto words = std::make_shared<StringTable>();
    for (const std::string& piece : pieces) words->push(piece);
    words->index([](int32_t) { return true; });
    Bpe::Options options;
    options.ignore_merges = round % 2 == 0;
    const Bpe model(words, merges, options, "test");
    for (int i = 0; i < 300; ++i) {
      const std::string word = text(i % 10 == 0 ? 60 : 4);
      Ids expected;
      for (const char c : word) expected.push_back(static_cast<unsigned char>(c));
      expected = merged_by_definition(expected, merges);
      if (const int32_t id = words->find(word); options.ignore_merges && id >= 0) expected = {id};
      Ids ids;
      model.encode(word, ids);
      ASSERT_EQ(ids, expected) << word;
    }
  }
}

TEST(Bpe, AMegabyteOfOneLetterTakesNoQuadraticTime) {
  std::mt19937 random(2);
  Made made(random, false);
  made.pieces = {"a", "b", "c", "aa", "aaaa"};
  made.merges = {{0, 0, 3, 0}, {3, 3, 4, 1}};
  Ids ids;
  made.model().encode(std::string((1 << 20) + 3, 'a'), ids);
  ASSERT_EQ(ids.size(), (size_t{1} << 18) + 2);
  EXPECT_EQ(ids.front(), 4);
  EXPECT_EQ((Ids(ids.end() - 2, ids.end())), (Ids{3, 0}));
}

TEST(Bpe, AWholeWordIsTakenOnlyIfMergesMakeIt) {
  std::mt19937 random(3);
  Made made(random, false);
  made.pieces = {"a", "b", "c", "abc", "bc"};
  made.merges = {{1, 2, 4, 0}};
  Ids by_merges, ignoring;
  made.model().encode("abc", by_merges);
  made.model(true).encode("abc", ignoring);
  EXPECT_EQ(by_merges, (Ids{0, 4}));
  EXPECT_EQ(ignoring, (Ids{3}));
}

TEST(Bpe, ABytesWithoutATokenIsLeftOut) {
  std::mt19937 random(4);
  Made made(random, false);
  made.pieces = {"a", "b", "c", "ab"};
  made.merges = {{0, 1, 3, 0}};
  Ids ids;
  made.model().encode("aXb", ids);
  EXPECT_EQ(ids, (Ids{3})) << "as tokenizers does";
}

TEST(Bpe, ManyThreadsThatShareItsMemoryGetTheSameIds) {
  std::mt19937 random(14);
  const Made made(random, false);
  const Bpe model = made.model(), alone = made.model();
  // More words than the memory has places, so that threads overwrite what others read.
  std::vector<std::string> words(40'000);
  std::vector<Ids> expected(words.size());
  for (size_t i = 0; i < words.size(); ++i) {
    words[i].resize(1 + random() % 15);
    for (char& c : words[i]) c = static_cast<char>('a' + random() % 3);
    alone.encode(words[i], expected[i]);
  }
  std::atomic<int> wrong = 0;
  parallel(4, [&](int part) {
    Ids ids;
    for (size_t i = 0; i < words.size(); ++i) {
      const size_t word = i * static_cast<size_t>(2 * part + 1) % words.size();
      ids.clear();
      model.encode(words[word], ids);
      wrong += ids != expected[word];
    }
  });
  EXPECT_EQ(wrong, 0);
}

TEST(StringTable, FindsEachStringOfAnyLength) {
  std::mt19937 random(6);
  StringTable table;
  std::vector<std::string> strings;
  for (int i = 0; i < 3000; ++i) {
    std::string text(random() % 40, 'x');
    for (char& c : text) c = static_cast<char>('a' + random() % 2);
    strings.push_back(text);
    table.push(text);
  }
  EXPECT_EQ(table.find("a"), -1) << "nothing is indexed yet";
  table.index([](int32_t id) { return id % 3 != 0; });
  for (int32_t id = 0; id < table.size(); ++id) {
    EXPECT_EQ(table[id], strings[id]);
    int32_t first = -1;
    for (int32_t i = 0; i < table.size() && first < 0; ++i) {
      if (i % 3 != 0 && strings[i] == strings[id]) first = i;
    }
    EXPECT_EQ(table.find(strings[id]), first) << strings[id];
  }
}

TEST(CharacterCache, HoldsUpToThreeIdsOfTwentyOneBits) {
  CharacterCache cache;
  int32_t ids[CharacterCache::most];
  const int32_t fitting[] = {0, CharacterCache::largest - 1, 7}, large[] = {CharacterCache::largest, 2, 1};
  cache.put("\u4e00", fitting, 3);
  ASSERT_EQ(cache.find("\u4e00", ids), 3u);
  EXPECT_TRUE(std::equal(ids, ids + 3, fitting));
  cache.put("\u4e01", large, 3);
  EXPECT_EQ(cache.find("\u4e01", ids), 0u) << "an id that does not fit must not come out as another one";
  EXPECT_EQ(cache.find("\u4e02", ids), 0u);
}

}  // namespace
}  // namespace intarsia
