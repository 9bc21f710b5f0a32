// Folders and golden files for the tests of formats.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "data/file.h"
#include "intarsia/array.h"
#include "intarsia/error.h"
#include "scratch_folder.h"

namespace intarsia {

inline std::filesystem::path golden(std::string_view name) {
  return std::filesystem::path(INTARSIA_SOURCE_DIR) / "test/golden/formats" / name;
}

// Larger data that tests use when it is there.
inline std::filesystem::path data_folder() {
  const char* chosen = std::getenv("INTARSIA_DATA");
  return chosen ? std::filesystem::path(chosen)
                : std::filesystem::path(INTARSIA_SOURCE_DIR) / "../shared/data";
}

// The text of the Error that f throws; empty (a failed expectation) if it throws none.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.find('\n'), std::string::npos) << "an error is one line: " << text;
    return text;
  }
  ADD_FAILURE() << "no Error was thrown";
  return {};
}

inline float to_float(bf16 value) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(value.bits) << 16);
}
// Exact for normal numbers, zeros, infinities.
inline float to_float(f16 value) {
  const uint32_t sign = (value.bits & 0x8000u) << 16, exponent = value.bits >> 10 & 31,
                 fraction = value.bits & 1023u;
  if (exponent == 0) return __builtin_bit_cast(float, sign);
  const uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return __builtin_bit_cast(float, sign | wide << 23 | fraction << 13);
}
template <class T>
double to_double(T value) {
  if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>)
    return to_float(value);
  else
    return static_cast<double>(value);
}

// The values of golden files: see test/golden/formats.py.
inline int pattern(int64_t i, DType dtype) {
  const auto value = static_cast<int>(7 * i % 23);
  const bool is_unsigned = dtype == DType::u8 || dtype == DType::u16 || dtype == DType::u32;
  if (dtype == DType::boolean) return value < 11;
  return is_unsigned ? value : value - 5;
}

template <class T>
void expect_pattern_of(const Array& array) {
  for (int64_t i = 0; i < array.size(); i++)
    ASSERT_EQ(to_double(array.data<T>()[i]), pattern(i, array.dtype())) << "element " << i;
}

template <class F>
void with_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::bf16:
      return f(bf16{});
    case DType::f16:
      return f(f16{});
    case DType::i8:
      return f(int8_t{});
    case DType::u8:
      return f(uint8_t{});
    case DType::i16:
      return f(int16_t{});
    case DType::u16:
      return f(uint16_t{});
    case DType::i32:
      return f(int32_t{});
    case DType::u32:
      return f(uint32_t{});
    case DType::i64:
      return f(int64_t{});
    default:
      return f(bool{});
  }
}

inline void expect_pattern(const Array& array, const Shape& shape, DType dtype) {
  SCOPED_TRACE(info(dtype).name);
  ASSERT_EQ(array.shape(), shape) << array.shape().text();
  ASSERT_EQ(array.dtype(), dtype);
  with_type(dtype, [&](auto zero) { expect_pattern_of<decltype(zero)>(array); });
}

inline Array pattern_array(const Shape& shape, DType dtype) {
  Array array = Array::empty(shape, dtype);
  with_type(dtype, [&](auto zero) {
    using T = decltype(zero);
    T* values = array.mutable_data<T>();
    for (int64_t i = 0; i < array.size(); i++) {
      const int value = pattern(i, dtype);
      const auto bits = __builtin_bit_cast(uint32_t, static_cast<float>(value));
      if constexpr (std::is_same_v<T, bf16>)
        values[i] = {static_cast<uint16_t>(bits >> 16)};
      else if constexpr (std::is_same_v<T, f16>)
        values[i] = {static_cast<uint16_t>(
            value == 0 ? 0 : (bits >> 16 & 0x8000) | (((bits >> 13) & 0x3FFFF) - (112 << 10)))};
      else
        values[i] = static_cast<T>(value);
    }
  });
  return array;
}

constexpr DType plain_types[] = {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i8,  DType::u8,
                                 DType::i16, DType::u16, DType::i32, DType::u32,  DType::i64, DType::boolean};

}  // namespace intarsia
