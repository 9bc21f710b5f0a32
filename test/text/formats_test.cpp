// Every kind of model and format against what its own library says (test/golden/vocabulary_formats.py).
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <random>

#include "golden.h"
#include "intarsia/random.h"
#include "intarsia/tokenizer_training.h"
#include "text/format/base64.h"
#include "text/format/bytepiece.h"
#include "text/format/sentencepiece.h"
#include "text/format/tiktoken.h"
#include "text/model/unigram.h"
#include "text/token_spans.h"
#include "text/unicode/unicode.h"

namespace intarsia {
namespace {

const Json& formats() {
  static const Json file = read_json(golden("../vocabulary_formats/formats.json"));
  return file;
}

std::shared_ptr<const Tokenizer> loaded(const Json& made, const Folder& folder) {
  const auto path = folder.path() / made["name"].get<std::string>();
  write_file(path, decode_base64(made["file"].get<std::string>(), "golden"));
  return load_tokenizer(path);
}

// Broken UTF-8 as the other libraries show it.
std::string shown(const std::string& bytes) {
  return Json::parse(Json(bytes).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
}

TEST(Formats, IdsAndTextEqualThoseOfTheirOwnLibraries) {
  for (const Json& made : formats()["cases"]) {
    SCOPED_TRACE(made["title"].get<std::string>());
    const Folder folder;
    const auto tokenizer = loaded(made, folder);
    const bool special = made["special"].get<bool>();
    for (size_t i = 0; i < formats()["texts"].size(); ++i) {
      const auto text = formats()["texts"][i].get<std::string>();
      SCOPED_TRACE(quote(text));
      const Ids ids = tokenizer->encode(text, special);
      EXPECT_EQ(ids, made["ids"][i].get<Ids>());
      EXPECT_EQ(shown(tokenizer->decode(made["ids"][i].get<Ids>(), true)),
                made["text"][i].get<std::string>());
    }
  }
}

// With a field of bytes, of a number and a length below 128, appended: that is how messages are merged.
std::string with_field(const std::string& message, int number, const std::string& bytes) {
  return message + static_cast<char>(number << 3 | 2) + static_cast<char>(bytes.size()) + bytes;
}

// A user-defined symbol is one thing that lets a unigram model normalize texts as a whole.
std::string with_symbol(const std::string& model) {
  return with_field(model, 1, std::string("\x0a\x05never\x15\0\0\0\0\x18\x04", 14));
}

// A normalizer that drops the byte 1: a double array of eight units, and an empty text.
std::string with_dropped_byte(const std::string& model) {
  const std::array<uint32_t, 9> map = {32, 4 << 10, 0, 0, 0, 0, 1 | 1 << 8 | 2 << 10, 0, 1u << 31};
  std::string bytes(reinterpret_cast<const char*>(map.data()), sizeof map);
  return with_field(model, 3, with_field("", 2, bytes + '\0'));
}

TEST(Formats, PiecesOfRawTextGetTheIdsOfTheNormalizedText) {
  std::vector<std::string> models;
  for (const Json& made : formats()["cases"]) {
    std::string file = decode_base64(made["file"].get<std::string>(), "golden");
    if (made["title"].get<std::string>().starts_with("sentencepiece unigram")) {
      // Those in the file become unused.
      for (size_t at; (at = file.find("\x18\x04")) != std::string::npos;) file[at + 1] = '\x05';
      models.push_back(std::move(file));
    }
  }
  for (const char* name : {"test_model.model", "test_ja_model.model"}) {
    const auto path = data_folder() / "sentencepiece" / name;
    if (std::filesystem::exists(path)) models.push_back(read_file(path));
  }
  ASSERT_GE(models.size(), 2u);
  models.push_back(with_dropped_byte(models[0]));
  // Half of the texts are of the first ones only.
  const std::vector<std::string> parts = {
      " ", " ", " ", "  ", "\n", "\t", "\r\n", "\u00a0", "\u3000", "\u0301", "\u3099", "the", "king", "e",
      "é", "A", "Ａ", "，", "。", "\ufb01", "ｶﾞ", "日本語", "春眠不覺曉", "字", "は", ",", "\"", "(", "\x01",
      "12", "\u2003", "\u2581", "\u00a8", "\ufdfd", "\u200b", "\u0378", "\xff", "\xe6\x97", "\xed\xa0\x80",
      "ß", "Ⅷ", "😀", "'s", "7", "--", "<", ".", "[MASK]", "##", "a", "n", "in", "ing", "Z", "x",
      std::string(1, '\0'),
      // Of 15 and more letters, as many as a key does not hold.
      "supercalifragip", "supercalifragiq", "supercalifragilistic",
      // Of two segmentations that are nearly equal.
      "20000"};
  std::mt19937 random(11);
  for (const std::string& model : models) {
    const auto raw = parse_sentencepiece(model, "m.model");
    const auto whole = parse_sentencepiece(with_symbol(model), "m.model");
    EXPECT_EQ(whole->size(), raw->size() + 1);
    for (int round = 0; round < 20000; ++round) {
      std::string text;
      for (size_t left = random() % (round % 5000 == 0 ? 30000 : 12); left > 0; --left)
        text += parts[random() % (round % 2 == 0 ? parts.size() : 30)];
      ASSERT_EQ(raw->encode(text), whole->encode(text)) << quote(text);
    }
  }
}

// Pairs of what `tokenizers` writes and what it then reads; of a tie between two segmentations the last bit
// decides.
TEST(Formats, ScoresAreReadAsTokenizersReadsThem) {
  EXPECT_EQ(as_tokenizers_reads(-3.6839897963507244), -3.683989796350725);
  EXPECT_EQ(as_tokenizers_reads(-7.2367968140060075), -7.236796814006008);
  EXPECT_EQ(as_tokenizers_reads(-7.2405458515588474), -7.240545851558848);
  for (const double same : {0.0, -10.0, -3.25, 1e22, 1e-5, 123456789.0})
    EXPECT_EQ(as_tokenizers_reads(same), same);
  EXPECT_NEAR(as_tokenizers_reads(-3e-320) / -3e-320, 1, 1e-3);
}

TEST(Formats, ASavedTokenizerIsTheSame) {
  for (const Json& made : formats()["cases"]) {
    if (made["name"] != "tokenizer.json" && made["name"] != "gpt2.tiktoken") continue;
    SCOPED_TRACE(made["title"].get<std::string>());
    const Folder folder;
    const auto tokenizer = loaded(made, folder);
    tokenizer->save(folder.path() / "saved");
    const auto again = load_tokenizer(folder.path() / "saved");
    for (const Json& text : formats()["texts"])
      EXPECT_EQ(again->encode(text.get<std::string>(), true),
                tokenizer->encode(text.get<std::string>(), true));
  }
}

TEST(Formats, ABatchIsTheSameAsOneByOne) {
  const Folder folder;
  const auto tokenizer = loaded(formats()["cases"][1], folder);
  std::vector<std::string> texts;
  for (int i = 0; i < 50; ++i)
    for (const Json& text : formats()["texts"]) texts.push_back(text.get<std::string>() + std::to_string(i));
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  const std::vector<Ids> batch = tokenizer->encode_batch(views);
  for (size_t i = 0; i < texts.size(); ++i) ASSERT_EQ(batch[i], tokenizer->encode(texts[i]));
}

TEST(Formats, StreamsNeverCutACharacter) {
  for (const Json& made : formats()["cases"]) {
    SCOPED_TRACE(made["title"].get<std::string>());
    const Folder folder;
    const auto tokenizer = loaded(made, folder);
    for (const Json& text : formats()["texts"]) {
      StreamDecoder stream(tokenizer, Tokenizer::text_start);
      for (const int32_t id : tokenizer->encode(text.get<std::string>())) {
        const std::string part = stream.feed(id);
        EXPECT_EQ(valid_utf8_prefix(part), part.size());
      }
      EXPECT_EQ(stream.flush(), "");
    }
  }
}

TEST(Formats, TruncatedOrFlippedFilesAreAnErrorOrATokenizer) {
  std::mt19937 random(3);
  for (const Json& made : formats()["cases"]) {
    const std::string name = made["name"].get<std::string>();
    if (name == "tokenizer.json") continue;
    const std::string good = decode_base64(made["file"].get<std::string>(), "golden");
    for (int round = 0; round < 300; ++round) {
      std::string bad = good;
      if (round % 3 == 0) {
        bad.resize(random() % good.size());
      } else {
        bad[random() % bad.size()] ^= static_cast<char>(1 << random() % 8);
      }
      try {
        const auto tokenizer = name == "m.model"         ? parse_sentencepiece(bad, name)
                               : name == "gpt2.tiktoken" ? parse_tiktoken(bad, name)
                                                         : parse_rwkv_vocabulary(bad, name);
        tokenizer->decode(tokenizer->encode("The water was naïve 日本\xff"), true);
      } catch (const Error& error) {
        EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << error.what();
      }
    }
  }
}

TEST(Formats, ErrorsOfVocabularyFilesNameThePlace) {
  expect_contains(error_of([] { parse_tiktoken("IQ== 0\n!! 1\n", "gpt2.tiktoken"); }), "line 2");
  expect_contains(error_of([] { parse_tiktoken("IQ== 0\n", "mine.tiktoken"); }), "none of gpt2");
  expect_contains(error_of([] { parse_tiktoken("IQ== 0\nIQ== 1\n", "gpt2.tiktoken"); }),
                  "has the ranks 0 and 1");
  expect_contains(error_of([] { parse_rwkv_vocabulary("1 'a' 1\n2 'b' 7\n", "v"); }),
                  "line 2: the literal has 1");
  expect_contains(error_of([] { parse_rwkv_vocabulary("1 'a 1\n", "v"); }), "is not a Python literal");
  expect_contains(error_of([] { parse_sentencepiece("\x0a\xff", "m"); }), "m: byte ");
  EXPECT_EQ(python_literal("'\\n\\x41\\u4e2d\"'", "v"), "\nA中\"");
  EXPECT_EQ(python_literal("b'\\xff\\'a'", "v"), "\xff'a");
  EXPECT_EQ(python_literal("'\\xe9'", "v"), "é");
}

TEST(Formats, Base64IsThatOfRfc4648) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
      {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"\xff\xfe\x80", "//6A"}};
  for (const auto& [bytes, text] : cases) {
    EXPECT_EQ(encode_base64(bytes), text);
    EXPECT_EQ(decode_base64(text, "x"), bytes);
  }
  expect_contains(error_of([] { decode_base64("a*b=", "x"); }), "not base64");
}

TEST(Formats, SpansSayWhereTokensStand) {
  const auto plain = parsed(base_file());
  const std::string text = "The water, naïve 日本!";
  const Ids ids = plain->encode(text);
  const auto spans = token_spans(*plain, text, ids);
  for (size_t i = 0; i < ids.size(); ++i)
    EXPECT_EQ(text.substr(spans[i].begin, spans[i].end - spans[i].begin), plain->bytes(ids[i]));
  // BERT's normalizer changes letters, and its splitter leaves spaces out.
  const Folder folder;
  const auto bert = loaded(formats()["cases"][0], folder);
  const std::string changed = "The KING \u00c9 was here";
  const Ids pieces = bert->encode(changed);
  const auto places = token_spans(*bert, changed, pieces);
  EXPECT_EQ(changed.substr(places[0].begin, places[0].end - places[0].begin), "The");
  size_t done = 0;
  for (const TokenSpan& span : places) {
    EXPECT_GE(span.begin, done);
    EXPECT_LE(span.begin, span.end);
    done = span.end;
  }
  EXPECT_EQ(done, changed.size());
}

TEST(Formats, TrainedKindsCoverTheirTextAndCanBeSaved) {
  std::string text;
  for (int i = 0; i < 60; ++i)
    text += "The water was hot and the king knew it. Largest largely large\n春眠不觉晓\n";
  for (const auto kind : {TokenizerTraining::Kind::bpe, TokenizerTraining::Kind::wordpiece,
                          TokenizerTraining::Kind::unigram, TokenizerTraining::Kind::bytepiece}) {
    TokenizerTraining options;
    options.kind = kind;
    options.vocabulary = 300;
    const auto trained = train_tokenizer([&] { return once(text); }, options);
    EXPECT_LE(trained->size(), 300);
    const std::string sample = "the king was large 春";
    const Ids ids = trained->encode(sample);
    EXPECT_LE(ids.size(), sample.size());
    EXPECT_EQ(trained->decode(ids), sample);
    const Folder folder;
    trained->save(folder.path() / "t");
    EXPECT_EQ(load_tokenizer(folder.path() / "t")->encode(sample), ids);
  }
}

TEST(Formats, TrainingDoesNotDependOnThreads) {
  std::string text;
  std::mt19937 random(2);
  for (int i = 0; i < 4000; ++i)
    text += std::string(1 + random() % 3, static_cast<char>('a' + random() % 7)) + " ";
  const auto chunks = [&] {
    return [&text, at = size_t{0}](std::string& chunk) mutable {
      chunk = text.substr(std::min(at, text.size()), 500);
      at += 500;
      return !chunk.empty();
    };
  };
  for (const auto kind : {TokenizerTraining::Kind::bpe, TokenizerTraining::Kind::wordpiece,
                          TokenizerTraining::Kind::unigram, TokenizerTraining::Kind::bytepiece}) {
    TokenizerTraining options;
    options.kind = kind;
    options.vocabulary = 290;
    std::vector<std::string> pieces[2];
    const int before = thread_count();
    for (int threads : {1, 3}) {
      set_thread_count(threads);
      const auto trained = train_tokenizer(chunks, options);
      for (int32_t id = 0; id < trained->size(); ++id) pieces[threads == 3].emplace_back(trained->piece(id));
    }
    set_thread_count(before);
    EXPECT_EQ(pieces[0], pieces[1]);
  }
}

// Three equal ways to cut "abc" -> a|bc, ab|c, and a|b|c with the same score.
TEST(Formats, SamplingIsExactAndTheOlderDrawIsNot) {
  const auto tokenizer = parse_tokenizer_json(
      R"({"model": {"type": "Unigram", "unk_id": null,
          "vocab": [["a", -1], ["b", -1], ["c", -1], ["ab", -2], ["bc", -2]]}})",
      "t");
  Random random(4);
  const auto shares = [&](bool biased) {
    SubwordSampling sampling;
    sampling.alpha = 1;
    sampling.biased = biased;
    std::map<Ids, int> counts;
    for (int i = 0; i < 40000; ++i) ++counts[tokenizer->sample("abc", sampling, random)];
    return std::vector<double>{counts[{0, 1, 2}] / 40000.0, counts[{0, 4}] / 40000.0,
                               counts[{3, 2}] / 40000.0};
  };
  for (const double share : shares(false)) EXPECT_NEAR(share, 1 / 3.0, 0.012);
  std::vector<double> old = shares(true);
  std::sort(old.begin(), old.end());
  EXPECT_NEAR(old[0], 0.25, 0.012);
  EXPECT_NEAR(old[1], 0.25, 0.012);
  EXPECT_NEAR(old[2], 0.5, 0.012);
}

