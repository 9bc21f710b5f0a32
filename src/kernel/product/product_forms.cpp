// Products in other forms: matrices packed once, groups of rows with a matrix each, int8, f32 from parts of
// bf16.
#include <algorithm>
#include <cstring>
#include <vector>

#include "core/fail.h"
#include "core/threads.h"
#include "kernel/kernels.h"
#include "kernel/product/multiply.h"
#include "kernel/table.h"

namespace intarsia::kernel {

// ---- packed once

PackedMatrix pack(const Array& b_given, DType type) {
  if (type != DType::f32 && type != DType::bf16)
    fail("pack: products of {} are asked for, expected f32 or bf16", info(type).name);
  Array a = Array::empty({0, b_given.dim(0)}, type), b = b_given;
  choose_types(a, b);
  if (!is_quantized(b.dtype()) && (type == DType::bf16 || b.dtype() == DType::f64)) b = cast(b, type);
  Product p;
  p.n = b.dim(1);
  p.k = b.dim(0);
  const Operand right = operand_of(b);
  set_right(p, right);
  p.word = word_of(type, b.dtype());
  const ProductSlots& slots = table().product;
  const int64_t panels = panels_of(p), words = words_of(p);
  PackedMatrix packed{Array::empty({panels, words, slots.tile_columns}, DType::u32), type, p.k, p.n,
                      table().name};
  auto* to = static_cast<uint32_t*>(packed.panels.raw_mutable());
  parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    ProductPart part;
    part.panel = begin;
    part.panel_end = end;
    part.word_end = words;
    slots.of(p).pack(p, part, to + begin * words * slots.tile_columns);
  });
  return packed;
}

Array unpack(const PackedMatrix& b) {
  const int64_t words = b.panels.dim(1), columns = b.panels.dim(2), bytes = info(b.type).bytes;
  Array rows = Array::empty({b.n, b.k}, b.type);
  const auto* from = static_cast<const char*>(b.panels.raw());
  auto* to = static_cast<char*>(rows.raw_mutable());
  const int64_t elements = 4 / bytes;
  parallel_for(b.n, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const char* column = from + (i / columns * words * columns + i % columns) * 4;
      for (int64_t k = 0; k < b.k; k++) {
        std::memcpy(to + (i * b.k + k) * bytes, column + k / elements * columns * 4 + k % elements * bytes,
                    static_cast<size_t>(bytes));
      }
    }
  });
  return rows.view({b.k, b.n}, {1, b.k});
}

void matmul(const Array& a_given, const PackedMatrix& b, Array& c, bool accumulate,
            const Epilogue& epilogue) {
  if (b.rung != table().name)
    fail("matmul: the matrix was packed for rung {}, {} is active", b.rung, table().name);
  if (c.size() == 0) return;
  const bool kept = b.type == DType::f32 && (a_given.dtype() == DType::bf16 || a_given.dtype() == DType::f16);
  const Operand a = operand_of(kept ? a_given : cast(a_given, b.type));
  Product p;
  p.m = c.dim(0);
  p.n = b.n;
  set_left(p, a);
  p.b_type = b.type;
  p.word = word_of(p.a_type, b.type);
  set_result(p, c, accumulate, epilogue);
  multiply(p, static_cast<const uint32_t*>(b.panels.raw()), threads_for(multiply_adds(p)));
}

// ---- groups of rows

void grouped_matmul(const Array& x_given, std::span<const int64_t> sizes, const Array& w_given, Array& c) {
  if (c.size() == 0) return;
  Array x_array = x_given, w_array = w_given;
  choose_types(x_array, w_array);
  if (x_array.dtype() == DType::f64 && c.dtype() != DType::f64 && c.dtype() != DType::f32) {
    Array wide = Array::empty(c.shape(), DType::f64);
    grouped_matmul(x_array, sizes, w_array, wide);
    return copy(wide, c);
  }
  const Operand x = operand_of(x_array), w = operand_of(w_array);
  Product p;
  p.m = c.dim(0);
  p.n = c.dim(1);
  set_left(p, x);
  set_right(p, w);
  p.word = word_of(p.a_type, p.b_type);
  set_result(p, c, false, {});

  // A group costs its rows, and reading and packing its matrix, which is worth some more. The threads take
  // equal shares of the cost in the order of the rows.
  constexpr int64_t matrix_cost = 24;
  std::vector<int64_t> rows, costs;  // before each group
  int64_t row = 0, cost = 0;
  for (const int64_t size : sizes) {
    rows.push_back(row);
    costs.push_back(cost);
    row += size;
    cost += size ? size + matrix_cost : 0;
  }
  const int64_t w_stride = w.array.dim(0) > 1 ? w.array.strides()[0] : 0;
  const int threads = static_cast<int>(std::min<int64_t>(threads_for(multiply_adds(p)), p.m));
  parallel(threads, [&](int i) {
    const int64_t begin = cost * i / threads, end = cost * (i + 1) / threads;
    for (size_t g = 0; g < sizes.size(); g++) {
      const auto row_at = [&](int64_t share) {
        return std::clamp<int64_t>(share - costs[g] - matrix_cost, 0, sizes[g]);
      };
      const int64_t first = row_at(begin), last = row_at(end);
      if (first == last) continue;
      Product q = p;
      q.m = last - first;
      const int64_t at = rows[g] + first;
      q.a = advance(p.a, p.a_type, p.a_transposed ? at : at * p.a_distance);
      q.b = advance(p.b, p.b_type, static_cast<int64_t>(g) * w_stride);
      q.c = static_cast<char*>(p.c) + at * p.c_distance * info(p.c_type).bytes;
      multiply(q, nullptr, 1);
    }
  });
}

