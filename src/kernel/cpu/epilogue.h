// What happens to finished sums on their way into c.
#pragma once
#include "kernel/cpu/tile.h"
#include "kernel/product/slots_product.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

struct Place {  // rows x columns of c from (row, column) on
  int64_t row, column, rows, columns;
};

// The elements of a row of c's type from `at` on, as floats; room for NR more than `count`.
void load_row(const Product& p, const void* data, int64_t at, float* x, int64_t count) {
  switch (p.c_type) {
    case DType::f64: {
      const auto* from = static_cast<const double*>(data) + at;
      for (int64_t j = 0; j < count; j++) x[j] = static_cast<float>(from[j]);
      return;
    }
    case DType::bf16:
    case DType::f16: {
      const auto* from = static_cast<const uint16_t*>(data) + at;
      for (int64_t j = 0; j < count; j += W) {
        store_words(x + j, p.c_type == DType::bf16 ? FromBf16::along(from + j, count - j)
                                                   : FromF16::along(from + j, count - j));
      }
      return;
    }
    default:
      std::memcpy(x, static_cast<const float*>(data) + at, static_cast<size_t>(count) * 4);
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

void store_integers(const Product& p, int64_t at, const float* x, int64_t count) {
  auto* c = static_cast<int32_t*>(p.c) + at;
  const auto* added = p.added ? static_cast<const int32_t*>(p.added) + at : nullptr;
  for (int64_t j = 0; j < count; j++) {
    uint32_t sum;
    std::memcpy(&sum, x + j, 4);
    if (added) sum += static_cast<uint32_t>(added[j]);
    c[j] = static_cast<int32_t>(sum);
  }
}

// i32 sums of a row to floats.
void scale_integers(const Product& p, int64_t row, int64_t column, float* x, int64_t count) {
  const float row_scale = p.row_scale ? p.row_scale[row] : 1.0f;
  for (int64_t j = 0; j < count; j++) {
    int32_t sum;
    std::memcpy(&sum, x + j, 4);
    const float scale = p.column_scale ? row_scale * p.column_scale[column + j] : row_scale;
    x[j] = static_cast<float>(sum) * scale;
  }
}

// c += x, the gradient of a weight that meets one batch after the other.
bool only_adds(const Product& p) {
  return p.added && p.c_type == DType::f32 && p.word != ProductWord::int8_quad && !p.bias && !p.activation &&
         !p.gate;
}
void add_rows(const Product& p, const Place& place, const float* x, int64_t distance) {
  for (int64_t r = 0; r < place.rows; r++, x += distance) {
    const int64_t at = (place.row + r) * p.c_distance + place.column;
    const float* added = static_cast<const float*>(p.added) + at;
    float* c = static_cast<float*>(p.c) + at;
    int64_t j = 0;
    for (; j + W <= place.columns; j += W) store(c + j, load(x + j) + load(added + j));
    for (; j < place.columns; j++) c[j] = x[j] + added[j];
  }
}

// The epilogue of finished sums x[rows][distance], which it changes.
void finish(const Product& p, const Place& place, float* x, int64_t distance) {
  if (only_adds(p)) return add_rows(p, place, x, distance);
  alignas(64) float other[MR * NR + NR];
  const int64_t columns = place.columns;
  for (int64_t r = 0; r < place.rows; r++, x += distance) {
    const int64_t at = (place.row + r) * p.c_distance + place.column;
    if (p.c_type == DType::i32) {
      store_integers(p, at, x, columns);
      continue;
    }
    if (p.word == ProductWord::int8_quad) scale_integers(p, place.row + r, place.column, x, columns);
    if (p.added) {
      load_row(p, p.added, at, other, columns);
      for (int64_t j = 0; j < columns; j++) x[j] += other[j];
    }
    if (p.bias) {
      for (int64_t j = 0; j < columns; j++) x[j] += p.bias[place.column + j];
    }
    if (p.activation) p.activation(x, columns);
    store_c(p, at, x, columns);
    if (p.gate) {
      load_row(p, p.c, at, x, columns);  // as rounded
      load_row(p, p.gate, at, other, columns);
      if (p.gate_activation) p.gate_activation(other, columns);
      for (int64_t j = 0; j < columns; j++) x[j] *= other[j];
      store_c(p, at, x, columns);
    }
  }
}

}  // namespace
}  // namespace intarsia::kernel::INTARSIA_RUNG
