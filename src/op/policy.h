// How an operation asks the thread's Autocast: it starts again with its inputs in the type that is wanted.
#pragma once
#include <optional>

#include "op/record.h"

namespace intarsia {

// The type that `op` is to compute in, if an input has another one.
std::optional<DType> recast(const char* op, std::initializer_list<const Tensor*> inputs);
// Whether a list of names holds one.
bool holds_name(std::string_view list, std::string_view name);
Tensor recast_to(DType type, const Tensor& x);

}  // namespace intarsia
