#include "tensor/sum_to.h"

#include "core/fail.h"
#include "kernel/kernels.h"

namespace intarsia::detail {

Array sum_to(const Array& x, const Shape& shape, DType dtype) {
  if (x.shape() == shape) return x.dtype() == dtype ? x : kernel::cast(x, dtype);
  const int extra = x.rank() - shape.rank();
  if (extra < 0) fail("backward: a gradient has shape {}, expected {}", x.shape().text(), shape.text());
  unsigned axes = 0;
  for (int i = 0; i < x.rank(); i++) {
    const int64_t wanted = i < extra ? 1 : shape[i - extra];
    if (x.dim(i) == wanted && i >= extra) continue;
    if (wanted != 1) fail("backward: a gradient has shape {}, expected {}", x.shape().text(), shape.text());
    axes |= 1u << i;
  }
  return kernel::reduce(kernel::Reduction::sum, x, axes, dtype).reshape(shape);
}

}  // namespace intarsia::detail
