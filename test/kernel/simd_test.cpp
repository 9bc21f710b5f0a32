// The elementary functions on every rung: accuracy over all of f32, special values, denormals; dual numbers.
#include <cstdint>

#include "arrays.h"
#include "core/threads.h"
#include "intarsia/array_map.h"
#include "intarsia/dual.h"

INTARSIA_DECLARE_KERNEL(test_exp)
INTARSIA_DECLARE_KERNEL(test_log)
INTARSIA_DECLARE_KERNEL(test_tanh)
INTARSIA_DECLARE_KERNEL(test_sigmoid)
INTARSIA_DECLARE_KERNEL(test_erf)
INTARSIA_DECLARE_KERNEL(test_abs)
INTARSIA_DECLARE_KERNEL(test_max)
INTARSIA_DECLARE_KERNEL(test_min)
INTARSIA_DECLARE_KERNEL(test_four)
INTARSIA_DECLARE_KERNEL(test_normal_cdf)
INTARSIA_DECLARE_KERNEL(test_sin)
INTARSIA_DECLARE_KERNEL(test_cos)
INTARSIA_DECLARE_KERNEL(test_atan)
INTARSIA_DECLARE_KERNEL(test_log1p)
INTARSIA_DECLARE_KERNEL(test_expm1)
INTARSIA_DECLARE_KERNEL(test_softplus)
INTARSIA_DECLARE_KERNEL(test_floor)
INTARSIA_DECLARE_KERNEL(test_ceil)
INTARSIA_DECLARE_KERNEL(test_round)
INTARSIA_DECLARE_KERNEL(test_sign)
INTARSIA_DECLARE_KERNEL(test_pow)

namespace intarsia::test {
namespace {

constexpr double smallest_normal = 0x1p-126;

float of_bits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

// The distance in units of the last place of the f32 nearest to `want`.
double ulps(float got, double want) {
  if (std::isnan(want)) return std::isnan(got) ? 0 : INFINITY;
  if (static_cast<float>(want) == got) return 0;
  if (!std::isfinite(got)) return INFINITY;
  int exponent;
  std::frexp(want, &exponent);
  return std::fabs(got - want) / std::ldexp(1, std::max(exponent, -125) - 24);
}

struct Function {
  const char* name;
  const PointwiseKernel& (*kernel)();
  double (*exact)(double);
};
const Function functions[] = {
    {"exp", test_exp, [](double x) { return std::exp(x); }},
    {"log", test_log, [](double x) { return std::log(x); }},
    {"tanh", test_tanh, [](double x) { return std::tanh(x); }},
    {"sigmoid", test_sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }},
    {"erf", test_erf, [](double x) { return std::erf(x); }},
    {"sin", test_sin, [](double x) { return std::sin(x); }},
    {"cos", test_cos, [](double x) { return std::cos(x); }},
    {"atan", test_atan, [](double x) { return std::atan(x); }},
    {"log1p", test_log1p, [](double x) { return std::log1p(x); }},
    {"expm1", test_expm1, [](double x) { return std::expm1(x); }},
    {"softplus", test_softplus,
     [](double x) { return std::isnan(x) ? x : std::fmax(x, 0) + std::log1p(std::exp(-std::fabs(x))); }},
};

float value(const Function& f, float x) {
  const float* in[] = {&x};
  float y;
  f.kernel().f32.forward(f.kernel().formula, &y, in, 1);
  return y;
}

// Walks all of f32 in steps of `step` bit patterns.
void sweep(const Function& f, uint64_t step, bool flushing) {
  constexpr int64_t block = 4096;
  std::vector<float> x(block), y(block);
  std::vector<double> want(block);
  std::vector<double> worst(kernel::rungs().size());
  std::vector<float> where(worst.size());
  for (uint64_t bits = 0; bits < uint64_t{1} << 32;) {
    int64_t n = 0;
    for (; n < block && bits < uint64_t{1} << 32; bits += step) {
      const float v = of_bits(static_cast<uint32_t>(bits));
      if (flushing && std::fabs(static_cast<double>(v)) < smallest_normal && v != 0) continue;
      x[static_cast<size_t>(n++)] = v;
    }
    for (size_t i = 0; i < static_cast<size_t>(n); i++) want[i] = f.exact(x[i]);
    const float* in[] = {x.data()};
    size_t number = 0;
    for (const kernel::Kernels* rung : kernel::rungs()) {
      kernel::use_rung(rung->name);
      if (flushing) {
        DenormalsOff guard;
        f.kernel().f32.forward(f.kernel().formula, y.data(), in, n);
      } else {
        f.kernel().f32.forward(f.kernel().formula, y.data(), in, n);
      }
      for (size_t i = 0; i < static_cast<size_t>(n); i++) {
        // sigmoid never underflows gradually, as its comment says
        const bool may_be_zero = flushing || &f == &functions[3];
        if (may_be_zero && std::fabs(want[i]) < smallest_normal && y[i] == 0) continue;
        const double error = ulps(y[i], want[i]);
        if (error > worst[number]) {
          worst[number] = error;
          where[number] = x[i];
        }
      }
      number++;
    }
  }
  for (size_t i = 0; i < worst.size(); i++)
    EXPECT_LE(worst[i], 2) << f.name << "(" << where[i] << ") on " << kernel::rungs()[i]->name;
}

class Accuracy : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Functions, Accuracy, testing::Range(0, static_cast<int>(std::size(functions))),
                         [](const auto& test) { return functions[test.param].name; });

