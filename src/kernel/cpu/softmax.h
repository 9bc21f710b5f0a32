// Softmax, its logarithm and cross-entropy on rows.
#pragma once
#include "kernel/cpu/element.h"

namespace intarsia::kernel {
namespace {

// The greatest of a row; NaN has no effect.
template <class T>
INTARSIA_INLINE typename Element<T>::Wide row_maximum(const T* x, int64_t d) {
  using V = typename Element<T>::V;
  const typename V::Scalar lowest = -__builtin_inff();
  V a = lowest, b = lowest;
  int64_t i = 0;
  for (; i + 2 * V::width <= d; i += 2 * V::width) {
    a = at_least(a, V::load(x + i));
    b = at_least(b, V::load(x + i + V::width));
  }
  for (; i + V::width <= d; i += V::width) a = at_least(a, V::load(x + i));
  if constexpr (V::width > 1)
    if (i < d) b = at_least(b, V::load(x + i, Partial{static_cast<int>(d - i)}, static_cast<float>(lowest)));
  return simd::greatest(at_least(a, b));
}

// The sum of e^(x - shift) over a row.
template <class T>
INTARSIA_INLINE typename Element<T>::Wide sum_of_exponentials(const T* x, typename Element<T>::Wide shift,
                                                              int64_t d) {
  using V = typename Element<T>::V;
  const auto lowest = static_cast<typename V::Scalar>(-__builtin_inff());
  return total<V>(d, [&](int64_t i, auto lanes)
                         INTARSIA_LAMBDA { return exp(V::load(x + i, lanes, lowest) - V(shift)); });
}

template <class T>
void softmax(const void* xs, void* ys, int64_t rows, int64_t d) {
  using V = typename Element<T>::V;
  using Wide = typename Element<T>::Wide;
  // 16 bits cannot hold the exponentials exactly: those of short rows wait here, others are computed again.
  constexpr int64_t kept = 4096;
  Wide waiting[sizeof(T) == sizeof(Wide) ? 1 : kept];
  for (int64_t row = 0; row < rows; row++) {
    const T* x = static_cast<const T*>(xs) + row * d;
    T* y = static_cast<T*>(ys) + row * d;
    const V shift = row_maximum(x, d);
    // Exponentials to `e`, which may be y, then their shares of the sum to y.
    auto through = [&](auto* e) INTARSIA_LAMBDA {
      const Wide sum = total<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
        const V v = exp(V::load(x + i, lanes, -static_cast<Wide>(__builtin_inff())) - shift);
        v.store(e + i, lanes);
        return v;
      });
      const V factor = 1 / sum;
      for_lanes<V>(d, [&](int64_t i, auto lanes)
                          INTARSIA_LAMBDA { (V::load(e + i, lanes) * factor).store(y + i, lanes); });
    };
    if constexpr (sizeof(T) == sizeof(Wide)) {
      through(y);
    } else if (d <= kept) {
      through(waiting);
    } else {
      const V factor = 1 / sum_of_exponentials(x, row_maximum(x, d), d);
      for_lanes<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
        (exp(V::load(x + i, lanes) - shift) * factor).store(y + i, lanes);
      });
    }
  }
}

// dx = y (dy - sum(y dy))
template <class T>
void softmax_backward(const void* ys, const void* dys, void* dxs, int64_t rows, int64_t d) {
  using V = typename Element<T>::V;
  for (int64_t row = 0; row < rows; row++) {
    const T* y = static_cast<const T*>(ys) + row * d;
    const T* dy = static_cast<const T*>(dys) + row * d;
    T* dx = static_cast<T*>(dxs) + row * d;
    const V mean = total<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
      return V::load(y + i, lanes) * V::load(dy + i, lanes);
    });
    for_lanes<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
      (V::load(y + i, lanes) * (V::load(dy + i, lanes) - mean)).store(dx + i, lanes);
    });
  }
}

