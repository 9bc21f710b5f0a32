// The register tile that all matrix products and attention are made of, and the packing that feeds it.
//
// A tile is `rows` x `vectors` SIMD registers of f32 sums, C += A B. Its unit along k is a 32-bit *word*: one
// f32, or a pair of neighbouring bf16, so one loop serves both types. B comes in panels [k word][NR columns];
// A is either rows that lie in memory (a broadcast needs no packing) or a panel [k word][width rows]. Every
// sum is one accumulator fed in order of k, so the bits of an element depend neither on the tile's height nor
// on where in it the element lies.
//
// Everything has internal linkage: each rung compiles its own copy (see rung.h).
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "kernel/cpu/rung.h"

// After a function's or lambda's parameters: inlined always. Loops over arrays of registers must be unrolled
// before the optimiser looks at them, or the arrays live on the stack (4 times slower).
#define INTARSIA_INLINE __attribute__((always_inline))

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

// ---- registers: W lanes of 32 bits

#if defined(__AVX512F__)
constexpr int W = 16;   // lanes of a register
constexpr int MR = 12;  // rows of the full tile: 24 sums + 2 of B + 1 broadcast of 32 registers
using Floats = __m512;
using Words = __m512i;
#elif defined(__AVX2__)
constexpr int W = 8;
constexpr int MR = 6;  // 12 sums + 2 + 1 of 16 registers
using Floats = __m256;
using Words = __m256i;
#else
constexpr int W = 4;
constexpr int MR = 6;
using Floats = __m128;
using Words = __m128i;
#endif
constexpr int NR = 2 * W;  // columns of a panel of B

inline Floats zeros() INTARSIA_INLINE;
inline Floats all(float x) INTARSIA_INLINE;
inline Floats load(const float* p) INTARSIA_INLINE;
inline void store(float* p, Floats x) INTARSIA_INLINE;
inline Words load_words(const void* p) INTARSIA_INLINE;
inline void store_words(void* p, Words x) INTARSIA_INLINE;
inline Words broadcast_word(const uint32_t* p) INTARSIA_INLINE;
inline Words shift_up_16(Words x) INTARSIA_INLINE;
inline Words upper_16(Words x) INTARSIA_INLINE;  // the upper halves, the lower ones cleared
inline Floats as_floats(Words x) INTARSIA_INLINE;
inline Words as_words(Floats x) INTARSIA_INLINE;
// sum + a * b: fused, except on the base rung, whose cpus may lack it.
inline Floats multiply_add(Floats sum, Floats a, Floats b) INTARSIA_INLINE;
// W halfwords to the lower halves of W words.
inline Words widen_16(const void* p) INTARSIA_INLINE;

