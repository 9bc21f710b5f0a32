// Characters of UTF-8 text as Python's str sees them. A byte that belongs to no character counts as one.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace intarsia::jinja {

struct Letter {
  uint32_t code;  // of a stray byte: 0xfffd
  size_t size;    // in bytes
};
Letter letter_at(std::string_view text, size_t at);
size_t count_letters(std::string_view text);
// The byte at which the letter of this index starts; the text's size behind the last.
size_t letter_start(std::string_view text, size_t index);
void append_character(std::string& text, uint32_t code);

// Bytes of white space at the start and the end.
size_t leading_space(std::string_view text);
size_t trailing_space(std::string_view text);

// str.isspace() and so on, of one character.
bool is_space(uint32_t code);
bool is_alphabetic(uint32_t code);
bool is_decimal(uint32_t code);
bool is_numeric(uint32_t code);
bool is_upper(uint32_t code);
bool is_lower(uint32_t code);
bool is_titlecase(uint32_t code);
bool is_printable(uint32_t code);

// Full case mapping: one character may become three.
std::string upper_of(uint32_t code);
std::string lower_of(uint32_t code);
std::string title_of(uint32_t code);

}  // namespace intarsia::jinja
