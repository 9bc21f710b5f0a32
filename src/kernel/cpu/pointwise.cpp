// The formulas of intarsia/pointwise.inl for one rung.
#include "intarsia/lambda_kernel.h"
#include "kernel/cpu/rung.h"
#include "kernel/slots_pointwise.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

#define POINTWISE(NAME, INPUTS, ...) \
  constexpr auto formula_##NAME = [] INPUTS INTARSIA_LAMBDA { return __VA_ARGS__; };
#include "intarsia/pointwise.inl"
#undef POINTWISE

template <class F>
void in_place(float* x, int64_t n) {
  constexpr F f{};
  simd::forward<F, simd::Float, float>(&f, x, &x, n);
}

template <class F>
void fill(PointwiseSlots& slots, Formula number, const F& f) {
  const int i = static_cast<int>(number);
  slots.formula[i] = simd::kernel_of(f);
  if constexpr (simd::inputs_of<F>() == 1)
    slots.in_place[i] = in_place<F>;
  else
    slots.in_place[i] = nullptr;
}

}  // namespace

void fill_pointwise(PointwiseSlots& slots);
void fill_pointwise(PointwiseSlots& slots) {
#define POINTWISE(NAME, ...) fill(slots, Formula::NAME, formula_##NAME);
#include "intarsia/pointwise.inl"
#undef POINTWISE
}

}  // namespace intarsia::kernel::INTARSIA_RUNG
