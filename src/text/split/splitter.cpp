#include "text/split/splitter.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "text/unicode/unicode.h"

namespace intarsia {

namespace {

// A position in a text, with the questions that patterns ask.
struct Scanner {
  const char* text;
  size_t size;

  CharacterClass kind(size_t at) const {
    const auto byte = static_cast<unsigned char>(text[at]);
    return byte < 0x80 ? detail::ascii_classes[byte] : class_of(decode_character(text + at).code);
  }
  size_t after(size_t at) const {
    const auto byte = static_cast<unsigned char>(text[at]);
    return at + (byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4);
  }
  bool is(size_t at, CharacterClass wanted) const { return at < size && kind(at) == wanted; }
  size_t run(size_t at, CharacterClass wanted) const {
    if (wanted == CharacterClass::letter) at = ascii_letters_end({text, size}, at);
    while (at < size) {
      const auto byte = static_cast<unsigned char>(text[at]);
      if (byte < 0x80) {
        if (detail::ascii_classes[byte] != wanted) return at;
        ++at;
      } else {
        const Character c = decode_character(text + at);
        if (class_of(c.code) != wanted) return at;
        at += c.length;
      }
    }
    return at;
  }
  bool is_newline(size_t at) const { return at < size && (text[at] == '\n' || text[at] == '\r'); }
  size_t newlines(size_t at) const {
    while (is_newline(at)) ++at;
    return at;
  }
  size_t last_character(size_t begin, size_t end) const {
    do --end;
    while (end > begin && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80);
    return end;
  }

  // \s+(?!\S)|\s+ at a run of white space [begin, end): all of it at the end of the text; else all but the
  // last character, which then goes with the next word if it is a space; a single one is a piece of its own.
  size_t spaces(size_t begin, size_t end) const {
    if (end == size) return end;
    const size_t last = last_character(begin, end);
    return last > begin ? last : end;
  }
  // \s*[\r\n]+|\s+(?!\S)|\s+ at a run of white space.
  size_t lines_or_spaces(size_t begin, size_t end) const {
    for (size_t at = end; at > begin; --at) {
      if (is_newline(at - 1)) return at;
    }
    return spaces(begin, end);
  }
  // The end of up to `most` numeric characters from `at` on; the first is one.
  size_t digits(size_t at, int most) const {
    size_t end = after(at);
    for (int count = 1; count < most && is(end, CharacterClass::number); ++count) end = after(end);
    return end;
  }
  // Bytes after an apostrophe at `at` that make an English contraction: 's 't 're 've 'm 'll 'd. Without
  // case, the long s (U+017F) counts as an s.
  size_t contraction(size_t at, bool any_case) const {
    const size_t left = size - at - 1;
    if (left == 0) return 0;
    const auto letter = [&](size_t i) {
      return any_case ? static_cast<char>(text[at + i] | 0x20) : text[at + i];
    };
    const char first = letter(1);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return 1;
    if (left >= 2) {
      const char second = letter(2);
      if ((first == 'r' || first == 'v') && second == 'e') return 2;
      if (first == 'l' && second == 'l') return 2;
      if (any_case && text[at + 1] == '\xc5' && text[at + 2] == '\xbf') return 2;
    }
    return 0;
  }
};

class Gpt2Splitter final : public Splitter {
 public:
  Piece next(std::string_view text, size_t begin) const override {
    const Scanner scan{text.data(), text.size()};
    if (text[begin] == '\'') {
      if (const size_t length = scan.contraction(begin, false)) return {begin + 1 + length};
    }
    const bool spaced = text[begin] == ' ' && begin + 1 < text.size();
    const size_t word = begin + (spaced ? 1 : 0);
    const CharacterClass kind = scan.kind(word);
    if (kind != CharacterClass::space) return {scan.run(word, kind)};
    return {scan.spaces(begin, scan.run(begin, CharacterClass::space))};
  }
};

// The pattern of Llama 3, and with digits = 1 that of Qwen 2. `whole_end`: all white space at the end of the
// text is one piece, newlines or not (cl100k).
class Llama3Splitter final : public Splitter {
 public:
  Llama3Splitter(int digits, bool whole_end) : digits_(digits), whole_end_(whole_end) {}
  Piece next(std::string_view text, size_t begin) const override {
    using enum CharacterClass;
    const Scanner scan{text.data(), text.size()};
    if (text[begin] == '\'') {
      if (const size_t length = scan.contraction(begin, true)) return {begin + 1 + length};
    }
    const CharacterClass kind = scan.kind(begin);
    if (kind == letter) return {scan.run(begin, letter)};
    const size_t second = scan.after(begin);
    if (kind == number) return {scan.digits(begin, digits_)};
    if (!scan.is_newline(begin) && scan.is(second, letter)) return {scan.run(second, letter)};
    if (kind == other) return {scan.newlines(scan.run(begin, other))};
    if (text[begin] == ' ' && scan.is(second, other)) return {scan.newlines(scan.run(second, other))};
    const size_t end = scan.run(begin, space);
    if (whole_end_ && end == text.size()) return {end};
    return {scan.lines_or_spaces(begin, end)};
  }
  // What most pieces are, a space or none and ASCII letters, without a call for each.
  size_t some(std::string_view text, size_t begin, std::span<Piece> pieces) const override {
    size_t count = 0;
    while (count < pieces.size() && begin < text.size()) {
      const size_t word = begin + (text[begin] == ' ' ? 1 : 0), end = ascii_letters_end(text, word);
      const bool usual = end > word && end < text.size() && static_cast<unsigned char>(text[end]) < 0x80;
      begin = usual ? end : next(text, begin).end;
      pieces[count++] = {begin};
    }
    return count;
  }

