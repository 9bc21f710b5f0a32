#include <map>
#include <random>

#include "golden.h"
#include "text/split/pre_tokenizer.h"
#include "text/unicode/byte_level.h"

namespace intarsia {
namespace {

std::string some_text(size_t words) {
  std::mt19937 random(9);
  const std::vector<std::string> parts = {"the",   "there", "other", "and", "hand", "a",
                                          "naïve", "日本",  "12",    "aaa", "!",    "..."};
  std::string text;
  for (size_t i = 0; i < words; ++i) {
    text += parts[(random() % 8) * (random() % 2) + random() % 4];
    if (random() % 3 == 0) {
      for (size_t letters = 1 + random() % 5; letters > 0; --letters)
        text += static_cast<char>('a' + random() % 6);
    }
    text += random() % 9 ? " " : "\n\n ";
  }
  return text;
}

// The definition: count all pairs anew for each merge.
std::vector<std::pair<std::string, std::string>> merges_by_definition(const std::string& text, size_t count) {
  std::map<std::string, int64_t> words;
  PreTokenizer splitter;
  splitter.add(known_pattern(patterns::gpt2));
  splitter.for_each_word(text, [&](std::string_view word) { ++words[std::string(word)]; });
  std::map<std::string, int32_t> id_of;
  std::vector<std::string> pieces;
  for (const char c : byte_alphabet()) {
    id_of[std::string(1, c)] = static_cast<int32_t>(pieces.size());
    pieces.push_back(std::string(1, c));
  }
  std::vector<std::pair<Ids, int64_t>> split;
  for (const auto& [word, number] : words) {
    Ids ids;
    for (const char c : word) ids.push_back(id_of.at(std::string(1, c)));
    split.emplace_back(ids, number);
  }
  std::vector<std::pair<std::string, std::string>> merges;
  while (merges.size() < count) {
    std::map<std::pair<int32_t, int32_t>, int64_t> pairs;
    for (const auto& [ids, number] : split) {
      for (size_t i = 0; i + 1 < ids.size(); ++i) pairs[{ids[i], ids[i + 1]}] += number;
    }
    std::pair<int32_t, int32_t> best;
    int64_t most = 0;
    for (const auto& [pair, number] : pairs) {
      if (number > most) {
        best = pair;
        most = number;
      }
    }
    if (most == 0) break;
    const std::string piece = pieces[best.first] + pieces[best.second];
    const auto [known, fresh] = id_of.try_emplace(piece, static_cast<int32_t>(pieces.size()));
    if (fresh) pieces.push_back(piece);
    merges.emplace_back(pieces[best.first], pieces[best.second]);
    for (auto& [ids, number] : split) {
      for (size_t i = 0; i + 1 < ids.size(); ++i) {
        if (ids[i] != best.first || ids[i + 1] != best.second) continue;
        ids[i] = known->second;
        ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }
  }
  return merges;
}

TEST(TrainBpe, MergesFollowTheDefinition) {
  const std::string text = some_text(3000);
  BpeTraining options;
  options.vocabulary = 400;
  const auto tokenizer = train_bpe(once(text), options);
  EXPECT_LE(tokenizer->size(), 400);
  const Folder folder;
  tokenizer->save(folder.path());
  const Json file = read_json(folder.path() / "tokenizer.json");
  const auto expected = merges_by_definition(text, file["model"]["merges"].size());
  ASSERT_EQ(file["model"]["merges"].size(), expected.size());
  EXPECT_GT(expected.size(), 100u);
  for (size_t i = 0; i < file["model"]["merges"].size(); ++i) {
    EXPECT_EQ(file["model"]["merges"][i][0], bytes_to_piece(expected[i].first)) << i;
    EXPECT_EQ(file["model"]["merges"][i][1], bytes_to_piece(expected[i].second)) << i;
  }
}

TEST(TrainBpe, TheVocabularyIsBytesThenMergesThenSpecialTokens) {
  BpeTraining options;
  options.vocabulary = 300;
  options.special = {"<|endoftext|>", "<|pad|>"};
  const auto tokenizer = train_bpe(once(some_text(3000)), options);
  EXPECT_EQ(tokenizer->size(), 300);
  EXPECT_EQ(tokenizer->piece(0), "!");
  EXPECT_EQ(tokenizer->piece(298), "<|endoftext|>");
  EXPECT_TRUE(tokenizer->is_special(299));
  EXPECT_EQ(tokenizer->eos, 298);
  EXPECT_EQ(tokenizer->bos, 298);
  EXPECT_FALSE(tokenizer->add_bos);
  EXPECT_EQ(tokenizer->stop, (std::vector<int32_t>{298}));
  const std::string text = "the other hand\n\n naïve 日本 \xff";
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  EXPECT_LT(tokenizer->encode("the other hand").size(), 8u);
}

TEST(TrainBpe, TextThatRunsOutOfPairsGivesASmallerVocabulary) {
  const auto tokenizer = train_bpe(once("ab ab"), {});
  EXPECT_EQ(tokenizer->size(), 256 + 2 + 1);  // "ab" and " ab"
  EXPECT_EQ(train_bpe(once(""), {})->size(), 257);
}

TEST(TrainBpe, ChunksDoNotMatterWhereTheyAreCutBeforeSpaces) {
  const std::string text = some_text(2000);
  BpeTraining options;
  options.vocabulary = 320;
  const auto whole = train_bpe(once(text), options);
  size_t at = 0;
  const auto chunked = train_bpe(
      [&](std::string& chunk) {
        size_t end = text.find(" the", at + 50);
        end = std::min(end, text.size());
        chunk = text.substr(at, end - at);
        at = end;
        return !chunk.empty();
      },
      options);
  for (int32_t id = 0; id < whole->size(); ++id) EXPECT_EQ(chunked->piece(id), whole->piece(id));
}

TEST(TrainBpe, AVocabularyTooSmallIsAnError) {
  BpeTraining options;
  options.vocabulary = 256;
  expect_contains(error_of([&] { train_bpe(once("a"), options); }), "expected at least 257");
  options.vocabulary = 300;
  options.special = {"a"};
  expect_contains(error_of([&] { train_bpe(once("a"), options); }), "special token");
  options.special = {"<x>", "<x>"};
  expect_contains(error_of([&] { train_bpe(once("a"), options); }), "special token");
}

TEST(TrainCharacters, IdsFollowTheOrderOfCodePointsAndOtherCharactersAreErrors) {
  int calls = 0;
  const auto tokenizer = train_characters([&](std::string& chunk) {
    const std::string chunks[] = {"ba\n é\xf0\x9f", "\x98\x80z"};
    if (calls == 2) return false;
    chunk = chunks[calls++];
    return true;
  });
  ASSERT_EQ(tokenizer->size(), 7);
  EXPECT_EQ(tokenizer->encode("\n abzé😀"), (Ids{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(tokenizer->decode(Ids{6, 0, 5}), "😀\né");
  expect_contains(error_of([&] { tokenizer->encode("abc"); }),
                  "the character \"c\" is not in its vocabulary");
  const Folder folder;
  tokenizer->save(folder.path());
  const auto again = load_tokenizer(folder.path());
  EXPECT_EQ(again->encode("é z😀"), tokenizer->encode("é z😀"));
  EXPECT_EQ(again->decode(again->encode("é z😀")), "é z😀");
  expect_contains(error_of([&] { again->encode("abc"); }), "\"c\"");
}

TEST(TrainCharacters, TextMustBeThereAndUtf8) {
  expect_contains(error_of([] { train_characters(once("")); }), "the text is empty");
  expect_contains(error_of([] { train_characters(once("a\xff")); }), "is not UTF-8");
  expect_contains(error_of([] { train_characters(once("a\xe2\x82")); }), "is not UTF-8");
}

}  // namespace
}  // namespace intarsia
