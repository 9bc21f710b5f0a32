// A vector of floats as wide as the compile flags of the including file allow (16 with AVX-512, 8 with AVX2
// and FMA, else 4), and a double with the same face, so that one generic lambda runs with either. Everything
// is inlined and in an unnamed namespace: files compiled for different instruction sets can be linked
// together.
#pragma once
#include <math.h>

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "intarsia/array.h"

#define INTARSIA_INLINE inline __attribute__((always_inline))
#define INTARSIA_LAMBDA __attribute__((always_inline))  // stands after a lambda's parameters

namespace intarsia::simd {
namespace {

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define INTARSIA_SIMD_512 1
inline constexpr int width = 16;
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define INTARSIA_SIMD_256 1
inline constexpr int width = 8;
#else
inline constexpr int width = 4;
#endif

// How much of a vector a load or store touches.
struct Full {};
struct Partial {
  int count;
};  // the first `count` lanes

struct Float {
  static constexpr int width = simd::width;
  using Scalar = float;
  typedef float Raw __attribute__((vector_size(width * 4)));
  typedef int32_t Int __attribute__((vector_size(width * 4)));
  typedef uint32_t Unsigned __attribute__((vector_size(width * 4)));
  typedef uint16_t Half __attribute__((vector_size(width * 2)));
  Raw raw;

  Float() = default;
  INTARSIA_INLINE Float(Raw r) : raw(r) {}
  INTARSIA_INLINE Float(float s) : raw(s - Raw{}) {}
  INTARSIA_INLINE Float(double s) : Float(static_cast<float>(s)) {}
  INTARSIA_INLINE Float(int s) : Float(static_cast<float>(s)) {}

  static INTARSIA_INLINE Float load(const float* p, Full = {}, float = 0) {
    Float r;
    __builtin_memcpy(&r.raw, p, sizeof r.raw);
    return r;
  }
  static INTARSIA_INLINE Float load(const bf16* p, Full = {}, float = 0) { return from_bf16(load_half(p)); }
  static INTARSIA_INLINE Float load(const f16* p, Full = {}, float = 0) { return from_f16(load_half(p)); }
  // Lanes from `count` on hold `fill`.
  static INTARSIA_INLINE Float load(const float* p, Partial n, float fill = 0) {
#if INTARSIA_SIMD_512
    return (Raw)_mm512_mask_loadu_ps((__m512)Float(fill).raw, first(n), p);
#else
    float lanes[width];
    for (int i = 0; i < width; i++) lanes[i] = i < n.count ? p[i] : fill;
    return load(lanes);
#endif
  }
  static INTARSIA_INLINE Float load(const bf16* p, Partial n, float fill = 0) {
    return with_fill(from_bf16(load_half(p, n)), n, fill);
  }
  static INTARSIA_INLINE Float load(const f16* p, Partial n, float fill = 0) {
    return with_fill(from_f16(load_half(p, n)), n, fill);
  }

  INTARSIA_INLINE void store(float* p, Full = {}) const { __builtin_memcpy(p, &raw, sizeof raw); }
  INTARSIA_INLINE void store(bf16* p, Full = {}) const { store_half(to_bf16(), p); }
  INTARSIA_INLINE void store(f16* p, Full = {}) const { store_half(to_f16(), p); }
  INTARSIA_INLINE void store(float* p, Partial n) const {
#if INTARSIA_SIMD_512
    _mm512_mask_storeu_ps(p, first(n), (__m512)raw);
#else
    for (int i = 0; i < n.count; i++) p[i] = raw[i];
#endif
  }
  INTARSIA_INLINE void store(bf16* p, Partial n) const { store_half(to_bf16(), p, n); }
  INTARSIA_INLINE void store(f16* p, Partial n) const { store_half(to_f16(), p, n); }

  friend INTARSIA_INLINE Float operator+(Float a, Float b) { return a.raw + b.raw; }
  friend INTARSIA_INLINE Float operator-(Float a, Float b) { return a.raw - b.raw; }
  friend INTARSIA_INLINE Float operator*(Float a, Float b) { return a.raw * b.raw; }
  friend INTARSIA_INLINE Float operator/(Float a, Float b) { return a.raw / b.raw; }
  friend INTARSIA_INLINE Float operator-(Float a) { return -a.raw; }

