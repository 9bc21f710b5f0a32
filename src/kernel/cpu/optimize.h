// Optimizer steps and dropout.
#pragma once
#include "kernel/cpu/element.h"

namespace intarsia::kernel {
namespace {

using Words = Float::Unsigned;

// The high and the low half of the products a * b, lane by lane.
struct Product {
  Words high, low;
};
INTARSIA_INLINE Product multiply(Words a, uint32_t b) {
  typedef uint64_t Wide __attribute__((vector_size(sizeof(Words))));
  const Words odd = (Words)((Wide)a >> 32), factor = Words{} + b;
#if INTARSIA_SIMD_512
  const Wide even_product = (Wide)_mm512_maskz_mul_epu32(0xff, (__m512i)a, (__m512i)factor);
  const Wide odd_product = (Wide)_mm512_maskz_mul_epu32(0xff, (__m512i)odd, (__m512i)factor);
#elif INTARSIA_SIMD_256
  const Wide even_product = (Wide)_mm256_mul_epu32((__m256i)a, (__m256i)factor);
  const Wide odd_product = (Wide)_mm256_mul_epu32((__m256i)odd, (__m256i)factor);
#else
  const Wide even_product = ((Wide)a & 0xffffffff) * ((Wide)factor & 0xffffffff);
  const Wide odd_product = (Wide)odd * ((Wide)factor & 0xffffffff);
#endif
  const Wide upper = Wide{} + 0xffffffff00000000;
  return {(Words)((even_product >> 32) | (odd_product & upper)),
          (Words)((even_product & ~upper) | (odd_product << 32))};
}

// Word 0 of philox(seed, stream, index + lane); random.cpp has the same rounds for one counter.
INTARSIA_INLINE Words philox_words(uint64_t seed, uint64_t stream, uint64_t index) {
  Words low;
  for (int lane = 0; lane < Float::width; lane++)
    low[lane] = static_cast<uint32_t>(index) + static_cast<uint32_t>(lane);
  const Words carry = (Words)(low < static_cast<uint32_t>(index));  // all ones where the low word ran over
  Words c0 = low, c1 = Words{} + static_cast<uint32_t>(index >> 32);
  c1 -= carry;
  Words c2 = Words{} + static_cast<uint32_t>(stream), c3 = Words{} + static_cast<uint32_t>(stream >> 32);
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; round++) {
    const Product a = multiply(c0, 0xD2511F53), b = multiply(c2, 0xCD9E8D57);
    c0 = b.high ^ c1 ^ key0;
    c1 = b.low;
    c2 = a.high ^ c3 ^ key1;
    c3 = a.low;
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return c0;
}

// A place's fate depends on its index only, so the words are made a block at a time for every element type.
template <class T>
void dropout(const void* xs, void* ys, int64_t n, const DropoutFactors& f) {
  using V = typename Element<T>::V;
  using Wide = typename Element<T>::Wide;
  constexpr int block = 64;
  const T* x = static_cast<const T*>(xs);
  T* y = static_cast<T*>(ys);
  Wide factor[block];
  for (int64_t first = 0; first < n; first += block) {
    const int64_t count = n - first < block ? n - first : block;
    for (int64_t i = 0; i < count; i += Float::width) {
      const Words words = philox_words(f.seed, f.stream, f.index + static_cast<uint64_t>(first + i));
      for (int lane = 0; lane < Float::width; lane++)
        factor[i + lane] = words[lane] < f.threshold ? static_cast<Wide>(f.scale) : 0;
    }
    for_lanes<V>(count, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
      const V keep = V::load(factor + i, lanes);
      select(keep == 0, 0, V::load(x + first + i, lanes) * keep).store(y + first + i, lanes);
    });
  }
}

// ---- optimizers

template <class V>
INTARSIA_INLINE V sign(V x) {
  return select(x > 0, V(1.0), select(x < 0, V(-1.0), x));
}

// The mean of gradients over the root of the mean of their squares; the first's bias is left to the rate.
template <class V>
INTARSIA_INLINE V adam_direction(V g, V* s, const UpdateFactors& f) {
  s[0] = s[0] + f.rest1 * (g - s[0]);
  s[1] = s[1] * f.beta2 + f.rest2 * g * g;
  return s[0] / (sqrt(s[1]) * f.inverse_root + f.eps);
}

namespace rule {
#define UPDATE(NAME, DECAY, STATES, ...)                                            \
  struct NAME {                                                                     \
    static constexpr UpdateDecay decay = UpdateDecay::DECAY;                        \
    static constexpr int states = STATES;                                           \
    template <class V>                                                              \
    static INTARSIA_INLINE V step([[maybe_unused]] V w, V g, [[maybe_unused]] V* s, \
                                  const UpdateFactors& f) {                         \
      __VA_ARGS__                                                                   \
    }                                                                               \
  };
#include "kernel/optimize/update_rules.inl"
#undef UPDATE
}  // namespace rule

// To bf16, up or down with probabilities such that the mean is x (Gupta et al. 2015): 16 random bits are
// added below the last one that stays.
INTARSIA_INLINE Float stochastically_rounded(Float x, Words random) {
  return Float::of_bits((Float::Int)(((Words)x.bits() + (random & 0xffff)) & 0xffff0000));
}

template <class Rule, class T>
void update(void* weights, void* gradients, void* const* states, void* copy, UpdateCopy copy_type, int64_t n,
            const UpdateFactors& factors) {
  using V = typename Element<T>::V;
  using Wide = typename Element<T>::Wide;
  const UpdateFactors f =
      factors;  // a store could change what is behind the reference, for all the compiler knows
  T* w = static_cast<T*>(weights);
  Wide* g = static_cast<Wide*>(gradients);
  Wide* state[most_update_states];
  for (int k = 0; k < Rule::states; k++) state[k] = static_cast<Wide*>(states[k]);
  for_lanes<V>(n, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
    V weight = V::load(w + i, lanes), gradient = V::load(g + i, lanes) * f.scale;
    if constexpr (Rule::decay == UpdateDecay::coupled) gradient = gradient + weight * f.decay;
    V s[most_update_states];
    for (int k = 0; k < Rule::states; k++) s[k] = V::load(state[k] + i, lanes);
    const V step = Rule::step(weight, gradient, s, f);
    for (int k = 0; k < Rule::states; k++) s[k].store(state[k] + i, lanes);
    if constexpr (Rule::decay == UpdateDecay::direction) {
      step.store(g + i, lanes);
      return;
    }
    if constexpr (Rule::decay != UpdateDecay::coupled) weight = weight * f.keep;
    weight = weight - step;
    if constexpr (sizeof(T) == 2)
      if (f.stochastic)
        weight = stochastically_rounded(weight,
                                        philox_words(f.seed, f.stream, f.index + static_cast<uint64_t>(i)));
    weight.store(w + i, lanes);
    if constexpr (sizeof(T) == 4) {
      if (copy_type == UpdateCopy::bf16) weight.store(static_cast<bf16*>(copy) + i, lanes);
      if (copy_type == UpdateCopy::f16) weight.store(static_cast<f16*>(copy) + i, lanes);
    }
  });
}

}  // namespace
}  // namespace intarsia::kernel
