// What attention needs beside the register tile: maxima, an exponential for numbers below zero, a tanh for
// capped scores, selection by bits; and the two element types.
#pragma once
#include "kernel/attention/slots_attention.h"
#include "kernel/cpu/tile.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

constexpr float minus_infinity = -__builtin_inff();
constexpr int64_t block = attention_block;
constexpr float log2_e = 1.44269504f, ln_2 = 0.69314718f;

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

#if defined(__AVX512F__)
inline Floats larger_of(Floats a, Floats b) { return _mm512_max_ps(a, b); }
inline Floats smaller_of(Floats a, Floats b) { return _mm512_min_ps(a, b); }
inline float lanes_max(Floats x) { return _mm512_reduce_max_ps(x); }
inline float lanes_sum(Floats x) { return _mm512_reduce_add_ps(x); }
#else
#if defined(__AVX2__)
inline Floats larger_of(Floats a, Floats b) { return _mm256_max_ps(a, b); }
inline Floats smaller_of(Floats a, Floats b) { return _mm256_min_ps(a, b); }
#else
inline Floats larger_of(Floats a, Floats b) { return _mm_max_ps(a, b); }
inline Floats smaller_of(Floats a, Floats b) { return _mm_min_ps(a, b); }
#endif
inline float lanes_max(Floats x) {
  float lane[W];
  store(lane, x);
  float m = lane[0];
  for (int i = 1; i < W; i++) m = lane[i] > m ? lane[i] : m;
  return m;
}
inline float lanes_sum(Floats x) {
  float lane[W];
  store(lane, x);
  for (int half = W / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lane[i] += lane[i + half];
  return lane[0];
}
#endif

// 2^x for x <= 0, by a polynomial for the fraction; 0 far below, so a masked score of -infinity leaves no
// trace.
template <int terms>
inline INTARSIA_INLINE Floats exp2_negative(Floats x, const float (&c)[terms]) {
#if defined(__AVX512F__)
  x = larger_of(all(-200), x);  // not infinite; a NaN stays
  const Floats n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  const Floats magic =
      all(12582912.f);  // 1.5 * 2^23: adding it rounds to an integer, which stands in the low bits
  const Floats shifted = x + magic;
  const Floats n = shifted - magic;
#endif
  const Floats f = x - n;
  Floats p = all(c[0]);
  each<terms - 1>([&](auto i) INTARSIA_INLINE { p = multiply_add(all(c[i + 1]), p, f); });
#if defined(__AVX512F__)
  return _mm512_scalef_ps(p, n);
#elif defined(__AVX2__)
  const Words bits = _mm256_add_epi32(as_words(p), _mm256_slli_epi32(as_words(shifted), 23));
  return _mm256_andnot_ps(_mm256_cmp_ps(x, all(-126.f), _CMP_LT_OQ), as_floats(bits));
#else
  const Words bits = _mm_add_epi32(as_words(p), _mm_slli_epi32(as_words(shifted), 23));
  return _mm_andnot_ps(_mm_cmplt_ps(x, all(-126.f)), as_floats(bits));
#endif
}
inline INTARSIA_INLINE Floats exp2_fine(Floats x) {  // relative error 2e-8 before rounding
  constexpr float c[] = {
      1.5353362e-4f, 1.3398875e-3f, 9.6184369e-3f, 5.5503324e-2f, 2.4022648e-1f, 6.9314718e-1f, 1.f};
  return exp2_negative(x, c);
}
inline INTARSIA_INLINE Floats exp2_rough(Floats x) {  // 2e-7
  constexpr float c[] = {1.3390864e-3f, 9.6760319e-3f, 5.5503571e-2f, 2.4022107e-1f, 6.9314719e-1f, 1.f};
  return exp2_negative(x, c);
}

// x P(x^2) / Q(x^2), P and Q least in the greatest relative error up to the argument where tanh is 1.
template <int terms>
inline INTARSIA_INLINE Floats odd_fraction(Floats x, float end, const float (&p)[terms],
                                           const float (&q)[terms], bool rough) {
  x = smaller_of(all(end), larger_of(all(-end), x));  // in this order a NaN stays
  const Floats y = x * x;
  Floats above = all(p[terms - 1]), below = all(q[terms - 1]);
  each<terms - 1>([&](auto i) INTARSIA_INLINE {
    above = multiply_add(all(p[terms - 2 - i]), above, y);
    below = multiply_add(all(q[terms - 2 - i]), below, y);
  });
#if defined(__AVX512F__)
  if (rough) return x * above * _mm512_rcp14_ps(below);
#endif
  (void)rough;
  return x * above / below;
}
inline INTARSIA_INLINE Floats tanh_fine(Floats x) {  // relative error 1e-7
  constexpr float p[] = {0.99999998f, 0.13381021f, 3.4955828e-3f, 2.0608986e-5f, 1.3354515e-8f};
  constexpr float q[] = {1.f, 0.46714337f, 2.5876963e-2f, 3.2856257e-4f, 7.7765013e-7f};
  return odd_fraction(x, 9, p, q, false);
}
inline INTARSIA_INLINE Floats tanh_rough(Floats x) {  // 1e-4: 16 bits of a result keep 4e-3
  constexpr float p[] = {0.99994828f, 0.10241857f, 6.7058262e-4f};
  constexpr float q[] = {1.f, 0.43543372f, 1.2820102e-2f};
  return odd_fraction(x, 5, p, q, true);
}

// Lane by lane: x where a bit of `words` is also in `bits`, else `other`.
inline INTARSIA_INLINE Floats where_bit(Words words, Words bits, Floats x, Floats other) {
#if defined(__AVX512F__)
  return _mm512_mask_mov_ps(other, _mm512_test_epi32_mask(words, bits), x);
#else
  typedef int32_t Lanes __attribute__((vector_size(4 * W)));
  const Lanes in = (reinterpret_cast<Lanes>(words) & reinterpret_cast<Lanes>(bits)) != 0;
  return reinterpret_cast<Floats>((in & reinterpret_cast<Lanes>(x)) | (~in & reinterpret_cast<Lanes>(other)));
#endif
}
inline Words all_words(uint32_t x) { return as_words(all(__builtin_bit_cast(float, x))); }
struct LaneBits {
  alignas(64) uint32_t of[NR];
};
constexpr LaneBits make_lane_bits() {
  LaneBits bits{};
  for (int i = 0; i < NR; i++) bits.of[i] = 1u << i;
  return bits;
}
constexpr LaneBits lane_bits = make_lane_bits();
// Lanes j * W .. of a panel: x where that bit of `bits` is set.
inline INTARSIA_INLINE Floats where_lane(uint32_t bits, int j, Floats x, Floats other) {
  return where_bit(all_words(bits), load_words(lane_bits.of + j * W), x, other);
}

// ---- element types: how rows of f32 results become operands and outputs

struct TypeF32 {
  static constexpr bool exact = true;  // as the sums
  using From = FromF32;
  using Element = float;
  static float to_float(float x) { return x; }
  static float from_float(float x) { return x; }
  static INTARSIA_INLINE Floats widen(const float* x, int64_t count) {
    return as_floats(load_first_words(x, count));
  }
  static INTARSIA_INLINE Floats exp2(Floats x) { return exp2_fine(x); }
  static INTARSIA_INLINE Floats tanh(Floats x) { return tanh_fine(x); }
  // NR floats of one row as the left operand's words along k.
  static INTARSIA_INLINE void put_row(float* row, Floats low, Floats high) {
    store(row, low);
    store(row + W, high);
  }
};

struct TypeBf16 {
  static constexpr bool exact = false;
  using From = FromBf16Pairs;
  using Element = uint16_t;
  static float to_float(uint16_t x) { return __builtin_bit_cast(float, static_cast<uint32_t>(x) << 16); }
  static uint16_t from_float(float x) {
    const auto bits = __builtin_bit_cast(uint32_t, x);
    if (x != x) return static_cast<uint16_t>(bits >> 16 | 0x40);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
  static INTARSIA_INLINE Floats widen(const uint16_t* x, int64_t count) {
    return as_floats(shift_up_16(widen_first_16(x, count)));
  }
  static INTARSIA_INLINE Floats exp2(Floats x) { return exp2_rough(x); }
  static INTARSIA_INLINE Floats tanh(Floats x) { return tanh_rough(x); }
  static INTARSIA_INLINE void put_row(uint16_t* row, Floats low, Floats high) { store_bf16(row, low, high); }
};

// `count` floats times `factor` as elements.
template <class T>
inline void put_scaled(const float* x, float factor, int64_t count, typename T::Element* out) {
  int64_t j = 0;
  for (; j + NR <= count; j += NR)
    T::put_row(out + j, load(x + j) * all(factor), load(x + j + W) * all(factor));
  for (; j < count; j++) out[j] = T::from_float(x[j] * factor);
}

// The product is scaled by this: base 2 exponentials are the cheaper ones.
inline float base_2_scale(const AttentionHeads& h) {
  return static_cast<float>(h.scale * 1.4426950408889634);
}

// Hands out 64-byte aligned pieces of one block of memory; with null it only counts.
struct Pieces {
  char* at;
  int64_t used = 0;
  explicit Pieces(void* memory) : at(static_cast<char*>(memory)) {}
  template <class T>
  T* take(int64_t count) {
    T* piece = reinterpret_cast<T*>(at + used);
    used += (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
    return piece;
  }
};

}  // namespace
}  // namespace intarsia::kernel::INTARSIA_RUNG
