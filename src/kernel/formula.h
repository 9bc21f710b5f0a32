// The pointwise formulas by number and name, in the order of intarsia/pointwise.inl.
#pragma once

namespace intarsia::kernel {

enum class Formula : int {
#define POINTWISE(NAME, ...) NAME,
#include "intarsia/pointwise.inl"
#undef POINTWISE
};

inline constexpr const char* formula_names[] = {
#define POINTWISE(NAME, ...) #NAME,
#include "intarsia/pointwise.inl"
#undef POINTWISE
};
inline constexpr int formula_count = static_cast<int>(sizeof formula_names / sizeof *formula_names);

}  // namespace intarsia::kernel
