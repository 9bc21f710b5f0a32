// A number >= 0 as value * 2^(digits * power): the probabilities of long texts are below all doubles.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace intarsia {

struct Scaled {
  static constexpr int digits = 256;
  static constexpr double most_plain =
      80;  // exponents up to this make doubles that may be multiplied with one
  double value;
  int64_t power;

  static Scaled exponential(double exponent) {
    if (exponent == -std::numeric_limits<double>::infinity()) return {0, 0};
    constexpr double most = 1e8;  // stands for infinity, and keeps sums of powers far from their limit
    const double binary = std::clamp(exponent / std::log(2.0), -most, most);
    const double power = std::round(binary / digits);
    return {std::exp2(binary - digits * power), static_cast<int64_t>(power)};
  }
  friend Scaled operator*(Scaled a, Scaled b) { return {a.value * b.value, a.power + b.power}; }
  friend Scaled operator*(Scaled a, double b) { return {a.value * b, a.power}; }
  double value_at(int64_t other) const {
    if (power == other) return value;
    return std::ldexp(value, static_cast<int>(digits * std::clamp<int64_t>(power - other, -8, 8)));
  }
  void operator+=(Scaled other) {
    if (other.power == power) {
      value += other.value;
    } else {
      if (value == 0 || other.power > power) *this = {value_at(other.power), other.power};
      value += other.value_at(power);
    }
  }
  // The value near 1, so that a product of two has one.
  void normalize() {
    constexpr double low = 0x1p-128, high = 0x1p128;
    if (value >= low && value < high) return;
    if (value == 0) return;
    int exponent;
    value = std::frexp(value, &exponent);
    const int shift = static_cast<int>(std::lround(static_cast<double>(exponent) / digits));
    value = std::ldexp(value, exponent - shift * digits);
    power += shift;
  }
};

}  // namespace intarsia
