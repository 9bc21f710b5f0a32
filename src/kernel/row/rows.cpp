// Row operations on arrays: threads over rows; sums over rows in chunks of fixed size, joined in order.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/threads.h"
#include "kernel/formula.h"
#include "kernel/kernels.h"
#include "kernel/strided.h"
#include "kernel/table.h"

namespace intarsia::kernel {
namespace {

// The rows of a contiguous array of floats.
struct Rows {
  int slot;
  int64_t count, width;
  Rows(const Array& x, const char* op) : slot(float_slot(x.dtype(), op)) {
    if (x.rank() == 0) fail("{}: a scalar has no last axis", op);
    if (!x.contiguous()) fail("{}: the array with strides {} is not contiguous", op, x.strides().text());
    width = x.dim(-1);
    count = width ? x.size() / width : 0;
  }
  // f(first row, rows, offset of the first in elements)
  template <class F>
  void each(F f) const {
    parallel_for(count, row_grain(width),
                 [&](int64_t begin, int64_t end) { f(begin, end - begin, begin * width); });
  }
};

// The address of element `i`, or null of a missing array.
const void* at(const Array* x, int64_t i) { return x ? address(x->raw(), x->dtype(), i) : nullptr; }

using Map = void (*)(const void* x, void* y, int64_t rows, int64_t d);
Array map_rows(const Array& x, Map const* kernels, const char* op) {
  const Rows rows(x, op);
  Array y = Array::empty(x.shape(), x.dtype());
  void* to = y.raw_mutable();
  rows.each([&](int64_t, int64_t count, int64_t offset) {
    kernels[rows.slot](at(&x, offset), address(to, y.dtype(), offset), count, rows.width);
  });
  return y;
}

using Pull = void (*)(const void* y, const void* dy, void* dx, int64_t rows, int64_t d);
Array pull_rows(const Array& y, const Array& dy, Pull const* kernels, const char* op) {
  const Rows rows(y, op);
  const Array gradient = cast(dy, y.dtype());
  Array dx = Array::empty(y.shape(), y.dtype());
  void* to = dx.raw_mutable();
  rows.each([&](int64_t, int64_t count, int64_t offset) {
    kernels[rows.slot](at(&y, offset), at(&gradient, offset), address(to, dx.dtype(), offset), count,
                       rows.width);
  });
  return dx;
}

// A parameter of columns in the wide type; an empty Array where there is none.
Array wide_parameter(const Array* p, DType wide, int64_t width, const char* op) {
  if (!p) return {};
  if (p->size() != width) fail("{}: a parameter has shape {}, expected [{}]", op, p->shape().text(), width);
  return cast(*p, wide);
}
const void* raw_or_null(const Array& x) { return x ? x.raw() : nullptr; }

// Gradients of column parameters: chunk c of 64 rows adds into row c of `partial`; rows are then summed in
// order.
constexpr int64_t chunk_rows = 64;
struct ColumnSums {
  Array partial;
  ColumnSums() = default;
  ColumnSums(const Rows& rows, DType wide)
      : partial(Array::zeros({(rows.count + chunk_rows - 1) / chunk_rows, rows.width}, wide)) {}
  void* chunk(void* base, int64_t c) const {
    return base ? address(base, partial.dtype(), c * partial.dim(1)) : nullptr;
  }
  Array result() const {
    Array sum = Array::zeros({partial.dim(1)}, partial.dtype());
    const int slot = static_cast<int>(partial.dtype());
    table().rows.sum_rows[slot](partial.raw(), partial.dim(1), partial.dim(0), sum.raw_mutable(),
                                partial.dim(1));
    return sum;
  }
};

void check_targets(const Array& targets, int64_t rows, int64_t classes, int64_t ignore) {
  if (targets.size() != rows) fail("cross_entropy: {} targets for {} rows of logits", targets.size(), rows);
  const int64_t* t = targets.data<int64_t>();
  for (int64_t i = 0; i < rows; i++)
    if (t[i] != ignore && (t[i] < 0 || t[i] >= classes))
      fail("cross_entropy: target {} at row {}, expected 0 to {}", t[i], i, classes - 1);
}

}  // namespace

Array softmax(const Array& x) { return map_rows(x, table().rows.softmax, "softmax"); }
Array softmax_backward(const Array& y, const Array& dy) {
  return pull_rows(y, dy, table().rows.softmax_backward, "softmax");
}
Array log_softmax(const Array& x) { return map_rows(x, table().rows.log_softmax, "log_softmax"); }
Array log_softmax_backward(const Array& y, const Array& dy) {
  return pull_rows(y, dy, table().rows.log_softmax_backward, "log_softmax");
}

CrossEntropyRows cross_entropy(const Array& logits, const Array& targets, int64_t ignore, double smoothing) {
  const Rows rows(logits, "cross_entropy");
  check_targets(targets, rows.count, rows.width, ignore);
  const DType wide = wide_of(logits.dtype());
  CrossEntropyRows r{Array::empty({rows.count}, wide), Array::empty({rows.count}, wide)};
  void *loss = r.loss.raw_mutable(), *lse = r.lse.raw_mutable();
  rows.each([&](int64_t row, int64_t count, int64_t offset) {
    table().rows.cross_entropy[rows.slot](at(&logits, offset), targets.data<int64_t>() + row,
                                          address(loss, wide, row), address(lse, wide, row), count,
                                          rows.width, ignore, smoothing);
  });
  return r;
}

Array cross_entropy_backward(const Array& logits, const Array& targets, const Array& lse, const Array& dloss,
                             int64_t ignore, double smoothing) {
  const Rows rows(logits, "cross_entropy");
  check_targets(targets, rows.count, rows.width, ignore);
  const DType wide = wide_of(logits.dtype());
  const Array gradient = cast(dloss, wide);
  Array dx = Array::empty(logits.shape(), logits.dtype());
  void* to = dx.raw_mutable();
  rows.each([&](int64_t row, int64_t count, int64_t offset) {
    table().rows.cross_entropy_backward[rows.slot](
        at(&logits, offset), targets.data<int64_t>() + row, at(&lse, row), at(&gradient, row),
        address(to, dx.dtype(), offset), count, rows.width, ignore, smoothing);
  });
  return dx;
}

namespace {

// f(row, its elements as float or double) for the rows of a matrix of wide numbers.
template <class F>
void each_wide_row(Array& x, F f) {
  const int64_t width = x.dim(-1);
  void* data = x.raw_mutable();
  const bool f64 = x.dtype() == DType::f64;
  parallel_for(width ? x.size() / width : 0, row_grain(width), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++)
      f64 ? f(row, static_cast<double*>(data) + row * width)
          : f(row, static_cast<float*>(data) + row * width);
  });
}

}  // namespace