#if defined(__AVX512F__)
Floats zeros() { return _mm512_setzero_ps(); }
Floats all(float x) { return _mm512_set1_ps(x); }
Floats load(const float* p) { return _mm512_loadu_ps(p); }
void store(float* p, Floats x) { _mm512_storeu_ps(p, x); }
Words load_words(const void* p) { return _mm512_loadu_si512(p); }
void store_words(void* p, Words x) { _mm512_storeu_si512(p, x); }
Words broadcast_word(const uint32_t* p) { return _mm512_set1_epi32(static_cast<int>(*p)); }
Words shift_up_16(Words x) { return _mm512_slli_epi32(x, 16); }
Words upper_16(Words x) { return _mm512_and_si512(x, _mm512_set1_epi32(static_cast<int>(0xffff0000u))); }
Floats as_floats(Words x) { return _mm512_castsi512_ps(x); }
Words as_words(Floats x) { return _mm512_castps_si512(x); }
Floats multiply_add(Floats sum, Floats a, Floats b) { return _mm512_fmadd_ps(a, b, sum); }
Words widen_16(const void* p) {
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
}
#elif defined(__AVX2__)
Floats zeros() { return _mm256_setzero_ps(); }
Floats all(float x) { return _mm256_set1_ps(x); }
Floats load(const float* p) { return _mm256_loadu_ps(p); }
void store(float* p, Floats x) { _mm256_storeu_ps(p, x); }
Words load_words(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
void store_words(void* p, Words x) { _mm256_storeu_si256(static_cast<__m256i*>(p), x); }
Words broadcast_word(const uint32_t* p) { return _mm256_set1_epi32(static_cast<int>(*p)); }
Words shift_up_16(Words x) { return _mm256_slli_epi32(x, 16); }
Words upper_16(Words x) { return _mm256_and_si256(x, _mm256_set1_epi32(static_cast<int>(0xffff0000u))); }
Floats as_floats(Words x) { return _mm256_castsi256_ps(x); }
Words as_words(Floats x) { return _mm256_castps_si256(x); }
Floats multiply_add(Floats sum, Floats a, Floats b) { return _mm256_fmadd_ps(a, b, sum); }
Words widen_16(const void* p) {
  return _mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
}
#else
Floats zeros() { return _mm_setzero_ps(); }
Floats all(float x) { return _mm_set1_ps(x); }
Floats load(const float* p) { return _mm_loadu_ps(p); }
void store(float* p, Floats x) { _mm_storeu_ps(p, x); }
Words load_words(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
void store_words(void* p, Words x) { _mm_storeu_si128(static_cast<__m128i*>(p), x); }
Words broadcast_word(const uint32_t* p) { return _mm_set1_epi32(static_cast<int>(*p)); }
Words shift_up_16(Words x) { return _mm_slli_epi32(x, 16); }
Words upper_16(Words x) { return _mm_and_si128(x, _mm_set1_epi32(static_cast<int>(0xffff0000u))); }
Floats as_floats(Words x) { return _mm_castsi128_ps(x); }
Words as_words(Floats x) { return _mm_castps_si128(x); }
Floats multiply_add(Floats sum, Floats a, Floats b) { return _mm_add_ps(sum, _mm_mul_ps(a, b)); }
Words widen_16(const void* p) {
  return _mm_unpacklo_epi16(_mm_loadl_epi64(static_cast<const __m128i*>(p)), _mm_setzero_si128());
}
#endif

// ---- loops unrolled by the compiler's front end

template <int value>
struct Index {
  constexpr operator int() const { return value; }
};

// f(Index<0>), f(Index<1>), ..., f(Index<count - 1>).
template <int count, class F>
inline INTARSIA_INLINE void each(F f) {
  [&]<int... i>(std::integer_sequence<int, i...>)
      INTARSIA_INLINE { (f(Index<i>{}), ...); }(std::make_integer_sequence<int, count>{});
}

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// ---- the two kinds of word

// One f32 of k.
struct F32Word {
  static constexpr int elements = 1;  // of k in a word
  static constexpr int steps = 1;     // multiply-adds that consume a word
  // What step number `step` multiplies of the words x, of A or of B.
  template <int step>
  static INTARSIA_INLINE Floats factor(Words x) {
    return as_floats(x);
  }
  template <int step>
  static INTARSIA_INLINE Floats left(const uint32_t* a) {
    return factor<step>(broadcast_word(a));
  }
  template <int step>
  static INTARSIA_INLINE Floats right(const uint32_t* b) {
    return factor<step>(load_words(b));
  }
  static INTARSIA_INLINE Floats add(Floats sum, Floats a, Floats b) { return multiply_add(sum, a, b); }
};

// Two neighbouring bf16 of k, the earlier one in the lower half. Where the cpu has no dot product of pairs,
// each half becomes an f32 (its bits are the upper half of one) and the two products are added one after the
// other. Then the step is the outer loop of a tile's step along k: with both halves of B at hand 16 registers
// would not suffice.
struct Bf16Word {
  static constexpr int elements = 2;
#if defined(__AVX512BF16__)
  static constexpr int steps = 1;
  template <int step>
  static INTARSIA_INLINE Floats factor(Words x) {
    return as_floats(x);
  }
  static INTARSIA_INLINE Floats add(Floats sum, Floats a, Floats b) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
#else
  static constexpr int steps = 2;
  template <int step>
  static INTARSIA_INLINE Floats factor(Words x) {
    return as_floats(step == 0 ? shift_up_16(x) : upper_16(x));
  }
  static INTARSIA_INLINE Floats add(Floats sum, Floats a, Floats b) { return multiply_add(sum, a, b); }
#endif
  template <int step>
  static INTARSIA_INLINE Floats left(const uint32_t* a) {
    return factor<step>(broadcast_word(a));
  }
  template <int step>
  static INTARSIA_INLINE Floats right(const uint32_t* b) {
    return factor<step>(load_words(b));
  }
};

// ---- the tile

// sums[r][j] = init(r, j); sums += A B over `words` words of k; finish(sums), where sums is
// Floats[rows][vectors], and r and j are Index constants.
//   a: with width = 0, `rows` rows at `distance` words; else a packed panel [words][width], width >= rows.
//   b: vector j of the tile is vector j % 2 of panel j / 2; panels are [words][NR], `panel` words apart (not
//   used for
//      one panel).
//   step(k): called before each word, for prefetches.
// Registers: rows * vectors <= MR * 2.
template <class Word, int rows, int vectors, int width, class Init, class Finish, class Step,
          class RowDistance = std::integral_constant<int64_t, NR>>
inline INTARSIA_INLINE void tile(const uint32_t* a, int64_t distance, const uint32_t* b, int64_t panel,
                                 int64_t words, Init init, Finish finish, Step step, RowDistance b_row = {}) {
  static_assert(width == 0 || width >= rows);
  Floats sums[rows][vectors];
  each<rows>([&](auto r) INTARSIA_INLINE {
    each<vectors>([&](auto j) INTARSIA_INLINE { sums[r][j] = init(r, j); });
  });
  // One pointer for three rows: x86 addresses base, base + distance and base + 2 * distance for free.
  constexpr int pointers = width == 0 ? (rows + 2) / 3 : 1;
  const uint32_t* row[pointers];
  each<pointers>([&](auto i) INTARSIA_INLINE { row[i] = a + 3 * i * distance; });
#pragma GCC unroll 4
  for (int64_t k = 0; k < words; k++) {
    step(k);
    each<Word::steps>([&](auto s) INTARSIA_INLINE {
      // Load again what the first step loaded: kept in registers it would push the sums out of them.
      if constexpr (s > 0) asm volatile("" ::: "memory");
      Floats right[vectors];
      each<vectors>([&](auto j) INTARSIA_INLINE {
        right[j] = Word::template right<s>(b + (j / 2) * panel + (j % 2) * W);
      });
      each<rows>([&](auto r) INTARSIA_INLINE {
        const uint32_t* word = width == 0 ? row[r / 3] + (r % 3) * distance : row[0] + r;
        const Floats left = Word::template left<s>(word);
        each<vectors>([&](auto j) INTARSIA_INLINE { sums[r][j] = Word::add(sums[r][j], left, right[j]); });
      });
    });
    b += b_row;
    each<pointers>([&](auto i) INTARSIA_INLINE { row[i] += width == 0 ? 1 : width; });
  }
  finish(sums);
}

// The same for one panel and without a step.
template <class Word, int rows, int vectors, int width, class Init, class Finish>
inline INTARSIA_INLINE void tile(const uint32_t* a, int64_t distance, const uint32_t* b, int64_t words,
                                 Init init, Finish finish) {
  tile<Word, rows, vectors, width>(a, distance, b, 0, words, init, finish, [](int64_t) INTARSIA_INLINE {});
}

// ---- ends of rows

// The first `count` words (fewer than 1: none, more than W: all), zeros behind them; nothing else is read.
inline Words load_first_words(const void* p, int64_t count) {
#if defined(__AVX512F__)
  const __mmask16 mask = count >= W ? 0xffff : count <= 0 ? 0 : static_cast<__mmask16>((1u << count) - 1);
  return _mm512_maskz_loadu_epi32(mask, p);
#else
  if (count >= W) return load_words(p);
  uint32_t words[W] = {};
  if (count > 0) std::memcpy(words, p, static_cast<size_t>(count) * 4);
  return load_words(words);
#endif
}

// The first `count` halfwords into the lower part of a register of 2 W, zeros behind them.
inline Words load_first_halfwords(const void* p, int64_t count) {
#if defined(__AVX512BW__)
  const __mmask32 mask = count >= 2 * W ? 0xffffffff
                         : count <= 0   ? 0
                                        : static_cast<__mmask32>((1u << count) - 1);
  return _mm512_maskz_loadu_epi16(mask, p);
#else
  if (count >= 2 * W) return load_words(p);
  uint16_t halfwords[2 * W] = {};
  if (count > 0) std::memcpy(halfwords, p, static_cast<size_t>(count) * 2);
  return load_words(halfwords);
#endif
}

// The first `count` halfwords, each widened to a word; zeros behind them.
inline Words widen_first_16(const void* p, int64_t count) {
#if defined(__AVX512BW__)
  const __mmask16 mask = count >= W ? 0xffff : count <= 0 ? 0 : static_cast<__mmask16>((1u << count) - 1);
  return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p));
#else
  if (count >= W) return widen_16(p);
  uint16_t halfwords[W] = {};
  if (count > 0) std::memcpy(halfwords, p, static_cast<size_t>(count) * 2);
  return widen_16(halfwords);
#endif
}

