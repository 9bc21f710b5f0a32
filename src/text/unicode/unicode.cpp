#include "text/unicode/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <bit>
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

namespace {

constexpr uint32_t category_runs[] = {
#include "text/unicode/categories.inl"
};

CharacterClass class_in(Category category, char32_t code) {
  if (is_letter(category)) return CharacterClass::letter;
  if (is_number(category)) return CharacterClass::number;
  if (category >= Category::Zs && category <= Category::Zp) return CharacterClass::space;
  // Controls that are white space: tab to carriage return, next line.
  return (code >= 9 && code <= 13) || code == 0x85 ? CharacterClass::space : CharacterClass::other;
}

bool is_word_in(Category category, char32_t code) {
  if (is_letter(category) || is_mark(category)) return true;
  if (category == Category::Nd || category == Category::Nl || category == Category::Pc) return true;
  const bool joiner = code == 0x200c || code == 0x200d;
  // Symbols that are alphabetic: letters in circles and squares.
  const bool enclosed = (code >= 0x24b6 && code <= 0x24e9) || (code >= 0x1f130 && code <= 0x1f149) ||
                        (code >= 0x1f150 && code <= 0x1f169) || (code >= 0x1f170 && code <= 0x1f189);
  return joiner || enclosed;
}

}  // namespace

detail::CharacterTable::CharacterTable() {
  constexpr size_t runs = std::size(category_runs);
  for (size_t i = 0; i < runs; ++i) {
    const auto category = static_cast<Category>(category_runs[i] & category_mask);
    if (category == Category::unassigned) continue;
    const char32_t end = i + 1 < runs ? category_runs[i + 1] >> class_shift : 0x110000;
    for (char32_t code = category_runs[i] >> class_shift; code < end; ++code) {
      of[code] = static_cast<uint8_t>(static_cast<int>(category) |
                                      static_cast<int>(class_in(category, code)) << class_shift |
                                      (is_word_in(category, code) ? word_bit : 0));
    }
  }
}

namespace {

// What most texts are made of, by masks on four bytes: ASCII, and characters of three bytes that are neither
// written too long nor surrogates. 0: look closer.
size_t usual_character_length(uint32_t four) {
  if ((four & 0x80) == 0) return 1;
  const uint32_t top = four & 0x200f;  // the first byte's low half, and the bit that parts E0 and ED
  const bool three = (four & 0xc0c0f0) == 0x8080e0 && top != 0 && top != 0x200d;
  return three ? 3 : 0;
}

}  // namespace

size_t valid_character_length(std::string_view text) {
  uint32_t four;
  if (text.size() < sizeof four) return character_length(text);
  std::memcpy(&four, text.data(), sizeof four);
  const size_t usual = usual_character_length(four);
  return usual ? usual : character_length(text.substr(0, 4));
}

size_t valid_utf8_prefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    uint64_t eight;
    if (at + sizeof eight <= text.size()) {
      std::memcpy(&eight, text.data() + at, sizeof eight);
      const uint64_t high = eight & 0x8080808080808080u;
      if (high == 0) {
        at += 8;
        continue;
      }
      if (const auto ascii = static_cast<size_t>(std::countr_zero(high)) / 8; ascii > 0) {
        at += ascii;
        continue;
      }
    }
    const size_t length = valid_character_length(text.substr(at));
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

// Appends the normal form of `text`, valid UTF-8. utf8proc_map would do, but it sorts marks by repeated
// exchange, which takes quadratic time on a long run of them.
void append_normal(std::string_view text, NormalForm form, std::string& out) {
  const bool compatible = form == NormalForm::kc || form == NormalForm::kd;
  const bool composed = form == NormalForm::c || form == NormalForm::kc;
  const auto decompose = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE |
                                                        (compatible ? UTF8PROC_COMPAT : 0));
  constexpr auto compose = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  std::vector<utf8proc_int32_t> codes;
  codes.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Character c = decode_character(text.data() + at);
    at += c.length;
    utf8proc_int32_t parts[32];
    const auto count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c.code), parts, 32, decompose, nullptr);
    if (count < 0 || count > 32) fail("normalizer: {}", utf8proc_errmsg(count));
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
  auto length = static_cast<utf8proc_ssize_t>(codes.size());
  if (composed) length = utf8proc_normalize_utf32(codes.data(), length, compose);
  if (length < 0) fail("normalizer: {}", utf8proc_errmsg(length));
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

std::string to_composed(std::string_view text) {
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
    append_normal(run.substr(0, valid), NormalForm::c, out);
    if (valid < run.size()) out += run[valid];
    at = last + std::min(valid + 1, run.size());
  }
  return out;
}

}  // namespace

std::string to_normal_form(std::string_view text, NormalForm form) {
  if (form == NormalForm::c) return to_composed(text);
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t valid = valid_utf8_prefix(text);
    append_normal(text.substr(0, valid), form, out);
    text.remove_prefix(valid);
    if (text.empty()) break;
    out += text[0];
    text.remove_prefix(1);
  }
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_character(
      text,
      [&](char32_t code, std::string_view bytes) {
        if (code < 0x80) {
          out += static_cast<char>(code >= 'A' && code <= 'Z' ? code + 0x20 : code);
        } else if (code == 0x130) {
          out += "i\xcc\x87";  // the only character whose lower case is two
        } else if (const auto lower = utf8proc_tolower(static_cast<utf8proc_int32_t>(code));
                   static_cast<char32_t>(lower) != code) {
          append_utf8(out, static_cast<char32_t>(lower));
        } else {
          out += bytes;
        }
      },
      [&](std::string_view byte) { out += byte; });
  return out;
}

size_t grapheme_length(std::string_view text) {
  Character before = decode_character(text.data());
  size_t at = before.length;
  utf8proc_int32_t state = 0;
  while (at < text.size()) {
    const Character next = decode_character(text.data() + at);
    if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(before.code),
                                         static_cast<utf8proc_int32_t>(next.code), &state))
      break;
    at += next.length;
    before = next;
  }
  return at;
}

}  // namespace intarsia
