// Elementary functions of Float that need more digits than a Float has: atan, log1p, expm1, softplus and pow
// are worked out in double, half a vector at a time, and rounded once; sin and cos carry the low part of
// their reduced argument. Within 1 ulp of libm's on every rung, with the same special cases. Series of
// moderate length give the 32 good bits that a float needs. For Double they are libm's.
#pragma once
#include "intarsia/elementary.h"

namespace intarsia::simd {
namespace {

// Half the lanes of a Float: one register of doubles.
typedef double Wide __attribute__((vector_size(width * 4)));
typedef int64_t WideInt __attribute__((vector_size(width * 4)));
typedef uint64_t WideUnsigned __attribute__((vector_size(width * 4)));

template <class F, class... X>
INTARSIA_INLINE Float in_double(F f, X... x) {
  typedef float Half __attribute__((vector_size(width * 2)));
  const auto lanes = [](Float v, size_t half) INTARSIA_LAMBDA {
    Half h;
    __builtin_memcpy(&h, reinterpret_cast<const char*>(&v.raw) + half * sizeof h, sizeof h);
    return __builtin_convertvector(h, Wide);
  };
  const Half low = __builtin_convertvector(f(lanes(x, 0)...), Half);
  const Half high = __builtin_convertvector(f(lanes(x, 1)...), Half);
  Float y;
  __builtin_memcpy(&y.raw, &low, sizeof low);
  __builtin_memcpy(reinterpret_cast<char*>(&y.raw) + sizeof low, &high, sizeof high);
  return y;
}

INTARSIA_INLINE Wide series(Wide, double last) { return last - Wide{}; }
// c0 + x (c1 + x (c2 + ...))
template <class... C>
INTARSIA_INLINE Wide series(Wide x, double c0, C... rest) {
  return series(x, rest...) * x + c0;
}

inline constexpr double whole = 0x1.8p52;  // adding it leaves the nearest whole number in the low bits

// 2^n and e^r - 1, where x = n ln 2 + r with |r| <= ln(2) / 2; |x| below 700
struct WideExponential {
  Wide power, minus_one;
};
INTARSIA_INLINE WideExponential exponential(Wide x) {
  const Wide shifted = x * 1.4426950408889634 + whole;
  const Wide r = x - (shifted - whole) * 0.69314718055994531;
  const Wide power = (Wide)(((WideUnsigned)shifted << 52) + 0x3ff0000000000000);
  return {power,
          r * series(r, 1, 1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040, 1. / 40320, 1. / 362880)};
}

// log(1 + f) = 2 artanh(f / (2 + f)), for 1 + f in [sqrt(1/2), sqrt(2)]
INTARSIA_INLINE Wide log1p_reduced(Wide f) {
  const Wide s = f / (f + 2);
  return 2 * s * series(s * s, 1, 1. / 3, 1. / 5, 1. / 7, 1. / 9, 1. / 11, 1. / 13);
}
// x = 2^e m with m in [sqrt(1/2), sqrt(2)), for finite x > 0
struct WideSplit {
  Wide e, m;
};
INTARSIA_INLINE WideSplit split(Wide x) {
  const uint64_t root_half = 0x3fe6a09e667f3bcd, bias = 1024;
  const WideUnsigned e = ((WideUnsigned)x - root_half + (bias << 52)) >> 52;
  return {(Wide)(e | 0x4330000000000000) - (0x1p52 + bias), (Wide)((WideUnsigned)x - ((e - bias) << 52))};
}
INTARSIA_INLINE Wide log_of(Wide x) {
  const WideSplit s = split(x);
  return s.e * 0.69314718055994531 + log1p_reduced(s.m - 1);
}
// For finite x > -1. Where 1 + x needs no scaling, x itself is the fraction: nothing is lost near 0.
INTARSIA_INLINE Wide log1p_of(Wide x) {
  const WideSplit s = split(x + 1);
  return s.e * 0.69314718055994531 + log1p_reduced(s.e == 0 ? x : s.m - 1);
}

// x = n pi / 2 + r + low with a whole number n and |r| < 0.87, for |x| <= 2^20.
struct Turned {
  Float::Int n;  // in the low bits
  Float r, low;
};
// pi / 2 is taken off in parts (Cody & Waite 1980).
INTARSIA_INLINE Turned turned(Float x) {
  const Float magic = 0x1.8p23f;  // adding it leaves n in the low bits
  const Float shifted = fma(x, 0x1.45f306p-1f, magic), n = shifted - magic;
#if INTARSIA_SIMD_512 || INTARSIA_SIMD_256
  // The first difference is exact. What the second loses is found where r is so large that it matters; where
  // it is small, r may lie far from `first`, and first - r would be rounded itself.
  const Float first = fma(n, -0x1.921fb6p+0f, x), r = fma(n, 0x1.777a5cp-25f, first);
  const Float lost = select(r * r > 0x1p-8f, fma(n, 0x1.777a5cp-25f, first - r), 0);
  return {shifted.bits(), r, fma(n, 0x1.ee59dap-50f, lost)};
#else
  // The first part has so few digits that its multiples are exact.
  const auto rest = [](Wide v, Wide turns) INTARSIA_LAMBDA {
    return (v - turns * 0x1.921fb544p+0) - turns * 0x1.0b4611a626331p-34;
  };
  const auto low = [rest](Wide v, Wide turns, Wide r) INTARSIA_LAMBDA { return rest(v, turns) - r; };
  const Float r = in_double(rest, x, n);
  return {shifted.bits(), r, in_double(low, x, n, r)};
#endif
}
// The sine of x and as many quarter turns, for |x| <= 2^20.
INTARSIA_INLINE Float sine(Float x, int quarters) {
  const Turned t = turned(x);
  const Float r2 = t.r * t.r;
  const Float s =
      t.r + fma(r2 * t.r, polynomial(r2, -0x1.55554p-3f, 0x1.110586p-7f, -0x1.98b002p-13f), t.low);
  const Float c =
      1 - fma(r2, polynomial(r2, 0.5f, -0x1.555548p-5f, 0x1.6c0a98p-10f, -0x1.9973eep-16f), t.r * t.low);
  const Float::Int turn = t.n + quarters;
  const Float y = (turn & 1) != 0 ? c.raw : s.raw;
  return Float::of_bits(y.bits() ^ ((turn & 2) << 30));
}
// Larger arguments need many digits of pi: libm's job, lane by lane, so that no lane depends on its
// neighbours.
template <class F>
INTARSIA_INLINE Float with_large(Float x, Float y, F f) {
  const Mask large = abs(x) > 0x1p20f;
  if (!any(large)) return y;
  Float exact = x;
  for (int i = 0; i < width; i++) exact.raw[i] = static_cast<float>(f(static_cast<double>(x.raw[i])));
  return select(large, exact, y);
}
INTARSIA_INLINE Float sin(Float x) {
  const Float y = select(x == 0, x, sine(x, 0));  // zero keeps its sign
  return with_large(x, y, [](double v) INTARSIA_LAMBDA { return ::sin(v); });
}
INTARSIA_INLINE Float cos(Float x) {
  return with_large(x, sine(x, 1), [](double v) INTARSIA_LAMBDA { return ::cos(v); });
}

// By atan(1 / x) = pi / 2 - atan(x) and atan(x) = pi / 4 + atan((x - 1) / (x + 1)) the series need only reach
// tan(pi / 8).
INTARSIA_INLINE Float atan(Float x) {
  const auto positive = [](Wide a) INTARSIA_LAMBDA {
    const WideInt inverted = a > 1;
    const Wide b = inverted ? 1 / a : a;
    const WideInt steep = b > 0.41421356237309503;
    const Wide t = steep ? (b - 1) / (b + 1) : b;
    const Wide p = t * series(t * t, 1, -1. / 3, 1. / 5, -1. / 7, 1. / 9, -1. / 11, 1. / 13, -1. / 15,
                              1. / 17, -1. / 19, 1. / 21, -1. / 23);
    const Wide q = steep ? p + 0.78539816339744831 : p;
    return inverted ? 1.5707963267948966 - q : q;
  };
  return copysign(in_double(positive, abs(x)), x);
}

INTARSIA_INLINE Float log1p(Float x) {
  Float y = copysign(in_double([](Wide v) INTARSIA_LAMBDA { return log1p_of(v); }, x), x);
  y = select(x < __builtin_inff(), y, x);  // inf and NaN stay
  y = select(x < -1, __builtin_nanf(""), y);
  return select(x == -1, -__builtin_inff(), y);
}

INTARSIA_INLINE Float expm1(Float x) {
  const auto bounded = [](Wide v) INTARSIA_LAMBDA {
    const WideExponential e = exponential(v);
    return e.power * e.minus_one + (e.power - 1);
  };
  return copysign(in_double(bounded, at_least(at_most(x, 100.f), -100.f)), x);
}

// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)
INTARSIA_INLINE Float softplus(Float x) {
  const auto tail = [](Wide a, Wide most) INTARSIA_LAMBDA {
    const WideExponential e = exponential(-a);
    return most + log1p_of(e.power * e.minus_one + e.power);
  };
  return in_double(tail, at_most(abs(x), 200.f), at_least(x, 0));
}

// To the nearest whole number, ties to the even one.
INTARSIA_INLINE Float round(Float x) {
  const Float magic = copysign(Float(0x1p23f), x);
  return select(abs(x) < 0x1p23f, copysign(x + magic - magic, x), x);
}
INTARSIA_INLINE Float floor(Float x) {
  const Float r = round(x);
  return select(r > x, r - 1, r);
}
INTARSIA_INLINE Float ceil(Float x) { return -floor(-x); }

// e^(y log|x|) with the sign of x where y is odd, and C's special cases.
INTARSIA_INLINE Float pow(Float x, Float y) {
  const auto of_magnitude = [](Wide a, Wide b) INTARSIA_LAMBDA {
    const Wide infinite = __builtin_inf() - Wide{};
    Wide log = a < infinite ? log_of(a) : a;  // inf and NaN stay
    log = a == 0 ? -infinite : log;
    Wide t = log == 0 ? Wide{} : b * log;
    t = t > 200 ? 200 - Wide{} : t;
    t = t < -200 ? -200 - Wide{} : t;
    const WideExponential e = exponential(t);
    return e.power * e.minus_one + e.power;
  };
  const Float magnitude = in_double(of_magnitude, abs(x), y), half = 0.5f * y;
  const Mask y_is_whole = round(y) == y, y_is_odd = y_is_whole & (round(half) != half);
  Float r = select(y_is_odd, copysign(magnitude, x), magnitude);
  r = select((x < 0) & (x > -__builtin_inff()) & !y_is_whole, __builtin_nanf(""), r);
  return select(y == 0, 1, r);
}

INTARSIA_INLINE Double sin(Double x) { return ::sin(x.raw); }
INTARSIA_INLINE Double cos(Double x) { return ::cos(x.raw); }
INTARSIA_INLINE Double atan(Double x) { return ::atan(x.raw); }
INTARSIA_INLINE Double log1p(Double x) { return ::log1p(x.raw); }
INTARSIA_INLINE Double expm1(Double x) { return ::expm1(x.raw); }
INTARSIA_INLINE Double softplus(Double x) { return ::fmax(x.raw, 0) + ::log1p(::exp(-::fabs(x.raw))); }
INTARSIA_INLINE Double round(Double x) { return ::nearbyint(x.raw); }
INTARSIA_INLINE Double floor(Double x) { return ::floor(x.raw); }
INTARSIA_INLINE Double ceil(Double x) { return ::ceil(x.raw); }
INTARSIA_INLINE Double pow(Double x, Double y) { return ::pow(x.raw, y.raw); }

// -1, 0 or 1; 0 for a NaN.
template <Vector V>
INTARSIA_INLINE V sign(V x) {
  return select(x > 0, 1, select(x < 0, -1, 0));
}

}  // namespace
}  // namespace intarsia::simd