inline void store_first_words(void* p, Words x, int64_t count) {
#if defined(__AVX512F__)
  const __mmask16 mask = count >= W ? 0xffff : count <= 0 ? 0 : static_cast<__mmask16>((1u << count) - 1);
  _mm512_mask_storeu_epi32(p, mask, x);
#else
  if (count >= W) return store_words(p, x);
  uint32_t words[W];
  store_words(words, x);
  if (count > 0) std::memcpy(p, words, static_cast<size_t>(count) * 4);
#endif
}

// ---- conversion of f16

// IEEE half to single precision of W halfwords that lie in the lower halves of words; exact.
inline Floats halves_to_floats(Words x) {
#if defined(__AVX512F__)
  return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(x));
#elif defined(__F16C__)
  const __m128i low = _mm256_castsi256_si128(x), high = _mm256_extracti128_si256(x, 1);
  return _mm256_cvtph_ps(_mm_packus_epi32(low, high));
#else
  // Exponent and mantissa moved into an f32's place read as the value times 2^-112, denormals included; the
  // exponent of infinity and NaN must become all ones. The product is exact as long as denormals are not
  // flushed to zero: a half's denormal has a zero exponent field here, so it goes through integer conversion
  // instead.
  const __m128i magnitude = _mm_and_si128(x, _mm_set1_epi32(0x7fff));
  const __m128i sign = _mm_slli_epi32(_mm_and_si128(x, _mm_set1_epi32(0x8000)), 16);
  const __m128i small = _mm_cmplt_epi32(magnitude, _mm_set1_epi32(0x0400));
  const __m128i special = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x7bff));
  const __m128i bias =
      _mm_add_epi32(_mm_set1_epi32(112 << 23), _mm_and_si128(special, _mm_set1_epi32(112 << 23)));
  const __m128i normal = _mm_add_epi32(_mm_slli_epi32(magnitude, 13), bias);
  const __m128i denormal = _mm_castps_si128(_mm_mul_ps(_mm_cvtepi32_ps(magnitude), _mm_set1_ps(0x1p-24f)));
  const __m128i value = _mm_or_si128(_mm_and_si128(small, denormal), _mm_andnot_si128(small, normal));
  return _mm_castsi128_ps(_mm_or_si128(value, sign));
