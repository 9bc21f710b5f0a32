// Pointwise operations of a user's own: a generic lambda gives the value, the gradient, every element type
// and broadcasting.
//
//   Tensor y = map([](auto x) { return x * sigmoid(1.702 * x); }, x);
//
// The lambda may use + - * /, comparisons, select(condition, a, b), fma, min, max, abs, sqrt, rsqrt, pow,
// exp, expm1, log, log1p, sin, cos, atan, tanh, erf, normal_cdf, sigmoid, softplus, relu, sign, floor, ceil
// and round, and may capture numbers by value. It runs with the instruction set that its file is compiled
// for. To have it in all instruction sets, write it in a file of its own,
//
//   #include <intarsia/lambda_kernel.h>
//   INTARSIA_KERNEL(quick_gelu, (auto x), x * sigmoid(1.702 * x))
//
// give that file to the CMake function intarsia_add_kernels(my_program quick_gelu.cpp), and elsewhere write
//
//   INTARSIA_DECLARE_KERNEL(quick_gelu)
//   Tensor y = map(quick_gelu(), x);
#pragma once
#include <array>
#include <concepts>
#include <functional>

#include "intarsia/array_map.h"
#include "intarsia/tensor.h"

namespace intarsia {
namespace {

// Records y = map(...) with a backward that asks `kernel` (a function) for the kernels.
template <class Kernel, class... X>
Tensor map_recorded(Kernel kernel, const X&... x) {
  static constexpr int count = sizeof...(X);
  const Array in[] = {x.array()...};
  Array y = detail::map_forward(kernel(), in);
  return record("map", std::move(y), {&x...},
                [kernel, saved = std::array<Saved, count>{Saved(x)...}](const Array& dy, Gradients& dx) {
                  Array inputs[count], gradients[count];
                  unsigned active = 0;
                  for (int i = 0; i < count; i++) {
                    inputs[i] = *saved[static_cast<size_t>(i)];
                    active |= static_cast<unsigned>(dx.needs(i)) << i;
                  }
                  detail::map_backward(kernel(), active, dy, inputs, gradients);
                  for (int i = 0; i < count; i++)
                    if (active >> i & 1) dx.add(i, std::move(gradients[i]));
                });
}

// f(x...) elementwise, with its gradient. Up to 4 tensors, which broadcast; see the top of this file.
template <class F, std::same_as<Tensor>... X>
  requires(!std::same_as<F, PointwiseKernel> && sizeof...(X) >= 1 && sizeof...(X) <= 4)
Tensor map(F f, const X&... x) {
  static_assert(simd::inputs_of<F>() == sizeof...(X), "the lambda takes another number of arguments");
  return map_recorded([f] { return simd::kernel_of(f); }, x...);
}
// The same for kernels from a file that was compiled once per rung.
template <std::same_as<Tensor>... X>
Tensor map(const PointwiseKernel& kernel, const X&... x) {
  return map_recorded([kernel] { return kernel; }, x...);
}

// A step between q k scale and the softmax of attention(): f(score), f(score, query position) or f(score,
// query position, key position), with its gradient to the score.
//
//   options.formula = score_formula([](auto s, auto i, auto j) { return s - 0.1 * abs(i - j); });
template <class F>
std::function<PointwiseKernel()> score_formula(F f) {
  return [f] { return simd::kernel_of(f); };
}

}  // namespace

}  // namespace intarsia
