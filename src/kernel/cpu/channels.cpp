// Sums and updates over the pixels of one channel: what batch and group normalization are made of.
#include "kernel/image/slots_channels.h"

#include "kernel/cpu/element.h"
#include "kernel/cpu/rung.h"

namespace intarsia::kernel {
namespace {

inline constexpr int64_t channel_block = 4096;

// The total of term(i, lanes) over a run: vectors of blocks, the blocks in f64.
template <class V, class Term>
double total_of_blocks(int64_t n, Term term) {
  double result = 0;
  for (int64_t first = 0; first < n; first += channel_block) {
    const int64_t count = n - first < channel_block ? n - first : channel_block;
    result += total<V>(count, [&](int64_t i, auto lanes) INTARSIA_LAMBDA { return term(first + i, lanes); });
  }
  return result;
}

template <class T>
double squared_differences(const void* xs, int64_t n, double mean) {
  using V = typename Element<T>::V;
  using Wide = typename Element<T>::Wide;
  const T* x = static_cast<const T*>(xs);
  const V center = static_cast<Wide>(mean);
  return total_of_blocks<V>(n, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
    // Lanes that do not exist hold the mean and add nothing.
    const V d = V::load(x + i, lanes, static_cast<Wide>(mean)) - center;
    return d * d;
  });
}

template <class T>
void scale(const void* xs, void* ys, int64_t n, double mean, double factor, double shift) {
  using V = typename Element<T>::V;
  using Wide = typename Element<T>::Wide;
  const T* x = static_cast<const T*>(xs);
  T* y = static_cast<T*>(ys);
  const V center = static_cast<Wide>(mean), f = static_cast<Wide>(factor), s = static_cast<Wide>(shift);
  simd::for_lanes<V>(n, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
    fma(V::load(x + i, lanes) - center, f, s).store(y + i, lanes);
  });
}

template <class T>
void gradient_sums(const void* xs, const void* dys, int64_t n, double mean, double* sums) {
  using V = typename Element<T>::V;
  using Wide = typename Element<T>::Wide;
  const T *x = static_cast<const T*>(xs), *dy = static_cast<const T*>(dys);
  const V center = static_cast<Wide>(mean);
  sums[0] = sums[1] = 0;
  for (int64_t first = 0; first < n; first += channel_block) {
    const int64_t count = n - first < channel_block ? n - first : channel_block;
    V a0 = 0, a1 = 0, b0 = 0, b1 = 0;
    const auto add = [&](V& a, V& b, int64_t i, auto lanes) INTARSIA_LAMBDA {
      const V d = V::load(dy + first + i, lanes);
      a = a + d;
      b = fma(d, V::load(x + first + i, lanes, static_cast<Wide>(mean)) - center, b);
    };
    int64_t i = 0;
    for (; i + 2 * V::width <= count; i += 2 * V::width) {
      add(a0, b0, i, simd::Full{});
      add(a1, b1, i + V::width, simd::Full{});
    }
    simd::for_lanes<V>(count - i, [&](int64_t j, auto lanes) INTARSIA_LAMBDA { add(a0, b0, i + j, lanes); });
    sums[0] += simd::sum(a0 + a1);
    sums[1] += simd::sum(b0 + b1);
  }
}

template <class T>
void gradient(const void* xs, const void* dys, void* dxs, int64_t n, double mean, double a, double b,
              double c) {
  using V = typename Element<T>::V;
  using Wide = typename Element<T>::Wide;
  const T *x = static_cast<const T*>(xs), *dy = static_cast<const T*>(dys);
  T* dx = static_cast<T*>(dxs);
  const V center = static_cast<Wide>(mean), fa = static_cast<Wide>(a), fb = static_cast<Wide>(b),
          fc = static_cast<Wide>(c);
  simd::for_lanes<V>(n, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
    fma(V::load(dy + i, lanes), fa, fma(V::load(x + i, lanes) - center, fb, fc)).store(dx + i, lanes);
  });
}

}  // namespace

namespace INTARSIA_RUNG {

void fill_channels(ChannelSlots& slots);
void fill_channels(ChannelSlots& slots) {
  FILL_FLOATS(slots.squared_differences, squared_differences);
  FILL_FLOATS(slots.scale, scale);
  FILL_FLOATS(slots.gradient_sums, gradient_sums);
  FILL_FLOATS(slots.gradient, gradient);
}

}  // namespace INTARSIA_RUNG
}  // namespace intarsia::kernel
