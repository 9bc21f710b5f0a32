#include "text/split/splitter.h"

#include <array>
#include <random>

#include "golden.h"
#include "text/split/pre_tokenizer.h"
#include "text/split/regex.h"
#include "text/unicode/unicode.h"

namespace intarsia {
namespace {

std::vector<std::string> pieces(const Splitter& splitter, std::string_view text) {
  std::vector<std::string> out;
  std::array<Splitter::Piece, 3> room;
  for (size_t begin = 0; begin < text.size();) {
    const size_t count = splitter.some(text, begin, room);
    if (count == 0) throw Error("no pieces");
    for (size_t i = 0; i < count; ++i) {
      const Splitter::Piece piece = room[i];
      if (piece.end <= begin) throw Error("an empty piece");
      if (piece.end != splitter.next(text, begin).end) throw Error("another piece than one by one");
      if (piece.keep) out.emplace_back(text.substr(begin, piece.end - begin));
      begin = piece.end;
    }
  }
  return out;
}

std::shared_ptr<const Splitter> through_pcre2(std::string_view pattern) {
  return match_splitter(std::make_shared<Regex>(pattern, false), SplitBehavior::isolated, false);
}

bool pcre2_assigns(char32_t code) {
  static const Regex assigned("[^\\p{Cn}]", false);
  std::string text;
  append_utf8(text, code);
  return assigned.find(text, 0).begin == 0;
}

// Strings that are dense in what the patterns tell apart.
std::string draw_text(std::mt19937& random) {
  static const std::vector<std::string> parts = {
      " ",      " ",      "  ",     "\n",     "\r",     "\r\n",   "\t",     "'",      "'s",   "'S", "'ll",
      "'Re",    "'VE",    "'d",     "'ſ",     "'l",     "a",      "Zz",     "é",      "ſ",    "ß",  "中",
      "ー",     "٣",      "7",      "12",     "Ⅷ",      "½",      "-",      "...",    "_",    "!",  "😀",
      "\u200d", "\u0301", "\u00a0", "\u3000", "\u2028", "\u0085", "\u180e", "\u200b", "\x1c", "$"};
  std::string text;
  const size_t count = random() % 14;
  for (size_t i = 0; i < count; ++i) {
    if (random() % 6 == 0) {
      const char32_t limit = random() % 2 ? 0x3000 : 0x20000;
      const auto code = static_cast<char32_t>(random() % limit);
      const bool surrogate = code >= 0xd800 && code < 0xe000;
      if (!surrogate && pcre2_assigns(code)) append_utf8(text, code);
    } else {
      text += parts[random() % parts.size()];
    }
  }
  return text;
}

TEST(Splitter, HandMadeSplittersEqualTheirPatternsOnPcre2) {
  // cl100k's possessive quantifiers change nothing but {1,3}+, and its $ is the end of the text.
  const std::string cl100k =
      R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+\z|\s*[\r\n]|\s+(?!\S)|\s)";
  const std::pair<std::string_view, std::string_view> cases[] = {
      {patterns::gpt2, patterns::gpt2},
      {patterns::llama3, patterns::llama3},
      {patterns::qwen2, patterns::qwen2},
      {patterns::cl100k, cl100k},
      {patterns::o200k, patterns::o200k},
      {patterns::deepseek_digits, patterns::deepseek_digits},
      {patterns::deepseek_east_asian, patterns::deepseek_east_asian},
      {patterns::deepseek, patterns::deepseek}};
  for (const auto& [pattern, on_pcre2] : cases) {
    const auto by_hand = known_pattern(pattern);
    ASSERT_TRUE(by_hand);
    const auto by_regex = through_pcre2(on_pcre2);
    std::mt19937 random(11);
    for (int round = 0; round < 20000; ++round) {
      const std::string text = draw_text(random);
      ASSERT_EQ(pieces(*by_hand, text), pieces(*by_regex, text)) << quote(text, 500) << " with " << pattern;
    }
  }
}

TEST(Splitter, ClassesOfAllCharactersEqualThoseOfPcre2) {
  const Regex letter("\\p{L}", false), number("\\p{N}", false), space("\\s", false), mark("\\p{M}", false),
      punctuation("\\p{P}", false), symbol("\\p{S}", false);
  int differences = 0;
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xd800 && code < 0xe000) continue;
    if (!pcre2_assigns(code)) continue;
    std::string text;
    append_utf8(text, code);
    const auto matches = [&](const Regex& regex) { return regex.find(text, 0).begin == 0; };
    const CharacterClass kind = class_of(code);
    const Category category = category_of(code);
    differences += matches(letter) != (kind == CharacterClass::letter);
    differences += matches(number) != (kind == CharacterClass::number);
    differences += matches(space) != (kind == CharacterClass::space);
    differences += matches(mark) != is_mark(category);
    differences += matches(punctuation) != is_punctuation(category);
    differences += matches(symbol) != is_symbol(category);
  }
  EXPECT_LE(differences, 8) << "more than the few that changed their category between Unicode 14 and 16";
  EXPECT_EQ(class_of(0x180e), CharacterClass::other);
  EXPECT_EQ(class_of(0x85), CharacterClass::space);
}

