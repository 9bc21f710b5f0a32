#include "text/template/value/unicode_text.h"

#include <utf8proc.h>

#include <algorithm>

#include "data/file.h"

namespace intarsia::jinja {

namespace {

struct FullCase {
  uint32_t code;
  const char *upper, *title;
};
constexpr FullCase full_cases[] = {
#include "text/template/value/full_case.inl"
};

const FullCase* full_case(uint32_t code) {
  const auto* found = std::lower_bound(std::begin(full_cases), std::end(full_cases), code,
                                       [](const FullCase& each, uint32_t c) { return each.code < c; });
  return found != std::end(full_cases) && found->code == code ? found : nullptr;
}

utf8proc_category_t category(uint32_t code) { return utf8proc_category(static_cast<utf8proc_int32_t>(code)); }

std::string text_of(utf8proc_int32_t code) {
  std::string text;
  append_character(text, static_cast<uint32_t>(code));
  return text;
}

}  // namespace

Letter letter_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[at + i])); };
  if (byte(0) < 0x80) return {byte(0), 1};
  const size_t size = character_length(text.substr(at, 4));
  if (size == 0) return {0xfffd, 1};
  uint32_t code = byte(0) & (0xffu >> (size + 1));
  for (size_t i = 1; i < size; ++i) code = code << 6 | (byte(i) & 0x3f);
  return {code, size};
}

size_t count_letters(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); at += letter_at(text, at).size) ++count;
  return count;
}

size_t letter_start(std::string_view text, size_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) at += letter_at(text, at).size;
  return at;
}

void append_character(std::string& text, uint32_t code) {
  utf8proc_uint8_t bytes[4];
  const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), bytes);
  text.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
}

bool is_space(uint32_t code) {
  if (code < 0x80) return code == ' ' || (code >= 9 && code <= 13) || (code >= 0x1c && code <= 0x1f);
  return code == 0x85 || category(code) == UTF8PROC_CATEGORY_ZS || code == 0x2028 || code == 0x2029;
}

size_t leading_space(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const Letter letter = letter_at(text, at);
    if (!is_space(letter.code)) break;
    at += letter.size;
  }
  return at;
}

size_t trailing_space(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t start = end - 1;
    while (start > 0 && end - start < 4 && (static_cast<unsigned char>(text[start]) & 0xc0) == 0x80) --start;
    const Letter letter = letter_at(text, start);
    if (letter.size != end - start || !is_space(letter.code)) break;
    end = start;
  }
  return text.size() - end;
}

bool is_alphabetic(uint32_t code) {
  const auto kind = category(code);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}
bool is_decimal(uint32_t code) { return category(code) == UTF8PROC_CATEGORY_ND; }
bool is_numeric(uint32_t code) {
  const auto kind = category(code);
  return kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO;
}
bool is_upper(uint32_t code) { return utf8proc_isupper(static_cast<utf8proc_int32_t>(code)) != 0; }
bool is_lower(uint32_t code) { return utf8proc_islower(static_cast<utf8proc_int32_t>(code)) != 0; }
bool is_titlecase(uint32_t code) { return category(code) == UTF8PROC_CATEGORY_LT; }

bool is_printable(uint32_t code) {
  switch (category(code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return code == ' ';
    default:
      return true;
  }
}

std::string upper_of(uint32_t code) {
  if (const FullCase* full = full_case(code)) return full->upper;
  return text_of(utf8proc_toupper(static_cast<utf8proc_int32_t>(code)));
}

std::string lower_of(uint32_t code) {
  if (code == 0x130) return "i\u0307";
  return text_of(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)));
}

std::string title_of(uint32_t code) {
  if (const FullCase* full = full_case(code)) return full->title;
  return text_of(utf8proc_totitle(static_cast<utf8proc_int32_t>(code)));
}

}  // namespace intarsia::jinja