void soft_cap(Array& x, double cap) {
  const int64_t width = x.dim(-1);
  const auto tanh_row = table().pointwise.in_place[static_cast<int>(Formula::tanh)];
  each_wide_row(x, [&]<class T>(int64_t, T* row) {
    const T factor = static_cast<T>(cap), inverse = static_cast<T>(1 / cap);
    if constexpr (std::is_same_v<T, float>) {
      for (int64_t i = 0; i < width; i++) row[i] *= inverse;
      tanh_row(row, width);
      for (int64_t i = 0; i < width; i++) row[i] *= factor;
    } else {
      for (int64_t i = 0; i < width; i++) row[i] = factor * std::tanh(row[i] * inverse);
    }
  });
}

void soft_cap_backward(const Array& y, double cap, Array& d) {
  const int64_t width = d.dim(-1);
  each_wide_row(d, [&]<class T>(int64_t row, T* to) {
    const T* capped = static_cast<const T*>(y.raw()) + row * width;
    const T inverse = static_cast<T>(1 / cap);
    for (int64_t i = 0; i < width; i++) {
      const T t = capped[i] * inverse;
      to[i] *= 1 - t * t;
    }
  });
}

void add_targets(Array& d, const Array& targets, const Array& amount, int64_t ignore, double smoothing) {
  const int64_t width = d.dim(-1);
  const int64_t* target = targets.data<int64_t>();
  const double* by = amount.data<double>();
  each_wide_row(d, [&]<class T>(int64_t row, T* to) {
    if (target[row] == ignore) return;
    const T everywhere = static_cast<T>(by[row] * smoothing / static_cast<double>(width));
    if (smoothing > 0)
      for (int64_t i = 0; i < width; i++) to[i] += everywhere;
    to[target[row]] += static_cast<T>(by[row] * (1 - smoothing));
  });
}

Normed rms_norm(const Array& x, const Array* weight, double eps) {
  const Rows rows(x, "rms_norm");
  const DType wide = wide_of(x.dtype());
  const Array w = wide_parameter(weight, wide, rows.width, "rms_norm");
  Normed r{Array::empty(x.shape(), x.dtype()), {}, Array::empty({rows.count}, wide)};
  void *y = r.y.raw_mutable(), *rstd = r.rstd.raw_mutable();
  rows.each([&](int64_t row, int64_t count, int64_t offset) {
    table().rows.rms_norm[rows.slot](at(&x, offset), raw_or_null(w), address(y, x.dtype(), offset),
                                     address(rstd, wide, row), count, rows.width, eps);
  });
  return r;
}