TEST(Splitter, WordCharactersAreThoseOfRust) {
  for (const char32_t code : {U'a', U'é', U'中', U'7', U'٣', U'Ⅷ', U'_', U'\u0301', U'\u200d', U'Ⓐ'})
    EXPECT_TRUE(is_word_character(code)) << static_cast<uint32_t>(code);
  for (const char32_t code : {U' ', U'-', U'²', U'½', U'$', U'\u00a0', U'☃'})
    EXPECT_FALSE(is_word_character(code)) << static_cast<uint32_t>(code);
}

TEST(Splitter, BehaviorsAreThoseOfTokenizers) {
  const auto regex = std::make_shared<Regex>("-", true);
  const auto cut = [&](SplitBehavior behavior, bool invert = false) {
    return pieces(*match_splitter(regex, behavior, invert), "the-final--countdown");
  };
  using Pieces = std::vector<std::string>;
  EXPECT_EQ(cut(SplitBehavior::isolated), (Pieces{"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(cut(SplitBehavior::removed), (Pieces{"the", "final", "countdown"}));
  EXPECT_EQ(cut(SplitBehavior::removed, true), (Pieces{"-", "-", "-"}));
  EXPECT_EQ(cut(SplitBehavior::merged_with_previous), (Pieces{"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(cut(SplitBehavior::merged_with_next), (Pieces{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(cut(SplitBehavior::contiguous), (Pieces{"the", "-", "final", "--", "countdown"}));
}

TEST(Splitter, WhatOnigurumaReadsDifferentlyIsRefused) {
  for (const char* pattern :
       {"\\h+", "[a[bc]]", "[a-z&&[^b]]", "a{1,3}+", "(?m:.)", "(?s:.)", "\\bx", "\\Kx", "\\Gx", "[\\W]",
        "(*ACCEPT)", "(?R)", "(?C1)", "(?P<n>x)", "a{,3}", "\\g<1>", "[]a]", "\\pL"})
    expect_contains(error_of([&] { Regex(pattern, false); }), "is not supported");
  for (const char* pattern : {"(", "[a", "a**", "*", "\\p{Klingon}", "(?<=a*)b", "\\x{110000}"})
    expect_contains(error_of([&] { Regex(pattern, false); }), "pattern ");
  error_of([] { Regex("", false); });
  EXPECT_EQ(Regex("(?i:'S)|\\p{Lu}{2}|\\u4e2d", false).find("xx中", 0).begin, 2u);
}

TEST(Splitter, APatternThatBacktracksWithoutEndIsStopped) {
  const Regex regex("(a|aa)+$", false);
  expect_contains(error_of([&] { regex.find(std::string(4000, 'a') + "b", 0); }), "limit");
}

TEST(Splitter, WorkGrowsLinearlyOnLongRuns) {
  // A quadratic splitter would take minutes.
  const std::string text = std::string(1 << 20, 'a') + std::string(1 << 20, ' ') + std::string(1 << 20, '\n');
  for (const std::string_view pattern : {patterns::gpt2, patterns::llama3, patterns::cl100k, patterns::o200k,
                                         patterns::qwen2, patterns::deepseek})
    EXPECT_LE(pieces(*known_pattern(pattern), text).size(), 4u);
  std::string alternating;
  for (int i = 0; i < 1 << 19; ++i) alternating += i % 2 ? "é" : "-";
  EXPECT_EQ(pieces(*known_pattern(patterns::gpt2), alternating).size(), size_t{1} << 19);
}

TEST(Splitter, BrokenBytesAreWordsOfTheirOwn) {
  PreTokenizer splitter;
  splitter.add(known_pattern(patterns::gpt2));
  std::vector<std::string> words;
  splitter.for_each_word("ab\xff\xfe cd\xe2\x82", [&](std::string_view word) { words.emplace_back(word); });
  EXPECT_EQ(words, (std::vector<std::string>{"ab", "\xff\xfe", " cd", "\xe2\x82"}));
}

}  // namespace
}  // namespace intarsia