  INTARSIA_INLINE Int bits() const { return (Int)raw; }
  static INTARSIA_INLINE Float of_bits(Int b) { return (Raw)b; }
  // Bits as numbers, which may leave the range of signed ones.
  static INTARSIA_INLINE Int plus(Int a, Int b) { return (Int)((Unsigned)a + (Unsigned)b); }
  static INTARSIA_INLINE Int minus(Int a, Int b) { return (Int)((Unsigned)a - (Unsigned)b); }
  static INTARSIA_INLINE Int choose(Int mask, Int a, Int b) { return (mask & a) | (~mask & b); }

 private:
  template <class T>
  static INTARSIA_INLINE Half load_half(const T* p) {
    Half h;
    __builtin_memcpy(&h, p, sizeof h);
    return h;
  }
  template <class T>
  static INTARSIA_INLINE void store_half(Half h, T* p) {
    __builtin_memcpy(p, &h, sizeof h);
  }
#if INTARSIA_SIMD_512
  static INTARSIA_INLINE __mmask16 first(Partial n) { return static_cast<__mmask16>((1u << n.count) - 1); }
  template <class T>
  static INTARSIA_INLINE Half load_half(const T* p, Partial n) {
    return (Half)_mm256_maskz_loadu_epi16(first(n), p);
  }
  template <class T>
  static INTARSIA_INLINE void store_half(Half h, T* p, Partial n) {
    _mm256_mask_storeu_epi16(p, first(n), (__m256i)h);
  }
  static INTARSIA_INLINE Float with_fill(Float x, Partial n, float fill) {
    return (Raw)_mm512_mask_mov_ps((__m512)Float(fill).raw, first(n), (__m512)x.raw);
  }
#else
  template <class T>
  static INTARSIA_INLINE Half load_half(const T* p, Partial n) {
    Half h = {};
    for (int i = 0; i < n.count; i++) h[i] = p[i].bits;
    return h;
  }
  template <class T>
  static INTARSIA_INLINE void store_half(Half h, T* p, Partial n) {
    for (int i = 0; i < n.count; i++) p[i].bits = h[i];
  }
  static INTARSIA_INLINE Float with_fill(Float x, Partial n, float fill) {
    for (int i = n.count; i < width; i++) x.raw[i] = fill;
    return x;
  }
#endif
  // Between 16 and 32 bits; narrow() drops the high half.
#if INTARSIA_SIMD_512
  static INTARSIA_INLINE Int widen(Half h) { return (Int)_mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)h); }
  static INTARSIA_INLINE Half narrow(Int b) { return (Half)_mm512_maskz_cvtepi32_epi16(0xffff, (__m512i)b); }
#elif INTARSIA_SIMD_256
  static INTARSIA_INLINE Int widen(Half h) { return (Int)_mm256_cvtepu16_epi32((__m128i)h); }
  static INTARSIA_INLINE Half narrow(Int b) {
    const __m256i low = _mm256_and_si256((__m256i)b, _mm256_set1_epi32(0xffff));
    return (Half)_mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0x08));
  }
#else
  static INTARSIA_INLINE Int widen(Half h) { return (Int) __builtin_convertvector(h, Unsigned); }
  static INTARSIA_INLINE Half narrow(Int b) { return __builtin_convertvector((Unsigned)b, Half); }
#endif
  static INTARSIA_INLINE Float from_bf16(Half h) { return (Raw)(widen(h) << 16); }
  // To the nearest, ties to even; a NaN stays one.
  INTARSIA_INLINE Half to_bf16() const {
    const Unsigned b = (Unsigned)raw, rounded = b + 0x7fff + (b >> 16 & 1);
#if INTARSIA_SIMD_512
    const __mmask16 nan = _mm512_cmp_ps_mask((__m512)raw, (__m512)raw, _CMP_UNORD_Q);
    return narrow((Int)((Unsigned)_mm512_mask_set1_epi32((__m512i)rounded, nan, 0x7fc00000) >> 16));
#else
    return narrow((Int)((Unsigned)choose(raw != raw, Int{} + 0x7fc00000, (Int)rounded) >> 16));
#endif
  }
#if INTARSIA_SIMD_512
  static INTARSIA_INLINE Float from_f16(Half h) { return (Raw)_mm512_maskz_cvtph_ps(0xffff, (__m256i)h); }
  INTARSIA_INLINE Half to_f16() const {
    return (Half)_mm512_maskz_cvtps_ph(0xffff, (__m512)raw, _MM_FROUND_TO_NEAREST_INT);
  }
