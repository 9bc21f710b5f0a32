// RMS and layer normalization, rotary positions.
#pragma once
#include "kernel/cpu/element.h"

namespace intarsia::kernel {
namespace {

template <class Wide>
INTARSIA_INLINE Wide reciprocal_root(Wide mean_square, double eps) {
  if constexpr (sizeof(Wide) == 8)
    return 1 / __builtin_sqrt(mean_square + eps);
  else
    return 1 / __builtin_sqrtf(mean_square + static_cast<float>(eps));
}

// y = x rstd w with rstd = 1 / sqrt(mean(x^2) + eps)
template <class T>
void rms_norm(const void* xs, const void* weight, void* ys, void* rstds, int64_t rows, int64_t d,
              double eps) {
  using V = typename Element<T>::V;
  using Wide = typename Element<T>::Wide;
  const Wide* w = static_cast<const Wide*>(weight);
  for (int64_t row = 0; row < rows; row++) {
    const T* x = static_cast<const T*>(xs) + row * d;
    T* y = static_cast<T*>(ys) + row * d;
    const Wide square = total<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
      const V v = V::load(x + i, lanes);
      return v * v;
    });
    const Wide rstd = reciprocal_root<Wide>(square / static_cast<Wide>(d), eps);
    static_cast<Wide*>(rstds)[row] = rstd;
    for_lanes<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
      const V normed = V::load(x + i, lanes) * V(rstd);
      (w ? normed * V::load(w + i, lanes) : normed).store(y + i, lanes);
    });
  }
}

// With g = dy w: dx = rstd (g - x rstd^2 mean(g x)); dw += dy x rstd
template <class T>
void rms_norm_backward(const void* xs, const void* weight, const void* rstds, const void* dys, void* dxs,
                       void* dws, int64_t rows, int64_t d) {
  using V = typename Element<T>::V;
  using Wide = typename Element<T>::Wide;
  const Wide* w = static_cast<const Wide*>(weight);
  Wide* dw = static_cast<Wide*>(dws);
  for (int64_t row = 0; row < rows; row++) {
    const T* x = static_cast<const T*>(xs) + row * d;
    const T* dy = static_cast<const T*>(dys) + row * d;
    const Wide rstd = static_cast<const Wide*>(rstds)[row];
    auto g = [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
      const V v = V::load(dy + i, lanes);
      return w ? v * V::load(w + i, lanes) : v;
    };
    if (dxs) {
      T* dx = static_cast<T*>(dxs) + row * d;
      const Wide dot = total<V>(
          d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA { return g(i, lanes) * V::load(x + i, lanes); });
      const V pull = dot / static_cast<Wide>(d) * rstd * rstd;
      for_lanes<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
        ((g(i, lanes) - V::load(x + i, lanes) * pull) * V(rstd)).store(dx + i, lanes);
      });
    }
    if (dw)
      for_lanes<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
        const V step = V::load(dy + i, lanes) * (V::load(x + i, lanes) * V(rstd));
        (V::load(dw + i, lanes) + step).store(dw + i, lanes);
      });
  }
}

// y = (x - mean) rstd w + bias with rstd = 1 / sqrt(variance + eps)
template <class T>
void layer_norm(const void* xs, const void* weight, const void* biases, void* ys, void* means, void* rstds,
                int64_t rows, int64_t d, double eps) {
  using V = typename Element<T>::V;
  using Wide = typename Element<T>::Wide;
  const Wide *w = static_cast<const Wide*>(weight), *bias = static_cast<const Wide*>(biases);
  for (int64_t row = 0; row < rows; row++) {
    const T* x = static_cast<const T*>(xs) + row * d;
    T* y = static_cast<T*>(ys) + row * d;
    const Wide mean =
        total<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA { return V::load(x + i, lanes); }) /
        static_cast<Wide>(d);
    const Wide square = total<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
      const V v = V::load(x + i, lanes, static_cast<float>(mean)) - V(mean);
      return v * v;
    });
    const Wide rstd = reciprocal_root<Wide>(square / static_cast<Wide>(d), eps);
    static_cast<Wide*>(means)[row] = mean;
    static_cast<Wide*>(rstds)[row] = rstd;
    for_lanes<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
      V v = (V::load(x + i, lanes) - V(mean)) * V(rstd);
      if (w) v = v * V::load(w + i, lanes);
      if (bias) v = v + V::load(bias + i, lanes);
      v.store(y + i, lanes);
    });
  }
}

