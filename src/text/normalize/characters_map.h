// The precompiled map of SentencePiece's normalizer: byte strings to what stands for them, in a double array
// (that of Darts-clone) followed by the texts.
#pragma once
#include <bitset>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/normalize/normalizer.h"

namespace intarsia {

class CharactersMap {
 public:
  // The bytes of `precompiled_charsmap`; empty: nothing is mapped. Errors name `name`.
  CharactersMap(std::string_view bytes, std::string_view name);
  bool empty() const { return units_.empty(); }

  struct Found {
    size_t length = 0;  // of what is replaced; 0: nothing
    std::string_view text;
  };
  // For the longest (or shortest) string in the map that `text` starts with.
  Found longest(std::string_view text) const { return find(text, false); }
  Found shortest(std::string_view text) const { return find(text, true); }
  // Whether a string in the map begins with `text`; the same for a longer one.
  bool begins(std::string_view text) const;
  bool goes_on_behind(std::string_view text) const;
  // Whether one of the texts holds `text`.
  bool makes(std::string_view text) const { return texts_.find(text) != std::string::npos; }
  // What the strings in the map hold behind their first byte, or more than that: bytes, and characters of
  // three bytes by their place.
  struct Inside {
    std::bitset<256> bytes;
    std::bitset<65536> characters;
  };
  Inside inside() const;

 private:
  Found find(std::string_view text, bool first) const;
  // Goes on from the place `at` by a byte; false if nothing in the map does.
  bool step(size_t& at, unsigned char byte) const;
  std::vector<uint32_t> units_;
  std::string texts_;  // each ends with a zero
};

// As Hugging Face's "Precompiled" applies it: grapheme cluster by cluster.
TextStep precompiled_step(std::shared_ptr<const CharactersMap> map);

}  // namespace intarsia
