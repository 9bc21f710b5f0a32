// Copies between layouts and element types, filling, accumulation.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/threads.h"
#include "kernel/kernels.h"
#include "kernel/strided.h"
#include "kernel/table.h"

namespace intarsia::kernel {
namespace {

constexpr int64_t block = 1024;  // a multiple of every quantized block
using Pair = Walk<2>;            // array 0 is read, array 1 written

bool is_integer(DType t) { return t >= DType::i8 && t <= DType::boolean; }
bool fits_f32(DType t) { return t != DType::f64 && t != DType::i32 && t != DType::u32 && t != DType::i64; }

// Calls f with a value of the unsigned type as wide as an element.
template <class F>
void with_word(DType dtype, F f) {
  switch (info(dtype).bytes) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    default:
      return f(uint64_t{});
  }
}

// Transposes tiles so that both sides are walked along cache lines: axis `a` is contiguous in the source, the
// last axis in the target.
template <class Word>
void transpose(const Word* from, int64_t from_stride, Word* to, int64_t to_stride, int64_t rows,
               int64_t columns) {
  constexpr int64_t tile = 16;
  for (int64_t r0 = 0; r0 < rows; r0 += tile)
    for (int64_t c0 = 0; c0 < columns; c0 += tile) {
      const int64_t r1 = std::min(rows, r0 + tile), c1 = std::min(columns, c0 + tile);
      for (int64_t r = r0; r < r1; r++)
        for (int64_t c = c0; c < c1; c++) to[r * to_stride + c] = from[c * from_stride + r];
    }
}

// A copy of one type where source and target run along different axes.
void copy_transposed(Pair walk, int along, DType dtype, const void* from, void* to) {
  const int last = walk.rank - 1;
  const int64_t rows = walk.dim[along], from_stride = walk.stride[0][last], to_stride = walk.stride[1][along];
  const int64_t columns = walk.dim[last];
  // The axis `along` leaves the walk; long ones are cut so that threads can share them.
  const int64_t piece = 64, pieces = (rows + piece - 1) / piece;
  walk.dim[along] = pieces;
  walk.stride[0][along] *= piece;
  walk.stride[1][along] *= piece;
  parallel_for(walk.rows(), row_grain(piece * columns), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const RowCursor<2> place(walk, i);
      int64_t index = i;
      for (int axis = walk.rank - 2; axis > along; axis--) index /= walk.dim[axis];
      const int64_t first = index % pieces * piece;
      with_word(dtype, [&](auto word) {
        using Word = decltype(word);
        transpose(static_cast<const Word*>(from) + place.offset[0], from_stride,
                  static_cast<Word*>(to) + place.offset[1], to_stride, std::min(piece, rows - first),
                  columns);
      });
    }
  });
}

void copy_row(DType from_type, const char* from, int64_t from_stride, DType to_type, char* to,
              int64_t to_stride, int64_t n) {
  if (from_stride == 1 && to_stride == 1) return convert_run(from_type, from, to_type, to, n);
  if (from_type == to_type && to_stride == 1) return gather_run(from_type, from, from_stride, to, n);
  if (from_type == to_type && from_stride == 1) return scatter_run(from_type, from, to, to_stride, n);
  double gathered[block], converted[block];
  for (int64_t i = 0; i < n; i += block) {
    const int64_t count = std::min(block, n - i);
    const char* source = address(from, from_type, i * from_stride);
    char* target = address(to, to_type, i * to_stride);
    const void* run = source;
    if (from_stride != 1) {
      gather_run(from_type, source, from_stride, gathered, count);
      run = gathered;
    }
    void* result = to_stride == 1 ? static_cast<void*>(target) : converted;
    convert_run(from_type, run, to_type, result, count);
    if (to_stride != 1) scatter_run(to_type, converted, target, to_stride, count);
  }
}

