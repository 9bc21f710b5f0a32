// Random order without a table: which sample stands at a place of an epoch.
#pragma once
#include <cstdint>

namespace intarsia {

// A permutation of [0, count), computed point by point from (seed, epoch): a four-round Feistel network (Luby
// & Rackoff 1988) on the next power of four, walked until it lands inside.
class Permutation {
 public:
  Permutation(uint64_t count, uint64_t seed, uint64_t epoch);
  uint64_t operator()(uint64_t index) const;

 private:
  uint64_t count_, seed_, epoch_;
  int half_bits_;
};

}  // namespace intarsia
