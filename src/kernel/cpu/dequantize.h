// GGML's block formats to f32. A block holds 32 or 256 neighbouring weights of a row: small integers q with
// one or two levels of scales, value = d q or d q + m. Every product and sum below is rounded by itself, in
// the order in which the formats are defined (gguf's quants.py), so all rungs give the same bits.
#pragma once
#include "intarsia/array.h"
#include "kernel/cpu/tile.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

typedef int32_t Ints __attribute__((vector_size(4 * W)));
typedef float Lanes __attribute__((vector_size(4 * W)));

inline INTARSIA_INLINE Lanes to_lanes(Ints x) { return __builtin_convertvector(x, Lanes); }
inline INTARSIA_INLINE void store_lanes(float* p, Lanes x) { std::memcpy(p, &x, sizeof x); }

// W bytes as integers.
inline INTARSIA_INLINE Ints bytes(const uint8_t* p) {
#if defined(__AVX512F__)
  return reinterpret_cast<Ints>(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif defined(__AVX2__)
  return reinterpret_cast<Ints>(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#else
  int32_t four;
  std::memcpy(&four, p, 4);
  const __m128i zero = _mm_setzero_si128();
  return reinterpret_cast<Ints>(_mm_unpacklo_epi16(_mm_unpacklo_epi8(_mm_cvtsi32_si128(four), zero), zero));
#endif
}

inline INTARSIA_INLINE float half(const uint8_t* p) {
  uint16_t bits;
  std::memcpy(&bits, p, 2);
#if defined(__F16C__)
  return _cvtsh_ss(bits);
#else
  const uint32_t word[4] = {bits, bits, bits, bits};
  return _mm_cvtss_f32(halves_to_floats(load_words(word)));
#endif
}

// 1 << (lane + first) for each lane.
inline INTARSIA_INLINE Ints lane_bits(int first) {
  Ints bits;
  for (int i = 0; i < W; i++) bits[i] = static_cast<int32_t>(1u << (first + i));
  return bits;
}

// ---- blocks of 32: [d][m][high bits][nibbles]; element i has the low nibble of byte i, element 16 + i the
// high one

template <bool has_minimum, bool five_bits>
inline void dequantize_nibbles(const uint8_t* block, float* out) {
  const float d = half(block), m = has_minimum ? half(block + 2) : 0.0f;
  const uint8_t* high = block + (has_minimum ? 4 : 2);
  const uint8_t* nibbles = high + (five_bits ? 4 : 0);
  int32_t high_bits = 0;
  if constexpr (five_bits) std::memcpy(&high_bits, high, 4);
  const int32_t offset = has_minimum ? 0 : five_bits ? 16 : 8;
  each<32 / W>([&](auto i) INTARSIA_INLINE {
    constexpr int first = i * W;
    Ints q = bytes(nibbles + first % 16);
    q = first < 16 ? (q & 15) : (q >> 4);
    if constexpr (five_bits) q |= ((high_bits & lane_bits(first)) != 0) & 16;
    const Lanes x = d * to_lanes(q - offset);
    store_lanes(out + first, has_minimum ? x + m : x);
  });
}

inline void dequantize_q8_0(const uint8_t* block, float* out) {
  const float d = half(block);
  each<32 / W>([&](auto i) INTARSIA_INLINE {
    const Ints q = (bytes(block + 2 + i * W) << 24) >> 24;
    store_lanes(out + i * W, d * to_lanes(q));
  });
}

// ---- blocks of 256: eight groups of 32 (q4_k, q5_k) or sixteen of 16 elements with small integer scales of
// their own

// q2_k: [16 scales: low nibble for d, high for the minimum][64 bytes of 2 bits][d][dmin]. Group g of 32
// elements has bits 2 (g % 4) of bytes 32 (g / 4) and on.
inline void dequantize_q2_k(const uint8_t* block, float* out) {
  const uint8_t* quants = block + 16;
  const float d = half(block + 80), dmin = half(block + 82);
  for (int g = 0; g < 8; g++) {
    for (int part = 0; part < 2; part++) {
      const int scale = block[2 * g + part];
      const float step = d * static_cast<float>(scale & 15), minimum = dmin * static_cast<float>(scale >> 4);
      for (int i = 0; i < 16; i += W) {
        const Ints q = (bytes(quants + 32 * (g / 4) + 16 * part + i) >> (2 * (g % 4))) & 3;
        store_lanes(out + 32 * g + 16 * part + i, step * to_lanes(q) - minimum);
      }
    }
  }
}

// q3_k: [32 bytes of third bits][64 bytes of 2 bits][12 bytes of 6-bit scales][d]. A third bit of 0
// subtracts 4.
inline void dequantize_q3_k(const uint8_t* block, float* out) {
  const uint8_t *quants = block + 32, *scales = block + 96;
  const float d = half(block + 108);
  for (int g = 0; g < 8; g++) {
    for (int part = 0; part < 2; part++) {
      const int s =
          2 * g + part;  // lower four bits in nibble s of 8 bytes, upper two in bits 2 (s / 4) of 4 bytes
      const int low = s < 8 ? scales[s] & 15 : scales[s - 8] >> 4;
      const int high = scales[8 + s % 4] >> (2 * (s / 4)) & 3;
      const float step = d * static_cast<float>((low | high << 4) - 32);
      for (int i = 0; i < 16; i += W) {
        const Ints low_bits = (bytes(quants + 32 * (g / 4) + 16 * part + i) >> (2 * (g % 4))) & 3;
        const Ints third = (bytes(block + 16 * part + i) >> g) & 1;
        store_lanes(out + 32 * g + 16 * part + i, step * to_lanes(low_bits - ((third ^ 1) << 2)));
      }
    }
  }
}

// The 6-bit scale and minimum of group g of 32 in the 12 bytes of q4_k and q5_k: the first four groups lie
// whole in bytes g and 4 + g, the others have four bits in byte 4 + g and two above those of bytes g - 4 and
// g.
struct ScaleAndMinimum {
  float scale, minimum;
};
inline ScaleAndMinimum packed_scale(const uint8_t* scales, int g) {
  if (g < 4) return {static_cast<float>(scales[g] & 63), static_cast<float>(scales[4 + g] & 63)};
  const int scale = (scales[4 + g] & 15) | (scales[g - 4] >> 2 & 48);
  const int minimum = scales[4 + g] >> 4 | (scales[g] >> 2 & 48);
  return {static_cast<float>(scale), static_cast<float>(minimum)};
}

// q4_k: [d][dmin][12 bytes of scales][128 bytes of nibbles]; q5_k has 32 bytes of fifth bits before the
// nibbles. Groups 2 n and 2 n + 1 are the low and high nibbles of bytes 32 n and on; group g has fifth bit g.
template <bool five_bits>
inline void dequantize_q45_k(const uint8_t* block, float* out) {
  const float d = half(block), dmin = half(block + 2);
  const uint8_t *scales = block + 4, *fifth = block + 16, *nibbles = fifth + (five_bits ? 32 : 0);
  for (int g = 0; g < 8; g++) {
    const ScaleAndMinimum packed = packed_scale(scales, g);
    const float step = d * packed.scale, minimum = dmin * packed.minimum;
    for (int i = 0; i < 32; i += W) {
      Ints q = (bytes(nibbles + 32 * (g / 2) + i) >> (4 * (g % 2))) & 15;
      if constexpr (five_bits) q |= ((bytes(fifth + i) >> g) & 1) << 4;
      store_lanes(out + 32 * g + i, step * to_lanes(q) - minimum);
    }
  }
}

// q6_k: [128 bytes of lower nibbles][64 bytes of upper 2 bits][16 signed scales][d]. Group g = 4 n + s of 32
// has nibble s / 2 of bytes 64 n + 32 (s % 2) and on, and bits 2 s of bytes 32 n and on.
inline void dequantize_q6_k(const uint8_t* block, float* out) {
  const uint8_t *upper = block + 128, *scales = block + 192;
  const float d = half(block + 208);
  for (int g = 0; g < 8; g++) {
    const int n = g / 4, s = g % 4;
    for (int part = 0; part < 2; part++) {
      const float step = d * static_cast<float>(static_cast<int8_t>(scales[2 * g + part]));
      for (int i = 0; i < 16; i += W) {
        const Ints low = (bytes(block + 64 * n + 32 * (s % 2) + 16 * part + i) >> (4 * (s / 2))) & 15;
        const Ints high = (bytes(upper + 32 * n + 16 * part + i) >> (2 * s)) & 3;
        store_lanes(out + 32 * g + 16 * part + i, step * to_lanes((low | high << 4) - 32));
      }
    }
  }
}

// ---- W rows at once, straight into a panel
//
// Along k the 32 weights of a block share their scale; across rows each lane has its own. So the quants are
// turned while they are still small: 16 bytes of each of W rows become four registers whose lane r holds four
// neighbouring bytes of row r, and from there on shifts and masks take out one k for all rows.

// lane r of bytes[q] = bytes 4 q .. 4 q + 3 of the 16 at rows[r].
inline INTARSIA_INLINE void turn_bytes(const uint8_t* const (&rows)[W], int64_t offset, Words (&bytes)[4]) {
  Words r[4];  // quarter j of r[i] is row 4 j + i
  each<4>([&](auto i) INTARSIA_INLINE {
    auto row = [&](auto j) INTARSIA_INLINE {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[4 * j + i] + offset));
    };
#if defined(__AVX512F__)
    r[i] = _mm512_castsi128_si512(row(Index<0>{}));
    r[i] = _mm512_inserti32x4(r[i], row(Index<1>{}), 1);
    r[i] = _mm512_inserti32x4(r[i], row(Index<2>{}), 2);
    r[i] = _mm512_inserti32x4(r[i], row(Index<3>{}), 3);
#elif defined(__AVX2__)
    r[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(row(Index<0>{})), row(Index<1>{}), 1);
#else
    r[i] = row(Index<0>{});
#endif
  });
#if defined(__AVX512F__)
#define INTARSIA_UNPACK(half, width) _mm512_unpack##half##_epi##width
#elif defined(__AVX2__)
#define INTARSIA_UNPACK(half, width) _mm256_unpack##half##_epi##width
#else
#define INTARSIA_UNPACK(half, width) _mm_unpack##half##_epi##width
#endif
  const Words a = INTARSIA_UNPACK(lo, 32)(r[0], r[1]), b = INTARSIA_UNPACK(hi, 32)(r[0], r[1]);
  const Words c = INTARSIA_UNPACK(lo, 32)(r[2], r[3]), d = INTARSIA_UNPACK(hi, 32)(r[2], r[3]);
  bytes[0] = INTARSIA_UNPACK(lo, 64)(a, c);
  bytes[1] = INTARSIA_UNPACK(hi, 64)(a, c);
  bytes[2] = INTARSIA_UNPACK(lo, 64)(b, d);
  bytes[3] = INTARSIA_UNPACK(hi, 64)(b, d);
#undef INTARSIA_UNPACK
}

