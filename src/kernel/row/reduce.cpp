// Reductions over any axes, the place of the greatest, sorting. The axes are first brought to [outer, n,
// inner], n being reduced; sums run in chunks of fixed length and the chunks are joined in f64, in order.
#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "core/threads.h"
#include "kernel/axis.h"
#include "kernel/kernels.h"
#include "kernel/strided.h"
#include "kernel/table.h"

namespace intarsia::kernel {
namespace {

// x as [outer, n, inner] with n the reduced axes; a copy only where the axes do not lie that way.
struct Grouped {
  Array x;
  int64_t outer = 1, n = 1, inner = 1;
};

Shape reduced_shape(const Shape& x, unsigned axes) {
  Shape shape = x;
  for (int i = 0; i < x.rank(); i++)
    if (axes >> i & 1) shape[i] = 1;
  return shape;
}

// x with its kept axes first and the reduced ones behind them.
Array reduced_last(const Array& x, unsigned axes) {
  Shape shape, strides;
  for (int reduced = 0; reduced < 2; reduced++)
    for (int i = 0; i < x.rank(); i++)
      if (static_cast<int>(axes >> i & 1) == reduced) {
        shape.append(x.dim(i));
        strides.append(x.strides()[i]);
      }
  return x.view(shape, strides);
}

Grouped group(const Array& x, unsigned axes) {
  Grouped g;
  int changes = 0;
  bool last = false;
  for (int i = 0; i < x.rank(); i++) {
    const bool reduced = axes >> i & 1;
    if (x.dim(i) == 1) continue;
    changes += reduced != last;
    last = reduced;
    (reduced ? g.n : changes == 0 ? g.outer : g.inner) *= x.dim(i);
  }
  if (changes <= 2) {
    g.x = contiguous(x);
    return g;
  }
  g.x = contiguous(reduced_last(x, axes));
  g.outer *= g.inner;
  g.inner = 1;
  return g;
}

// Types that the kernels do not read are converted: to f32 where that is exact.
Array readable(const Array& x) {
  switch (x.dtype()) {
    case DType::f32:
    case DType::f64:
    case DType::bf16:
    case DType::f16:
      return x;
    case DType::i32:
    case DType::u32:
    case DType::i64:
      return cast(x, DType::f64);
    default:
      return cast(x, DType::f32);
  }
}

void store_wide(Array& y, int64_t i, double value) {
  if (y.dtype() == DType::f64)
    static_cast<double*>(const_cast<void*>(y.raw()))[i] = value;
  else
    static_cast<float*>(const_cast<void*>(y.raw()))[i] = static_cast<float>(value);
}
double load_wide(const Array& y, int64_t i) {
  return y.dtype() == DType::f64 ? static_cast<const double*>(y.raw())[i]
                                 : static_cast<const float*>(y.raw())[i];
}

constexpr int64_t run_chunk = 65536;  // elements of a contiguous run that one thread sums
constexpr int64_t row_chunk = 128;    // rows summed in f32 before they are joined in f64
constexpr int64_t column_block = 1024;

// Joins a and b as the reduction does; a NaN wins.
double join(Reduction r, double a, double b) {
  if (r == Reduction::sum || r == Reduction::mean) return a + b;
  if (r == Reduction::product) return a * b;
  if (std::isnan(a) || std::isnan(b)) return NAN;
  return r == Reduction::max ? std::max(a, b) : std::min(a, b);
}
double neutral(Reduction r) {
  if (r == Reduction::product) return 1;
  if (r == Reduction::max) return -INFINITY;
  return r == Reduction::min ? INFINITY : 0;
}

double reduce_run(Reduction r, int slot, const void* x, int64_t n) {
  const RowSlots& rows = table().rows;
  if (r == Reduction::sum || r == Reduction::mean) return rows.sum[slot](x, n);
  if (r == Reduction::product) return rows.product[slot](x, n);
  double wide;
  float single;
  if (slot == static_cast<int>(DType::f64)) {
    rows.extreme[slot](x, n, r == Reduction::max, &wide);
    return wide;
  }
  rows.extreme[slot](x, n, r == Reduction::max, &single);
  return single;
}

// [outer, n] -> [outer]
void reduce_runs(Reduction r, const Grouped& g, double factor, Array& y) {
  const DType type = g.x.dtype();
  const int slot = static_cast<int>(type);
  const int64_t chunks = (g.n + run_chunk - 1) / run_chunk;
  if (chunks == 1) {
    parallel_for(g.outer, row_grain(g.n), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++)
        store_wide(y, i, factor * reduce_run(r, slot, address(g.x.raw(), type, i * g.n), g.n));
    });
    return;
  }
  Array partial = Array::empty({g.outer, chunks}, DType::f64);
  double* part = partial.mutable_data<double>();
  parallel_for(g.outer * chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t first = i % chunks * run_chunk;
      part[i] = reduce_run(r, slot, address(g.x.raw(), type, i / chunks * g.n + first),
                           std::min(run_chunk, g.n - first));
    }
  });
  for (int64_t i = 0; i < g.outer; i++) {
    double result = neutral(r);
    for (int64_t c = 0; c < chunks; c++) result = join(r, result, part[i * chunks + c]);
    store_wide(y, i, factor * result);
  }
}

