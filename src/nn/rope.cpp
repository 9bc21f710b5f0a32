#include "nn/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/fail.h"

namespace intarsia {

namespace {

double plain_frequency(double theta, int64_t pair, int64_t size) {
  return std::pow(theta, -2.0 * static_cast<double>(pair) / static_cast<double>(size));
}

double llama3_factor(double frequency, const RopeScaling& scaling) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const auto original = static_cast<double>(scaling.original_max_position_embeddings);
  if (wavelength < original / scaling.high_freq_factor) return 1;
  if (wavelength > original / scaling.low_freq_factor) return scaling.factor;
  const double range = scaling.high_freq_factor - scaling.low_freq_factor;
  const double smooth = (original / wavelength - scaling.low_freq_factor) / range;
  return 1 / ((1 - smooth) / scaling.factor + smooth);
}

}  // namespace

std::vector<float> Rope::factors(int64_t size) const {
  if (scaling.type == "factors") {
    if (static_cast<int64_t>(scaling.factors.size()) != size / 2)
      fail("rope: {} factors are given, expected {}, half of the rotated features", scaling.factors.size(),
           size / 2);
    return scaling.factors;
  }
  std::vector<float> result(static_cast<size_t>(size / 2), 1.0f);
  for (int64_t i = 0; i < size / 2; i++) {
    float& factor = result[static_cast<size_t>(i)];
    if (scaling.type == "linear") factor = static_cast<float>(scaling.factor);
    if (scaling.type == "llama3")
      factor = static_cast<float>(llama3_factor(plain_frequency(theta, i, size), scaling));
  }
  return result;
}

std::vector<double> Rope::frequencies(int64_t size) const {
  const std::vector<float> divisors = factors(size);
  std::vector<double> result;
  for (int64_t i = 0; i < size / 2; i++)
    result.push_back(plain_frequency(theta, i, size) / static_cast<double>(divisors[static_cast<size_t>(i)]));
  return result;
}

RotaryPositions::RotaryPositions(const Rope& rope, int64_t size, int64_t context)
    : frequencies_(rope.frequencies(size)), context_(context) {}

RopeTable RotaryPositions::table(int64_t count) const {
  const std::lock_guard lock(mutex_);
  const int64_t held = table_.cos ? table_.cos.dim(0) : 0;
  if (count > held) {
    const int64_t wanted = std::max({count, 2 * held, int64_t{256}});
    table_ = rope_table(frequencies_, std::max(count, std::min(wanted, context_)), false);
  }
  return table_;
}

}  // namespace intarsia
