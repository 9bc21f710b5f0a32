#include "text/splitter.h"

#include "text/unicode.h"

namespace intarsia {

namespace {

// A position in a text, with the questions that patterns ask.
struct Scanner {
  const char* text;
  size_t size;

  CharacterClass kind(size_t at) const {
    const auto byte = static_cast<unsigned char>(text[at]);
    return byte < 0x80 ? detail::ascii_classes[byte] : detail::wide_class(decode_character(text + at).code);
  }
  size_t after(size_t at) const {
    const auto byte = static_cast<unsigned char>(text[at]);
    return at + (byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4);
  }
  bool is(size_t at, CharacterClass wanted) const { return at < size && kind(at) == wanted; }
  size_t run(size_t at, CharacterClass wanted) const {
    while (at < size) {
      const auto byte = static_cast<unsigned char>(text[at]);
      if (byte < 0x80) {
        if (detail::ascii_classes[byte] != wanted) return at;
        ++at;
      } else {
        const Character c = decode_character(text + at);
        if (detail::wide_class(c.code) != wanted) return at;
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

// The pattern of Llama 3, and with digits = 1 that of Qwen 2.
class Llama3Splitter final : public Splitter {
 public:
  explicit Llama3Splitter(int digits) : digits_(digits) {}
  Piece next(std::string_view text, size_t begin) const override {
    using enum CharacterClass;
    const Scanner scan{text.data(), text.size()};
    if (text[begin] == '\'') {
      if (const size_t length = scan.contraction(begin, true)) return {begin + 1 + length};
    }
    const CharacterClass kind = scan.kind(begin);
    if (kind == letter) return {scan.run(begin, letter)};
    const size_t second = scan.after(begin);
    if (kind == number) {
      size_t end = second;
      for (int count = 1; count < digits_ && scan.is(end, number); ++count) end = scan.after(end);
      return {end};
    }
    if (!scan.is_newline(begin) && scan.is(second, letter)) return {scan.run(second, letter)};
    if (kind == other) return {scan.newlines(scan.run(begin, other))};
    if (text[begin] == ' ' && scan.is(second, other)) return {scan.newlines(scan.run(second, other))};
    const size_t end = scan.run(begin, space);
    for (size_t at = end; at > begin; --at) {
      if (scan.is_newline(at - 1)) return {at};
    }
    return {scan.spaces(begin, end)};
  }

 private:
  int digits_;
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

class CharacterSplitter final : public Splitter {
 public:
  Piece next(std::string_view text, size_t begin) const override {
    return {Scanner{text.data(), text.size()}.after(begin)};
  }
};

}  // namespace

std::shared_ptr<const Splitter> known_pattern(std::string_view pattern) {
  if (pattern == patterns::gpt2) return std::make_shared<Gpt2Splitter>();
  if (pattern == patterns::llama3) return std::make_shared<Llama3Splitter>(3);
  if (pattern == patterns::qwen2) return std::make_shared<Llama3Splitter>(1);
  return nullptr;
}

std::shared_ptr<const Splitter> digit_splitter(bool individual) {
  return std::make_shared<DigitSplitter>(individual);
}

std::shared_ptr<const Splitter> character_splitter() { return std::make_shared<CharacterSplitter>(); }

}  // namespace intarsia