// "c" alone is unknown, with 10 less than the least score.
TEST(Formats, SamplingCountsUnknownCharactersToo) {
  const auto tokenizer = parse_tokenizer_json(
      R"({"model": {"type": "Unigram", "unk_id": 0,
          "vocab": [["<unk>", -20], ["a", -1], ["b", -1], ["ab", -2], ["bc", -31]]}})",
      "t");
  Random random(4);
  SubwordSampling sampling;
  sampling.alpha = 1;
  std::map<Ids, int> counts;
  for (int i = 0; i < 40000; ++i) ++counts[tokenizer->sample("abc", sampling, random)];
  // a|bc has -32; the score of what is unknown is -41, so a|b|c and ab|c have -43 each.
  const double weights = 1 + 2 * std::exp(-11.0);
  EXPECT_NEAR((counts[{1, 4}]) / 40000.0, 1 / weights, 0.002);
  sampling.alpha = 0.05;
  counts.clear();
  for (int i = 0; i < 40000; ++i) ++counts[tokenizer->sample("abc", sampling, random)];
  const double other = std::exp(-11.0 * 0.05), all = 1 + 2 * other;
  EXPECT_NEAR((counts[{1, 4}]) / 40000.0, 1 / all, 0.012);
  EXPECT_NEAR((counts[{1, 2, 0}]) / 40000.0, other / all, 0.012);
  EXPECT_NEAR((counts[{3, 0}]) / 40000.0, other / all, 0.012);
}