#elif INTARSIA_SIMD_256
  static INTARSIA_INLINE Float from_f16(Half h) { return (Raw)_mm256_cvtph_ps((__m128i)h); }
  INTARSIA_INLINE Half to_f16() const {
    return (Half)_mm256_cvtps_ph((__m256)raw, _MM_FROUND_TO_NEAREST_INT);
  }
#else
  // Without F16C, on integers; denormals of 16 bits are normal numbers of 32, so flushing does not touch
  // them.
  static INTARSIA_INLINE Float from_f16(Half h) {
    const Int b = widen(h), magnitude = b & 0x7fff;
    const Int normal = (magnitude << 13) + (112 << 23) + ((magnitude >= 0x7c00) & (112 << 23));
    const Int small = (Int)(__builtin_convertvector(magnitude, Raw) * (Float(0x1p-24f).raw));
    return of_bits(choose(magnitude < 0x400, small, normal) | (b & 0x8000) << 16);
  }
  INTARSIA_INLINE Half to_f16() const {
    const Int b = bits(), magnitude = b & 0x7fffffff;
    const Int normal = ((magnitude - (112 << 23)) + 0xfff + (magnitude >> 13 & 1)) >> 13;
    // Adding 0.5 shifts the bits of a number below 2^-14 into place and rounds them.
    const Int small = (Int)((Raw)magnitude + 0.5f) - 0x3f000000;
    Int r = choose(magnitude < 0x38800000, small, normal);
    r = choose(magnitude >= 0x477ff000, Int{} + 0x7c00, r);
    r = choose(magnitude > 0x7f800000, 0x7e00 | (magnitude >> 13 & 0x3ff), r);
    return narrow(r | (b >> 16 & 0x8000));
  }
#endif
};

// The result of a comparison of Floats.
struct Mask {
#if INTARSIA_SIMD_512
  __mmask16 lanes;
  friend INTARSIA_INLINE Mask operator&(Mask a, Mask b) {
    return {static_cast<__mmask16>(a.lanes & b.lanes)};
  }
  friend INTARSIA_INLINE Mask operator|(Mask a, Mask b) {
    return {static_cast<__mmask16>(a.lanes | b.lanes)};
  }
  friend INTARSIA_INLINE Mask operator!(Mask a) { return {static_cast<__mmask16>(~a.lanes)}; }
#else
  Float::Int lanes;
  friend INTARSIA_INLINE Mask operator&(Mask a, Mask b) { return {a.lanes & b.lanes}; }
  friend INTARSIA_INLINE Mask operator|(Mask a, Mask b) { return {a.lanes | b.lanes}; }
  friend INTARSIA_INLINE Mask operator!(Mask a) { return {~a.lanes}; }
#endif
};

#if INTARSIA_SIMD_512
#define INTARSIA_COMPARE(OP, CODE)                                   \
  INTARSIA_INLINE Mask operator OP(Float a, Float b) {               \
    return {_mm512_cmp_ps_mask((__m512)a.raw, (__m512)b.raw, CODE)}; \
  }
#else
#define INTARSIA_COMPARE(OP, CODE) \
  INTARSIA_INLINE Mask operator OP(Float a, Float b) { return {a.raw OP b.raw}; }
#endif
INTARSIA_COMPARE(<, _CMP_LT_OQ)
INTARSIA_COMPARE(<=, _CMP_LE_OQ)
INTARSIA_COMPARE(>, _CMP_GT_OQ)
INTARSIA_COMPARE(>=, _CMP_GE_OQ)
INTARSIA_COMPARE(==, _CMP_EQ_OQ)
INTARSIA_COMPARE(!=, _CMP_NEQ_UQ)
#undef INTARSIA_COMPARE

