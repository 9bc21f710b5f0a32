// Elementary functions of the vectors in simd.h.
//
// Accuracy in f32: exp, log, tanh, sigmoid and erf are within 2 ulp on every rung (rungs agree to that bound,
// not in bits), infinities and NaN as in libm. The library computes with denormals off (FTZ and DAZ): there a
// denormal input counts as zero of its sign (log gives -inf) and a result below 2^-126 is zero. With
// denormals on, exp underflows gradually, sigmoid does not. For Double they are libm's.
#pragma once
#include "intarsia/simd.h"

namespace intarsia::simd {
namespace {

INTARSIA_INLINE Float polynomial(Float, float last) { return last; }
// c0 + x (c1 + x (c2 + ...))
template <class... C>
INTARSIA_INLINE Float polynomial(Float x, float c0, C... rest) {
  return fma(polynomial(x, rest...), x, c0);
}

// x = n ln 2 + r with n the nearest whole number and |r| <= ln(2) / 2, for |x| below 2^20.
struct Reduced {
  Float n, r;
  Float power;  // 2^n, if -126 <= n <= 127
};
INTARSIA_INLINE Reduced reduce(Float x) {
  const Float magic = 0x1.8p23f;  // adding it leaves n in the low bits
  const Float shifted = fma(x, 1.44269504f, magic), n = shifted - magic;
  const Float r = fma(n, 2.12194440e-4f, fma(n, -0.693359375f, x));
  return {n, r, Float::of_bits(Float::plus(shifted.bits() << 23, Float::Int{} + 0x3f800000))};
}
// e^r - 1 for |r| <= ln(2) / 2; a polynomial of degree 6
INTARSIA_INLINE Float expm1_reduced(Float r) {
  const Float p =
      polynomial(r, 0x1.fffffcp-2f, 0x1.555492p-3f, 0x1.5558aep-5f, 0x1.123998p-7f, 0x1.6a4f28p-10f);
  return fma(r * r, p, r);
}
// y * 2^n for a whole number n in [-151, 129]
INTARSIA_INLINE Float scale(Float y, Float n) {
#if INTARSIA_SIMD_512
  return (Float::Raw)_mm512_maskz_scalef_ps(0xffff, (__m512)y.raw, (__m512)n.raw);
#else
  const Float::Int i = __builtin_convertvector(n.raw, Float::Int), half = i >> 1;
  return y * Float::of_bits((half + 127) << 23) * Float::of_bits((i - half + 127) << 23);
#endif
}

// e^x for x in [-104, 89] (0 and infinity at the ends)
INTARSIA_INLINE Float exp_bounded(Float x) {
  const Reduced x2 = reduce(x);
  return scale(expm1_reduced(x2.r) + 1, x2.n);
}
INTARSIA_INLINE Float exp(Float x) { return exp_bounded(at_least(at_most(x, 89.f), -104.f)); }

// e ln 2 + log(1 + f) with 1 + f in [sqrt(1/2), sqrt(2)]
INTARSIA_INLINE Float log(Float x) {
  const Mask small = x < 0x1p-126f;
  const Float scaled = select(small, x * 0x1p25f, x);
  const Float::Int e = Float::minus(scaled.bits(), Float::Int{} + 0x3f3504f3) >> 23;
  const Float f = Float::of_bits(Float::minus(scaled.bits(), e << 23)) - 1;
  const Float n = Float(__builtin_convertvector(e, Float::Raw)) - select(small, 25.f, 0.f);
  const Float p =
      polynomial(f, 0x1.555548p-2f, -0x1.000006p-2f, 0x1.99a476p-3f, -0x1.555c46p-3f, 0x1.233ba8p-3f,
                 -0x1.fc2886p-4f, 0x1.e6bf3ap-4f, -0x1.de02bcp-4f, 0x1.14760cp-4f);
  const Float f2 = f * f;
  const Float tail = fma(-0.5f, f2, fma(n, -2.12194440e-4f, f2 * f * p));
  Float y = fma(n, 0.693359375f, f + tail);
  y = select(x < __builtin_inff(), y, x);  // inf and NaN stay
  y = select(x < 0, __builtin_nanf(""), y);
  return select(scaled == 0, -__builtin_inff(), y);
}

// 1 + e^x for x in [-87, 88], rounded once: 2^n + 1 is exact up to n = 23; beyond it is 2^n, and 2^-n joins
// e^r - 1.
INTARSIA_INLINE Float one_plus_exp(Float x) {
  const Reduced x2 = reduce(x);
  const Float inverse = Float::of_bits(Float::minus(Float::Int{} + 0x7f000000, x2.power.bits()));
  const Float p = expm1_reduced(x2.r) + select(x2.power > 0x1p23f, inverse, 0);
  return fma(x2.power, p, x2.power + 1);
}

// 1 / (1 + e^-x); zero where that is below 2^-126.
INTARSIA_INLINE Float sigmoid(Float x) {
  const Float s = one_plus_exp(-at_least(at_most(x, 87.f), -88.f));
  return select(x < -87.3365447f, 0, 1 / s);
}

// x + x^3 P(x^2) where |x| < 0.625, else 1 - 2 / (1 + e^2|x|)
INTARSIA_INLINE Float tanh(Float x) {
  const Float a = abs(x), x2 = x * x;
  const Float p =
      polynomial(x2, -0x1.555532p-2f, 0x1.1106fcp-3f, -0x1.b83738p-5f, 0x1.5207b8p-6f, -0x1.75619ap-8f);
  const Float bounded = at_most(a, 10.f);  // from where on the result is 1
  const Float large = 1 - 2 / one_plus_exp(bounded + bounded);
  return copysign(select(a < 0.625f, fma(x2 * a, p, a), large), x);
}

// 1 - e^-q with q = -log(erfc|x|) = |x| + |x| P(|x|); e^-q - 1 is kept accurate near 0.
INTARSIA_INLINE Float erf(Float x) {
  const Float a = at_most(abs(x), 4.f);
  const Float a8 = a * 8;  // 8 times, so that a P is no denormal number where a is none
  const Float p =
      polynomial(a, 0x1.06eba8p-3f, 0x1.45f3p-1f, 0x1.a4f8c4p-4f, -0x1.39b7c8p-6f, -0x1.637f3ep-13f,
                 0x1.b745fcp-10f, -0x1.4e2b92p-11f, 0x1.f290e4p-14f, -0x1.3b098ep-17f);
  const Reduced q = reduce(-0.125f * fma(a8, p, a8));
  return copysign(fma(-q.power, expm1_reduced(q.r), 1 - q.power), x);
}

// The normal distribution's function, 2^-q / 2 below 0 with q = -log2(erfc(|x| / sqrt(2))); absolute error
// below 2^-23.
INTARSIA_INLINE Float normal_cdf(Float x) {
  const Float a = at_most(abs(x), 5.6f), magic = 0x1.8p23f;
  const Float q = a * polynomial(a, 0x1.26aed4p+0f, 0x1.d63ac2p-2f, 0x1.ae0a8p-5f, -0x1.ced24ep-8f,
                                 0x1.1d127ep-13f, 0x1.87517ep-13f, -0x1.4b0fd6p-15f, 0x1.7d7f34p-19f);
  const Float shifted = magic - q, f = magic - shifted - q;
  const Float half_power = Float::of_bits(Float::plus(shifted.bits() << 23, Float::Int{} + 0x3f000000));
  const Float p = polynomial(f, 0x1.62e43p-1f, 0x1.ebfbep-3f, 0x1.c6af7ap-5f, 0x1.3b2a28p-7f, 0x1.5f09p-10f,
                             0x1.4447bap-13f);
  const Float tail = select(a >= 5.6f, 0, fma(f * half_power, p, half_power));
  return select(x < 0, tail, 1 - tail);
}

INTARSIA_INLINE Double exp(Double x) { return ::exp(x.raw); }
INTARSIA_INLINE Double log(Double x) { return ::log(x.raw); }
INTARSIA_INLINE Double tanh(Double x) { return ::tanh(x.raw); }
INTARSIA_INLINE Double erf(Double x) { return ::erf(x.raw); }
INTARSIA_INLINE Double normal_cdf(Double x) { return 0.5 * ::erfc(x.raw * -0.70710678118654752); }
INTARSIA_INLINE Double sigmoid(Double x) {
  const double e = ::exp(-::fabs(x.raw));
  return (x.raw >= 0 ? 1 : e) / (1 + e);
}

// NaN stays.
template <Vector V>
INTARSIA_INLINE V relu(V x) {
  return select(x <= 0, 0, x);
}

}  // namespace
}  // namespace intarsia::simd
