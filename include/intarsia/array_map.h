// map() on arrays: a pointwise formula of a user's own without its gradient. map.h has it for tensors and
// says how formulas are written.
#pragma once
#include <concepts>
#include <span>

#include "intarsia/array.h"
#include "intarsia/lambda_kernel.h"

namespace intarsia {
namespace detail {

// Broadcasts the inputs (any plain types). The result has the widest float type among them (bf16 with f16, or
// no float at all: f32) and is computed in f32, or in f64 if it is f64.
Array map_forward(const PointwiseKernel& kernel, std::span<const Array> x);
// dx[i] = dy * dy/dx[i], in dy's shape, for the inputs i in the bit mask.
void map_backward(const PointwiseKernel& kernel, unsigned active, const Array& dy, std::span<const Array> x,
                  Array* dx);
// One of the kernels that INTARSIA_KERNEL made for base, avx2 and avx512: that of the active rung.
const PointwiseKernel& active_kernel(const PointwiseKernel* const (&kernels)[3]);

}  // namespace detail

namespace {

// f(x...) elementwise. Up to 4 arrays, which broadcast.
template <class F, std::same_as<Array>... X>
  requires(!std::same_as<F, PointwiseKernel> && sizeof...(X) >= 1 && sizeof...(X) <= 4)
Array map(F f, const X&... x) {
  static_assert(simd::inputs_of<F>() == sizeof...(X), "the lambda takes another number of arguments");
  const Array in[] = {x...};
  return detail::map_forward(simd::kernel_of(f), in);
}
// The same for kernels from a file that was compiled once per rung.
template <std::same_as<Array>... X>
Array map(const PointwiseKernel& kernel, const X&... x) {
  const Array in[] = {x...};
  return detail::map_forward(kernel, in);
}

}  // namespace

}  // namespace intarsia

// Declares a function NAME() that gives the kernels of INTARSIA_KERNEL(NAME, ...) for the rung in use.
#define INTARSIA_DECLARE_KERNEL(NAME)                                                                     \
  namespace intarsia_kernels {                                                                            \
  namespace base {                                                                                        \
  extern const ::intarsia::PointwiseKernel NAME;                                                          \
  }                                                                                                       \
  namespace avx2 {                                                                                        \
  extern const ::intarsia::PointwiseKernel NAME;                                                          \
  }                                                                                                       \
  namespace avx512 {                                                                                      \
  extern const ::intarsia::PointwiseKernel NAME;                                                          \
  }                                                                                                       \
  }                                                                                                       \
  inline const ::intarsia::PointwiseKernel& NAME() {                                                      \
    return ::intarsia::detail::active_kernel(                                                             \
        {&intarsia_kernels::base::NAME, &intarsia_kernels::avx2::NAME, &intarsia_kernels::avx512::NAME}); \
  }
