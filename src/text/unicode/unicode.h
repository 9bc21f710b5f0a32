// Unicode for tokenizers: character classes as regular expressions name them (\p{L}, \p{N}, \s), UTF-8,
// normal forms. Categories are those of Unicode 16.0 (categories.inl); normal forms and case are utf8proc's.
#pragma once
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace intarsia {

// General categories; their order is that of scripts/unicode-categories.
enum class Category : uint8_t {
  unassigned,
  Lu,
  Ll,
  Lt,
  Lm,
  Lo,
  Mn,
  Mc,
  Me,
  Nd,
  Nl,
  No,
  Pc,
  Pd,
  Ps,
  Pe,
  Pi,
  Pf,
  Po,
  Sm,
  Sc,
  Sk,
  So,
  Zs,
  Zl,
  Zp,
  Cc,
  Cf,
  Cs,
  Co
};

// What splitters ask about a character: exactly one of these.
enum class CharacterClass : uint8_t { other, letter, number, space };

struct Character {
  char32_t code;
  uint32_t length;  // bytes
};

// The character at `p`, which must be the start of a valid one.
inline Character decode_character(const char* p) {
  const auto* b = reinterpret_cast<const unsigned char*>(p);
  if (b[0] < 0x80) return {b[0], 1};
  if (b[0] < 0xe0) return {char32_t(b[0] & 0x1f) << 6 | (b[1] & 0x3f), 2};
  if (b[0] < 0xf0) return {char32_t(b[0] & 0x0f) << 12 | char32_t(b[1] & 0x3f) << 6 | (b[2] & 0x3f), 3};
  return {
      char32_t(b[0] & 0x07) << 18 | char32_t(b[1] & 0x3f) << 12 | char32_t(b[2] & 0x3f) << 6 | (b[3] & 0x3f),
      4};
}

void append_utf8(std::string& text, char32_t code);

namespace detail {
// A byte a code point: the category, the class above it, and whether \w takes the character.
struct CharacterTable {
  static constexpr int class_shift = 5;
  static constexpr uint8_t category_mask = 31, class_mask = 3, word_bit = 128;
  CharacterTable();
  uint8_t of[0x110000] = {};
};
// Made at the first call: loading the library does no work.
inline const CharacterTable& characters() {
  static const CharacterTable table;
  return table;
}

constexpr std::array<CharacterClass, 128> ascii_classes = [] {
  std::array<CharacterClass, 128> classes{};
  for (int c = 0; c < 128; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter) classes[c] = CharacterClass::letter;
    if (c >= '0' && c <= '9') classes[c] = CharacterClass::number;
    if (c == ' ' || (c >= 9 && c <= 13)) classes[c] = CharacterClass::space;
  }
  return classes;
}();
}  // namespace detail

// The code point must be below 0x110000.
inline Category category_of(char32_t code) {
  return static_cast<Category>(detail::characters().of[code] & detail::CharacterTable::category_mask);
}
inline CharacterClass class_of(char32_t code) {
  using detail::CharacterTable;
  return static_cast<CharacterClass>(detail::characters().of[code] >> CharacterTable::class_shift &
                                     CharacterTable::class_mask);
}
// \w of Rust's regular expressions: alphabetic characters, marks, decimal digits, connecting punctuation and
// joiners.
inline bool is_word_character(char32_t code) {
  return (detail::characters().of[code] & detail::CharacterTable::word_bit) != 0;
}
inline bool is_letter(Category c) { return c >= Category::Lu && c <= Category::Lo; }
inline bool is_mark(Category c) { return c >= Category::Mn && c <= Category::Me; }
inline bool is_number(Category c) { return c >= Category::Nd && c <= Category::No; }
inline bool is_punctuation(Category c) { return c >= Category::Pc && c <= Category::Po; }
inline bool is_symbol(Category c) { return c >= Category::Sm && c <= Category::So; }

// Bytes of the character that `text` starts with, 0 if it is none.
size_t valid_character_length(std::string_view text);
// Bytes of the longest start of `text` that is valid UTF-8.
size_t valid_utf8_prefix(std::string_view text);
// Bytes at the end of `text` that are the beginning of a character whose rest is missing: 0 to 3.
size_t unfinished_suffix(std::string_view text);

// Normal forms (Unicode Standard Annex 15). Bytes that are not valid UTF-8 are kept as they are.
enum class NormalForm { c, d, kc, kd };
std::string to_normal_form(std::string_view text, NormalForm form);
inline std::string to_nfc(std::string_view text) { return to_normal_form(text, NormalForm::c); }

// Calls f(char32_t code, std::string_view bytes) for each character, and broken(std::string_view byte) for
// each byte that is part of none.
template <class F, class Broken>
void for_each_character(std::string_view text, F&& f, Broken&& broken) {
  while (!text.empty()) {
    const bool ascii = static_cast<unsigned char>(text[0]) < 0x80;
    const size_t length = ascii ? 1 : valid_character_length(text);
    if (length == 0) {
      broken(text.substr(0, 1));
      text.remove_prefix(1);
    } else {
      f(decode_character(text.data()).code, text.substr(0, length));
      text.remove_prefix(length);
    }
  }
}

// A number below 2^16 for the character of three bytes at `at`.
inline size_t place_of_three(const char* at) {
  const auto byte = [&](int i) { return size_t{static_cast<unsigned char>(at[i])}; };
  return (byte(0) & 15) << 12 | (byte(1) & 63) << 6 | (byte(2) & 63);
}

// The end of the ASCII letters of `text` from `at` on.
inline size_t ascii_letters_end(std::string_view text, size_t at) {
  constexpr uint64_t each = 0x0101010101010101, high = each * 0x80;
  // Eight bytes at a time: words end within the first step, so that the processor seldom guesses wrong.
  for (; at + sizeof(uint64_t) <= text.size(); at += sizeof(uint64_t)) {
    uint64_t eight;
    std::memcpy(&eight, text.data() + at, sizeof eight);
    // A byte's high bit: whether its lower seven bits are at least 'a', or beyond 'z'.
    const uint64_t small = (eight | each * 0x20) & ~high;
    const uint64_t from_a = small + each * (0x80 - 'a'), beyond_z = small + each * (0x80 - 'z' - 1);
    const uint64_t ends = (~from_a | beyond_z | eight) & high;
    if (ends != 0) return at + static_cast<size_t>(std::countr_zero(ends)) / 8;
  }
  const auto is_letter = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x80 && detail::ascii_classes[byte] == CharacterClass::letter;
  };
  while (at < text.size() && is_letter(text[at])) ++at;
  return at;
}

// The characters' own lower case (each by itself, as in Rust's char::to_lowercase).
std::string to_lower(std::string_view text);
// Bytes of the extended grapheme cluster that `text`, valid UTF-8 and not empty, starts with.
size_t grapheme_length(std::string_view text);

}  // namespace intarsia