TEST_P(Accuracy, IsWithinTwoUlpOnEveryRungWithDenormalsOff) {
  const Function& f = functions[GetParam()];
  const bool slow_beyond = f.kernel == test_sin || f.kernel == test_cos;  // half of f32 is libm's there
  sweep(f, slow_beyond ? 797 : 97, true);
}
TEST_P(Accuracy, IsWithinTwoUlpOnEveryRungWithDenormalsOn) { sweep(functions[GetParam()], 1009, false); }

TEST(Simd, InfinitiesAndNaNAreAsInLibm) {
  on_every_rung([] {
    for (const Function& f : functions) {
      for (float x : {INFINITY, -INFINITY, NAN, 0.0f, -0.0f, 3.4e38f, -3.4e38f}) {
        EXPECT_LE(ulps(value(f, x), f.exact(x)), 2) << f.name << "(" << x << ")";
      }
    }
    EXPECT_TRUE(std::signbit(value(functions[2], -0.0f))) << "tanh keeps the sign of zero";
    EXPECT_TRUE(std::signbit(value(functions[4], -0.0f))) << "erf keeps the sign of zero";
    EXPECT_TRUE(std::signbit(value(functions[5], -0.0f))) << "sin keeps the sign of zero";
    EXPECT_TRUE(std::isnan(value(functions[1], -1.0f))) << "log of a negative number";
  });
}

TEST(Simd, DenormalInputsCountAsZeroWhereTheyAreOff) {
  on_every_rung([] {
    DenormalsOff guard;
    const float denormal = of_bits(1234567);
    EXPECT_EQ(value(functions[0], denormal), 1);
    EXPECT_EQ(value(functions[1], denormal), -INFINITY);
    EXPECT_EQ(value(functions[3], denormal), 0.5f);
    EXPECT_EQ(value(functions[0], -90.0f), 0) << "a result below the smallest normal number";
  });
}

TEST(Simd, DenormalResultsAreGradualWhereTheyAreOn) {
  on_every_rung([] {
    EXPECT_LE(ulps(value(functions[0], -95.0f), std::exp(-95.0)), 2);
    EXPECT_LE(ulps(value(functions[1], of_bits(1234567)), std::log(static_cast<double>(of_bits(1234567)))),
              2);
  });
}

TEST(Simd, TheSignOfZeroStaysWhereTheFunctionIsOdd) {
  on_every_rung([] {
    for (const Function& f : functions) {
      if (f.exact(0.0) != 0) continue;
      const bool odd = std::signbit(f.exact(-0.0));
      EXPECT_EQ(std::signbit(value(f, -0.0f)), odd) << f.name;
    }
  });
}