// All segmentations of `text`, with the sum of their scores.
void each_segmentation(const std::map<std::string, double>& scores, std::string_view text, double score,
                       std::vector<std::string>& pieces,
                       const std::function<void(const std::vector<std::string>&, double)>& f) {
  if (text.empty()) return f(pieces, score);
  for (const auto& [piece, own] : scores) {
    if (!text.starts_with(piece)) continue;
    pieces.push_back(piece);
    each_segmentation(scores, text.substr(piece.size()), score + own, pieces, f);
    pieces.pop_back();
  }
}

TEST(Formats, BytePiecesSamplingHasTheDistributionThatEnumerationGives) {
  std::vector<std::pair<std::string, int64_t>> counts;
  for (int byte = 0; byte < 256; ++byte) counts.emplace_back(std::string(1, static_cast<char>(byte)), 40);
  for (const char* piece :
       {"the", "he", "th", "at", "cat", " c", "e ", "e c", "a c", "\xe6\x9c", "\x9c\x88", "月"})
    counts.emplace_back(piece, 100 + 37 * static_cast<int64_t>(std::string_view(piece).size()));
  const auto tokenizer = make_bytepiece(counts, "t");
  double total = 0;
  for (const auto& [piece, count] : counts) total += static_cast<double>(count);
  std::map<std::string, double> scores;
  for (const auto& [piece, count] : counts) scores[piece] = std::log(static_cast<double>(count) / total);
  for (const double alpha : {0.2, 1.0, 2.5}) {
    const std::string text = "the cat月";
    std::map<Ids, double> expected;
    double sum = 0;
    std::vector<std::string> pieces;
    each_segmentation(scores, text, 0, pieces, [&](const std::vector<std::string>& cut, double score) {
      Ids ids;
      for (const std::string& piece : cut) ids.push_back(*tokenizer->id_of(piece));
      sum += expected[ids] = std::exp(alpha * score);
    });
    ASSERT_GT(expected.size(), 50u);
    Random random(11);
    SubwordSampling sampling;
    sampling.alpha = alpha;
    constexpr int draws = 100'000;
    std::map<Ids, int> drawn;
    for (int i = 0; i < draws; ++i) ++drawn[tokenizer->sample(text, sampling, random)];
    // Rare ones together, so that each class expects at least 5.
    double chi_squared = 0, rare = 0, rare_drawn = 0;
    int classes = 0;
    for (const auto& [ids, weight] : expected) {
      const double expects = draws * weight / sum;
      const auto found = drawn.find(ids);
      const double got = found == drawn.end() ? 0 : found->second;
      if (expects < 5) {
        rare += expects;
        rare_drawn += got;
        continue;
      }
      chi_squared += (got - expects) * (got - expects) / expects;
      ++classes;
    }
    if (rare >= 5) {
      chi_squared += (rare_drawn - rare) * (rare_drawn - rare) / rare;
      ++classes;
    }
    for (const auto& [ids, count] : drawn) EXPECT_TRUE(expected.contains(ids));
    // Of chi-squared with n degrees of freedom the mean is n and the variance 2 n.
    const double freedom = classes - 1;
    EXPECT_LT(chi_squared, freedom + 4 * std::sqrt(2 * freedom)) << alpha << ", " << classes << " classes";
    EXPECT_GT(chi_squared, freedom - 4 * std::sqrt(2 * freedom)) << alpha;
  }
}