void rms_norm_backward(const Array& x, const Array* weight, const Array& rstd, const Array& dy, Array* dx,
                       Array* dw) {
  const Rows rows(x, "rms_norm");
  const Array w = wide_parameter(weight, wide_of(x.dtype()), rows.width, "rms_norm");
  const Array gradient = cast(dy, x.dtype());
  const ColumnSums sums = dw ? ColumnSums(rows, wide_of(x.dtype())) : ColumnSums();
  if (dx) *dx = Array::empty(x.shape(), x.dtype());
  void* to = dx ? dx->raw_mutable() : nullptr;
  void* partial = dw ? const_cast<void*>(sums.partial.raw()) : nullptr;
  const int64_t chunks = (rows.count + chunk_rows - 1) / chunk_rows;
  parallel_for(chunks, row_grain(rows.width * chunk_rows), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; c++) {
      const int64_t row = c * chunk_rows, count = std::min(chunk_rows, rows.count - row),
                    offset = row * rows.width;
      table().rows.rms_norm_backward[rows.slot](
          at(&x, offset), raw_or_null(w), at(&rstd, row), at(&gradient, offset),
          to ? address(to, x.dtype(), offset) : nullptr, sums.chunk(partial, c), count, rows.width);
    }
  });
  if (dw) *dw = sums.result();
}

Normed layer_norm(const Array& x, const Array* weight, const Array* bias, double eps) {
  const Rows rows(x, "layer_norm");
  const DType wide = wide_of(x.dtype());
  const Array w = wide_parameter(weight, wide, rows.width, "layer_norm");
  const Array b = wide_parameter(bias, wide, rows.width, "layer_norm");
  Normed r{Array::empty(x.shape(), x.dtype()), Array::empty({rows.count}, wide),
           Array::empty({rows.count}, wide)};
  void *y = r.y.raw_mutable(), *mean = r.mean.raw_mutable(), *rstd = r.rstd.raw_mutable();
  rows.each([&](int64_t row, int64_t count, int64_t offset) {
    table().rows.layer_norm[rows.slot](at(&x, offset), raw_or_null(w), raw_or_null(b),
                                       address(y, x.dtype(), offset), address(mean, wide, row),
                                       address(rstd, wide, row), count, rows.width, eps);
  });
  return r;
}

void layer_norm_backward(const Array& x, const Array* weight, const Array& mean, const Array& rstd,
                         const Array& dy, Array* dx, Array* dw, Array* db) {
  const Rows rows(x, "layer_norm");
  const Array w = wide_parameter(weight, wide_of(x.dtype()), rows.width, "layer_norm");
  const Array gradient = cast(dy, x.dtype());
  const ColumnSums w_sums = dw ? ColumnSums(rows, wide_of(x.dtype())) : ColumnSums();
  const ColumnSums b_sums = db ? ColumnSums(rows, wide_of(x.dtype())) : ColumnSums();
  if (dx) *dx = Array::empty(x.shape(), x.dtype());
  void* to = dx ? dx->raw_mutable() : nullptr;
  void* w_partial = dw ? const_cast<void*>(w_sums.partial.raw()) : nullptr;
  void* b_partial = db ? const_cast<void*>(b_sums.partial.raw()) : nullptr;
  const int64_t chunks = (rows.count + chunk_rows - 1) / chunk_rows;
  parallel_for(chunks, row_grain(rows.width * chunk_rows), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; c++) {
      const int64_t row = c * chunk_rows, count = std::min(chunk_rows, rows.count - row),
                    offset = row * rows.width;
      table().rows.layer_norm_backward[rows.slot](
          at(&x, offset), raw_or_null(w), at(&mean, row), at(&rstd, row), at(&gradient, offset),
          to ? address(to, x.dtype(), offset) : nullptr, w_sums.chunk(w_partial, c),
          b_sums.chunk(b_partial, c), count, rows.width);
    }
  });
  if (dw) *dw = w_sums.result();
  if (db) *db = b_sums.result();
}

Array rope(const Array& x, const Array& cos, const Array& sin, bool interleaved, int64_t first,
           bool inverse) {
  const int slot = float_slot(x.dtype(), "rope");
  if (x.rank() != 4) fail("rope: x has shape {}, expected [B, T, H, d]", x.shape().text());
  const int64_t tokens = x.dim(1), heads = x.dim(2), d = x.dim(3), pairs = cos.dim(1);
  if (d > 1 && x.strides()[3] != 1)
    fail("rope: the last axis of x has stride {}, expected 1", x.strides()[3]);
  if (2 * pairs > d) fail("rope: the table has {} pairs, heads have {} features", pairs, d);
  if (first < 0 || first + tokens > cos.dim(0))
    fail("rope: positions {} to {}, the table has {}", first, first + tokens, cos.dim(0));
  const DType wide = wide_of(x.dtype());
  const Shape part{tokens, pairs}, steps{pairs, 1};
  const Array c = cast(cos.view(part, steps, first * pairs), wide),
              s = cast(sin.view(part, steps, first * pairs), wide);
  Array y = Array::empty(x.shape(), x.dtype());
  void* to = y.raw_mutable();
  parallel_for(x.dim(0) * tokens, row_grain(heads * d), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t batch = i / tokens, token = i % tokens;
      table().rows.rope[slot](at(&x, batch * x.strides()[0] + token * x.strides()[1]), x.strides()[2],
                              address(to, x.dtype(), i * heads * d), heads, d, at(&c, token * pairs),
                              at(&s, token * pairs), pairs, interleaved, inverse);
    }
  });
  return y;
}

}  // namespace intarsia::kernel
