// Optimizer steps and dropout.
#pragma once
#include "kernel/cpu/element.h"

namespace intarsia::kernel {
namespace {

void adamw(float* w, const float* g, float* m, float* v, uint16_t* shadow, int64_t n, const AdamWFactors& f) {
  for_lanes<Float>(n, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
    const Float gradient = Float::load(g + i, lanes) * f.scale;
    Float first = Float::load(m + i, lanes), second = Float::load(v + i, lanes);
    first = first + f.rest1 * (gradient - first);
    second = second * f.beta2 + f.rest2 * gradient * gradient;
    first.store(m + i, lanes);
    second.store(v + i, lanes);
    const Float root = sqrt(second) * f.inverse_root + f.eps;
    const Float weight = Float::load(w + i, lanes) * f.keep - f.rate * first / root;
    weight.store(w + i, lanes);
    if (shadow) weight.store(reinterpret_cast<bf16*>(shadow) + i, lanes);
  });
}

void sgd(float* w, const float* g, float* m, uint16_t* shadow, int64_t n, const SgdFactors& f) {
  for_lanes<Float>(n, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
    Float weight = Float::load(w + i, lanes);
    Float step = Float::load(g + i, lanes) * f.scale + weight * f.weight_decay;
    if (m) {
      if (!f.first) step = Float::load(m + i, lanes) * f.momentum + step;
      step.store(m + i, lanes);
    }
    weight = weight - step * f.rate;
    weight.store(w + i, lanes);
    if (shadow) weight.store(reinterpret_cast<bf16*>(shadow) + i, lanes);
  });
}

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

}  // namespace
}  // namespace intarsia::kernel
