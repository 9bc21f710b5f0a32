#include "model/layout.h"

#include <cstring>
#include <utility>

#include "core/fail.h"
#include "kernel/kernels.h"

namespace intarsia {

namespace {

bool is_transposed(const Weight& weight, Layout layout) {
  return weight.transposed && layout == Layout::hugging_face;
}
bool is_rotary(const Weight& weight, Layout layout) {
  return weight.rotary_heads && layout != Layout::hugging_face;
}

Array transposed(const Array& x) {
  return kernel::contiguous(x.view({x.dim(1), x.dim(0)}, {x.strides()[1], x.strides()[0]}));
}

// Rows (h, j, i) of heads h, halves j and pairs i to rows (h, i, j), or back.
Array with_moved_rows(const Array& x, int64_t heads, bool to_neighbours) {
  const Array from = kernel::contiguous(x);
  Array to = Array::empty(from.shape(), from.dtype());
  const int64_t rows = from.dim(0);
  const int64_t pairs = rows / heads / 2;
  const size_t row_bytes = from.bytes() / static_cast<size_t>(rows);
  const auto* source = static_cast<const char*>(from.raw());
  auto* target = static_cast<char*>(to.raw_mutable());
  for (int64_t head = 0; head < heads; head++) {
    for (int64_t pair = 0; pair < pairs; pair++) {
      for (int64_t half = 0; half < 2; half++) {
        int64_t halves_row = (head * 2 + half) * pairs + pair;
        int64_t neighbours_row = (head * pairs + pair) * 2 + half;
        if (to_neighbours) std::swap(halves_row, neighbours_row);
        std::memcpy(target + static_cast<size_t>(halves_row) * row_bytes,
                    source + static_cast<size_t>(neighbours_row) * row_bytes, row_bytes);
      }
    }
  }
  return to;
}

}  // namespace

Shape stored_shape(const Weight& weight, const Shape& shape, Layout layout) {
  return is_transposed(weight, layout) ? Shape{shape[1], shape[0]} : shape;
}

Array from_layout(const Weight& weight, const Array& stored, Layout layout) {
  if (is_transposed(weight, layout)) return transposed(stored);
  if (is_rotary(weight, layout)) return with_moved_rows(stored, weight.rotary_heads, false);
  return stored;
}

Array to_layout(const Weight& weight, const Array& value, Layout layout) {
  if (is_transposed(weight, layout)) return transposed(value);
  if (is_rotary(weight, layout)) return with_moved_rows(value, weight.rotary_heads, true);
  return kernel::contiguous(value);
}

}  // namespace intarsia
