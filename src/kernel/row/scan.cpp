// Running sums, products and maxima along an axis. Sums and products run in f64, in the order of the axis.
#include <cmath>

#include "kernel/axis.h"
#include "kernel/kernels.h"

namespace intarsia::kernel {
namespace {

// Along rows: each sum waits for the one before, so four places are added to it at once.
template <class T>
void run_sum_of_rows(const T* x, T* y, const AxisView& a, bool reverse) {
  const int64_t n = a.length, step = reverse ? -1 : 1;
  parallel_for(a.outer, row_grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const int64_t first = row * n + (reverse ? n - 1 : 0);
      const T* from = x + first;
      T* to = y + first;
      double total = 0;
      int64_t k = 0;
      for (; k + 4 <= n; k += 4, from += 4 * step, to += 4 * step) {
        const auto value = [&](int64_t i) { return static_cast<double>(from[i * step]); };
        const double one = value(0), two = one + value(1), three = two + value(2),
                     four = two + (value(2) + value(3));
        to[0] = static_cast<T>(total + one);
        to[step] = static_cast<T>(total + two);
        to[2 * step] = static_cast<T>(total + three);
        total += four;
        to[3 * step] = static_cast<T>(total);
      }
      for (; k < n; k++, from += step, to += step) {
        total += static_cast<double>(*from);
        *to = static_cast<T>(total);
      }
    }
  });
}

template <class T>
void run_sum(const T* x, T* y, const AxisView& a, bool reverse) {
  if (a.inner == 1) return run_sum_of_rows(x, y, a, reverse);
  for_columns(a, [&](int64_t first, int64_t width) {
    double total[axis_strip] = {};
    for (int64_t k = 0; k < a.length; k++) {
      const int64_t at = first + (reverse ? a.length - 1 - k : k) * a.inner;
      for (int64_t j = 0; j < width; j++) {
        total[j] += static_cast<double>(x[at + j]);
        y[at + j] = static_cast<T>(total[j]);
      }
    }
  });
}

template <class T>
void run_product(const T* x, T* y, const AxisView& a) {
  for_columns(a, [&](int64_t first, int64_t width) {
    double total[axis_strip];
    std::fill(total, total + axis_strip, 1.0);
    for (int64_t k = 0; k < a.length; k++) {
      const int64_t at = first + k * a.inner;
      for (int64_t j = 0; j < width; j++) {
        total[j] *= static_cast<double>(x[at + j]);
        y[at + j] = static_cast<T>(total[j]);
      }
    }
  });
}

// With y_k = x_0 ... x_k: dx_i = (x_0 ... x_{i-1}) r_i, where r_i = dy_i + x_{i+1} r_{i+1} gathers the places
// from i on. No division, so zeros are no special case.
template <class T>
void run_product_backward(const T* x, const T* dy, T* dx, const AxisView& a) {
  for_columns(a, [&](int64_t first, int64_t width) {
    double rest[axis_strip] = {}, before[axis_strip];
    for (int64_t k = a.length - 1; k >= 0; k--) {
      const int64_t at = first + k * a.inner;
      for (int64_t j = 0; j < width; j++) {
        const double next = k + 1 < a.length ? static_cast<double>(x[at + a.inner + j]) * rest[j] : 0;
        rest[j] = static_cast<double>(dy[at + j]) + next;
        dx[at + j] = static_cast<T>(rest[j]);
      }
    }
    std::fill(before, before + axis_strip, 1.0);
    for (int64_t k = 0; k < a.length; k++) {
      const int64_t at = first + k * a.inner;
      for (int64_t j = 0; j < width; j++) {
        dx[at + j] = static_cast<T>(static_cast<double>(dx[at + j]) * before[j]);
        before[j] *= static_cast<double>(x[at + j]);
      }
    }
  });
}

template <class T>
void run_max(const T* x, T* y, int64_t* index, const AxisView& a) {
  for_columns(a, [&](int64_t first, int64_t width) {
    T best[axis_strip] = {};
    int64_t place[axis_strip] = {};
    for (int64_t k = 0; k < a.length; k++) {
      const int64_t at = first + k * a.inner;
      for (int64_t j = 0; j < width; j++) {
        const T v = x[at + j];
        if (k == 0 || std::isnan(v) || (!std::isnan(best[j]) && v >= best[j])) {
          best[j] = v;
          place[j] = k;
        }
        y[at + j] = best[j];
        index[at + j] = place[j];
      }
    }
  });
}

}  // namespace

Array cumulative_sum(const Array& x, int axis, bool reverse) {
  const Array from = cast(x, wide_of(x.dtype()));
  Array y = Array::empty(x.shape(), from.dtype());
  const AxisView view(x.shape(), axis);
  if (from.dtype() == DType::f64)
    run_sum(from.data<double>(), y.mutable_data<double>(), view, reverse);
  else
    run_sum(from.data<float>(), y.mutable_data<float>(), view, reverse);
  return cast(y, x.dtype());
}

Array cumulative_product(const Array& x, int axis) {
  const Array from = cast(x, wide_of(x.dtype()));
  Array y = Array::empty(x.shape(), from.dtype());
  const AxisView view(x.shape(), axis);
  if (from.dtype() == DType::f64)
    run_product(from.data<double>(), y.mutable_data<double>(), view);
  else
    run_product(from.data<float>(), y.mutable_data<float>(), view);
  return cast(y, x.dtype());
}

Array cumulative_product_backward(const Array& x, const Array& dy, int axis) {
  const DType wide = wide_of(x.dtype());
  const Array from = cast(x, wide), gradient = cast(dy, wide);
  Array dx = Array::empty(x.shape(), wide);
  const AxisView view(x.shape(), axis);
  if (wide == DType::f64)
    run_product_backward(from.data<double>(), gradient.data<double>(), dx.mutable_data<double>(), view);
  else
    run_product_backward(from.data<float>(), gradient.data<float>(), dx.mutable_data<float>(), view);
  return cast(dx, x.dtype());
}

Array cumulative_max(const Array& x, int axis, Array& indices) {
  const Array from = cast(x, wide_of(x.dtype()));
  Array y = Array::empty(x.shape(), from.dtype());
  indices = Array::empty(x.shape(), DType::i64);
  const AxisView view(x.shape(), axis);
  if (from.dtype() == DType::f64)
    run_max(from.data<double>(), y.mutable_data<double>(), indices.mutable_data<int64_t>(), view);
  else
    run_max(from.data<float>(), y.mutable_data<float>(), indices.mutable_data<int64_t>(), view);
  return cast(y, x.dtype());
}

}  // namespace intarsia::kernel