TEST(Simd, RoundingIsExact) {
  const Function steps[] = {{"floor", test_floor, [](double x) { return std::floor(x); }},
                            {"ceil", test_ceil, [](double x) { return std::ceil(x); }},
                            {"round to even", test_round, [](double x) { return std::nearbyint(x); }}};
  on_every_rung([&] {
    for (const Function& f : steps)
      for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 4001) {
        const float x = of_bits(static_cast<uint32_t>(bits));
        const float got = value(f, x), want = static_cast<float>(f.exact(x));
        ASSERT_TRUE(std::isnan(want) ? std::isnan(got)
                                     : got == want && std::signbit(got) == std::signbit(want))
            << f.name << "(" << x << ") = " << got;
      }
    for (const Function& f : steps)
      for (float x : {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 0x1p22f + 0.5f, 0x1p23f - 0.5f, -0.25f}) {
        EXPECT_EQ(value(f, x), f.exact(x)) << f.name << "(" << x << ")";
      }
    const Function sign = {"sign", test_sign, [](double) { return 0.0; }};
    EXPECT_EQ(value(sign, -3), -1);
    EXPECT_EQ(value(sign, 0x1p-120f), 1);
    EXPECT_EQ(value(sign, 0), 0);
    EXPECT_EQ(value(sign, NAN), 0);
  });
}

float power(float x, float y) {
  const float* in[] = {&x, &y};
  float z;
  test_pow().f32.forward(test_pow().formula, &z, in, 1);
  return z;
}

TEST(Simd, PowIsWithinTwoUlpWithCsSpecialCases) {
  on_every_rung([] {
    const float inf = INFINITY;
    const float special[] = {NAN,     inf,   -inf,  0.0f,   -0.0f,  1,          -1,
                             2,       -2,    3,     -3,     0.5f,   -0.5f,      0x1p23f + 1,
                             0x1p24f, -2.5f, 3e38f, -3e38f, 1e-30f, 0.99999994f};
    for (float x : special)
      for (float y : special) {
        const double want = std::pow(static_cast<double>(x), static_cast<double>(y));
        const float got = power(x, y);
        EXPECT_LE(ulps(got, want), 2) << x << "^" << y << " = " << got;
        if (want == 0 || std::isinf(want)) {
          EXPECT_EQ(std::signbit(got), std::signbit(want)) << x << "^" << y;
        }
      }
    double worst = 0;
    std::vector<float> x(4096), y(4096), z(4096);
    const float* in[] = {x.data(), y.data()};
    for (uint32_t turn = 0; turn < 200; turn++) {
      for (size_t i = 0; i < x.size(); i++) {
        const uint32_t k = turn * 4096 + static_cast<uint32_t>(i);
        x[i] = of_bits(k * 2654435761u >> 1);  // positive, all exponents
        const double log = std::log(static_cast<double>(x[i]));
        y[i] = static_cast<float>((static_cast<double>(k * 40503u % 65536) / 32768 - 1) * 90 / log);
        if (k % 2) x[i] = 1 + static_cast<float>(k % 1000) * 0x1p-20f;
      }
      test_pow().f32.forward(test_pow().formula, z.data(), in, 4096);
      for (size_t i = 0; i < x.size(); i++)
        worst = std::max(worst, ulps(z[i], std::pow(static_cast<double>(x[i]), y[i])));
    }
    EXPECT_LE(worst, 2);
  });
}

TEST(Simd, NormalCdfIsWithinTwoToTheMinus23) {
  const Function cdf = {"normal_cdf", test_normal_cdf,
                        [](double x) { return 0.5 * std::erfc(-x * std::sqrt(0.5)); }};
  on_every_rung([&] {
    double worst = 0;
    for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 40009) {
      const float x = of_bits(static_cast<uint32_t>(bits));
      if (std::isnan(x)) continue;
      worst = std::max(worst, std::fabs(value(cdf, x) - cdf.exact(x)));
    }
    EXPECT_LE(worst, 0x1p-23);
    EXPECT_EQ(value(cdf, -INFINITY), 0);
    EXPECT_EQ(value(cdf, INFINITY), 1);
    EXPECT_TRUE(std::isnan(value(cdf, NAN)));
  });
}

