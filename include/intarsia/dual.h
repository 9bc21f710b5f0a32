// Masked dual numbers: a value with its derivatives to some of up to four inputs (forward-mode
// differentiation, Wengert 1964). Which inputs are active is known at compile time, so an inactive derivative
// is never stored, never multiplied by zero, and never turns an infinity into NaN.
#pragma once
#include <type_traits>

#include "intarsia/elementary_wide.h"

namespace intarsia::simd {
namespace {

inline constexpr int max_inputs = 4;

// The place of input `bit` among the active ones of mask M.
template <unsigned M>
constexpr int place(int bit) {
  return __builtin_popcount(M & ((1u << bit) - 1));
}
template <unsigned M>
constexpr bool active(int bit) {
  return M >> bit & 1;
}

template <class V, unsigned M>
struct Dual {
  V v;
  V d[M ? __builtin_popcount(M) : 1];
};

// Calls f.operator()<bit>() for each active input of M.
template <unsigned M, class F>
INTARSIA_INLINE void for_active(F f) {
  if constexpr (active<M>(0)) f.template operator()<0>();
  if constexpr (active<M>(1)) f.template operator()<1>();
  if constexpr (active<M>(2)) f.template operator()<2>();
  if constexpr (active<M>(3)) f.template operator()<3>();
}

// The chain rule: a function with value v and derivatives da to a, db to b.
template <class V, unsigned A>
INTARSIA_INLINE Dual<V, A> chain(V v, const Dual<V, A>& a, V da) {
  Dual<V, A> r;
  r.v = v;
  for_active<A>([&]<int bit>() INTARSIA_LAMBDA { r.d[place<A>(bit)] = da * a.d[place<A>(bit)]; });
  return r;
}
template <class V, unsigned A, unsigned B>
INTARSIA_INLINE Dual<V, A | B> chain(V v, const Dual<V, A>& a, V da, const Dual<V, B>& b, V db) {
  Dual<V, A | B> r;
  r.v = v;
  for_active<A | B>([&]<int bit>() INTARSIA_LAMBDA {
    V& d = r.d[place<A | B>(bit)];
    if constexpr (active<A & B>(bit))
      d = fma(da, a.d[place<A>(bit)], db * b.d[place<B>(bit)]);
    else if constexpr (active<A>(bit))
      d = da * a.d[place<A>(bit)];
    else
      d = db * b.d[place<B>(bit)];
  });
  return r;
}

#define INTARSIA_DUALS template <class V, unsigned A, unsigned B>
#define INTARSIA_DUAL template <class V, unsigned A>
// NAME for a dual and a constant, from NAME for two duals.
#define INTARSIA_WITH_CONSTANTS(NAME)                                                       \
  INTARSIA_DUAL INTARSIA_INLINE auto NAME(const Dual<V, A>& a, std::type_identity_t<V> b) { \
    return NAME(a, Dual<V, 0>{b, {}});                                                      \
  }                                                                                         \
  INTARSIA_DUAL INTARSIA_INLINE auto NAME(std::type_identity_t<V> a, const Dual<V, A>& b) { \
    return NAME(Dual<V, 0>{a, {}}, b);                                                      \
  }

INTARSIA_DUALS INTARSIA_INLINE auto operator+(const Dual<V, A>& a, const Dual<V, B>& b) {
  return chain<V, A, B>(a.v + b.v, a, 1, b, 1);
}
INTARSIA_DUALS INTARSIA_INLINE auto operator-(const Dual<V, A>& a, const Dual<V, B>& b) {
  return chain<V, A, B>(a.v - b.v, a, 1, b, -1);
}
INTARSIA_DUALS INTARSIA_INLINE auto operator*(const Dual<V, A>& a, const Dual<V, B>& b) {
  return chain<V, A, B>(a.v * b.v, a, b.v, b, a.v);
}
INTARSIA_DUALS INTARSIA_INLINE auto operator/(const Dual<V, A>& a, const Dual<V, B>& b) {
  const V inverse = 1 / b.v, quotient = a.v / b.v;
  return chain<V, A, B>(quotient, a, inverse, b, -quotient * inverse);
}
INTARSIA_WITH_CONSTANTS(operator+)
INTARSIA_WITH_CONSTANTS(operator-)
INTARSIA_WITH_CONSTANTS(operator*)
INTARSIA_WITH_CONSTANTS(operator/)

#define INTARSIA_COMPARE(OP)                                                                       \
  INTARSIA_DUALS INTARSIA_INLINE auto operator OP(const Dual<V, A>& a, const Dual<V, B>& b) {      \
    return a.v OP b.v;                                                                             \
  }                                                                                                \
  INTARSIA_DUAL INTARSIA_INLINE auto operator OP(const Dual<V, A>& a, std::type_identity_t<V> b) { \
    return a.v OP b;                                                                               \
  }                                                                                                \
  INTARSIA_DUAL INTARSIA_INLINE auto operator OP(std::type_identity_t<V> a, const Dual<V, A>& b) { \
    return a OP b.v;                                                                               \
  }
INTARSIA_COMPARE(<)
INTARSIA_COMPARE(<=)
INTARSIA_COMPARE(>)
INTARSIA_COMPARE(>=)
INTARSIA_COMPARE(==)
INTARSIA_COMPARE(!=)
#undef INTARSIA_COMPARE

template <class M, class V, unsigned A, unsigned B>
INTARSIA_INLINE Dual<V, A | B> select(M mask, const Dual<V, A>& a, const Dual<V, B>& b) {
  Dual<V, A | B> r;
  r.v = select(mask, a.v, b.v);
  for_active<A | B>([&]<int bit>() INTARSIA_LAMBDA {
    V& d = r.d[place<A | B>(bit)];
    if constexpr (active<A & B>(bit))
      d = select(mask, a.d[place<A>(bit)], b.d[place<B>(bit)]);
    else if constexpr (active<A>(bit))
      d = select(mask, a.d[place<A>(bit)], 0);
    else
      d = select(mask, 0, b.d[place<B>(bit)]);
  });
  return r;
}
template <class M, class V, unsigned A>
INTARSIA_INLINE auto select(M mask, const Dual<V, A>& a, std::type_identity_t<V> b) {
  return select(mask, a, Dual<V, 0>{b, {}});
}
template <class M, class V, unsigned A>
INTARSIA_INLINE auto select(M mask, std::type_identity_t<V> a, const Dual<V, A>& b) {
  return select(mask, Dual<V, 0>{a, {}}, b);
}

// Equal arguments share the derivative.
INTARSIA_DUALS INTARSIA_INLINE auto max(const Dual<V, A>& a, const Dual<V, B>& b) {
  const V half = select(a.v == b.v, 0.5, 0), to_a = select(a.v > b.v, 1, half),
          to_b = select(b.v > a.v, 1, half);
  return chain<V, A, B>(max(a.v, b.v), a, to_a, b, to_b);
}
INTARSIA_DUALS INTARSIA_INLINE auto min(const Dual<V, A>& a, const Dual<V, B>& b) { return -max(-a, -b); }
INTARSIA_WITH_CONSTANTS(max)
INTARSIA_WITH_CONSTANTS(min)

INTARSIA_DUAL INTARSIA_INLINE auto operator-(const Dual<V, A>& a) { return chain<V, A>(-a.v, a, -1); }
INTARSIA_DUAL INTARSIA_INLINE auto abs(const Dual<V, A>& a) { return chain<V, A>(abs(a.v), a, sign(a.v)); }
INTARSIA_DUAL INTARSIA_INLINE auto sqrt(const Dual<V, A>& a) {
  const V root = sqrt(a.v);
  return chain<V, A>(root, a, 0.5 / root);
}
INTARSIA_DUAL INTARSIA_INLINE auto rsqrt(const Dual<V, A>& a) {
  const V r = rsqrt(a.v);
  return chain<V, A>(r, a, -0.5 * r / a.v);
}
INTARSIA_DUAL INTARSIA_INLINE auto exp(const Dual<V, A>& a) {
  const V e = exp(a.v);
  return chain<V, A>(e, a, e);
}
INTARSIA_DUAL INTARSIA_INLINE auto log(const Dual<V, A>& a) { return chain<V, A>(log(a.v), a, 1 / a.v); }
INTARSIA_DUAL INTARSIA_INLINE auto tanh(const Dual<V, A>& a) {
  const V t = tanh(a.v);
  return chain<V, A>(t, a, 1 - t * t);
}
INTARSIA_DUAL INTARSIA_INLINE auto sigmoid(const Dual<V, A>& a) {
  const V s = sigmoid(a.v);
  return chain<V, A>(s, a, s * (1 - s));
}
INTARSIA_DUAL INTARSIA_INLINE auto erf(const Dual<V, A>& a) {
  const double two_over_root_pi = 1.1283791670955126;
  return chain<V, A>(erf(a.v), a, two_over_root_pi * exp(-a.v * a.v));
}
INTARSIA_DUAL INTARSIA_INLINE auto normal_cdf(const Dual<V, A>& a) {
  const double one_over_root_two_pi = 0.39894228040143268;
  return chain<V, A>(normal_cdf(a.v), a, one_over_root_two_pi * exp(-0.5 * a.v * a.v));
}
INTARSIA_DUAL INTARSIA_INLINE auto sin(const Dual<V, A>& a) { return chain<V, A>(sin(a.v), a, cos(a.v)); }
INTARSIA_DUAL INTARSIA_INLINE auto cos(const Dual<V, A>& a) { return chain<V, A>(cos(a.v), a, -sin(a.v)); }
INTARSIA_DUAL INTARSIA_INLINE auto atan(const Dual<V, A>& a) {
  return chain<V, A>(atan(a.v), a, 1 / (1 + a.v * a.v));
}
INTARSIA_DUAL INTARSIA_INLINE auto log1p(const Dual<V, A>& a) {
  return chain<V, A>(log1p(a.v), a, 1 / (1 + a.v));
}
INTARSIA_DUAL INTARSIA_INLINE auto expm1(const Dual<V, A>& a) {
  const V e = expm1(a.v);
  return chain<V, A>(e, a, e + 1);
}
INTARSIA_DUAL INTARSIA_INLINE auto softplus(const Dual<V, A>& a) {
  return chain<V, A>(softplus(a.v), a, sigmoid(a.v));
}
// To the base b x^(b - 1), 0 where b is 0; to the exponent x^b log(x), 0 where x is 0 and b is not negative.
INTARSIA_DUALS INTARSIA_INLINE auto pow(const Dual<V, A>& a, const Dual<V, B>& b) {
  const V power = pow(a.v, b.v);
  const V to_base = select(b.v == 0, 0, b.v * pow(a.v, b.v - 1));
  const V to_exponent = select((a.v == 0) & (b.v >= 0), 0, power * log(a.v));
  return chain<V, A, B>(power, a, to_base, b, to_exponent);
}
INTARSIA_WITH_CONSTANTS(pow)
// Steps have no derivative: they leave the dual numbers.
INTARSIA_DUAL INTARSIA_INLINE V sign(const Dual<V, A>& a) { return sign(a.v); }
INTARSIA_DUAL INTARSIA_INLINE V floor(const Dual<V, A>& a) { return floor(a.v); }
INTARSIA_DUAL INTARSIA_INLINE V ceil(const Dual<V, A>& a) { return ceil(a.v); }
INTARSIA_DUAL INTARSIA_INLINE V round(const Dual<V, A>& a) { return round(a.v); }
INTARSIA_DUAL INTARSIA_INLINE auto relu(const Dual<V, A>& a) {
  return select(a.v <= 0, 0, a);
}  // slope 0 at 0

template <class T>
inline constexpr bool is_dual = false;
template <class V, unsigned M>
inline constexpr bool is_dual<Dual<V, M>> = true;
// a b + c where any of the three is a dual; its value may be rounded twice.
template <class X, class Y, class Z>
  requires(is_dual<X> || is_dual<Y> || is_dual<Z>)
INTARSIA_INLINE auto fma(const X& a, const Y& b, const Z& c) {
  return a * b + c;
}

#undef INTARSIA_WITH_CONSTANTS
#undef INTARSIA_DUALS
#undef INTARSIA_DUAL

}  // namespace
}  // namespace intarsia::simd