void dequantize(const Array& from, Array& to) {
  if (!from.contiguous())
    fail("copy: a view of {} that is not contiguous cannot be dequantized", info(from.dtype()).name);
  if (!to.contiguous()) {
    Array wide = cast(from, DType::f32);
    return copy(wide, to);
  }
  const DTypeInfo& type = info(from.dtype());
  const char* source = static_cast<const char*>(from.raw());
  void* target = to.raw_mutable();
  const int64_t blocks = from.size() / type.block, step = block / type.block;
  parallel_for(blocks, thread_grain / type.block, [&](int64_t begin, int64_t end) {
    float wide[block];
    for (int64_t i = begin; i < end; i += step) {
      const int64_t count = std::min(step, end - i) * type.block;
      float* out = to.dtype() == DType::f32 ? static_cast<float*>(target) + i * type.block : wide;
      table().product.dequantize(from.dtype(), source + i * type.bytes, count, out);
      if (out == wide)
        convert_run(DType::f32, wide, to.dtype(), address(target, to.dtype(), i * type.block), count);
    }
  });
}

}  // namespace

void convert_run(DType from_type, const void* from, DType to_type, void* to, int64_t n) {
  const RowSlots& rows = table().rows;
  const int a = static_cast<int>(from_type), b = static_cast<int>(to_type);
  if (from_type == to_type) {
    std::memcpy(to, from, static_cast<size_t>(n) * static_cast<size_t>(info(from_type).bytes));
  } else if (to_type == DType::f32) {
    rows.to_f32[a](from, static_cast<float*>(to), n);
  } else if (from_type == DType::f32) {
    rows.from_f32[b](static_cast<const float*>(from), to, n);
  } else {
    for (int64_t i = 0; i < n; i += block) {
      const int64_t count = std::min(block, n - i);
      const char* source = address(from, from_type, i);
      char* target = address(to, to_type, i);
      if (is_integer(from_type) && is_integer(to_type)) {
        int64_t between[block];
        rows.to_i64[a](source, between, count);
        if (to_type == DType::boolean)
          for (int64_t k = 0; k < count; k++) between[k] = between[k] != 0;
        rows.from_i64[b](between, target, count);
      } else if (fits_f32(from_type) && fits_f32(to_type)) {
        float between[block];
        rows.to_f32[a](source, between, count);
        rows.from_f32[b](between, target, count);
      } else {
        double between[block];
        rows.to_f64[a](source, between, count);
        rows.from_f64[b](between, target, count);
      }
    }
  }
}

void gather_run(DType dtype, const void* from, int64_t stride, void* to, int64_t n) {
  if (stride == -1)
    return table().rows.backwards[std::countr_zero(static_cast<unsigned>(info(dtype).bytes))](from, to, n);
  with_word(dtype, [&](auto word) {
    using Word = decltype(word);
    for (int64_t i = 0; i < n; i++) static_cast<Word*>(to)[i] = static_cast<const Word*>(from)[i * stride];
  });
}
void scatter_run(DType dtype, const void* from, void* to, int64_t stride, int64_t n) {
  with_word(dtype, [&](auto word) {
    using Word = decltype(word);
    for (int64_t i = 0; i < n; i++) static_cast<Word*>(to)[i * stride] = static_cast<const Word*>(from)[i];
  });
}