 private:
  int digits_;
  bool whole_end_;
};

// o200k: words are cut where lower case ends ("camelCase"), and a contraction stays with its word.
class O200kSplitter final : public Splitter {
 public:
  Piece next(std::string_view text, size_t begin) const override {
    using enum CharacterClass;
    const Scanner scan{text.data(), text.size()};
    const CharacterClass kind = scan.kind(begin);
    if (kind == number) return {scan.digits(begin, 3)};
    const size_t second = scan.after(begin);
    // A word may begin with one character that is no letter, number or line break.
    const bool first = kind != letter && !scan.is_newline(begin);
    size_t end = first ? with_lower(scan, second) : 0;
    if (!end) end = with_lower(scan, begin);
    if (!end && first) end = upper(scan, second);
    if (!end) end = upper(scan, begin);
    if (end) {
      const size_t contraction = end < text.size() && text[end] == '\'' ? scan.contraction(end, true) : 0;
      return {contraction ? end + 1 + contraction : end};
    }
    const size_t mark = text[begin] == ' ' ? second : begin;
    if (scan.is(mark, other)) {
      size_t after = scan.run(mark, other);
      while (scan.is_newline(after) || (after < text.size() && text[after] == '/')) ++after;
      return {after};
    }
    return {scan.lines_or_spaces(begin, scan.run(begin, space))};
  }

 private:
  // Capitals, small letters, and those that count as both: letters without case and marks.
  enum class Case { none, upper, lower, both };
  static Case case_at(const Scanner& scan, size_t at) {
    if (at >= scan.size) return Case::none;
    switch (category_of(decode_character(scan.text + at).code)) {
      case Category::Lu:
      case Category::Lt:
        return Case::upper;
      case Category::Ll:
        return Case::lower;
      case Category::Lm:
      case Category::Lo:
      case Category::Mn:
      case Category::Mc:
      case Category::Me:
        return Case::both;
      default:
        return Case::none;
    }
  }
  // [upper, both]*[lower, both]+ from `at` on: its end, or 0.
  static size_t with_lower(const Scanner& scan, size_t at) {
    size_t last_both = 0;  // the end of the last character that can be the lower one
    Case here = case_at(scan, at);
    while (here == Case::upper || here == Case::both) {
      at = scan.after(at);
      if (here == Case::both) last_both = at;
      here = case_at(scan, at);
    }
    return here == Case::lower ? lower(scan, at) : last_both;
  }
  // [upper, both]+[lower, both]*
  static size_t upper(const Scanner& scan, size_t at) {
    const size_t begin = at;
    for (Case here = case_at(scan, at); here == Case::upper || here == Case::both; here = case_at(scan, at))
      at = scan.after(at);
    return at > begin ? lower(scan, at) : 0;
  }
  static size_t lower(const Scanner& scan, size_t at) {
    for (Case here = case_at(scan, at); here == Case::lower || here == Case::both; here = case_at(scan, at))
      at = scan.after(at);
    return at;
  }
};

// A splitter for a pattern that does not match everywhere: what lies between matches is one piece.
class GapSplitter : public Splitter {
 public:
  Piece next(std::string_view text, size_t begin) const override {
    const Scanner scan{text.data(), text.size()};
    if (const size_t end = match(scan, begin)) return {end};
    size_t at = scan.after(begin);
    while (at < text.size() && !match(scan, at)) at = scan.after(at);
    return {at};
  }

