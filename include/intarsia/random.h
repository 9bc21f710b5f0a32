// Random numbers by (seed, stream, index): Philox 4x32-10 (Salmon et al. 2011). Nothing is hidden and nothing
// is shared: the same triple gives the same number on every thread, rung and run.
#pragma once
#include <cstdint>

#include "intarsia/array.h"

namespace intarsia {

// 128 random bits for a counter.
struct Philox {
  uint32_t word[4];
};
Philox philox(uint64_t seed, uint64_t stream, uint64_t index);

// A place in the sequence of one (seed, stream). Each draw moves `index` on, so a saved Random resumes
// exactly.
struct Random {
  uint64_t seed = 0, stream = 0, index = 0;
  explicit Random(uint64_t seed, uint64_t stream = 0, uint64_t index = 0)
      : seed(seed), stream(stream), index(index) {}
  uint32_t bits();                 // 32 uniform bits
  double uniform();                // in [0, 1), 53 bits
  double normal();                 // mean 0, deviation 1
  uint64_t below(uint64_t bound);  // uniform in [0, bound), without bias
};

// f32 arrays filled from (seed, stream, element index): the same values whatever the shape.
Array uniform(const Shape& shape, double low, double high, uint64_t seed, uint64_t stream = 0);
Array normal(const Shape& shape, double deviation, uint64_t seed, uint64_t stream = 0);

}  // namespace intarsia
