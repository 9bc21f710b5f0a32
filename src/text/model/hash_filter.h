// Which hashes may be in a table: one bit for each, in so little memory that it stays near the core, where
// the table does not. Most of what tokenizers look up is not there.
#pragma once
#include <bit>
#include <cstdint>
#include <vector>

namespace intarsia {

class HashFilter {
 public:
  // Empty, for a table of so many slots (a power of 2).
  void reset(size_t slots) {
    constexpr size_t bits_a_slot = 4;
    words_.assign((slots * bits_a_slot + 63) / 64, 0);
    shift_ = 64 - std::countr_zero(std::bit_floor(words_.size() * 64));
  }
  void add(uint64_t hash) { words_[hash >> shift_ >> 6] |= uint64_t{1} << (hash >> shift_ & 63); }
  bool may_hold(uint64_t hash) const { return words_[hash >> shift_ >> 6] >> (hash >> shift_ & 63) & 1; }

 private:
  std::vector<uint64_t> words_ = {0};
  int shift_ = 58;  // the top bits of a hash are a bit's place
};

}  // namespace intarsia
