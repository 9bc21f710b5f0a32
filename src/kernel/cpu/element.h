// What the row kernels need to know of an element type.
#pragma once
#include "intarsia/elementary.h"
#include "kernel/row/slots_rows.h"

namespace intarsia::kernel {
namespace {

using simd::Double;
using simd::Float;
using simd::for_lanes;
using simd::Full;
using simd::Partial;

template <class T>
struct Element {
  using V = Float;
  using Wide = float;
};
template <>
struct Element<double> {
  using V = Double;
  using Wide = double;
};

// The total of term(i, lanes) over a row: four running vectors, joined in a fixed order.
template <class V, class Term>
INTARSIA_INLINE typename V::Scalar total(int64_t n, Term term) {
  V a = 0, b = 0, c = 0, d = 0;
  int64_t i = 0;
  for (; i + 4 * V::width <= n; i += 4 * V::width) {
    a = a + term(i, Full{});
    b = b + term(i + V::width, Full{});
    c = c + term(i + 2 * V::width, Full{});
    d = d + term(i + 3 * V::width, Full{});
  }
  for (; i + V::width <= n; i += V::width) a = a + term(i, Full{});
  if constexpr (V::width > 1)
    if (i < n) b = b + term(i, Partial{static_cast<int>(n - i)});
  return simd::sum((a + b) + (c + d));
}

// Fills a slot for each float type with the instance of a kernel.
#define FILL_FLOATS(SLOT, KERNEL) \
  SLOT[0] = KERNEL<float>;        \
  SLOT[1] = KERNEL<double>;       \
  SLOT[2] = KERNEL<bf16>;         \
  SLOT[3] = KERNEL<f16>

}  // namespace
}  // namespace intarsia::kernel