void copy(const Array& from, Array& to) {
  if (!(from.shape() == to.shape())) fail("copy: shape {} into {}", from.shape().text(), to.shape().text());
  if (is_quantized(to.dtype()) && from.dtype() != to.dtype())
    fail("copy: cannot quantize to {}", info(to.dtype()).name);
  if (from.size() == 0) return;
  if (is_quantized(from.dtype())) {
    if (from.dtype() != to.dtype()) return dequantize(from, to);
    if (!from.contiguous() || !to.contiguous())
      fail("copy: {} is copied whole, not by views", info(to.dtype()).name);
    std::memcpy(to.raw_mutable(), from.raw(), from.bytes());
    return;
  }
  const void* source = from.raw();
  void* target = to.raw_mutable();
  Pair walk(from.shape());
  walk.add(from);
  walk.add(to);
  walk.order_by(1);
  walk.collapse();
  const int last = walk.rank - 1;
  if (from.dtype() == to.dtype() && walk.rank > 1 && walk.stride[0][last] != 1 && walk.stride[1][last] == 1)
    for (int axis = 0; axis < last; axis++)
      if (walk.stride[0][axis] == 1 && walk.dim[axis] >= 4)
        return copy_transposed(walk, axis, from.dtype(), source, target);
  const int64_t inner = walk.inner(), from_stride = walk.stride[0][last], to_stride = walk.stride[1][last];
  if (walk.rank == 1) {
    parallel_for(inner, thread_grain, [&](int64_t begin, int64_t end) {
      copy_row(from.dtype(), address(source, from.dtype(), begin * from_stride), from_stride, to.dtype(),
               address(target, to.dtype(), begin * to_stride), to_stride, end - begin);
    });
    return;
  }
  parallel_for(walk.rows(), row_grain(inner), [&](int64_t begin, int64_t end) {
    RowCursor<2> row(walk, begin);
    for (int64_t i = begin; i < end; i++, row.next())
      copy_row(from.dtype(), address(source, from.dtype(), row.offset[0]), from_stride, to.dtype(),
               address(target, to.dtype(), row.offset[1]), to_stride, inner);
  });
}

Array contiguous(const Array& x) {
  if (x.contiguous()) return x;
  Array y = Array::empty(x.shape(), x.dtype());
  copy(x, y);
  return y;
}

Array cast(const Array& x, DType dtype) {
  if (x.dtype() == dtype) return contiguous(x);
  Array y = Array::empty(x.shape(), dtype);
  copy(x, y);
  return y;
}

void accumulate(Array& into, const Array& x) {
  if (!(into.shape() == x.shape()))
    fail("accumulate: shape {} into {}", x.shape().text(), into.shape().text());
  if (!into.contiguous()) fail("accumulate: the target is not contiguous");
  const int slot = float_slot(into.dtype(), "accumulate");
  const Array wide = cast(x, wide_of(into.dtype()));
  const void* source = wide.raw();
  void* target = into.raw_mutable();
  parallel_for(into.size(), thread_grain, [&](int64_t begin, int64_t end) {
    table().rows.accumulate[slot](address(target, into.dtype(), begin), address(source, wide.dtype(), begin),
                                  end - begin);
  });
}

void fill(Array& x, double value) {
  if (is_quantized(x.dtype())) fail("fill: cannot write {} elementwise", info(x.dtype()).name);
  Array one = Array::empty({}, x.dtype());
  table().rows.from_f64[static_cast<int>(x.dtype())](&value, one.raw_mutable(), 1);
  if (x.size() == 0) return;
  if (!x.contiguous()) {
    Shape still = x.shape();
    for (int i = 0; i < still.rank(); i++) still[i] = 0;
    return copy(one.view(x.shape(), still), x);
  }
  void* target = x.raw_mutable();
  const void* pattern = one.raw();
  parallel_for(x.size(), thread_grain, [&](int64_t begin, int64_t end) {
    with_word(x.dtype(), [&](auto word) {
      using Word = decltype(word);
      std::memcpy(&word, pattern, sizeof word);
      std::fill(static_cast<Word*>(target) + begin, static_cast<Word*>(target) + end, word);
    });
  });
}

Array dropout(const Array& x, double p, uint64_t seed, uint64_t stream, uint64_t index) {
  const int slot = float_slot(x.dtype(), "dropout");
  const Array source = contiguous(x);
  Array y = Array::empty(x.shape(), x.dtype());
  if (p >= 1) {
    fill(y, 0);
    return y;
  }
  const auto threshold = static_cast<uint64_t>(std::llround((1 - p) * 0x1p32));
  const void* from = source.raw();
  void* to = y.raw_mutable();
  parallel_for(x.size(), thread_grain / 4, [&](int64_t begin, int64_t end) {
    const DropoutFactors factors{seed, stream, index + static_cast<uint64_t>(begin), threshold, 1 / (1 - p)};
    table().rows.dropout[slot](address(from, x.dtype(), begin), address(to, x.dtype(), begin), end - begin,
                               factors);
  });
  return y;
}

}  // namespace intarsia::kernel