#endif
}

// ---- rounding to 16 bits

// The nearest bf16 (ties to even, NaN stays NaN) in the lower half of each word.
inline INTARSIA_INLINE Words round_to_bf16(Floats x) {
  typedef uint32_t Lanes __attribute__((vector_size(4 * W)));
  const Lanes bits = reinterpret_cast<Lanes>(x);
  const Lanes rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  const Lanes quiet = bits >> 16 | 0x40u;
  const Lanes is_nan = reinterpret_cast<Lanes>((bits & 0x7fffffffu) > 0x7f800000u);
  return reinterpret_cast<Words>((quiet & is_nan) | (rounded & ~is_nan));
}

// The lower halves of 2 W words, in order.
inline INTARSIA_INLINE void store_lower_halves(uint16_t* p, Words first, Words second) {
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(first));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + W), _mm512_cvtepi32_epi16(second));
#elif defined(__AVX2__)
  store_words(p, _mm256_permute4x64_epi64(_mm256_packus_epi32(first, second), 0xd8));
#else
  // There is no unsigned narrowing before SSE4.1: sign-extended halves pass the signed one unchanged.
  const Words a = _mm_srai_epi32(_mm_slli_epi32(first, 16), 16),
              b = _mm_srai_epi32(_mm_slli_epi32(second, 16), 16);
  store_words(p, _mm_packs_epi32(a, b));
#endif
}

// 2 W floats as bf16.
inline INTARSIA_INLINE void store_bf16(uint16_t* p, Floats first, Floats second) {
#if defined(__AVX512BF16__)
  store_words(p, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first)));
