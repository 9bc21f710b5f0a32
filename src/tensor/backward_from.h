#pragma once
#include "intarsia/tensor.h"

namespace intarsia::detail {

// Walks the graph below y back from its gradient dy; y's value is given up first.
void backward_from(Tensor y, Array dy);

}  // namespace intarsia::detail
