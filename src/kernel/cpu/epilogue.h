// What happens to finished sums on their way into c.
#pragma once
#include "kernel/cpu/tile.h"
#include "kernel/slots_product.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

struct Place {  // rows x columns of c from (row, column) on
  int64_t row, column, rows, columns;
};

template <class Convert, class C>
void add_row(const C* c, float* x, int64_t count, Convert convert) {
  for (int64_t j = 0; j < count; j++) x[j] += convert(c[j]);
}

// Adds a row of p.added, of any float type, to x.
void add_added(const Product& p, int64_t at, float* x, int64_t count) {
  switch (p.c_type) {
    case DType::f64:
      add_row(static_cast<const double*>(p.added) + at, x, count,
              [](double v) { return static_cast<float>(v); });
      return;
    case DType::bf16:
    case DType::f16: {
      const auto* c = static_cast<const uint16_t*>(p.added) + at;
      for (int64_t j = 0; j < count; j += W) {
        const Words old =
            p.c_type == DType::bf16 ? FromBf16::along(c + j, count - j) : FromF16::along(c + j, count - j);
        const Words sum = as_words(as_floats(load_first_words(x + j, count - j)) + as_floats(old));
        store_first_words(x + j, sum, count - j);
      }
      return;
    }
    default:
      add_row(static_cast<const float*>(p.added) + at, x, count, [](float v) { return v; });
  }
}

void store_c(const Product& p, int64_t at, const float* x, int64_t count) {
  switch (p.c_type) {
    case DType::f64: {
      auto* c = static_cast<double*>(p.c) + at;
      for (int64_t j = 0; j < count; j++) c[j] = static_cast<double>(x[j]);
      return;
    }
    case DType::bf16:
    case DType::f16: {
      auto* c = static_cast<uint16_t*>(p.c) + at;
      for (int64_t j = 0; j < count; j += NR) {
        const Floats first = as_floats(load_first_words(x + j, count - j));
        const Floats second = as_floats(load_first_words(x + j + W, count - j - W));
        uint16_t halves[NR];
        uint16_t* to = count - j >= NR ? c + j : halves;
        if (p.c_type == DType::bf16) {
          store_bf16(to, first, second);
        } else {
          store_f16(to, first);
          store_f16(to + W, second);
        }
        if (to == halves) std::memcpy(c + j, halves, static_cast<size_t>(count - j) * 2);
      }
      return;
    }
    default:
      std::memcpy(static_cast<float*>(p.c) + at, x, static_cast<size_t>(count) * 4);
  }
}

// The epilogue of finished sums x[rows][distance], which it changes.
void finish(const Product& p, const Place& place, float* x, int64_t distance) {
  for (int64_t r = 0; r < place.rows; r++, x += distance) {
    const int64_t at = (place.row + r) * p.c_distance + place.column;
    if (p.added) add_added(p, at, x, place.columns);
    if (p.bias) add_row(p.bias + place.column, x, place.columns, [](float v) { return v; });
    if (p.activation) p.activation(x, place.columns);
    store_c(p, at, x, place.columns);
  }
}

}  // namespace
}  // namespace intarsia::kernel::INTARSIA_RUNG
