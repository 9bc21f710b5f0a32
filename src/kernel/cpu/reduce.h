// Sums and extremes.
#pragma once
#include "intarsia/elementary_wide.h"
#include "kernel/cpu/element.h"

namespace intarsia::kernel {
namespace {

inline constexpr int64_t sum_block = 4096;

template <class T>
double sum(const void* xs, int64_t n) {
  using V = typename Element<T>::V;
  const T* x = static_cast<const T*>(xs);
  double result = 0;
  for (int64_t first = 0; first < n; first += sum_block) {
    const int64_t count = n - first < sum_block ? n - first : sum_block;
    result +=
        total<V>(count, [&](int64_t i, auto lanes) INTARSIA_LAMBDA { return V::load(x + first + i, lanes); });
  }
  return result;
}

template <class T>
double sum_of_squares(const void* xs, int64_t n) {
  using V = typename Element<T>::V;
  const T* x = static_cast<const T*>(xs);
  double result = 0;
  for (int64_t first = 0; first < n; first += sum_block) {
    const int64_t count = n - first < sum_block ? n - first : sum_block;
    result += total<V>(count, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
      const V v = V::load(x + first + i, lanes);
      return v * v;
    });
  }
  return result;
}

template <bool most, class V>
INTARSIA_INLINE V better(V a, V b) {
  if constexpr (most)
    return max(a, b);
  else
    return min(a, b);
}

template <class T, bool most>
INTARSIA_INLINE typename Element<T>::Wide extreme_of(const T* x, int64_t n) {
  using V = typename Element<T>::V;
  using Wide = typename Element<T>::Wide;
  const Wide worst = most ? -static_cast<Wide>(__builtin_inff()) : static_cast<Wide>(__builtin_inff());
  V a = worst, b = worst;
  int64_t i = 0;
  for (; i + 2 * V::width <= n; i += 2 * V::width) {
    a = better<most>(a, V::load(x + i));
    b = better<most>(b, V::load(x + i + V::width));
  }
  for (; i + V::width <= n; i += V::width) a = better<most>(a, V::load(x + i));
  if constexpr (V::width > 1)
    if (i < n)
      b = better<most>(b, V::load(x + i, Partial{static_cast<int>(n - i)}, static_cast<float>(worst)));
  Wide lanes[V::width];
  better<most>(a, b).store(lanes);
  Wide best = lanes[0];
  for (Wide v : lanes)
    if (v != v || (most ? v > best : v < best)) best = v;
  return best;
}
template <class T>
void extreme(const void* xs, int64_t n, bool most, void* wide) {
  const T* x = static_cast<const T*>(xs);
  *static_cast<typename Element<T>::Wide*>(wide) =
      most ? extreme_of<T, true>(x, n) : extreme_of<T, false>(x, n);
}

template <class T>
int64_t argmax(const void* xs, int64_t n) {
  using V = typename Element<T>::V;
  using Wide = typename Element<T>::Wide;
  const T* x = static_cast<const T*>(xs);
  const Wide best = extreme_of<T, true>(x, n);
  for (int64_t first = 0; first < n; first += V::width) {
    const int count = n - first < V::width ? static_cast<int>(n - first) : V::width;
    const V v = count == V::width ? V::load(x + first) : V::load(x + first, Partial{count});
    if (best == best && !simd::any(v == V(best))) continue;
    Wide lanes[V::width];
    v.store(lanes);
    for (int i = 0; i < count; i++)
      if (lanes[i] == best || (best != best && lanes[i] != lanes[i])) return first + i;
  }
  return 0;
}

// acc = join(acc, row) for each row in order, a strip of columns at a time that stays in registers.
template <class T, class Join>
INTARSIA_INLINE void join_rows(const void* xs, int64_t stride, int64_t rows, void* accs, int64_t d,
                               Join join) {
  using V = typename Element<T>::V;
  constexpr int strip = 8;
  auto* acc = static_cast<typename Element<T>::Wide*>(accs);
  const T* x = static_cast<const T*>(xs);
  int64_t column = 0;
  for (; column + strip * V::width <= d; column += strip * V::width) {
    V sums[strip];
    for (int k = 0; k < strip; k++) sums[k] = V::load(acc + column + k * V::width);
    for (int64_t row = 0; row < rows; row++)
      for (int k = 0; k < strip; k++)
        sums[k] = join(sums[k], V::load(x + row * stride + column + k * V::width));
    for (int k = 0; k < strip; k++) sums[k].store(acc + column + k * V::width);
  }
  for_lanes<V>(d - column, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
    V a = V::load(acc + column + i, lanes);
    for (int64_t row = 0; row < rows; row++) a = join(a, V::load(x + row * stride + column + i, lanes));
    a.store(acc + column + i, lanes);
  });
}