void grouped_matmul_backward(const Array& x, std::span<const int64_t> sizes, const Array& dy, Array& dw) {
  const Array left = contiguous(x), right = contiguous(dy);
  const int64_t k = x.dim(1), n = dy.dim(1);
  int64_t row = 0;
  for (size_t g = 0; g < sizes.size(); g++) {
    Array of_group = dw.view({k, n}, {n, 1}, static_cast<int64_t>(g) * k * n);
    matmul(left.view({k, sizes[g]}, {1, k}, row * k), right.view({sizes[g], n}, {n, 1}, row * n), of_group);
    row += sizes[g];
  }
}

// ---- int8

void quantize_rows(const Array& x_given, Array& q, Array& scales) {
  const Array x = cast(x_given, DType::f32);
  const int64_t k = x.dim(-1), rows = scales.size();
  const float* from = x.data<float>();
  auto* to = static_cast<int8_t*>(q.raw_mutable());
  float* scale = scales.mutable_data<float>();
  const ProductSlots& slots = table().product;
  parallel_for(rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, k)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) scale[i] = slots.quantize_row(from + i * k, k, to + i * k);
  });
}

void matmul_int8(const Array& a_given, const Array& b_given, Array& c, const float* row_scale,
                 const float* column_scale) {
  if (c.size() == 0) return;
  const Operand a = operand_of(a_given), b = operand_of(b_given);
  Product p;
  p.m = c.dim(0);
  p.n = c.dim(1);
  set_left(p, a);
  set_right(p, b);
  p.word = ProductWord::int8_quad;
  p.row_scale = row_scale;
  p.column_scale = column_scale;
  set_result(p, c, false, {});
  const int threads = threads_for(multiply_adds(p));
  const ProductSlots& slots = table().product;
  Array start;
  if (slots.int8_start) {
    start = Array::zeros({p.m + int64_t{2} * slots.tile_rows}, DType::i32);
    auto* of_row = static_cast<int32_t*>(start.raw_mutable());
    parallel_for(p.m, (p.m + threads - 1) / threads,
                 [&](int64_t begin, int64_t end) { slots.int8_start(p, begin, end, of_row); });
    p.start = of_row;
  }
  multiply(p, nullptr, threads);
}

// ---- f32 from bf16

void matmul_of_parts(const Array& a, const Array& b, Array& c, int products) {
  // Which part of a meets which of b, the smallest first.
  static constexpr int a_three[] = {1, 0, 0}, b_three[] = {0, 1, 0};
  static constexpr int a_six[] = {2, 1, 0, 1, 0, 0}, b_six[] = {0, 1, 2, 0, 1, 0};
  // `chunk` neighbouring numbers become the chosen parts of them, one after the other.
  const auto parts_of = [&](const Array& x_given, const Shape& shape, int64_t chunk, const int* order) {
    const Array x = cast(x_given, DType::f32);
    Array y = Array::empty(shape, DType::bf16);
    const float* from = x.data<float>();
    auto* to = static_cast<uint16_t*>(y.raw_mutable());
    const ProductSlots& slots = table().product;
    parallel_for(chunk ? x.size() / chunk : 0, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, chunk)),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; i++) {
                     uint16_t* const out = to + i * chunk * products;
                     uint16_t* parts[3] = {};
                     for (int j = products - 1; j >= 0; j--) parts[order[j]] = out + j * chunk;
                     slots.split_bf16(from + i * chunk, chunk, parts);
                     for (int j = 0; j < products; j++) {
                       if (out + j * chunk != parts[order[j]])
                         std::memcpy(out + j * chunk, parts[order[j]], static_cast<size_t>(chunk) * 2);
                     }
                   }
                 });
    return y;
  };
  Shape a_shape = a.shape(), b_shape = b.shape();
  a_shape[-1] *= products;
  b_shape[-2] *= products;
  const Array left = parts_of(a, a_shape, a.dim(-1), products == 3 ? a_three : a_six);
  const Array right = parts_of(b, b_shape, b.dim(-2) * b.dim(-1), products == 3 ? b_three : b_six);
  matmul(left, right, c);
}

}  // namespace intarsia::kernel