// With g = dy w and z = (x - mean) rstd: dx = rstd (g - mean(g) - z mean(g z)); dw += dy z; db += dy
template <class T>
void layer_norm_backward(const void* xs, const void* weight, const void* means, const void* rstds,
                         const void* dys, void* dxs, void* dws, void* dbs, int64_t rows, int64_t d) {
  using V = typename Element<T>::V;
  using Wide = typename Element<T>::Wide;
  const Wide* w = static_cast<const Wide*>(weight);
  Wide *dw = static_cast<Wide*>(dws), *db = static_cast<Wide*>(dbs);
  for (int64_t row = 0; row < rows; row++) {
    const T* x = static_cast<const T*>(xs) + row * d;
    const T* dy = static_cast<const T*>(dys) + row * d;
    const Wide mean = static_cast<const Wide*>(means)[row], rstd = static_cast<const Wide*>(rstds)[row];
    auto g = [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
      const V v = V::load(dy + i, lanes);
      return w ? v * V::load(w + i, lanes) : v;
    };
    auto z = [&](int64_t i, auto lanes)
                 INTARSIA_LAMBDA { return (V::load(x + i, lanes) - V(mean)) * V(rstd); };
    if (dxs) {
      T* dx = static_cast<T*>(dxs) + row * d;
      const Wide count = static_cast<Wide>(d);
      const V mean_g = total<V>(d, g) / count;
      const V mean_gz =
          total<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA { return g(i, lanes) * z(i, lanes); }) /
          count;
      for_lanes<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
        ((g(i, lanes) - mean_g - z(i, lanes) * mean_gz) * V(rstd)).store(dx + i, lanes);
      });
    }
    if (dw)
      for_lanes<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
        (V::load(dw + i, lanes) + V::load(dy + i, lanes) * z(i, lanes)).store(dw + i, lanes);
      });
    if (db)
      for_lanes<V>(d, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
        (V::load(db + i, lanes) + V::load(dy + i, lanes)).store(db + i, lanes);
      });
  }
}

// (a, b) -> (a cos - b sin, a sin + b cos) for each pair; features beyond the pairs are copied.
template <class T>
void rope(const void* xs, int64_t x_stride, void* ys, int64_t heads, int64_t d, const void* cosines,
          const void* sines, int64_t pairs, bool interleaved, bool inverse) {
  using V = typename Element<T>::V;
  using Wide = typename Element<T>::Wide;
  const Wide *cos = static_cast<const Wide*>(cosines), *sin = static_cast<const Wide*>(sines);
  for (int64_t head = 0; head < heads; head++) {
    const T* x = static_cast<const T*>(xs) + head * x_stride;
    T* y = static_cast<T*>(ys) + head * d;
    if (interleaved) {
      constexpr int block = 64;  // pairs are taken apart in a small buffer
      Wide a[block], b[block], wide[2 * block];
      for (int64_t first = 0; first < pairs; first += block) {
        const int64_t n = pairs - first < block ? pairs - first : block;
        for_lanes<V>(2 * n, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
          V::load(x + 2 * first + i, lanes).store(wide + i, lanes);
        });
        for (int64_t i = 0; i < n; i++) {
          const Wide c = cos[first + i], s = inverse ? -sin[first + i] : sin[first + i];
          a[i] = wide[2 * i] * c - wide[2 * i + 1] * s;
          b[i] = wide[2 * i] * s + wide[2 * i + 1] * c;
        }
        for (int64_t i = 0; i < n; i++) {
          wide[2 * i] = a[i];
          wide[2 * i + 1] = b[i];
        }
        for_lanes<V>(2 * n, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
          V::load(wide + i, lanes).store(y + 2 * first + i, lanes);
        });
      }
    } else {
      for_lanes<V>(pairs, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
        const V a = V::load(x + i, lanes), b = V::load(x + pairs + i, lanes);
        const V c = V::load(cos + i, lanes), loaded = V::load(sin + i, lanes), s = inverse ? -loaded : loaded;
        (a * c - b * s).store(y + i, lanes);
        (a * s + b * c).store(y + pairs + i, lanes);
      });
    }
    for (int64_t i = 2 * pairs; i < d; i++) y[i] = x[i];
  }
}

}  // namespace
}  // namespace intarsia::kernel
