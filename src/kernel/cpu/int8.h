// Words of four int8 for the register tile: its sums are i32 that lie in registers of floats.
#pragma once
#include "kernel/cpu/tile.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

// With VNNI one instruction adds four products, of an unsigned and a signed number: B is packed with 128
// added, and the sums of a row start at -128 times the sum of its A. Sums wrap around, so they are exact
// whenever the result is.
#if defined(__AVX512VNNI__) && !defined(INTARSIA_TILE_ENGINE)
constexpr uint32_t int8_offset = 0x80808080u;  // a flipped sign bit adds 128
#else
constexpr uint32_t int8_offset = 0;
#endif

struct Int8Word {
  static constexpr int elements = 4;
  typedef int16_t Shorts __attribute__((vector_size(4 * W)));
  typedef uint32_t Lanes __attribute__((vector_size(4 * W)));
#if defined(__AVX512VNNI__) && !defined(INTARSIA_TILE_ENGINE)
  static constexpr int steps = 1;
  template <int step>
  static INTARSIA_INLINE Floats factor(Words x) {
    return as_floats(x);
  }
  static INTARSIA_INLINE Floats add(Floats sum, Floats a, Floats b) {
    return as_floats(_mm512_dpbusd_epi32(as_words(sum), as_words(b), as_words(a)));
  }
#else
  // The even bytes, then the odd ones, as 16 bits: two products of them and their sum are exact in 32.
  static constexpr int steps = 2;
  template <int step>
  static INTARSIA_INLINE Floats factor(Words x) {
    const Shorts both = reinterpret_cast<Shorts>(x);
    return reinterpret_cast<Floats>(step == 0 ? both << 8 >> 8 : both >> 8);
  }
  static INTARSIA_INLINE Floats add(Floats sum, Floats a, Floats b) {
#if defined(__AVX512F__)
    const Words products = _mm512_madd_epi16(as_words(a), as_words(b));
#elif defined(__AVX2__)
    const Words products = _mm256_madd_epi16(as_words(a), as_words(b));
#else
    const Words products = _mm_madd_epi16(as_words(a), as_words(b));
#endif
    return reinterpret_cast<Floats>(reinterpret_cast<Lanes>(sum) + reinterpret_cast<Lanes>(products));
  }
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

// The words of A; see tile.h.
struct FromInt8 {
  using Word = Int8Word;
  using Element = int8_t;
  typedef uint32_t Lanes __attribute__((vector_size(4 * W)));

  static INTARSIA_INLINE Words along(const int8_t* s, int64_t count) {
    if (count >= 4 * W) return load_words(s);
    uint32_t words[W] = {};
    if (count > 0) std::memcpy(words, s, static_cast<size_t>(count));
    return load_words(words);
  }
  static INTARSIA_INLINE Words across(const int8_t* s, int64_t distance, int64_t k, int64_t columns) {
    Lanes word = {};
    for (int i = 0; i < smaller(k, 4); i++) word |= widen(s + i * distance, columns) << 8 * i;
    return reinterpret_cast<Words>(word);
  }

 private:
  typedef uint8_t Bytes __attribute__((vector_size(W)));
  static INTARSIA_INLINE Lanes widen(const int8_t* s, int64_t columns) {
    Bytes bytes = {};
    if (columns >= W) {
      std::memcpy(&bytes, s, W);
    } else {
      uint8_t some[W] = {};
      if (columns > 0) std::memcpy(some, s, static_cast<size_t>(columns));
      std::memcpy(&bytes, some, W);
    }
    return __builtin_convertvector(bytes, Lanes);
  }
};

// The words of B.
struct FromInt8Offset {
  using Word = Int8Word;
  using Element = int8_t;
  static INTARSIA_INLINE Words offset(Words x) {
    return reinterpret_cast<Words>(reinterpret_cast<Int8Word::Lanes>(x) ^ int8_offset);
  }
  static INTARSIA_INLINE Words along(const int8_t* s, int64_t count) {
    return offset(FromInt8::along(s, count));
  }
  static INTARSIA_INLINE Words across(const int8_t* s, int64_t distance, int64_t k, int64_t columns) {
    return offset(FromInt8::across(s, distance, k, columns));
  }
};

}  // namespace
}  // namespace intarsia::kernel::INTARSIA_RUNG
