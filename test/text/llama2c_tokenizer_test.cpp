#include "text/format/llama2c_tokenizer.h"

#include <cstring>
#include <map>
#include <random>

#include "golden.h"

namespace intarsia {
namespace {

struct Vocabulary {
  std::vector<std::string> pieces = {"<unk>", "\n<s>\n", "\n</s>\n"};
  std::vector<float> scores = {0, 0, 0};

  Vocabulary() {
    for (int byte = 0; byte < 256; ++byte) add(fmt_byte(byte), 0);
    float score = -1;
    for (const char* piece :
         {" t", "he", " the", "en", "re", "ther", " a", "nd", "and", " and", "in", "éa", " t ", "th"})
      add(piece, score--);
    for (const char* piece : {" ", "a", "b", "d", "e", "h", "i", "n", "r", "t", "é", "日"})
      add(piece, score--);
  }
  static std::string fmt_byte(int byte) {
    const char* digits = "0123456789ABCDEF";
    return std::string("<0x") + digits[byte / 16] + digits[byte % 16] + ">";
  }
  void add(std::string piece, float score) {
    pieces.push_back(std::move(piece));
    scores.push_back(score);
  }
  std::string file(int32_t longest = 27) const {
    std::string out;
    const auto put = [&](auto value) { out.append(reinterpret_cast<const char*>(&value), sizeof value); };
    put(longest);
    for (size_t i = 0; i < pieces.size(); ++i) {
      put(scores[i]);
      put(static_cast<int32_t>(pieces[i].size()));
      out += pieces[i];
    }
    return out;
  }
};

// What llama2.c's run.c does, by its description: the pair whose concatenation has the best score, until none
// has one.
Ids encoded_by_definition(const Vocabulary& vocabulary, const std::string& text) {
  std::map<std::string, int32_t> ids;
  for (size_t i = 0; i < vocabulary.pieces.size(); ++i)
    ids.emplace(vocabulary.pieces[i], static_cast<int32_t>(i));
  Ids out;
  if (!text.empty()) out.push_back(ids.at(" "));
  for (size_t at = 0; at < text.size();) {
    size_t length = 1;
    while (at + length < text.size() && length < 4 &&
           (static_cast<unsigned char>(text[at + length]) & 0xc0) == 0x80)
      ++length;
    const std::string character = text.substr(at, length);
    if (const auto known = ids.find(character); known != ids.end()) {
      out.push_back(known->second);
    } else {
      for (const char c : character) out.push_back(3 + static_cast<unsigned char>(c));
    }
    at += length;
  }
  while (true) {
    float best = -1e10f;
    size_t place = out.size();
    for (size_t i = 0; i + 1 < out.size(); ++i) {
      const auto found = ids.find(vocabulary.pieces[out[i]] + vocabulary.pieces[out[i + 1]]);
      if (found != ids.end() && vocabulary.scores[found->second] > best) {
        best = vocabulary.scores[found->second];
        place = i;
      }
    }
    if (place == out.size()) return out;
    out[place] = ids.at(vocabulary.pieces[out[place]] + vocabulary.pieces[out[place + 1]]);
    out.erase(out.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

TEST(Llama2cTokenizer, EncodesAsItsProgramDoes) {
  const Vocabulary vocabulary;
  const auto tokenizer = parse_llama2c_tokenizer(vocabulary.file(), "tokenizer.bin");
  const std::vector<std::string> parts = {" ",  "the", "re",   "and",    " the", "éa", "日", "中",
                                          "\n", "▁",   "\xff", "<0x41>", "a",    "t",  "h"};
  std::mt19937 random(8);
  EXPECT_EQ(tokenizer->encode(""), Ids());
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (size_t i = random() % 12; i > 0; --i) text += parts[random() % parts.size()];
    ASSERT_EQ(tokenizer->encode(text), encoded_by_definition(vocabulary, text)) << quote(text, 400);
  }
}

TEST(Llama2cTokenizer, ASpaceIsDroppedBehindBosAndAtTheStart) {
  const auto tokenizer = parse_llama2c_tokenizer(Vocabulary().file(), "tokenizer.bin");
  EXPECT_EQ(tokenizer->bos, 1);
  EXPECT_EQ(tokenizer->eos, 2);
  EXPECT_TRUE(tokenizer->add_bos);
  const Ids ids = tokenizer->encode("the hand\xc3");
  EXPECT_EQ(tokenizer->decode(ids), "the hand\xc3");
  const int32_t the = tokenizer->id_of(" the").value();
  EXPECT_EQ(tokenizer->decode(Ids{1, the, the}), "the the");
  EXPECT_EQ(tokenizer->bytes_after(1, the), "the");
  EXPECT_EQ(tokenizer->bytes_after(the, the), " the");
  EXPECT_EQ(tokenizer->bytes(the), " the");
  EXPECT_EQ(StreamDecoder(tokenizer, 1).feed(the), "the");
  EXPECT_EQ(StreamDecoder(tokenizer, the).feed(the), " the");
  EXPECT_EQ(StreamDecoder(tokenizer).feed(the), " the");
  EXPECT_EQ(tokenizer->decode(Ids{3 + 0x41}), "A");
}

TEST(Llama2cTokenizer, ItIsSavedAsTokenizerJson) {
  const auto tokenizer = parse_llama2c_tokenizer(Vocabulary().file(), "tokenizer.bin");
  const Folder folder;
  tokenizer->save(folder.path());
  const auto again = load_tokenizer(folder.path());
  for (const char* text : {"", "the hand and there", "éa中\n", " t the"})
    EXPECT_EQ(again->encode(text), tokenizer->encode(text)) << text;
  EXPECT_EQ(again->decode(again->encode("the hand")), "the hand");
  EXPECT_EQ(again->bos, 1);
  EXPECT_TRUE(again->add_bos);
}

TEST(Llama2cTokenizer, LyingFilesAreOneError) {
  const std::string good = Vocabulary().file();
  for (size_t length = 0; length + 1 < good.size(); length += length < 40 ? 1 : 97) {
    const std::string cut = good.substr(0, length);
    try {
      parse_llama2c_tokenizer(cut, "t.bin");
    } catch (const Error& error) {
      expect_contains(error.what(), "t.bin: ");
      continue;
    }
    EXPECT_GE(length, 259 * 8u) << "a cut between two records can still be a whole file";
  }
  const auto with = [&](size_t place, int32_t value) {
    std::string bad = good;
    std::memcpy(bad.data() + place, &value, sizeof value);
    return error_of([&] { parse_llama2c_tokenizer(bad, "t.bin"); });
  };
  expect_contains(with(0, -1), "longest token has -1 bytes");
  expect_contains(with(0, 1 << 30), "longest token has 1073741824 bytes");
  expect_contains(with(8, -5), "token 0 has a length of -5 bytes");
  expect_contains(with(8, 28), "token 0 has a length of 28 bytes, expected 0 to 27");
  const auto nan = with(good.size() - 8 - 3, 0x7fc00000);
  expect_contains(nan, "is not a finite number");
}

}  // namespace
}  // namespace intarsia
