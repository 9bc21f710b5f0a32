// Range kernels of the pointwise formulas (intarsia/pointwise.inl).
#pragma once
#include "intarsia/pointwise_kernel.h"
#include "kernel/formula.h"

namespace intarsia::kernel {

struct PointwiseSlots {
  PointwiseKernel formula[formula_count];
  void (*in_place[formula_count])(float* x, int64_t n);  // x = f(x), for formulas of one input; else null
};

}  // namespace intarsia::kernel
