// The part of map() that is the same for every formula (include/intarsia/array_map.h).
#include "intarsia/array_map.h"

#include <string_view>

#include "core/fail.h"
#include "kernel/kernels.h"
#include "kernel/table.h"

namespace intarsia::detail {

namespace {

// The widest float type; two different ones of 16 bits, and integers alone, give f32.
DType result_type(std::span<const Array> x) {
  bool any = false;
  DType widest = DType::f32;
  for (const Array& a : x) {
    const DType t = a.dtype();
    if (t == DType::f64) return t;
    if (!is_float(t)) continue;
    widest = !any || widest == t ? t : DType::f32;
    any = true;
  }
  return widest;
}

}  // namespace

Array map_forward(const PointwiseKernel& kernel, std::span<const Array> x) {
  return kernel::pointwise(kernel, x, result_type(x));
}

void map_backward(const PointwiseKernel& kernel, unsigned active, const Array& dy, std::span<const Array> x,
                  Array* dx) {
  kernel::pointwise_backward(kernel, active, dy, x, dx);
}

const PointwiseKernel& active_kernel(const PointwiseKernel* const (&kernels)[3]) {
  const std::string_view rung = kernel::table().name;
  return *kernels[rung == "base" ? 0 : rung == "avx2" ? 1 : 2];
}

}  // namespace intarsia::detail
