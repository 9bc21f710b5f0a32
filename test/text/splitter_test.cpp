#include "text/splitter.h"

#include <random>

#include "golden.h"
#include "text/pre_tokenizer.h"
#include "text/regex.h"
#include "text/unicode.h"

namespace intarsia {
namespace {

std::vector<std::string> pieces(const Splitter& splitter, std::string_view text) {
  std::vector<std::string> out;
  for (size_t begin = 0; begin < text.size();) {
    const Splitter::Piece piece = splitter.next(text, begin);
    if (piece.end <= begin) throw Error("an empty piece");
    if (piece.keep) out.emplace_back(text.substr(begin, piece.end - begin));
    begin = piece.end;
  }
  return out;
}

std::shared_ptr<const Splitter> through_pcre2(std::string_view pattern) {
  return regex_splitter(std::make_shared<Regex>(pattern, false), SplitBehavior::isolated, false);
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
      append_utf8(text, static_cast<char32_t>(random() % 0x3000));
    } else {
      text += parts[random() % parts.size()];
    }
  }
  return text;
}

TEST(Splitter, HandMadeSplittersEqualTheirPatternsOnPcre2) {
  for (const std::string_view pattern : {patterns::gpt2, patterns::llama3, patterns::qwen2}) {
    const auto by_hand = known_pattern(pattern);
    ASSERT_TRUE(by_hand);
    const auto by_regex = through_pcre2(pattern);
    std::mt19937 random(11);
    for (int round = 0; round < 40000; ++round) {
      const std::string text = draw_text(random);
      ASSERT_EQ(pieces(*by_hand, text), pieces(*by_regex, text)) << quote(text, 500) << " with " << pattern;
    }
  }
}

TEST(Splitter, ClassesOfAllCharactersEqualThoseOfPcre2) {
  const Regex letter("\\p{L}", false), number("\\p{N}", false), space("\\s", false), word("\\w", false);
  int differences = 0;
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xd800 && code < 0xe000) continue;
    // Characters that the Unicode version of one library only assigns are none to the other.
    if (utf8proc_category(static_cast<utf8proc_int32_t>(code)) == UTF8PROC_CATEGORY_CN) continue;
    std::string text;
    append_utf8(text, code);
    const auto matches = [&](const Regex& regex) { return regex.find(text, 0).begin == 0; };
    const CharacterClass kind = class_of(code);
    differences += matches(letter) != (kind == CharacterClass::letter);
    differences += matches(number) != (kind == CharacterClass::number);
    differences += matches(space) != (kind == CharacterClass::space);
    differences += matches(word) != is_word_character(code);
  }
  EXPECT_LE(differences, 12000) << "more than what a later Unicode version assigns";
  EXPECT_EQ(class_of(0x180e), CharacterClass::other);
  EXPECT_EQ(class_of(0x85), CharacterClass::space);
}

TEST(Splitter, BehaviorsAreThoseOfTokenizers) {
  const auto regex = std::make_shared<Regex>("-", true);
  const auto cut = [&](SplitBehavior behavior, bool invert = false) {
    return pieces(*regex_splitter(regex, behavior, invert), "the-final--countdown");
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
  for (const std::string_view pattern : {patterns::gpt2, patterns::llama3})
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
