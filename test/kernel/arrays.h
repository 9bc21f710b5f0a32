// What the kernel tests share: every rung, both thread counts, arrays of random values, values as doubles.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "intarsia/array.h"
#include "intarsia/error.h"
#include "intarsia/random.h"
#include "kernel/kernels.h"
#include "kernel/table.h"

namespace intarsia::test {

// Runs f on each rung this cpu has and puts the best one back.
inline void on_every_rung(const std::function<void()>& f) {
  const std::string before = kernel::table().name;
  for (const kernel::Kernels* rung : kernel::rungs()) {
    SCOPED_TRACE(std::string("rung ") + rung->name);
    kernel::use_rung(rung->name);
    f();
  }
  kernel::use_rung(before);
}

class Threads {
 public:
  explicit Threads(int count) : before_(thread_count()) { set_thread_count(count); }
  ~Threads() { set_thread_count(before_); }

 private:
  int before_;
};

inline const std::vector<DType> float_types = {DType::f32, DType::f64, DType::bf16, DType::f16};

// The relative error that one rounding to a type may make.
inline double rounding(DType type) {
  switch (type) {
    case DType::f64:
      return 0x1p-52;
    case DType::bf16:
      return 0x1p-8;
    case DType::f16:
      return 0x1p-10;
    default:
      return 0x1p-23;
  }
}

// Normal values, rounded to the type.
inline Array random_array(const Shape& shape, DType type, uint64_t seed, double deviation = 1) {
  return kernel::cast(normal(shape, deviation, seed), type);
}

inline std::vector<double> doubles(const Array& x) {
  const Array wide = kernel::cast(x, DType::f64);
  const auto span = wide.span<double>();
  return {span.begin(), span.end()};
}
inline Array from_doubles(const std::vector<double>& values, const Shape& shape, DType type) {
  return kernel::cast(Array::copy_of(std::span<const double>(values), shape), type);
}
inline bool same_bits(const Array& a, const Array& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         (a.size() == 0 ||
          std::memcmp(kernel::contiguous(a).raw(), kernel::contiguous(b).raw(), a.bytes()) == 0);
}

// |got - want| <= bound * max(scale, greatest |want|) everywhere; NaN and infinities must agree.
inline void expect_close(const Array& got, const std::vector<double>& want, double bound,
                         const std::string& what = "", double scale = 0) {
  const std::vector<double> x = doubles(got);
  ASSERT_EQ(x.size(), want.size()) << what;
  for (double w : want)
    if (std::isfinite(w)) scale = std::max(scale, std::fabs(w));
  for (size_t i = 0; i < x.size(); i++) {
    if (std::isnan(want[i])) {
      ASSERT_TRUE(std::isnan(x[i])) << what << " at " << i << ": " << x[i] << ", expected NaN";
    } else if (std::isinf(want[i])) {
      ASSERT_EQ(x[i], want[i]) << what << " at " << i;
    } else {
      ASSERT_LE(std::fabs(x[i] - want[i]), bound * scale + 1e-300)
          << what << " at " << i << ": " << x[i] << ", expected " << want[i];
    }
  }
}

// The derivatives of sum(c * f(x)) to x in f64 by central differences.
inline std::vector<double> differences(const Array& x, const std::vector<double>& c,
                                       const std::function<Array(const Array&)>& f) {
  const double h = 1e-5;
  std::vector<double> values = doubles(x), slope(values.size());
  auto loss = [&] {
    const std::vector<double> y = doubles(f(from_doubles(values, x.shape(), DType::f64)));
    double sum = 0;
    for (size_t i = 0; i < y.size(); i++) sum += c[i] * y[i];
    return sum;
  };
  for (size_t i = 0; i < values.size(); i++) {
    const double before = values[i];
    values[i] = before + h;
    const double up = loss();
    values[i] = before - h;
    slope[i] = (up - loss()) / (2 * h);
    values[i] = before;
  }
  return slope;
}

}  // namespace intarsia::test
