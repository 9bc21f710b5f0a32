// An array seen along one axis: [outer, length, inner], contiguous.
#pragma once
#include <algorithm>

#include "core/threads.h"
#include "kernel/strided.h"

namespace intarsia::kernel {

struct AxisView {
  int64_t outer = 1, length = 1, inner = 1;
  AxisView(const Shape& shape, int axis) {
    for (int i = 0; i < shape.rank(); i++) (i < axis ? outer : i == axis ? length : inner) *= shape[i];
  }
};

inline constexpr int64_t axis_strip = 64;

// Calls body(first, width) for strips of up to axis_strip neighbouring columns, on several threads; `first`
// is the place of the strip's first element in an array of this view, whose further elements lie `inner` on.
template <class Body>
void for_columns(const AxisView& a, Body body) {
  const int64_t strips = (a.inner + axis_strip - 1) / axis_strip;
  const int64_t work = a.length * std::min(a.inner, axis_strip);
  parallel_for(a.outer * strips, row_grain(work), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t column = i % strips * axis_strip;
      body(i / strips * a.length * a.inner + column, std::min(axis_strip, a.inner - column));
    }
  });
}

}  // namespace intarsia::kernel