#else
  store_lower_halves(p, round_to_bf16(first), round_to_bf16(second));
#endif
}

// Words of bf16 pairs: lane i holds first[i] in its lower half and second[i] in its upper one.
inline INTARSIA_INLINE Words bf16_pairs(Floats first, Floats second) {
#if defined(__AVX512BF16__)
  const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                              23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(interleave, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first)));
#else
  return round_to_bf16(first) | shift_up_16(round_to_bf16(second));
#endif
}

// sum + the bf16 pair of each word.
inline INTARSIA_INLINE Floats plus_pairs(Floats sum, Words pairs) {
  const Words ones = as_words(all(__builtin_bit_cast(float, 0x3f803f80)));
  each<Bf16Word::steps>([&](auto s) INTARSIA_INLINE {
    sum = Bf16Word::add(sum, Bf16Word::factor<s>(pairs), Bf16Word::factor<s>(ones));
  });
  return sum;
}

// W floats as IEEE halves (nearest, ties to even).
inline void store_f16(uint16_t* p, Floats x) {
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
#elif defined(__F16C__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
#else
  uint32_t words[W];
  store_words(words, as_words(x));
  for (int i = 0; i < W; i++) {
    const uint32_t magnitude = words[i] & 0x7fffffffu;
    uint32_t half;
    if (magnitude > 0x7f800000u) {
      half = 0x7e00u | (magnitude >> 13 & 0x3ffu);
    } else if (magnitude >= 0x47800000u) {
      half = 0x7c00u;  // 2^16 and above
    } else if (magnitude >= 0x38800000u) {
      half = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;  // may round up to infinity
    } else if (magnitude > 0x33000000u) {
      // A denormal half counts units of 2^-24: shift the full mantissa to that place and round.
      const uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u, shift = 126u - (magnitude >> 23);
      const uint32_t kept = mantissa >> shift, rest = mantissa & ((1u << shift) - 1), tie = 1u << (shift - 1);
      half = kept + (rest > tie || (rest == tie && (kept & 1u)) ? 1u : 0u);
    } else {
      half = 0;
    }
    p[i] = static_cast<uint16_t>(half | (words[i] >> 16 & 0x8000u));
  }
#endif
}

// ---- how elements in memory become words of a panel
//
// along(s, count): W words of neighbouring k from s, of which `count` elements exist; zeros behind them.
// across(s, distance, k, columns): one word of k for W neighbouring columns (`columns` exist); s is the row
// of the
//   word's first k, `k` rows exist from there on, `distance` elements apart. A pair without a second k gets a
//   zero.

struct FromF32 {
  using Word = F32Word;
  using Element = float;
  static INTARSIA_INLINE Words along(const float* s, int64_t count) { return load_first_words(s, count); }
  static INTARSIA_INLINE Words across(const float* s, int64_t, int64_t, int64_t columns) {
    return load_first_words(s, columns);
  }
  // The same of `vectors` W columns that all exist, in an order of their own, which in_order() mends.
  template <int vectors>
  static INTARSIA_INLINE void rows_across(const float* s, int64_t, int64_t, Words (&to)[vectors]) {
    each<vectors>([&](auto j) INTARSIA_INLINE { to[j] = load_words(s + j * W); });
  }
  template <int vectors>
  static INTARSIA_INLINE void in_order(Floats (&)[vectors]) {}
};

