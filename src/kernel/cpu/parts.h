// f32 numbers made ready for products of narrower ones: cut into bf16 parts, rounded to int8.
#pragma once
#include "kernel/cpu/tile.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

// x = parts[0] + parts[1] + parts[2] + rest: each part is the bf16 nearest to what the earlier ones left, so
// the rest is at most 2^-9, 2^-18 or 2^-27 of |x|. What is not finite is its own first part, with zeros after
// it. Null parts are left out.
inline void split_bf16(const float* x, int64_t count, uint16_t* const (&parts)[3]) {
  typedef uint32_t Lanes __attribute__((vector_size(4 * W)));
  typedef float FloatLanes __attribute__((vector_size(4 * W)));
  for (int64_t i = 0; i < count; i += W) {
    Lanes rest = reinterpret_cast<Lanes>(load_first_words(x + i, count - i));
    for (uint16_t* part : parts) {
      if (!part) continue;
      const Lanes magnitude = rest & 0x7fffffffu;
      Lanes rounded = reinterpret_cast<Lanes>(shift_up_16(round_to_bf16(reinterpret_cast<Floats>(rest))));
      // The largest numbers would round up to infinity: cut off instead.
      const Lanes largest = reinterpret_cast<Lanes>(magnitude >= 0x7f7f8000u && magnitude < 0x7f800000u);
      rounded = (largest & rest & 0xffff0000u) | (~largest & rounded);
      const Words halves = upper_16(reinterpret_cast<Words>(rounded));
      uint32_t words[W];
      store_words(words, halves);
      for (int64_t j = 0; j < smaller(W, count - i); j++) part[i + j] = static_cast<uint16_t>(words[j] >> 16);
      const Lanes finite = reinterpret_cast<Lanes>(magnitude < 0x7f800000u);
      rest = finite & reinterpret_cast<Lanes>(reinterpret_cast<FloatLanes>(rest) -
                                              reinterpret_cast<FloatLanes>(rounded));
    }
  }
}

// q = x / scale rounded to the nearest (ties to even), scale = max |x| / 127; returns the scale. A row with a
// number that is not finite gives zeros and the scale NaN.
inline float quantize_row(const float* x, int64_t count, int8_t* q) {
  uint32_t greatest = 0;
  for (int64_t i = 0; i < count; i++) {
    uint32_t bits;
    std::memcpy(&bits, x + i, 4);
    bits &= 0x7fffffffu;
    greatest = bits > greatest ? bits : greatest;
  }
  float most;
  std::memcpy(&most, &greatest, 4);
  const bool finite = greatest < 0x7f800000u;
  // Adding and subtracting 1.5 * 2^23 rounds to an integer.
  constexpr float magic = 12582912.0f;
  const float inverse = finite && most > 0x1p-119f ? 127.0f / most : 0.0f;
  for (int64_t i = 0; i < count; i++) {
    const float rounded = x[i] * inverse + magic - magic;
    q[i] = static_cast<int8_t>(finite ? static_cast<int32_t>(rounded) : 0);
  }
  return finite ? inverse > 0.0f ? most / 127.0f : 0.0f : __builtin_nanf("");
}

}  // namespace
}  // namespace intarsia::kernel::INTARSIA_RUNG