template <class T>
INTARSIA_INLINE typename Element<T>::Wide log_sum_exp(const T* x, int64_t d) {
  using V = typename Element<T>::V;
  const auto shift = row_maximum(x, d);
  if constexpr (V::width == 1)
    return shift + ::log(sum_of_exponentials(x, shift, d));
  else
    return shift + ::logf(sum_of_exponentials(x, shift, d));
}

template <class T>
void log_softmax(const void* xs, void* ys, int64_t rows, int64_t d) {
  using V = typename Element<T>::V;
  for (int64_t row = 0; row < rows; row++) {
    const T* x = static_cast<const T*>(xs) + row * d;
    T* y = static_cast<T*>(ys) + row * d;
    const V lse = log_sum_exp(x, d);
    for_lanes<V>(
        d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA { (V::load(x + i, lanes) - lse).store(y + i, lanes); });
  }
}

// dx = dy - e^y sum(dy)
template <class T>
void log_softmax_backward(const void* ys, const void* dys, void* dxs, int64_t rows, int64_t d) {
  using V = typename Element<T>::V;
  for (int64_t row = 0; row < rows; row++) {
    const T* y = static_cast<const T*>(ys) + row * d;
    const T* dy = static_cast<const T*>(dys) + row * d;
    T* dx = static_cast<T*>(dxs) + row * d;
    const V sum = total<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA { return V::load(dy + i, lanes); });
    for_lanes<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
      (V::load(dy + i, lanes) - exp(V::load(y + i, lanes)) * sum).store(dx + i, lanes);
    });
  }
}

// loss = lse - (1 - smoothing) x[target] - smoothing mean(x)
template <class T>
void cross_entropy(const void* xs, const int64_t* target, void* losses, void* lses, int64_t rows, int64_t d,
                   int64_t ignore, double smoothing) {
  using V = typename Element<T>::V;
  using Wide = typename Element<T>::Wide;
  for (int64_t row = 0; row < rows; row++) {
    const T* x = static_cast<const T*>(xs) + row * d;
    Wide *loss = static_cast<Wide*>(losses) + row, *lse = static_cast<Wide*>(lses) + row;
    if (target[row] == ignore) {
      *loss = *lse = 0;
      continue;
    }
    *lse = log_sum_exp(x, d);
    Wide chosen;
    V::load(x + target[row], Partial{1}).store(&chosen, Partial{1});
    *loss = *lse - chosen;
    if (smoothing == 0) continue;
    // In differences from lse, so that large logits do not cancel.
    const V shift = *lse;
    const Wide sum = total<V>(
        d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA { return shift - V::load(x + i, lanes, *lse); });
    const Wide s = static_cast<Wide>(smoothing);
    *loss = (1 - s) * *loss + s * (sum / static_cast<Wide>(d));
  }
}

template <class T>
void cross_entropy_backward(const void* xs, const int64_t* target, const void* lses, const void* dlosses,
                            void* dxs, int64_t rows, int64_t d, int64_t ignore, double smoothing) {
  using V = typename Element<T>::V;
  using Wide = typename Element<T>::Wide;
  const Wide others = static_cast<Wide>(smoothing / static_cast<double>(d));
  for (int64_t row = 0; row < rows; row++) {
    const T* x = static_cast<const T*>(xs) + row * d;
    T* dx = static_cast<T*>(dxs) + row * d;
    if (target[row] == ignore) {
      for_lanes<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA { V(0).store(dx + i, lanes); });
      continue;
    }
    const Wide lse = static_cast<const Wide*>(lses)[row], dloss = static_cast<const Wide*>(dlosses)[row];
    for_lanes<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
      ((exp(V::load(x + i, lanes) - V(lse)) - V(others)) * V(dloss)).store(dx + i, lanes);
    });
    const int64_t t = target[row];
    const V p = exp(V::load(x + t, Partial{1}) - V(lse));
    ((p - V(others) - V(static_cast<Wide>(1 - smoothing))) * V(dloss)).store(dx + t, Partial{1});
  }
}

}  // namespace
}  // namespace intarsia::kernel
