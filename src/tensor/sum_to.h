// The gradient of broadcasting, in one place.
#pragma once
#include "intarsia/array.h"

namespace intarsia::detail {

// x summed over the axes along which `shape` was broadcast to x's shape, as an array of `shape` and `dtype`;
// x itself where nothing is to be done.
Array sum_to(const Array& x, const Shape& shape, DType dtype);

}  // namespace intarsia::detail
