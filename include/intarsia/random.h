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

// Draws from a distribution. Element i depends on (seed, stream, i) and the parameters alone; a draw that
// needs several tries takes them from sequences of its own, so that no other element notices. Normal,
// restricted to [low, high] (Robert 1995); low < high, also infinite.
Array truncated_normal(const Shape& shape, double mean, double deviation, double low, double high,
                       uint64_t seed, uint64_t stream = 0);
Array bernoulli(const Shape& shape, double p, uint64_t seed,
                uint64_t stream = 0);  // f32, 1 with probability p
// i64 numbers k with probability weights[k] / sum; weights [K] f32 or f64, finite, not negative.
Array categorical(const Shape& shape, const Array& weights, uint64_t seed, uint64_t stream = 0);
Array gumbel(const Shape& shape, uint64_t seed, uint64_t stream = 0);  // -log(-log(u)), u uniform
Array exponential(const Shape& shape, double rate, uint64_t seed, uint64_t stream = 0);
Array poisson(const Shape& shape, double rate, uint64_t seed, uint64_t stream = 0);  // i64 (Hoermann 1993)
// Density x^(concentration - 1) exp(-x / scale) (Marsaglia & Tsang 2000).
Array gamma(const Shape& shape, double concentration, double scale, uint64_t seed, uint64_t stream = 0);
// Density x^(a - 1) (1 - x)^(b - 1).
Array beta(const Shape& shape, double a, double b, uint64_t seed, uint64_t stream = 0);
// Points [..., K] whose K numbers sum to 1, density prod x_k^(concentration_k - 1).
Array dirichlet(const Shape& shape, const Array& concentration, uint64_t seed, uint64_t stream = 0);
// i64: how many of `count` tries succeed, each with probability p (Hoermann 1993).
Array binomial(const Shape& shape, int64_t count, double p, uint64_t seed, uint64_t stream = 0);
// The numbers 0 to n - 1 in random order, i64 [n] (Durstenfeld 1964).
Array permutation(int64_t n, uint64_t seed, uint64_t stream = 0);

}  // namespace intarsia
