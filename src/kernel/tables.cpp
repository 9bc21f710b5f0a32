// Rows picked by number: embedding and gather, and their gradients, which add in the order of the indices.
#include <cstring>

#include "core/threads.h"
#include "kernel/axis.h"
#include "kernel/kernels.h"
#include "kernel/strided.h"
#include "kernel/table.h"

namespace intarsia::kernel {
namespace {

void check_ids(const int64_t* ids, int64_t count, int64_t rows, const char* op) {
  for (int64_t i = 0; i < count; i++)
    if (ids[i] < 0 || ids[i] >= rows)
      fail("{}: index {} at place {}, expected 0 to {}", op, ids[i], i, rows - 1);
}

void zero(Array& x) {
  void* data = x.raw_mutable();
  const int64_t bytes = static_cast<int64_t>(x.bytes());
  parallel_for(bytes, 4 * thread_grain, [&](int64_t begin, int64_t end) {
    std::memset(static_cast<char*>(data) + begin, 0, static_cast<size_t>(end - begin));
  });
}

// A gather's geometry: index [outer, picks, inner] into x [outer, length, inner], where the index may be
// smaller than x on every axis.
struct Picks {
  Walk<2> walk;  // over the axes of index without `axis`: offsets into x, into index
  int64_t picks, x_step, index_step;
  Picks(const Shape& x, const Shape& index, int axis) : walk(without(index, axis)) {
    const Shape x_strides = contiguous_strides(x), index_strides = contiguous_strides(index);
    walk.add(without(index, axis), without(x_strides, axis));
    walk.add(without(index, axis), without(index_strides, axis));
    walk.collapse();
    picks = index[axis];
    x_step = x_strides[axis];
    index_step = index_strides[axis];
  }
  static Shape without(const Shape& s, int axis) {
    Shape r;
    for (int i = 0; i < s.rank(); i++)
      if (i != axis) r.append(s[i]);
    return r;
  }
};

int checked_axis(const Shape& x, int axis, const Array& index, const char* op) {
  if (axis < 0) axis += x.rank();
  if (axis < 0 || axis >= x.rank() || index.rank() != x.rank())
    fail("{}: axis {} of x {} with index {}", op, axis, x.text(), index.shape().text());
  for (int i = 0; i < x.rank(); i++)
    if (i != axis && index.dim(i) > x[i])
      fail("{}: index has shape {}, longer than x {} on axis {}", op, index.shape().text(), x.text(), i);
  check_ids(index.data<int64_t>(), index.size(), x[axis], op);
  return axis;
}

template <class Word>
void gather_words(const Word* x, const int64_t* index, Word* y, const Picks& p) {
  const int64_t inner = p.walk.inner(), x_inner = p.walk.stride[0][p.walk.rank - 1];
  const int64_t index_inner = p.walk.stride[1][p.walk.rank - 1];
  parallel_for(p.walk.rows(), row_grain(p.picks * inner), [&](int64_t begin, int64_t end) {
    RowCursor<2> row(p.walk, begin);
    for (int64_t i = begin; i < end; i++, row.next())
      for (int64_t k = 0; k < p.picks; k++)
        for (int64_t j = 0; j < inner; j++) {
          const int64_t to = row.offset[1] + k * p.index_step + j * index_inner;
          y[to] = x[row.offset[0] + index[to] * p.x_step + j * x_inner];
        }
  });
}

template <class Wide>
void scatter_add(Wide* dx, const int64_t* index, const Wide* dy, const Picks& p) {
  const int64_t inner = p.walk.inner(), x_inner = p.walk.stride[0][p.walk.rank - 1];
  const int64_t index_inner = p.walk.stride[1][p.walk.rank - 1];
  parallel_for(p.walk.rows(), row_grain(p.picks * inner), [&](int64_t begin, int64_t end) {
    RowCursor<2> row(p.walk, begin);
    for (int64_t i = begin; i < end; i++, row.next())
      for (int64_t k = 0; k < p.picks; k++)
        for (int64_t j = 0; j < inner; j++) {
          const int64_t from = row.offset[1] + k * p.index_step + j * index_inner;
          dx[row.offset[0] + index[from] * p.x_step + j * x_inner] += dy[from];
        }
  });
}

}  // namespace

Array embedding(const Array& w, const Array& ids) {
  if (w.rank() != 2) fail("embedding: the table has shape {}, expected [V, D]", w.shape().text());
  if (!w.contiguous()) fail("embedding: the table is not contiguous");
  const int64_t count = ids.size(), d = w.dim(1);
  const int64_t* id = ids.data<int64_t>();
  check_ids(id, count, w.dim(0), "embedding");
  Shape shape = ids.shape();
  shape.append(d);
  const bool quantized = is_quantized(w.dtype());
  Array y = Array::empty(shape, quantized ? DType::f32 : w.dtype());
  const DTypeInfo& type = info(w.dtype());
  const int64_t row_bytes = d / type.block * type.bytes;
  const char* from = static_cast<const char*>(w.raw());
  char* to = static_cast<char*>(y.raw_mutable());
  parallel_for(count, row_grain(d), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const char* row = from + id[i] * row_bytes;
      if (quantized)
        table().product.dequantize(w.dtype(), row, d, reinterpret_cast<float*>(to) + i * d);
      else
        std::memcpy(to + i * row_bytes, row, static_cast<size_t>(row_bytes));
    }
  });
  return y;
}

