// Makes range kernels of a generic lambda: `[](auto a, auto b) { return a * exp(b); }`. The lambda is
// instantiated with vectors (values), with dual numbers over vectors (gradients, one kernel for each set of
// active inputs) and with both over double. It may use what simd.h and dual.h define, + - * /, comparisons
// and select(condition, a, b).
#pragma once
#include "intarsia/dual.h"
#include "intarsia/pointwise_kernel.h"

namespace intarsia::simd {
namespace {

template <class F>
constexpr int inputs_of() {
  using V = Float;
  if constexpr (requires(const F f, V v) { f(v); })
    return 1;
  else if constexpr (requires(const F f, V v) { f(v, v); })
    return 2;
  else if constexpr (requires(const F f, V v) { f(v, v, v); })
    return 3;
  else
    return 4;
}

// V is the vector to compute with, T the type of the elements.
template <class F, class V, class T>
__attribute__((flatten)) void forward(const void* formula, T* y, const T* const* x, int64_t n) {
  const F& f = *static_cast<const F*>(formula);
  constexpr int inputs = inputs_of<F>();
  for_lanes<V>(n, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
    auto in = [&](int k) INTARSIA_LAMBDA { return V::load(x[k] + i, lanes); };
    V r;
    if constexpr (inputs == 1)
      r = f(in(0));
    else if constexpr (inputs == 2)
      r = f(in(0), in(1));
    else if constexpr (inputs == 3)
      r = f(in(0), in(1), in(2));
    else
      r = f(in(0), in(1), in(2), in(3));
    r.store(y + i, lanes);
  });
}

// The derivatives to the inputs in R of a result that depends on the inputs in `M`; zero for those it does
// not use.
template <unsigned M, class V, unsigned R, class S, class L>
INTARSIA_INLINE void store_gradients(const Dual<V, R>& y, S* const* dx, int64_t i, L lanes) {
  for_active<M>([&]<int bit>() INTARSIA_LAMBDA {
    if constexpr (active<R>(bit))
      y.d[place<R>(bit)].store(dx[bit] + i, lanes);
    else
      V(0).store(dx[bit] + i, lanes);
  });
}
template <unsigned M, class V, class S, class L>
INTARSIA_INLINE void store_gradients(V, S* const* dx, int64_t i, L lanes) {
  for_active<M>([&]<int bit>() INTARSIA_LAMBDA { V(0).store(dx[bit] + i, lanes); });
}

// Derivatives are linear in their seed, so the seed is dy itself: where() then passes an infinite dy to one
// side only.
template <class F, class V, class T, unsigned M>
__attribute__((flatten)) void backward(const void* formula, T* const* dx, const T* dy, const T* const* x,
                                       int64_t n) {
  const F& f = *static_cast<const F*>(formula);
  constexpr int inputs = inputs_of<F>();
  for_lanes<V>(n, [&](int64_t i, auto lanes) INTARSIA_LAMBDA {
    const V seed = V::load(dy + i, lanes);
    auto in = [&]<int k>() INTARSIA_LAMBDA {
      const V value = V::load(x[k] + i, lanes);
      if constexpr (active<M>(k))
        return Dual<V, 1u << k>{value, {seed}};
      else
        return value;
    };
    auto store = [&](const auto& y) INTARSIA_LAMBDA { store_gradients<M>(y, dx, i, lanes); };
    if constexpr (inputs == 1)
      store(f(in.template operator()<0>()));
    else if constexpr (inputs == 2)
      store(f(in.template operator()<0>(), in.template operator()<1>()));
    else if constexpr (inputs == 3)
      store(f(in.template operator()<0>(), in.template operator()<1>(), in.template operator()<2>()));
    else
      store(f(in.template operator()<0>(), in.template operator()<1>(), in.template operator()<2>(),
              in.template operator()<3>()));
  });
}

template <class F, class V, class T, unsigned M = (1u << inputs_of<F>()) - 1>
constexpr void fill(PointwiseRange<T>& range) {
  range.backward[M] = backward<F, V, T, M>;
  if constexpr (M > 1)
    fill<F, V, T, M - 1>(range);
  else
    range.forward = forward<F, V, T>;
}

// The kernels of the lambda f, which must outlive them. No instruction is run: constant initialization.
template <class F>
constexpr PointwiseKernel kernel_of(const F& f) {
  PointwiseKernel kernel;
  kernel.inputs = inputs_of<F>();
  kernel.formula = &f;
  fill<F, Float>(kernel.f32);
  fill<F, Double>(kernel.f64);
  fill<F, Float>(kernel.bf16s);
  return kernel;
}

}  // namespace
}  // namespace intarsia::simd

// Defines the kernels of a formula in a file that intarsia_add_kernels() compiles once per rung; see map.h.
#define INTARSIA_KERNEL(NAME, INPUTS, ...)                                                        \
  namespace intarsia_kernels::INTARSIA_RUNG {                                                     \
  namespace {                                                                                     \
  constexpr auto NAME##_formula = [] INPUTS INTARSIA_LAMBDA { return __VA_ARGS__; };              \
  }                                                                                               \
  extern const ::intarsia::PointwiseKernel NAME;                                                  \
  constinit const ::intarsia::PointwiseKernel NAME = ::intarsia::simd::kernel_of(NAME##_formula); \
  }