template <class T>
void sum_rows(const void* xs, int64_t stride, int64_t rows, void* accs, int64_t d) {
  join_rows<T>(xs, stride, rows, accs, d, [](auto a, auto b) INTARSIA_LAMBDA { return a + b; });
}

template <class T>
void extreme_rows(const void* xs, int64_t stride, int64_t rows, bool most, void* accs, int64_t d) {
  if (most)
    join_rows<T>(xs, stride, rows, accs, d, [](auto a, auto b) INTARSIA_LAMBDA { return max(a, b); });
  else
    join_rows<T>(xs, stride, rows, accs, d, [](auto a, auto b) INTARSIA_LAMBDA { return min(a, b); });
}

// Products run in f64, since those of many f32 leave its range early: in 32 lanes, `into` a vector for each
// few.
inline constexpr int product_lanes = 32;
inline constexpr int product_vectors = product_lanes / (simd::width / 2);

template <class W>
INTARSIA_INLINE void multiply_lanes(simd::Wide* into, const W* x) {
  typedef W Raw __attribute__((vector_size(simd::width / 2 * sizeof(W))));
  for (int k = 0; k < product_vectors; k++) {
    Raw raw;
    __builtin_memcpy(&raw, x + k * (simd::width / 2), sizeof raw);
    into[k] *= __builtin_convertvector(raw, simd::Wide);
  }
}
// The same for up to 32 elements of any type: ones stand for those that are missing.
template <class T>
INTARSIA_INLINE void multiply_lanes(simd::Wide* into, const T* x, int64_t n) {
  using V = typename Element<T>::V;
  typename Element<T>::Wide wide[product_lanes];
  if (n < product_lanes)
    for (auto& v : wide) v = 1;
  for_lanes<V>(n,
               [&](int64_t i, auto lanes) INTARSIA_LAMBDA { V::load(x + i, lanes).store(wide + i, lanes); });
  multiply_lanes(into, wide);
}
template <class T>
INTARSIA_INLINE void multiply_all_lanes(simd::Wide* into, const T* x) {
  if constexpr (sizeof(T) >= sizeof(float))
    multiply_lanes(into, x);
  else
    multiply_lanes(into, x, product_lanes);
}

template <class T>
double product(const void* xs, int64_t n) {
  const T* x = static_cast<const T*>(xs);
  simd::Wide vectors[product_vectors];
  for (auto& v : vectors) v = 1 - simd::Wide{};
  int64_t i = 0;
  for (; i + product_lanes <= n; i += product_lanes) multiply_all_lanes(vectors, x + i);
  if (i < n) multiply_lanes(vectors, x + i, n - i);
  double lanes[product_lanes];
  __builtin_memcpy(lanes, vectors, sizeof lanes);
  for (int step = product_lanes / 2; step > 0; step /= 2)
    for (int k = 0; k < step; k++) lanes[k] *= lanes[k + step];
  return lanes[0];
}

template <class T>
void product_rows(const void* xs, int64_t stride, int64_t rows, double* acc, int64_t d) {
  const T* x = static_cast<const T*>(xs);
  for (int64_t column = 0; column < d; column += product_lanes) {
    const int64_t count = d - column < product_lanes ? d - column : product_lanes;
    simd::Wide vectors[product_vectors];
    for (auto& v : vectors) v = 1 - simd::Wide{};
    multiply_lanes(vectors, acc + column, count);
    for (int64_t row = 0; row < rows; row++)
      if (count == product_lanes)
        multiply_all_lanes(vectors, x + row * stride + column);
      else
        multiply_lanes(vectors, x + row * stride + column, count);
    __builtin_memcpy(acc + column, vectors, static_cast<size_t>(count) * sizeof(double));
  }
}

template <class T>
void accumulate(void* intos, const void* wide, int64_t n) {
  using V = typename Element<T>::V;
  T* into = static_cast<T*>(intos);
  const auto* x = static_cast<const typename Element<T>::Wide*>(wide);
  for_lanes<V>(n, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
    (V::load(into + i, lanes) + V::load(x + i, lanes)).store(into + i, lanes);
  });
}

}  // namespace
}  // namespace intarsia::kernel
