// How an operation asks the thread's Autocast: it starts again with its inputs in the type that is wanted.
#pragma once
#include <optional>

#include "op/record.h"

namespace intarsia {

// The type that `op` is to compute in, if an input has another one.
std::optional<DType> recast(const char* op, std::initializer_list<const Tensor*> inputs);
Tensor recast_to(DType type, const Tensor& x);

}  // namespace intarsia