 protected:
  // The end of the match at `at`, or 0. Must not look far when there is none.
  virtual size_t match(const Scanner& scan, size_t at) const = 0;
};

class DeepseekDigits final : public GapSplitter {
  size_t match(const Scanner& scan, size_t at) const override {
    return scan.is(at, CharacterClass::number) ? scan.digits(at, 3) : 0;
  }
};

class DeepseekEastAsian final : public GapSplitter {
  static bool is_one(const Scanner& scan, size_t at) {
    if (at >= scan.size) return false;
    const char32_t code = decode_character(scan.text + at).code;
    return (code >= 0x4e00 && code <= 0x9fa5) || (code >= 0x3040 && code <= 0x30ff);
  }
  size_t match(const Scanner& scan, size_t at) const override {
    if (!is_one(scan, at)) return 0;
    while (is_one(scan, at)) at = scan.after(at);
    return at;
  }
};

class DeepseekWords final : public GapSplitter {
  enum class Kind { letter, mark, sign, space, other };
  static Kind kind_at(const Scanner& scan, size_t at) {
    const char32_t code = decode_character(scan.text + at).code;
    const Category category = category_of(code);
    if (is_letter(category)) return Kind::letter;
    if (is_mark(category)) return Kind::mark;
    if (is_punctuation(category) || is_symbol(category)) return Kind::sign;
    return class_of(code) == CharacterClass::space ? Kind::space : Kind::other;
  }
  static bool is_word(const Scanner& scan, size_t at) {
    if (at >= scan.size) return false;
    const Kind kind = kind_at(scan, at);
    return kind == Kind::letter || kind == Kind::mark;
  }
  static bool is_sign(const Scanner& scan, size_t at) {
    return at < scan.size && kind_at(scan, at) == Kind::sign;
  }
  static bool is_ascii_letter(const Scanner& scan, size_t at) {
    if (at >= scan.size) return false;
    const char lower = static_cast<char>(scan.text[at] | 0x20);
    return lower >= 'a' && lower <= 'z';
  }
  static size_t word(const Scanner& scan, size_t at) {
    while (is_word(scan, at)) at = scan.after(at);
    return at;
  }
  static size_t signs(const Scanner& scan, size_t at) {
    while (is_sign(scan, at)) at = scan.after(at);
    return scan.newlines(at);
  }
  size_t match(const Scanner& scan, size_t at) const override {
    const Kind kind = kind_at(scan, at);
    const size_t second = scan.after(at);
    if (kind == Kind::sign) {
      if (static_cast<unsigned char>(scan.text[at]) >= 0x80 || !is_ascii_letter(scan, second))
        return signs(scan, at);
      size_t end = second;
      while (is_ascii_letter(scan, end)) ++end;
      return end;
    }
    if (kind == Kind::letter) return word(scan, at);
    if (!scan.is_newline(at) && is_word(scan, second)) return word(scan, second);
    if (kind == Kind::mark) return second;
    if (scan.text[at] == ' ' && is_sign(scan, second)) return signs(scan, second);
    if (kind != Kind::space) return 0;
    return scan.lines_or_spaces(at, scan.run(at, CharacterClass::space));
  }
};

class DigitSplitter final : public Splitter {
 public:
  explicit DigitSplitter(bool individual) : individual_(individual) {}
  Piece next(std::string_view text, size_t begin) const override {
    const Scanner scan{text.data(), text.size()};
    if (scan.is(begin, CharacterClass::number))
      return {individual_ ? scan.after(begin) : scan.run(begin, CharacterClass::number)};
    size_t end = begin;
    while (end < text.size() && !scan.is(end, CharacterClass::number)) end = scan.after(end);
    return {end};
  }

 private:
  bool individual_;
};

class LengthSplitter final : public Splitter {
 public:
  explicit LengthSplitter(size_t count) : count_(count) {}
  Piece next(std::string_view text, size_t begin) const override {
    const Scanner scan{text.data(), text.size()};
    size_t end = begin;
    for (size_t i = 0; i < count_ && end < text.size(); ++i) end = scan.after(end);
    return {end};
  }

 private:
  size_t count_;
};

class MarkSplitter final : public Splitter {
 public:
  explicit MarkSplitter(std::string mark) : mark_(std::move(mark)) {}
  Piece next(std::string_view text, size_t begin) const override {
    while (text.substr(begin).starts_with(mark_)) begin += mark_.size();
    return {std::min(text.find(mark_, begin), text.size())};
  }

 private:
  std::string mark_;
};

class LineSplitter final : public Splitter {
 public:
  Piece next(std::string_view text, size_t begin) const override {
    const size_t newline = std::min(text.find('\n', begin), text.size());
    return {std::min(text.find_first_not_of('\n', newline), text.size())};
  }
};

}  // namespace

std::shared_ptr<const Splitter> known_pattern(std::string_view pattern, bool covering) {
  if (pattern == patterns::gpt2 || pattern == patterns::r50k) return std::make_shared<Gpt2Splitter>();
  if (pattern == patterns::llama3) return std::make_shared<Llama3Splitter>(3, false);
  if (pattern == patterns::cl100k) return std::make_shared<Llama3Splitter>(3, true);
  if (pattern == patterns::qwen2) return std::make_shared<Llama3Splitter>(1, false);
  if (pattern == patterns::o200k) return std::make_shared<O200kSplitter>();
  if (covering) return nullptr;
  if (pattern == patterns::deepseek_digits) return std::make_shared<DeepseekDigits>();
  if (pattern == patterns::deepseek_east_asian) return std::make_shared<DeepseekEastAsian>();
  if (pattern == patterns::deepseek) return std::make_shared<DeepseekWords>();
  return nullptr;
}

std::shared_ptr<const Splitter> digit_splitter(bool individual) {
  return std::make_shared<DigitSplitter>(individual);
}

std::shared_ptr<const Splitter> character_splitter() { return length_splitter(1); }

std::shared_ptr<const Splitter> length_splitter(size_t count) {
  return std::make_shared<LengthSplitter>(count);
}

std::shared_ptr<const Splitter> mark_splitter(std::string mark) {
  return std::make_shared<MarkSplitter>(std::move(mark));
}

std::shared_ptr<const Splitter> line_splitter() { return std::make_shared<LineSplitter>(); }

}  // namespace intarsia
