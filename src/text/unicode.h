// Unicode for tokenizers: character classes as regular expressions name them (\p{L}, \p{N}, \s), UTF-8,
// composition. The categories are those of utf8proc's Unicode version.
#pragma once
#include <utf8proc.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace intarsia {

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
CharacterClass wide_class(char32_t code);

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

inline CharacterClass class_of(char32_t code) {
  return code < 128 ? detail::ascii_classes[code] : detail::wide_class(code);
}

// \w: letters, marks, numbers and connecting punctuation.
bool is_word_character(char32_t code);

// Bytes of the longest start of `text` that is valid UTF-8.
size_t valid_utf8_prefix(std::string_view text);
// Bytes at the end of `text` that are the beginning of a character whose rest is missing: 0 to 3.
size_t unfinished_suffix(std::string_view text);

// Canonical composition (NFC). Bytes that are not valid UTF-8 are kept as they are.
std::string to_nfc(std::string_view text);

}  // namespace intarsia