Array embedding_backward(const Shape& w, const Array& ids, const Array& dy, DType dtype) {
  const int64_t count = ids.size(), d = w[1];
  const int64_t* id = ids.data<int64_t>();
  check_ids(id, count, w[0], "embedding");
  if (dy.size() != count * d)
    fail("embedding: gradient {} for {} ids of width {}", dy.shape().text(), count, d);
  const DType wide = wide_of(dtype);
  const Array gradient = cast(dy, wide);
  Array dw = Array::empty(w, wide);
  zero(dw);
  void* to = dw.raw_mutable();
  const int slot = static_cast<int>(wide);
  // Each thread owns columns, so a row that occurs twice is added to in the order of the ids.
  parallel_for(d, std::max<int64_t>(16, row_grain(count)), [&](int64_t begin, int64_t end) {
    for (int64_t i = 0; i < count; i++)
      table().rows.accumulate[slot](address(to, wide, id[i] * d + begin),
                                    address(gradient.raw(), wide, i * d + begin), end - begin);
  });
  return cast(dw, dtype);
}

Array gather(const Array& x, int axis, const Array& index) {
  axis = checked_axis(x.shape(), axis, index, "gather");
  const Array source = contiguous(x);
  Array y = Array::empty(index.shape(), x.dtype());
  if (y.size() == 0) return y;
  const Picks picks(x.shape(), index.shape(), axis);
  const int64_t* i = index.data<int64_t>();
  const void* from = source.raw();
  void* to = y.raw_mutable();
  switch (info(x.dtype()).bytes) {
    case 1:
      gather_words(static_cast<const uint8_t*>(from), i, static_cast<uint8_t*>(to), picks);
      break;
    case 2:
      gather_words(static_cast<const uint16_t*>(from), i, static_cast<uint16_t*>(to), picks);
      break;
    case 4:
      gather_words(static_cast<const uint32_t*>(from), i, static_cast<uint32_t*>(to), picks);
      break;
    case 8:
      gather_words(static_cast<const uint64_t*>(from), i, static_cast<uint64_t*>(to), picks);
      break;
    default:
      fail("gather: type {} has no elements to pick", info(x.dtype()).name);
  }
  return y;
}

Array gather_backward(const Shape& x, int axis, const Array& index, const Array& dy) {
  axis = checked_axis(x, axis, index, "gather");
  float_slot(dy.dtype(), "gather");
  const DType wide = wide_of(dy.dtype());
  const Array gradient = cast(dy, wide);
  Array dx = Array::empty(x, wide);
  zero(dx);
  if (dy.size() > 0) {
    const Picks picks(x, index.shape(), axis);
    const int64_t* i = index.data<int64_t>();
    if (wide == DType::f64)
      scatter_add(dx.mutable_data<double>(), i, gradient.data<double>(), picks);
    else
      scatter_add(dx.mutable_data<float>(), i, gradient.data<float>(), picks);
  }
  return cast(dx, dy.dtype());
}

namespace {

// Calls copy(row of x, row of y) for y[outer, k] = x[outer, id[k]].
template <class Copy>
void take_rows(const AxisView& from, const int64_t* id, int64_t count, Copy copy) {
  parallel_for(from.outer * count, row_grain(from.inner), [&](int64_t begin, int64_t end) {
    int64_t outer = begin / count, k = begin % count;
    for (int64_t i = begin; i < end; i++) {
      copy(outer * from.length + id[k], i);
      if (++k < count) continue;
      k = 0;
      outer++;
    }
  });
}

}  // namespace

Array take(const Array& x, int axis, const Array& ids) {
  const int64_t* id = ids.data<int64_t>();
  const int64_t count = ids.size();
  check_ids(id, count, x.dim(axis), "take");
  if (is_quantized(x.dtype())) fail("take: type {} has no elements to pick", info(x.dtype()).name);
  const Array source = contiguous(x);
  Shape shape = x.shape();
  shape[axis] = count;
  Array y = Array::empty(shape, x.dtype());
  const AxisView from(x.shape(), axis);
  const int64_t bytes = from.inner * info(x.dtype()).bytes;
  const void* read = source.raw();
  void* write = y.raw_mutable();
  const auto words = [&](auto word) {
    using Word = decltype(word);
    take_rows(from, id, count, [=](int64_t a, int64_t b) {
      static_cast<Word*>(write)[b] = static_cast<const Word*>(read)[a];
    });
  };
  if (bytes == 4) {
    words(uint32_t{});
  } else if (bytes == 8) {
    words(uint64_t{});
  } else {
    take_rows(from, id, count, [=](int64_t a, int64_t b) {
      std::memcpy(static_cast<char*>(write) + b * bytes, static_cast<const char*>(read) + a * bytes,
                  static_cast<size_t>(bytes));
    });
  }
  return y;
}

namespace {
template <class Wide>
void add_taken(Wide* dx, const int64_t* id, const Wide* dy, const AxisView& from, const AxisView& to) {
  for_columns(from, [&](int64_t first, int64_t width) {
    const int64_t outer = first / (from.length * from.inner), column = first % from.inner;
    for (int64_t k = 0; k < from.length; k++)
      for (int64_t j = 0; j < width; j++)
        dx[(outer * to.length + id[k]) * to.inner + column + j] += dy[first + k * from.inner + j];
  });
}
}  // namespace

Array take_backward(const Shape& x, int axis, const Array& ids, const Array& dy) {
  const int64_t* id = ids.data<int64_t>();
  check_ids(id, ids.size(), x[axis], "take");
  const DType wide = wide_of(dy.dtype());
  const Array gradient = cast(dy, wide);
  Array dx = Array::empty(x, wide);
  zero(dx);
  if (dy.size() > 0) {
    const AxisView from(dy.shape(), axis), to(x, axis);
    if (wide == DType::f64)
      add_taken(dx.mutable_data<double>(), id, gradient.data<double>(), from, to);
    else
      add_taken(dx.mutable_data<float>(), id, gradient.data<float>(), from, to);
  }
  return cast(dx, dy.dtype());
}

}  // namespace intarsia::kernel