// [outer, n, inner] -> [outer, inner]
void reduce_rows(Reduction r, const Grouped& g, double factor, Array& y) {
  const DType type = g.x.dtype(), wide = r == Reduction::product ? DType::f64 : wide_of(type);
  const int slot = static_cast<int>(type);
  const RowSlots& rows = table().rows;
  const int64_t chunks = (g.n + row_chunk - 1) / row_chunk,
                blocks = (g.inner + column_block - 1) / column_block;
  Array partial = Array::empty({g.outer, chunks, g.inner}, wide);
  fill(partial, neutral(r));
  void* part = partial.raw_mutable();
  const int64_t items = g.outer * chunks * blocks,
                item = std::min(g.n, row_chunk) * std::min(g.inner, column_block);
  parallel_for(items, row_grain(item), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t column = i % blocks * column_block, chunk = i / blocks % chunks,
                    outer = i / blocks / chunks;
      const int64_t row = chunk * row_chunk, count = std::min(row_chunk, g.n - row);
      const void* from = address(g.x.raw(), type, (outer * g.n + row) * g.inner + column);
      void* acc = address(part, wide, (outer * chunks + chunk) * g.inner + column);
      const int64_t width = std::min(column_block, g.inner - column);
      if (r == Reduction::sum || r == Reduction::mean)
        rows.sum_rows[slot](from, g.inner, count, acc, width);
      else if (r == Reduction::product)
        rows.product_rows[slot](from, g.inner, count, static_cast<double*>(acc), width);
      else
        rows.extreme_rows[slot](from, g.inner, count, r == Reduction::max, acc, width);
    }
  });
  parallel_for(g.outer * g.inner, row_grain(chunks), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      double result = neutral(r);
      for (int64_t c = 0; c < chunks; c++)
        result = join(r, result, load_wide(partial, (i / g.inner * chunks + c) * g.inner + i % g.inner));
      store_wide(y, i, factor * result);
    }
  });
}

// Copies an array laid out as reduced_last() into x's own order.
Array restore(const Array& ordered, const Shape& shape, unsigned axes) {
  Array y = Array::empty(shape, ordered.dtype());
  Array view = reduced_last(y, axes);
  copy(ordered.reshape(view.shape()), view);
  return y;
}

// The gradient of a maximum over rows of n: those equal to it share dy. A NaN equals nothing: all get NaN.
template <class S>
void share_gradient(const S* x, const S* y, const S* dy, S* dx, int64_t rows, int64_t n) {
  parallel_for(rows, row_grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const S* row = x + i * n;
      int64_t count = 0;
      for (int64_t j = 0; j < n; j++) count += row[j] == y[i];
      const S share = dy[i] / static_cast<S>(count), rest = count ? 0 : static_cast<S>(NAN);
      for (int64_t j = 0; j < n; j++) dx[i * n + j] = row[j] == y[i] ? share : rest;
    }
  });
}

// Whether a comes before b: NaN counts as the greatest, equals keep their order.
template <class S>
struct Before {
  const S* x;
  bool descending;
  bool operator()(int64_t a, int64_t b) const {
    const S p = x[a], q = x[b];
    if (less(p, q)) return !descending;
    if (less(q, p)) return descending;
    return a < b;
  }
  static bool less(S p, S q) {
    if constexpr (std::is_floating_point_v<S>) {
      if (std::isnan(p)) return false;
      if (std::isnan(q)) return true;
    }
    return p < q;
  }
};

template <class S>
void sort_rows(const S* x, bool descending, int64_t rows, int64_t n, int64_t keep, S* values,
               int64_t* indices) {
  parallel_for(rows, row_grain(n * 8), [&](int64_t begin, int64_t end) {
    std::vector<int64_t> order(static_cast<size_t>(n));
    for (int64_t row = begin; row < end; row++) {
      const Before<S> before{x + row * n, descending};
      for (int64_t i = 0; i < n; i++) order[static_cast<size_t>(i)] = i;
      if (keep < n) std::nth_element(order.begin(), order.begin() + keep, order.end(), before);
      std::sort(order.begin(), order.begin() + keep, before);
      for (int64_t i = 0; i < keep; i++) {
        indices[row * keep + i] = order[static_cast<size_t>(i)];
        values[row * keep + i] = before.x[order[static_cast<size_t>(i)]];
      }
    }
  });
}

}  // namespace

