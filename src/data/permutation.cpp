#include "data/permutation.h"

#include "intarsia/random.h"

namespace intarsia {

namespace {
constexpr uint64_t order_stream = 0x6f72646572;
}

Permutation::Permutation(uint64_t count, uint64_t seed, uint64_t epoch)
    : count_(count), seed_(seed), epoch_(epoch) {
  half_bits_ = 1;
  while ((uint64_t{1} << (2 * half_bits_)) < count) half_bits_++;
}

uint64_t Permutation::operator()(uint64_t index) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  do {
    uint64_t left = index >> half_bits_, right = index & mask;
    for (uint64_t round = 0; round < 4; round++) {
      // The round and the half fit into one counter, the epoch into the stream.
      const Philox bits = philox(seed_, order_stream + (epoch_ << 2 | round), right);
      const uint64_t mixed = left ^ (bits.word[0] & mask);
      left = right;
      right = mixed;
    }
    index = left << half_bits_ | right;
  } while (index >= count_);
  return index;
}

}  // namespace intarsia
