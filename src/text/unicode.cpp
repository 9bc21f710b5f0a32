#include "text/unicode.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/fail.h"
#include "data/file.h"

namespace intarsia {

void append_utf8(std::string& text, char32_t code) {
  utf8proc_uint8_t bytes[4];
  const auto length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), bytes);
  text.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

CharacterClass detail::wide_class(char32_t code) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return CharacterClass::letter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharacterClass::number;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return CharacterClass::space;
    default:
      return code == 0x85 ? CharacterClass::space : CharacterClass::other;  // next line, a control
  }
}

bool is_word_character(char32_t code) {
  const CharacterClass kind = class_of(code);
  if (kind == CharacterClass::letter || kind == CharacterClass::number) return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

size_t valid_utf8_prefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    uint64_t eight;
    if (at + 8 <= text.size()) {
      std::memcpy(&eight, text.data() + at, 8);
      if ((eight & 0x8080808080808080u) == 0) {
        at += 8;
        continue;
      }
    }
    const size_t length = character_length(text.substr(at, 4));
    if (length == 0) break;
    at += length;
  }
  return at;
}

size_t unfinished_suffix(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const std::string_view tail = text.substr(text.size() - back);
    const auto lead = static_cast<unsigned char>(tail[0]);
    if ((lead & 0xc0) == 0x80) continue;
    const size_t wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (wanted <= back) return 0;
    // The second byte of some characters is bounded more tightly; a completion that is a character decides.
    // One of these always completes a start that can be completed at all.
    for (const char* rest : {"\x80\x80\x80", "\xa0\x80\x80", "\x90\x80\x80"}) {
      std::string completed(tail);
      completed.append(rest, wanted - back);
      if (character_length(completed) == wanted) return back;
    }
    return 0;
  }
  return 0;
}

namespace {

// Composes `text`, valid UTF-8. utf8proc_map would do, but it sorts marks by repeated exchange, which takes
// quadratic time on a long run of them.
void append_composed(std::string_view text, std::string& out) {
  constexpr auto decompose = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE);
  constexpr auto compose = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  std::vector<utf8proc_int32_t> codes;
  codes.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Character c = decode_character(text.data() + at);
    at += c.length;
    utf8proc_int32_t parts[32];
    const auto count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c.code), parts, 32, decompose, nullptr);
    if (count < 0 || count > 32) fail("normalizer NFC: {}", utf8proc_errmsg(count));
    codes.insert(codes.end(), parts, parts + count);
  }
  const auto combining = [](utf8proc_int32_t code) { return utf8proc_get_property(code)->combining_class; };
  for (auto run = codes.begin(); run != codes.end();) {
    if (combining(*run) == 0) {
      ++run;
      continue;
    }
    const auto end = std::find_if(run, codes.end(), [&](auto code) { return combining(code) == 0; });
    std::stable_sort(run, end, [&](auto a, auto b) { return combining(a) < combining(b); });
    run = end;
  }
  const auto length =
      utf8proc_normalize_utf32(codes.data(), static_cast<utf8proc_ssize_t>(codes.size()), compose);
  if (length < 0) fail("normalizer NFC: {}", utf8proc_errmsg(length));
  for (utf8proc_ssize_t i = 0; i < length; ++i) append_utf8(out, static_cast<char32_t>(codes[i]));
}

// Blocks whose characters are all starters that are composed already (those of Hangul and kana can compose
// with what follows): most text is made of them.
bool is_stable(char32_t code) {
  return code < 0x300 || (code >= 0x3030 && code < 0x3099) || (code >= 0x4e00 && code < 0xa000) ||
         (code >= 0xac00 && code < 0xd7a4) || (code >= 0xff01 && code < 0xffef);
}

// Bytes of the character at `at` if it is stable; else 0.
size_t stable_length(std::string_view text, size_t at) {
  if (static_cast<unsigned char>(text[at]) < 0x80) return 1;
  const size_t length = character_length(text.substr(at, 4));
  return length > 0 && is_stable(decode_character(text.data() + at).code) ? length : 0;
}

// The end of the run of characters from `at` that are not stable. A byte that is no character ends it.
size_t unstable_end(std::string_view text, size_t at) {
  while (at < text.size() && stable_length(text, at) == 0) {
    const size_t length = character_length(text.substr(at, 4));
    if (length == 0) return at + 1;
    at += length;
  }
  return at;
}

}  // namespace

std::string to_nfc(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  size_t at = 0;
  while (at < text.size()) {
    // A character that composition leaves alone can still compose with what follows it: all but the last of a
    // run of them is copied.
    size_t last = at, end = at;
    while (end < text.size()) {
      const size_t length = stable_length(text, end);
      if (length == 0) break;
      last = end;
      end += length;
    }
    if (end == text.size()) {
      out.append(text.substr(at));
      break;
    }
    out.append(text.substr(at, last - at));
    const size_t run_end = unstable_end(text, end);
    const std::string_view run = text.substr(last, run_end - last);
    const size_t valid = valid_utf8_prefix(run);
    append_composed(run.substr(0, valid), out);
    if (valid < run.size()) out += run[valid];
    at = last + std::min(valid + 1, run.size());
  }
  return out;
}

}  // namespace intarsia
