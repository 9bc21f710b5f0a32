// One pointwise formula as range kernels: what map() makes of a user's lambda and what the library's own
// formulas are.
#pragma once
#include <cstdint>

namespace intarsia {

struct bf16;

// Kernels on `n` contiguous elements of up to 4 inputs; x has one pointer an input, results may stand where
// an input stands. backward[mask] writes dx[i] = dy * dy/dx[i] for the inputs i in the bit mask and leaves
// the others alone. Each kernel is given `formula`, the lambda itself, which must live as long as the kernels
// are used.
template <class T>
struct PointwiseRange {  // on elements of type T
  void (*forward)(const void* formula, T* y, const T* const* x, int64_t n) = nullptr;
  void (*backward[16])(const void* formula, T* const* dx, const T* dy, const T* const* x, int64_t n) = {};
};
struct PointwiseKernel {
  int inputs = 0;
  const void* formula = nullptr;
  PointwiseRange<float> f32;
  PointwiseRange<double> f64;
  PointwiseRange<bf16> bf16s;  // computed in f32
};

}  // namespace intarsia