// The probability of such a text is far below the least double, that of the wrong cut is as small again.
TEST(Formats, SamplingOfALongTextNeitherUnderflowsNorMindsTheScaleOfScores) {
  const auto tokenizer = parse_tokenizer_json(
      R"({"model": {"type": "Unigram", "unk_id": null, "vocab": [["a", -900], ["b", -900], ["ab", -1801]]}})",
      "t");
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "ab";
  Random random(3);
  SubwordSampling sampling;
  sampling.alpha = 1;
  const Ids ids = tokenizer->sample(text, sampling, random);
  std::string again;
  for (const int32_t id : ids) again += tokenizer->piece(id);
  EXPECT_TRUE(again == text);
  const auto whole = static_cast<double>(std::count(ids.begin(), ids.end(), 2));
  const double share = 1 / (1 + std::exp(1.0));  // of "ab" against "a", "b"
  EXPECT_NEAR(whole / 5000, share, 0.03);
}

TEST(Formats, DropoutKeepsTheTextAndZeroIsPlain) {
  const auto tokenizer = parsed(base_file());
  Random random(9);
  SubwordSampling sampling;
  const std::string text = "The water was hot, and they knew it. 日本語";
  sampling.dropout = 0;
  EXPECT_EQ(tokenizer->sample(text, sampling, random), tokenizer->encode(text));
  sampling.dropout = 1;
  EXPECT_EQ(tokenizer->sample(text, sampling, random).size(), text.size());
  sampling.dropout = 0.3;
  size_t different = 0;
  for (int i = 0; i < 20; ++i) {
    const Ids ids = tokenizer->sample(text, sampling, random);
    EXPECT_EQ(tokenizer->decode(ids), text);
    different += ids != tokenizer->encode(text);
  }
  EXPECT_GT(different, 15u);
}

}  // namespace
}  // namespace intarsia
