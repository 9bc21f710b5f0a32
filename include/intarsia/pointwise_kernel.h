// One pointwise formula as range kernels: what map() makes of a user's lambda and what the library's own formulas are.
#pragma once
#include <cstdint>

namespace intarsia {

// Kernels on `n` contiguous elements of up to 4 inputs; x has one pointer an input, results may stand where an input
// stands. backward[mask] writes dx[i] = dy * dy/dx[i] for the inputs i in the bit mask and leaves the others alone.
// Each kernel is given `formula`, the lambda itself, which must live as long as the kernels are used.
struct PointwiseKernel {
  int inputs = 0;
  const void* formula = nullptr;
  void (*forward)(const void* formula, float* y, const float* const* x, int64_t n) = nullptr;
  void (*forward64)(const void* formula, double* y, const double* const* x, int64_t n) = nullptr;
  void (*backward[16])(const void* formula, float* const* dx, const float* dy, const float* const* x, int64_t n) = {};
  void (*backward64[16])(const void* formula, double* const* dx, const double* dy, const double* const* x,
                         int64_t n) = {};
};

}  // namespace intarsia