struct FromBf16Pairs {
  using Word = Bf16Word;
  using Element = uint16_t;
  static INTARSIA_INLINE Words along(const uint16_t* s, int64_t count) {
    return load_first_halfwords(s, count);
  }
  static INTARSIA_INLINE Words across(const uint16_t* s, int64_t distance, int64_t k, int64_t columns) {
    const Words first = widen_first_16(s, columns);
    if (k < 2) return first;
    return first | shift_up_16(widen_first_16(s + distance, columns));
  }
  // Each quarter of two neighbouring vectors has four columns of the first half and four of the second.
  template <int vectors>
  static INTARSIA_INLINE void rows_across(const uint16_t* s, int64_t distance, int64_t k,
                                          Words (&to)[vectors]) {
#if defined(__AVX512BW__)
    each<vectors / 2>([&](auto j) INTARSIA_INLINE {
      const Words a = load_words(s + j * NR), b = k < 2 ? Words{} : load_words(s + distance + j * NR);
      to[2 * j] = _mm512_unpacklo_epi16(a, b);
      to[2 * j + 1] = _mm512_unpackhi_epi16(a, b);
    });
#else
    each<vectors>([&](auto j) INTARSIA_INLINE { to[j] = across(s + j * W, distance, k, W); });
#endif
  }
  template <int vectors>
  static INTARSIA_INLINE void in_order(Floats (&x)[vectors]) {
#if defined(__AVX512BW__)
    const Words low = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const Words high = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    each<vectors / 2>([&](auto j) INTARSIA_INLINE {
      const Floats a = x[2 * j], b = x[2 * j + 1];
      x[2 * j] = _mm512_permutex2var_ps(a, low, b);
      x[2 * j + 1] = _mm512_permutex2var_ps(a, high, b);
    });
#else
    (void)x;
#endif
  }
};

struct FromBf16 {  // to f32
  using Word = F32Word;
  using Element = uint16_t;
  static INTARSIA_INLINE Words along(const uint16_t* s, int64_t count) {
    return shift_up_16(widen_first_16(s, count));
  }
  static INTARSIA_INLINE Words across(const uint16_t* s, int64_t, int64_t, int64_t columns) {
    return shift_up_16(widen_first_16(s, columns));
  }
};

struct FromF16 {  // to f32
  using Word = F32Word;
  using Element = uint16_t;
  static INTARSIA_INLINE Words along(const uint16_t* s, int64_t count) {
    return as_words(halves_to_floats(widen_first_16(s, count)));
  }
  static INTARSIA_INLINE Words across(const uint16_t* s, int64_t, int64_t, int64_t columns) {
    return as_words(halves_to_floats(widen_first_16(s, columns)));
  }
};

// ---- packing

// r[i] lane j <-> r[j] lane i.
inline INTARSIA_INLINE void transpose(Words (&r)[W]) {
#if defined(__AVX512F__)
  // Pairs of words, then pairs of pairs inside each quarter register, which this cpu does four at a time;
  // then the quarters, t[4 g + c] lane 4 q + i being r[4 g + i] lane 4 q + c.
  Words t[W];
  each<W / 4>([&](auto g) INTARSIA_INLINE {
    Words u[4];
    each<2>([&](auto i) INTARSIA_INLINE {
      u[2 * i] = _mm512_unpacklo_epi32(r[4 * g + 2 * i], r[4 * g + 2 * i + 1]);
      u[2 * i + 1] = _mm512_unpackhi_epi32(r[4 * g + 2 * i], r[4 * g + 2 * i + 1]);
    });
    each<2>([&](auto i) INTARSIA_INLINE {
      t[4 * g + 2 * i] = _mm512_unpacklo_epi64(u[i], u[i + 2]);
      t[4 * g + 2 * i + 1] = _mm512_unpackhi_epi64(u[i], u[i + 2]);
    });
  });
  each<4>([&](auto c) INTARSIA_INLINE {
    const Words a = _mm512_shuffle_i32x4(t[c], t[c + 4], 0x44),
                b = _mm512_shuffle_i32x4(t[c], t[c + 4], 0xee);
    const Words d = _mm512_shuffle_i32x4(t[c + 8], t[c + 12], 0x44);
    const Words e = _mm512_shuffle_i32x4(t[c + 8], t[c + 12], 0xee);
    r[c] = _mm512_shuffle_i32x4(a, d, 0x88);
    r[c + 4] = _mm512_shuffle_i32x4(a, d, 0xdd);
    r[c + 8] = _mm512_shuffle_i32x4(b, e, 0x88);
    r[c + 12] = _mm512_shuffle_i32x4(b, e, 0xdd);
  });
#elif defined(__AVX2__)
  // Pairs of words, then pairs of pairs inside each half register, then the halves.
  Words t[W], u[W];
  each<W / 2>([&](auto i) INTARSIA_INLINE {
    t[2 * i] = _mm256_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm256_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  });
  each<2>([&](auto h) INTARSIA_INLINE {
    each<2>([&](auto i) INTARSIA_INLINE {
      u[4 * h + 2 * i] = _mm256_unpacklo_epi64(t[4 * h + i], t[4 * h + i + 2]);
      u[4 * h + 2 * i + 1] = _mm256_unpackhi_epi64(t[4 * h + i], t[4 * h + i + 2]);
    });
  });
  each<W / 2>([&](auto i) INTARSIA_INLINE {
    r[i] = _mm256_permute2x128_si256(u[i], u[i + 4], 0x20);
    r[i + 4] = _mm256_permute2x128_si256(u[i], u[i + 4], 0x31);
  });
#else
  const Words a = _mm_unpacklo_epi32(r[0], r[1]), b = _mm_unpackhi_epi32(r[0], r[1]);
  const Words c = _mm_unpacklo_epi32(r[2], r[3]), d = _mm_unpackhi_epi32(r[2], r[3]);
  r[0] = _mm_unpacklo_epi64(a, c);
  r[1] = _mm_unpackhi_epi64(a, c);
  r[2] = _mm_unpacklo_epi64(b, d);
  r[3] = _mm_unpackhi_epi64(b, d);
#endif
}