// lane r = the four bytes at rows[r] + offset. Inserted one by one: a vector load of words just stored would
// wait.
inline INTARSIA_INLINE Ints word_of_rows(const uint8_t* const (&rows)[W], int64_t offset) {
  auto quarter = [&](auto j) INTARSIA_INLINE {
    int32_t x[4];
    each<4>([&](auto i) INTARSIA_INLINE { std::memcpy(&x[i], rows[4 * j + i] + offset, 4); });
    return _mm_setr_epi32(x[0], x[1], x[2], x[3]);
  };
#if defined(__AVX512F__)
  __m512i all_rows = _mm512_castsi128_si512(quarter(Index<0>{}));
  all_rows = _mm512_inserti32x4(all_rows, quarter(Index<1>{}), 1);
  all_rows = _mm512_inserti32x4(all_rows, quarter(Index<2>{}), 2);
  all_rows = _mm512_inserti32x4(all_rows, quarter(Index<3>{}), 3);
  return reinterpret_cast<Ints>(all_rows);
#elif defined(__AVX2__)
  return reinterpret_cast<Ints>(_mm256_set_m128i(quarter(Index<1>{}), quarter(Index<0>{})));
#else
  return reinterpret_cast<Ints>(quarter(Index<0>{}));
#endif
}

// Writes the 32 values of a block for W rows; value(k) is their register. `panel` is at the block's first
// word.
template <class Word, class Value>
inline INTARSIA_INLINE void store_block(uint32_t* panel, Value value) {
  each<32 / Word::elements>([&](auto w) INTARSIA_INLINE {
    if constexpr (Word::elements == 1) {
      store_words(panel + w * NR, reinterpret_cast<Words>(value(Index<w>{})));
    } else {
      store_words(panel + w * NR, bf16_pairs(reinterpret_cast<Floats>(value(Index<2 * w>{})),
                                             reinterpret_cast<Floats>(value(Index<2 * w + 1>{}))));
    }
  });
}

