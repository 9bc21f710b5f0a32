// Views of matrices, without a copy.
#pragma once
#include <utility>

#include "intarsia/array.h"

namespace intarsia {

// The last two axes of x changed round.
inline Array transposed(const Array& x) {
  Shape shape = x.shape(), strides = x.strides();
  std::swap(shape[-1], shape[-2]);
  std::swap(strides[-1], strides[-2]);
  return x.view(shape, strides);
}

}  // namespace intarsia