// Packs one panel [k word][width] from a source that has k along its rows: s[r * distance + k], r < rows <=
// width. Missing rows become zeros, and so does the missing half of an odd k's pair. Each row is fetched into
// the cache `ahead` elements before it is read, unless that is 0: so many rows at once are too many for the
// hardware to follow.
template <class From, int width>
inline void pack_rows(const typename From::Element* s, int64_t distance, int64_t rows, int64_t k,
                      uint32_t* panel, int64_t ahead = 0) {
  constexpr int per = From::Word::elements;
  const int64_t words = (k + per - 1) / per;
  for (int64_t w = 0; w < words; w += W) {
    each<(width + W - 1) / W>([&](auto block) INTARSIA_INLINE {
      constexpr int first = block * W;
      constexpr int lanes = width - first < W ? width - first : W;
      const auto* source = s + first * distance + w * per;
      const int64_t left = rows - first, count = k - w * per;
      Words r[W];
      if (ahead) {
        each<lanes>([&](auto i) INTARSIA_INLINE { __builtin_prefetch(source + i * distance + ahead); });
      }
      if (left >= lanes && count >= W * per) {
        each<W>([&](auto i) INTARSIA_INLINE {
          r[i] = i < lanes ? From::along(source + i * distance, W * per) : Words{};
        });
      } else {
        each<W>([&](auto i) INTARSIA_INLINE {
          r[i] = i < lanes && i < left ? From::along(source + i * distance, count) : Words{};
        });
      }
      transpose(r);
      uint32_t* to = panel + w * width + first;
      if (words - w >= W) {
        each<W>([&](auto i) INTARSIA_INLINE { store_first_words(to + i * width, r[i], lanes); });
      } else {
        each<W>([&](auto i) INTARSIA_INLINE {
          if (i < words - w) store_first_words(to + i * width, r[i], lanes);
        });
      }
    });
  }
}

// Packs `panels` neighbouring panels [k word][width], `panel_distance` words apart, from a source that has k
// down its columns: s[k * distance + c], c < columns <= panels * width. Missing columns become zeros, as do
// missing halves.
template <class From, int width>
inline void pack_columns(const typename From::Element* s, int64_t distance, int64_t columns, int64_t k,
                         int64_t panels, int64_t panel_distance, uint32_t* packed) {
  constexpr int per = From::Word::elements;
  constexpr int64_t ahead =
      12 * per;  // rows; a source row is far from the next one, so the hardware needs a hint
  for (int64_t row = 0; row < k; row += per) {
    const auto* source = s + row * distance;
    uint32_t* to = packed + row / per * width;
    for (int64_t p = 0; p < panels; p++, source += width, to += panel_distance) {
      const int64_t left = columns - p * width;
      each<per>([&](auto i) INTARSIA_INLINE { __builtin_prefetch(source + (ahead + i) * distance); });
      each<(width + W - 1) / W>([&](auto block) INTARSIA_INLINE {
        constexpr int first = block * W;
        constexpr int lanes = width - first < W ? width - first : W;
        if (left - first >= W) {
          store_first_words(to + first, From::across(source + first, distance, k - row, W), lanes);
        } else {
          store_first_words(to + first, From::across(source + first, distance, k - row, left - first), lanes);
        }
      });
    }
  }
}

}  // namespace
}  // namespace intarsia::kernel::INTARSIA_RUNG