TEST(Simd, MinAndMaxKeepNaN) {
  on_every_rung([] {
    const float values[] = {NAN, 1, -1, INFINITY, -INFINITY, 0};
    for (float a : values)
      for (float b : values) {
        const float* in[] = {&a, &b};
        float most, least;
        test_max().f32.forward(test_max().formula, &most, in, 1);
        test_min().f32.forward(test_min().formula, &least, in, 1);
        if (std::isnan(a) || std::isnan(b)) {
          EXPECT_TRUE(std::isnan(most) && std::isnan(least)) << a << " " << b;
        } else {
          EXPECT_EQ(most, std::max(a, b));
          EXPECT_EQ(least, std::min(a, b));
        }
      }
  });
}

TEST(Simd, TailsAreLikeBodies) {
  on_every_rung([] {
    const Array x = random_array({100}, DType::f32, 1);
    for (const Function& f : functions) {
      std::vector<float> whole(100), single(100);
      const float* in[] = {x.data<float>()};
      f.kernel().f32.forward(f.kernel().formula, whole.data(), in, 100);
      for (size_t i = 0; i < 100; i++) single[i] = value(f, x.data<float>()[i]);
      EXPECT_EQ(std::memcmp(whole.data(), single.data(), 400), 0) << f.name;
    }
  });
}

TEST(Dual, GradientsOfFourInputsEqualDifferencesForEveryMask) {
  std::vector<double> x[4], dy;
  for (int k = 0; k < 4; k++) x[k] = doubles(random_array({37}, DType::f32, static_cast<uint64_t>(k) + 7));
  dy = doubles(random_array({37}, DType::f32, 3));
  on_every_rung([&] {
    const PointwiseKernel& kernel = test_four();
    ASSERT_EQ(kernel.inputs, 4);
    for (unsigned mask = 1; mask < 16; mask++) {
      std::vector<double> dx[4];
      const double* in[4];
      double* out[4];
      for (size_t k = 0; k < 4; k++) {
        dx[k].assign(37, -77);
        in[k] = x[k].data();
        out[k] = mask >> k & 1 ? dx[k].data() : nullptr;
      }
      kernel.f64.backward[mask](kernel.formula, out, dy.data(), in, 37);
      for (size_t k = 0; k < 4; k++)
        for (size_t i = 0; i < 37; i++) {
          if (!(mask >> k & 1)) continue;
          double up, down, at[4] = {x[0][i], x[1][i], x[2][i], x[3][i]};
          const double* place[] = {at, at + 1, at + 2, at + 3};
          at[k] += 1e-5;
          kernel.f64.forward(kernel.formula, &up, place, 1);
          at[k] -= 2e-5;
          kernel.f64.forward(kernel.formula, &down, place, 1);
          EXPECT_NEAR(dx[k][i], dy[i] * (up - down) / 2e-5, 1e-8) << "mask " << mask << " input " << k;
        }
    }
  });
}

TEST(Dual, EqualArgumentsOfMaxShareTheDerivativeAndAbsHasNoneAtZero) {
  on_every_rung([] {
    const float a = 2, b = 2, dy = 3, zero = 0;
    const float* in[] = {&a, &b};
    float da, db, d0;
    float* out[] = {&da, &db};
    test_max().f32.backward[3](test_max().formula, out, &dy, in, 1);
    EXPECT_EQ(da, 1.5f);
    EXPECT_EQ(db, 1.5f);
    const float* in0[] = {&zero};
    float* out0[] = {&d0};
    test_abs().f32.backward[1](test_abs().formula, out0, &dy, in0, 1);
    EXPECT_EQ(d0, 0);
  });
}

}  // namespace
}  // namespace intarsia::test