// One block of each of W rows of a format with blocks of 32.
template <class Word, bool has_minimum, bool five_bits, bool whole_bytes>
inline void pack_block(const uint8_t* const (&rows)[W], uint32_t* panel) {
  const Ints head = word_of_rows(rows, 0);
  const Lanes d = reinterpret_cast<Lanes>(halves_to_floats(reinterpret_cast<Words>(head & 0xffff)));
  const Lanes m = reinterpret_cast<Lanes>(halves_to_floats(reinterpret_cast<Words>((head >> 16) & 0xffff)));
  const Ints fifth = five_bits ? word_of_rows(rows, has_minimum ? 4 : 2) : Ints{};
  constexpr int quants = (has_minimum ? 4 : 2) + (five_bits ? 4 : 0);
  constexpr int offset = whole_bytes || has_minimum ? 0 : five_bits ? 16 : 8;
  Words turned[whole_bytes ? 8 : 4];
  turn_bytes(rows, quants, reinterpret_cast<Words(&)[4]>(turned[0]));
  if constexpr (whole_bytes) turn_bytes(rows, quants + 16, reinterpret_cast<Words(&)[4]>(turned[4]));
  store_block<Word>(panel, [&](auto k) INTARSIA_INLINE {
    Ints q;
    if constexpr (whole_bytes) {
      q = (reinterpret_cast<Ints>(turned[k / 4]) << (24 - 8 * (k % 4))) >> 24;
    } else {
      q = (reinterpret_cast<Ints>(turned[k % 16 / 4]) >> (8 * (k % 4) + (k < 16 ? 0 : 4))) & 15;
      if constexpr (five_bits) q |= (k < 4 ? fifth << (4 - k) : fifth >> (k - 4)) & 16;
    }
    const Lanes x = d * to_lanes(q - offset);
    return has_minimum ? x + m : x;
  });
}