Array reduce(Reduction r, const Array& x, unsigned axes, DType out) {
  const Shape shape = reduced_shape(x.shape(), axes);
  const Grouped g = group(readable(x), axes);
  if (g.n == 0 && (r == Reduction::max || r == Reduction::min))
    fail("max: the reduced axes of {} are empty", x.shape().text());
  Array y = Array::empty(shape, wide_of(g.x.dtype()));
  y.raw_mutable();
  const double factor = r == Reduction::mean ? 1 / static_cast<double>(g.n) : 1;
  if (y.size() == 0) return cast(y, out);
  if (g.n == 0)
    fill(y, r == Reduction::mean ? NAN : neutral(r));
  else if (g.inner == 1)
    reduce_runs(r, g, factor, y);
  else
    reduce_rows(r, g, factor, y);
  return cast(y, out);
}

Array extreme_backward(const Array& x, const Array& y, const Array& dy, unsigned axes) {
  float_slot(x.dtype(), "max");
  const DType wide = wide_of(x.dtype());
  const Array ordered = cast(reduced_last(x, axes), wide), top = cast(y, wide), gradient = cast(dy, wide);
  const int64_t rows = top.size();
  Array dx = Array::empty(ordered.shape(), wide);
  if (rows > 0) {
    const int64_t n = ordered.size() / rows;
    if (wide == DType::f64)
      share_gradient(ordered.data<double>(), top.data<double>(), gradient.data<double>(),
                     dx.mutable_data<double>(), rows, n);
    else
      share_gradient(ordered.data<float>(), top.data<float>(), gradient.data<float>(),
                     dx.mutable_data<float>(), rows, n);
  }
  return restore(cast(dx, x.dtype()), x.shape(), axes);
}

namespace {

// The product of the others is what stands before times what stands behind.
template <class T>
void multiply_others(const T* x, const T* dy, T* dx, int64_t rows, int64_t n) {
  parallel_for(rows, row_grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const T* from = x + row * n;
      T* to = dx + row * n;
      double before = 1, behind = static_cast<double>(dy[row]);
      for (int64_t i = 0; i < n; i++) {
        to[i] = static_cast<T>(before);
        before *= static_cast<double>(from[i]);
      }
      for (int64_t i = n - 1; i >= 0; i--) {
        to[i] = static_cast<T>(static_cast<double>(to[i]) * behind);
        behind *= static_cast<double>(from[i]);
      }
    }
  });
}

}  // namespace

Array product_backward(const Array& x, const Array& dy, unsigned axes) {
  const DType wide = wide_of(x.dtype());
  const Array ordered = cast(reduced_last(x, axes), wide), gradient = cast(dy, wide);
  const int64_t rows = gradient.size(), n = rows ? x.size() / rows : 0;
  Array dx = Array::empty(ordered.shape(), wide);
  if (wide == DType::f64)
    multiply_others(ordered.data<double>(), gradient.data<double>(), dx.mutable_data<double>(), rows, n);
  else
    multiply_others(ordered.data<float>(), gradient.data<float>(), dx.mutable_data<float>(), rows, n);
  return restore(cast(dx, x.dtype()), x.shape(), axes);
}

Array argmax(const Array& x, int axis) {
  if (x.rank() == 0) return Array::zeros({}, DType::i64);
  const unsigned axes = 1u << (axis < 0 ? axis + x.rank() : axis);
  const Shape shape = reduced_shape(x.shape(), axes);
  Array y = Array::empty(shape, DType::i64);
  const int64_t n = x.dim(axis);
  if (y.size() == 0) return y;
  if (n == 0) fail("argmax: axis {} of {} is empty", axis, x.shape().text());
  const Array ordered = contiguous(reduced_last(readable(x), axes));
  int64_t* to = y.mutable_data<int64_t>();
  const DType type = ordered.dtype();
  parallel_for(y.size(), row_grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
      to[i] = table().rows.argmax[static_cast<int>(type)](address(ordered.raw(), type, i * n), n);
  });
  return y;
}

void sort(const Array& x, bool descending, int64_t keep, Array& values, Array& indices) {
  if (x.rank() == 0) fail("sort: a scalar has no last axis");
  const int64_t n = x.dim(-1);
  if (keep < 0 || keep > n) fail("sort: {} of {} elements wanted", keep, n);
  Shape shape = x.shape();
  shape[-1] = keep;
  const bool real = is_float(x.dtype());
  const DType key = x.dtype() == DType::f64 ? DType::f64 : real ? DType::f32 : DType::i64;
  const Array source = cast(x, key);
  Array sorted = Array::empty(shape, key);
  indices = Array::empty(shape, DType::i64);
  int64_t* places = indices.mutable_data<int64_t>();
  const int64_t rows = n ? x.size() / n : 0;
  if (key == DType::f64)
    sort_rows(source.data<double>(), descending, rows, n, keep, sorted.mutable_data<double>(), places);
  else if (key == DType::f32)
    sort_rows(source.data<float>(), descending, rows, n, keep, sorted.mutable_data<float>(), places);
  else
    sort_rows(source.data<int64_t>(), descending, rows, n, keep, sorted.mutable_data<int64_t>(), places);
  values = cast(sorted, x.dtype());
}

}  // namespace intarsia::kernel