// mask ? a : b, lane by lane
INTARSIA_INLINE Float select(Mask mask, Float a, Float b) {
#if INTARSIA_SIMD_512
  return (Float::Raw)_mm512_mask_blend_ps(mask.lanes, (__m512)b.raw, (__m512)a.raw);
#elif INTARSIA_SIMD_256
  return (Float::Raw)_mm256_blendv_ps((__m256)b.raw, (__m256)a.raw, (__m256)mask.lanes);
#else
  return Float::of_bits(Float::choose(mask.lanes, a.bits(), b.bits()));
#endif
}
INTARSIA_INLINE bool any(Mask mask) {
#if INTARSIA_SIMD_512
  return mask.lanes;
#elif INTARSIA_SIMD_256
  return _mm256_movemask_ps((__m256)mask.lanes);
#else
  return (mask.lanes[0] | mask.lanes[1] | mask.lanes[2] | mask.lanes[3]) != 0;
#endif
}
// a * b + c, rounded once where the instruction set has it (not on the base rung)
INTARSIA_INLINE Float fma(Float a, Float b, Float c) {
#if INTARSIA_SIMD_512
  return (Float::Raw)_mm512_fmadd_ps((__m512)a.raw, (__m512)b.raw, (__m512)c.raw);
#elif INTARSIA_SIMD_256
  return (Float::Raw)_mm256_fmadd_ps((__m256)a.raw, (__m256)b.raw, (__m256)c.raw);
#else
  return a * b + c;
#endif
}
INTARSIA_INLINE Float sqrt(Float x) {
#if INTARSIA_SIMD_512
  return (Float::Raw)_mm512_maskz_sqrt_ps(0xffff, (__m512)x.raw);
#elif INTARSIA_SIMD_256
  return (Float::Raw)_mm256_sqrt_ps((__m256)x.raw);
#elif defined(__SSE2__)
  return (Float::Raw)_mm_sqrt_ps((__m128)x.raw);
#else
  for (int i = 0; i < width; i++) x.raw[i] = __builtin_sqrtf(x.raw[i]);
  return x;
#endif
}
INTARSIA_INLINE Float abs(Float x) { return Float::of_bits(x.bits() & 0x7fffffff); }
INTARSIA_INLINE Float copysign(Float x, Float sign) {
  return Float::of_bits((x.bits() & 0x7fffffff) | (sign.bits() & static_cast<int32_t>(0x80000000)));
}

// min(x, most) and max(x, least); a NaN in x stays, one in the bound has no effect.
INTARSIA_INLINE Float at_most(Float x, Float most) {
#if INTARSIA_SIMD_512
  return (Float::Raw)_mm512_maskz_min_ps(0xffff, (__m512)most.raw, (__m512)x.raw);
#elif INTARSIA_SIMD_256
  return (Float::Raw)_mm256_min_ps((__m256)most.raw, (__m256)x.raw);
#else
  return select(x > most, most, x);
#endif
}
INTARSIA_INLINE Float at_least(Float x, Float least) {
#if INTARSIA_SIMD_512
  return (Float::Raw)_mm512_maskz_max_ps(0xffff, (__m512)least.raw, (__m512)x.raw);
#elif INTARSIA_SIMD_256
  return (Float::Raw)_mm256_max_ps((__m256)least.raw, (__m256)x.raw);
#else
  return select(x < least, least, x);
#endif
}

// The lanes joined pairwise, lane i with lane i + width / 2 first: a fixed order.
template <class F>
INTARSIA_INLINE float fold(Float x, F join) {
#if INTARSIA_SIMD_512
  x = join(x, Float((Float::Raw)_mm512_maskz_shuffle_f32x4(0xffff, (__m512)x.raw, (__m512)x.raw, 0x4e)));
  x = join(x, Float((Float::Raw)_mm512_maskz_shuffle_f32x4(0xffff, (__m512)x.raw, (__m512)x.raw, 0xb1)));
  x = join(x, Float((Float::Raw)_mm512_maskz_permute_ps(0xffff, (__m512)x.raw, 0x4e)));
  x = join(x, Float((Float::Raw)_mm512_maskz_permute_ps(0xffff, (__m512)x.raw, 0xb1)));
#elif INTARSIA_SIMD_256
  x = join(x, Float((Float::Raw)_mm256_permute2f128_ps((__m256)x.raw, (__m256)x.raw, 1)));
  x = join(x, Float((Float::Raw)_mm256_permute_ps((__m256)x.raw, 0x4e)));
  x = join(x, Float((Float::Raw)_mm256_permute_ps((__m256)x.raw, 0xb1)));
#else
  x = join(x, Float(Float::Raw{x.raw[2], x.raw[3], x.raw[0], x.raw[1]}));
  x = join(x, Float(Float::Raw{x.raw[1], x.raw[0], x.raw[3], x.raw[2]}));
#endif
  return x.raw[0];
}
INTARSIA_INLINE float sum(Float x) {
  return fold(x, [](Float a, Float b) INTARSIA_LAMBDA { return a + b; });
}
INTARSIA_INLINE float greatest(Float x) {
  return fold(x, [](Float a, Float b) INTARSIA_LAMBDA { return at_least(a, b); });
}