// The packing of one block of 32 for a format that has it, or null.
template <class Word>
using BlockPacker = void (*)(const uint8_t* const (&rows)[W], uint32_t* panel);
template <class Word>
inline BlockPacker<Word> block_packer(DType type) {
  switch (type) {
    case DType::q4_0:
      return pack_block<Word, false, false, false>;
    case DType::q4_1:
      return pack_block<Word, true, false, false>;
    case DType::q5_0:
      return pack_block<Word, false, true, false>;
    case DType::q5_1:
      return pack_block<Word, true, true, false>;
    case DType::q8_0:
      return pack_block<Word, false, false, true>;
    default:
      return nullptr;
  }
}

// Elements and bytes of a block, and what takes it apart.
struct BlockFormat {
  int elements, bytes;
  void (*dequantize)(const uint8_t* block, float* out);
};

inline BlockFormat block_format(DType type) {
  switch (type) {
    case DType::q4_0:
      return {32, 18, dequantize_nibbles<false, false>};
    case DType::q4_1:
      return {32, 20, dequantize_nibbles<true, false>};
    case DType::q5_0:
      return {32, 22, dequantize_nibbles<false, true>};
    case DType::q5_1:
      return {32, 24, dequantize_nibbles<true, true>};
    case DType::q8_0:
      return {32, 34, dequantize_q8_0};
    case DType::q2_k:
      return {256, 84, dequantize_q2_k};
    case DType::q3_k:
      return {256, 110, dequantize_q3_k};
    case DType::q4_k:
      return {256, 144, dequantize_q45_k<false>};
    case DType::q5_k:
      return {256, 176, dequantize_q45_k<true>};
    case DType::q6_k:
      return {256, 210, dequantize_q6_k};
    default:
      return {0, 0, nullptr};
  }
}

inline void dequantize(DType type, const void* blocks, int64_t elements, float* out) {
  const BlockFormat format = block_format(type);
  if (!format.dequantize) return;
  const auto* block = static_cast<const uint8_t*>(blocks);
  for (int64_t i = 0; i < elements; i += format.elements, block += format.bytes)
    format.dequantize(block, out + i);
}

}  // namespace
}  // namespace intarsia::kernel::INTARSIA_RUNG
