// Seams of a vocabulary: places between two characters that none of its tokens lies across. What merges
// tokens never merges across one, so a word may be cut there and each part be encoded by itself. Scripts of
// many characters (Chinese, kana, Hangul, emoji) have a seam nearly everywhere.
#pragma once
#include <bitset>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "text/model/string_table.h"

namespace intarsia {

class Seams {
 public:
  // None.
  Seams() = default;
  // Those of all strings that are not empty.
  explicit Seams(const StringTable& tokens);
  bool empty() const { return !any_; }

  // Calls part(std::string_view) for each part of `word` between seams. Only those before characters of three
  // and four bytes are looked for. Any bytes may be given.
  template <class F>
  void cut(std::string_view word, F&& part) const {
    size_t begin = 0;
    Character left = character_at(word, 0);
    for (size_t at = left.length; at < word.size();) {
      const Character right = character_at(word, at);
      if (right.length >= 3 && left.whole && right.whole &&
          !(broken_[pair_of(word, at)] && broken_there_[three_of(word, at)]) &&
          pairs_.find(word.substr(at - left.length, left.length + right.length)) < 0) {
        part(word.substr(begin, at - begin));
        begin = at;
      }
      at += right.length;
      left = right;
    }
    part(word.substr(begin));
  }

 private:
  // A byte that starts a character and those of its bytes that follow, or another byte.
  struct Character {
    uint32_t length;
    bool whole;
  };
  static Character character_at(std::string_view text, size_t at) {
    const auto byte = [&](size_t i) { return uint32_t{static_cast<unsigned char>(text[at + i])}; };
    const uint32_t first = byte(0);
    if (first < 0x80) return {1, true};
    const uint32_t wanted = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (wanted == 3 && at + 4 <= text.size()) {
      uint32_t four;
      std::memcpy(&four, text.data() + at, sizeof four);
      if ((four & 0xc0c000) == 0x808000) return {3, true};
    }
    Character c{1, false};
    while (c.length < wanted && at + c.length < text.size() && (byte(c.length) & 0xc0) == 0x80) ++c.length;
    c.whole = wanted > 1 && c.length == wanted;
    return c;
  }
  // The bytes around the place `at`.
  static size_t pair_of(std::string_view text, size_t at) {
    return size_t{static_cast<unsigned char>(text[at - 1])} << 8 | static_cast<unsigned char>(text[at]);
  }

  // Those and the one behind, of a character of three or four bytes that starts at `at`.
  static size_t three_of(std::string_view text, size_t at) {
    return size_t{static_cast<unsigned char>(text[at - 1])} << 11 |
           size_t{static_cast<unsigned char>(text[at]) & 31u} << 6 |
           (static_cast<unsigned char>(text[at + 1]) & 63u);
  }

  bool any_ = false;
  StringTable pairs_;  // of neighbouring characters that a token holds whole
  // Bytes at which a token lies across with a part of a character: pairs, which are in the cache, and with
  // one more, which are seldom wrong.
  std::bitset<65536> broken_;
  std::bitset<1 << 19> broken_there_;
};

}  // namespace intarsia