// A double with the face of Float: one lane, libm's functions.
struct Flag {  // its Mask
  bool lanes;
  friend INTARSIA_INLINE Flag operator&(Flag a, Flag b) { return {a.lanes && b.lanes}; }
  friend INTARSIA_INLINE Flag operator|(Flag a, Flag b) { return {a.lanes || b.lanes}; }
  friend INTARSIA_INLINE Flag operator!(Flag a) { return {!a.lanes}; }
};
struct Double {
  static constexpr int width = 1;
  using Scalar = double;
  double raw;
  Double() = default;
  INTARSIA_INLINE Double(double s) : raw(s) {}
  static INTARSIA_INLINE Double load(const double* p, Full = {}, double = 0) { return *p; }
  static INTARSIA_INLINE Double load(const double* p, Partial, double = 0) { return *p; }
  INTARSIA_INLINE void store(double* p, Full = {}) const { *p = raw; }
  INTARSIA_INLINE void store(double* p, Partial) const { *p = raw; }
  friend INTARSIA_INLINE Double operator+(Double a, Double b) { return a.raw + b.raw; }
  friend INTARSIA_INLINE Double operator-(Double a, Double b) { return a.raw - b.raw; }
  friend INTARSIA_INLINE Double operator*(Double a, Double b) { return a.raw * b.raw; }
  friend INTARSIA_INLINE Double operator/(Double a, Double b) { return a.raw / b.raw; }
  friend INTARSIA_INLINE Double operator-(Double a) { return -a.raw; }
  friend INTARSIA_INLINE Flag operator<(Double a, Double b) { return {a.raw < b.raw}; }
  friend INTARSIA_INLINE Flag operator<=(Double a, Double b) { return {a.raw <= b.raw}; }
  friend INTARSIA_INLINE Flag operator>(Double a, Double b) { return {a.raw > b.raw}; }
  friend INTARSIA_INLINE Flag operator>=(Double a, Double b) { return {a.raw >= b.raw}; }
  friend INTARSIA_INLINE Flag operator==(Double a, Double b) { return {a.raw == b.raw}; }
  friend INTARSIA_INLINE Flag operator!=(Double a, Double b) { return {a.raw != b.raw}; }
};
INTARSIA_INLINE Double select(Flag mask, Double a, Double b) { return mask.lanes ? a : b; }
INTARSIA_INLINE bool any(Flag mask) { return mask.lanes; }
INTARSIA_INLINE Double at_most(Double x, Double most) { return select(x > most, most, x); }
INTARSIA_INLINE Double at_least(Double x, Double least) { return select(x < least, least, x); }
INTARSIA_INLINE Double fma(Double a, Double b, Double c) { return a * b + c; }
INTARSIA_INLINE Double sqrt(Double x) { return ::sqrt(x.raw); }
INTARSIA_INLINE Double abs(Double x) { return ::fabs(x.raw); }
INTARSIA_INLINE Double copysign(Double x, Double sign) { return ::copysign(x.raw, sign.raw); }
INTARSIA_INLINE double sum(Double x) { return x.raw; }
INTARSIA_INLINE double greatest(Double x) { return x.raw; }

// The rest is the same for both.
template <class V>
concept Vector = requires(V v) {
  v.raw;
  typename V::Scalar;
};

// A NaN in either argument gives NaN.
template <Vector V>
INTARSIA_INLINE V max_of(V a, V b) {
  return select(a != a, a, at_least(b, a));
}
template <Vector V>
INTARSIA_INLINE V min_of(V a, V b) {
  return select(a != a, a, at_most(b, a));
}
INTARSIA_INLINE Float max(Float a, Float b) { return max_of(a, b); }
INTARSIA_INLINE Float min(Float a, Float b) { return min_of(a, b); }
INTARSIA_INLINE Double max(Double a, Double b) { return max_of(a, b); }
INTARSIA_INLINE Double min(Double a, Double b) { return min_of(a, b); }
template <Vector V>
INTARSIA_INLINE V rsqrt(V x) {
  return 1 / sqrt(x);
}

// body(i, Full or Partial) for i = 0, width, 2 width ... below n.
template <class V, class Body>
INTARSIA_INLINE void for_lanes(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + V::width <= n; i += V::width) body(i, Full{});
  if constexpr (V::width > 1)
    if (i < n) body(i, Partial{static_cast<int>(n - i)});
}

}  // namespace
}  // namespace intarsia::simd
