// Conversions between element types, through f32, f64 or i64; copies that run backwards.
#pragma once
#include "kernel/cpu/element.h"

namespace intarsia::kernel {
namespace {

template <class T>
inline constexpr bool is_half = false;
template <>
inline constexpr bool is_half<bf16> = true;
template <>
inline constexpr bool is_half<f16> = true;
template <class T>
inline constexpr bool is_real = false;
template <>
inline constexpr bool is_real<float> = true;
template <>
inline constexpr bool is_real<double> = true;

// To an integer towards zero; what does not fit becomes the nearest end, NaN becomes 0.
template <class T, class R>
INTARSIA_INLINE T to_integer(R x) {
  constexpr bool is_signed = T(-1) < T(0);
  constexpr int bits = sizeof(T) * 8 - is_signed;
  constexpr R above = static_cast<R>(uint64_t{1} << (bits - 1)) * 2, below = is_signed ? -above : R(0);
  constexpr T most = static_cast<T>(~uint64_t{0} >> (64 - bits)),
              least = is_signed ? static_cast<T>(-most - 1) : T(0);
  if (x != x) return 0;
  return x >= above ? most : x <= below ? least : static_cast<T>(x);
}

template <class T>
void to_f32(const void* xs, float* y, int64_t n) {
  const T* x = static_cast<const T*>(xs);
  if constexpr (is_half<T>)
    for_lanes<Float>(
        n, [&](int64_t i, auto lanes) INTARSIA_LAMBDA { Float::load(x + i, lanes).store(y + i, lanes); });
  else
    for (int64_t i = 0; i < n; i++) y[i] = static_cast<float>(x[i]);
}
template <class T>
void from_f32(const float* x, void* ys, int64_t n) {
  T* y = static_cast<T*>(ys);
  if constexpr (is_half<T>)
    for_lanes<Float>(
        n, [&](int64_t i, auto lanes) INTARSIA_LAMBDA { Float::load(x + i, lanes).store(y + i, lanes); });
  else if constexpr (is_real<T>)
    for (int64_t i = 0; i < n; i++) y[i] = static_cast<T>(x[i]);
  else
    for (int64_t i = 0; i < n; i++) y[i] = to_integer<T>(x[i]);
}
template <>
void from_f32<bool>(const float* x, void* ys, int64_t n) {
  bool* y = static_cast<bool*>(ys);
  for (int64_t i = 0; i < n; i++) y[i] = x[i] != 0;
}

// f64 and i64 meet 16-bit floats through f32, a block at a time.
inline constexpr int64_t convert_block = 256;

template <class T>
void to_f64(const void* xs, double* y, int64_t n) {
  const T* x = static_cast<const T*>(xs);
  if constexpr (is_half<T>) {
    float wide[convert_block];
    for (int64_t first = 0; first < n; first += convert_block) {
      const int64_t count = n - first < convert_block ? n - first : convert_block;
      to_f32<T>(x + first, wide, count);
      for (int64_t i = 0; i < count; i++) y[first + i] = wide[i];
    }
  } else {
    for (int64_t i = 0; i < n; i++) y[i] = static_cast<double>(x[i]);
  }
}

// The f32 from which rounding on to 16 bits gives what rounding the double at once would: rounded to odd, as
// in Boldo & Melquiond 2008.
INTARSIA_INLINE float round_to_odd(double x) {
  const float nearest = static_cast<float>(x);
  if (static_cast<double>(nearest) == x || x != x) return nearest;
  uint32_t bits;
  __builtin_memcpy(&bits, &nearest, 4);
  const bool beyond = (nearest > 0) == (static_cast<double>(nearest) > x) && nearest != 0;
  if (beyond) bits--;
  bits |= 1;
  float odd;
  __builtin_memcpy(&odd, &bits, 4);
  return odd;
}

template <class T>
void from_f64(const double* x, void* ys, int64_t n) {
  T* y = static_cast<T*>(ys);
  if constexpr (is_half<T>) {
    float wide[convert_block];
    for (int64_t first = 0; first < n; first += convert_block) {
      const int64_t count = n - first < convert_block ? n - first : convert_block;
      for (int64_t i = 0; i < count; i++) wide[i] = round_to_odd(x[first + i]);
      from_f32<T>(wide, y + first, count);
    }
  } else if constexpr (is_real<T>) {
    for (int64_t i = 0; i < n; i++) y[i] = static_cast<T>(x[i]);
  } else {
    for (int64_t i = 0; i < n; i++) y[i] = to_integer<T>(x[i]);
  }
}
template <>
void from_f64<bool>(const double* x, void* ys, int64_t n) {
  bool* y = static_cast<bool*>(ys);
  for (int64_t i = 0; i < n; i++) y[i] = x[i] != 0;
}

template <class T>
void to_i64(const void* xs, int64_t* y, int64_t n) {
  const T* x = static_cast<const T*>(xs);
  if constexpr (is_half<T>) {
    float wide[convert_block];
    for (int64_t first = 0; first < n; first += convert_block) {
      const int64_t count = n - first < convert_block ? n - first : convert_block;
      to_f32<T>(x + first, wide, count);
      for (int64_t i = 0; i < count; i++) y[first + i] = to_integer<int64_t>(wide[i]);
    }
  } else if constexpr (is_real<T>) {
    for (int64_t i = 0; i < n; i++) y[i] = to_integer<int64_t>(x[i]);
  } else {
    for (int64_t i = 0; i < n; i++) y[i] = static_cast<int64_t>(x[i]);
  }
}
// Integers keep their low bits, as in C.
template <class T>
void from_i64(const int64_t* x, void* ys, int64_t n) {
  T* y = static_cast<T*>(ys);
  if constexpr (is_half<T>) {
    double wide[convert_block];
    for (int64_t first = 0; first < n; first += convert_block) {
      const int64_t count = n - first < convert_block ? n - first : convert_block;
      for (int64_t i = 0; i < count; i++) wide[i] = static_cast<double>(x[first + i]);
      from_f64<T>(wide, y + first, count);
    }
  } else {
    for (int64_t i = 0; i < n; i++) y[i] = static_cast<T>(x[i]);
  }
}

template <class Word>
void backwards(const void* from, void* to, int64_t n) {
  const Word* __restrict x = static_cast<const Word*>(from);
  Word* __restrict y = static_cast<Word*>(to);
  for (int64_t i = 0; i < n; i++) y[i] = x[-i];
}

#define FILL_PLAINS(SLOT, KERNEL) \
  SLOT[0] = KERNEL<float>;        \
  SLOT[1] = KERNEL<double>;       \
  SLOT[2] = KERNEL<bf16>;         \
  SLOT[3] = KERNEL<f16>;          \
  SLOT[4] = KERNEL<int8_t>;       \
  SLOT[5] = KERNEL<uint8_t>;      \
  SLOT[6] = KERNEL<int16_t>;      \
  SLOT[7] = KERNEL<uint16_t>;     \
  SLOT[8] = KERNEL<int32_t>;      \
  SLOT[9] = KERNEL<uint32_t>;     \
  SLOT[10] = KERNEL<int64_t>;     \
  SLOT[11] = KERNEL<bool>

}  // namespace
}  // namespace intarsia::kernel
