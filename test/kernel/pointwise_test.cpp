// Pointwise formulas on arrays: values and gradients on every rung, element types, broadcasting, strides,
// threads.
#include <limits>

#include "arrays.h"
#include "intarsia/array_map.h"

INTARSIA_DECLARE_KERNEL(test_huber)

namespace intarsia::test {
namespace {

using kernel::Formula;
using kernel::pointwise;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double phi(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

struct Case {
  Formula formula;
  double (*exact)(const double* x);
  bool positive = false;  // the domain
};
// A sample of every kind; test/op walks all formulas.
const Case cases[] = {
    {Formula::add, [](const double* x) { return x[0] + x[1]; }},
    {Formula::sub, [](const double* x) { return x[0] - x[1]; }},
    {Formula::mul, [](const double* x) { return x[0] * x[1]; }},
    {Formula::div, [](const double* x) { return x[0] / x[1]; }, true},
    {Formula::neg, [](const double* x) { return -x[0]; }},
    {Formula::exp, [](const double* x) { return std::exp(x[0]); }},
    {Formula::log, [](const double* x) { return std::log(x[0]); }, true},
    {Formula::sqrt, [](const double* x) { return std::sqrt(x[0]); }, true},
    {Formula::rsqrt, [](const double* x) { return 1 / std::sqrt(x[0]); }, true},
    {Formula::tanh, [](const double* x) { return std::tanh(x[0]); }},
    {Formula::sigmoid, [](const double* x) { return sigmoid(x[0]); }},
    {Formula::relu, [](const double* x) { return x[0] > 0 ? x[0] : 0; }},
    {Formula::silu, [](const double* x) { return x[0] * sigmoid(x[0]); }},
    {Formula::gelu, [](const double* x) { return x[0] * phi(x[0]); }},
    {Formula::gelu_tanh,
     [](const double* x) {
       return 0.5 * x[0] * (1 + std::tanh(std::sqrt(2 / M_PI) * (x[0] + 0.044715 * x[0] * x[0] * x[0])));
     }},
    {Formula::swiglu, [](const double* x) { return x[0] * sigmoid(x[0]) * x[1]; }},
    {Formula::geglu, [](const double* x) { return x[0] * phi(x[0]) * x[1]; }},
    {Formula::where, [](const double* x) { return x[0] != 0 ? x[1] : x[2]; }},
    {Formula::fma, [](const double* x) { return x[0] * x[1] + x[2]; }},
};

const char* name_of(Formula f) { return kernel::formula_names[static_cast<int>(f)]; }

// Inputs in the formula's domain; those of where are 0 or 1 at first.
std::vector<Array> inputs_of(const Case& c, const Shape& shape, DType type, uint64_t seed = 1) {
  std::vector<Array> x;
  for (int k = 0; k < kernel::arity(c.formula); k++) {
    std::vector<double> v = doubles(random_array(shape, DType::f32, seed + static_cast<uint64_t>(k)));
    for (double& e : v) {
      if (c.positive) e = 0.25 + std::fabs(e);
      if (c.formula == Formula::where && k == 0) e = e > 0;
    }
    x.push_back(from_doubles(v, shape, type));
  }
  return x;
}

std::vector<double> expected(const Case& c, const std::vector<Array>& x) {
  std::vector<std::vector<double>> v;
  for (const Array& a : x) v.push_back(doubles(a));
  std::vector<double> y(v[0].size());
  for (size_t i = 0; i < y.size(); i++) {
    double at[4];
    for (size_t k = 0; k < v.size(); k++) at[k] = v[k][i];
    y[i] = c.exact(at);
  }
  return y;
}

TEST(Pointwise, ValuesEqualTheDefinitionForEveryTypeAndSize) {
  on_every_rung([] {
    for (const Case& c : cases)
      for (DType type : float_types)
        for (int64_t n : {0, 1, 3, 15, 16, 17, 31, 67, 511, 513, 1000}) {
          const std::vector<Array> x = inputs_of(c, {n}, type);
          expect_close(pointwise(c.formula, x, type), expected(c, x), 4 * rounding(type),
                       std::string(name_of(c.formula)) + " " + info(type).name, 1);
        }
  });
}

TEST(Pointwise, GradientsInF64EqualDifferences) {
  for (const Case& c : cases) {
    const std::vector<Array> x = inputs_of(c, {23}, DType::f64);
    const Array dy = random_array({23}, DType::f64, 9);
    Array dx[4];
    const unsigned all = (1u << x.size()) - 1;
    kernel::pointwise_backward(c.formula, all, dy, x, dx);
    for (size_t k = 0; k < x.size(); k++) {
      if (c.formula == Formula::where && k == 0) continue;
      const auto slope = differences(x[k], doubles(dy), [&](const Array& moved) {
        std::vector<Array> at = x;
        at[k] = moved;
        return pointwise(c.formula, at, DType::f64);
      });
      expect_close(dx[k], slope, 1e-8, std::string(name_of(c.formula)) + " input " + std::to_string(k));
    }
  }
}

TEST(Pointwise, GradientsOfEveryTypeAndMaskEqualThoseOfF64) {
  on_every_rung([] {
    for (const Case& c : cases)
      for (DType type : float_types) {
        const std::vector<Array> x = inputs_of(c, {77}, type);
        std::vector<Array> wide;
        for (const Array& a : x) wide.push_back(kernel::cast(a, DType::f64));
        const Array dy = random_array({77}, type, 4);
        for (unsigned mask = 1; mask < 1u << x.size(); mask++) {
          Array dx[4], exact[4];
          kernel::pointwise_backward(c.formula, mask, dy, x, dx);
          kernel::pointwise_backward(c.formula, mask, kernel::cast(dy, DType::f64), wide, exact);
          for (size_t k = 0; k < x.size(); k++) {
            ASSERT_EQ(static_cast<bool>(dx[k]), static_cast<bool>(mask >> k & 1));
            if (!dx[k]) continue;
            EXPECT_EQ(dx[k].dtype(), type);
            expect_close(dx[k], doubles(exact[k]), 6 * rounding(type), name_of(c.formula));
          }
        }
      }
  });
}

TEST(Pointwise, BroadcastsAsNumPyDoes) {
  struct Shapes {
    Shape a, b, y;
  };
  const Shapes shapes[] = {
      {{4, 5}, {5}, {4, 5}},
      {{4, 5}, {4, 1}, {4, 5}},
      {{4, 5}, {}, {4, 5}},
      {{}, {3}, {3}},
      {{2, 1, 7}, {3, 1}, {2, 3, 7}},
      {{40, 600}, {600}, {40, 600}},
      {{40, 600}, {40, 1}, {40, 600}},
      {{1, 900}, {70, 1}, {70, 900}},
      {{300, 2}, {2}, {300, 2}},
      {{0, 3}, {3}, {0, 3}},
      {{2, 3, 4, 5}, {3, 1, 5}, {2, 3, 4, 5}},
      {{50000}, {1}, {50000}},
  };
  on_every_rung([&] {
    for (const Shapes& s : shapes)
      for (DType type : {DType::f32, DType::bf16, DType::f64}) {
        const Array in[] = {random_array(s.a, type, 1), random_array(s.b, type, 2)};
        const Array y = pointwise(Formula::sub, in, type);
        ASSERT_EQ(y.shape(), s.y);
        // By index, from the definition.
        const auto a = doubles(in[0]), b = doubles(in[1]);
        std::vector<double> want(static_cast<size_t>(y.size()));
        for (int64_t i = 0; i < y.size(); i++) {
          int64_t rest = i, at[2] = {0, 0}, step[2] = {1, 1};
          for (int axis = 1; axis <= s.y.rank(); axis++) {
            const int64_t index = rest % s.y[-axis];
            rest /= s.y[-axis];
            for (int k = 0; k < 2; k++) {
              const Shape& shape = k ? s.b : s.a;
              if (axis > shape.rank()) continue;
              if (shape[-axis] != 1) at[k] += index * step[k];
              step[k] *= shape[-axis];
            }
          }
          want[static_cast<size_t>(i)] = a[static_cast<size_t>(at[0])] - b[static_cast<size_t>(at[1])];
        }
        expect_close(y, want, rounding(type), s.a.text() + s.b.text());
      }
  });
}

TEST(Pointwise, ReadsStridedViews) {
  on_every_rung([] {
    for (DType type : float_types) {
      const Array base = random_array({70, 90}, type, 1);
      const Array turned = base.view({90, 70}, {1, 90}), every_third = base.view({70, 30}, {90, 3}, 2);
      const Array in[] = {turned, random_array({90, 70}, type, 2)};
      const Array copies[] = {kernel::contiguous(turned), in[1]};
      EXPECT_TRUE(same_bits(pointwise(Formula::mul, in, type), pointwise(Formula::mul, copies, type)));
      const Array thin[] = {every_third};
      const Array thin_copy[] = {kernel::contiguous(every_third)};
      EXPECT_TRUE(same_bits(pointwise(Formula::silu, thin, type), pointwise(Formula::silu, thin_copy, type)));
      Array dx[2], dx_copy[2];
      const Array dy = random_array({70, 90}, type, 3).view({90, 70}, {1, 90});
      kernel::pointwise_backward(Formula::mul, 3, dy, in, dx);
      kernel::pointwise_backward(Formula::mul, 3, kernel::contiguous(dy), copies, dx_copy);
      EXPECT_TRUE(same_bits(dx[0], dx_copy[0]));
      EXPECT_TRUE(same_bits(dx[1], dx_copy[1]));
    }
  });
}

TEST(Pointwise, MixesElementTypes) {
  on_every_rung([] {
    const Array condition = Array::of<bool>({true, false, true});
    const Array in[] = {condition, Array::of<int32_t>({1, 2, 3}), Array::of<double>({-1, -2, -3})};
    EXPECT_EQ(doubles(pointwise(Formula::where, in, DType::f32)), (std::vector<double>{1, -2, 3}));
    const Array sum[] = {Array::of<int64_t>({1, 2}), random_array({2}, DType::f16, 1)};
    const auto half = doubles(sum[1]);
    expect_close(pointwise(Formula::add, sum, DType::f64), {1 + half[0], 2 + half[1]}, 0);
  });
}

TEST(Pointwise, AnInfiniteGradientStaysOnItsSide) {
  on_every_rung([] {
    const Array in[] = {Array::of<float>({1, 0}), Array::of<float>({5, 6}), Array::of<float>({7, 8})};
    Array dx[3];
    kernel::pointwise_backward(Formula::where, 6, Array::of<float>({INFINITY, INFINITY}), in, dx);
    EXPECT_EQ(doubles(dx[1]), (std::vector<double>{INFINITY, 0}));
    EXPECT_EQ(doubles(dx[2]), (std::vector<double>{0, INFINITY}));
  });
}

TEST(Pointwise, SpecialValues) {
  on_every_rung([] {
    const Array x[] = {Array::of<float>({NAN, INFINITY, -INFINITY, 0.0f, -0.0f})};
    expect_close(pointwise(Formula::relu, x, DType::f32), {NAN, INFINITY, 0, 0, 0}, 0);
    expect_close(pointwise(Formula::sigmoid, x, DType::f32), {NAN, 1, 0, 0.5, 0.5}, 0);
    expect_close(pointwise(Formula::rsqrt, x, DType::f32), {NAN, 0, NAN, INFINITY, -INFINITY}, 0);
    Array dx[1];
    kernel::pointwise_backward(Formula::relu, 1, Array::of<float>({1, 1, 1, 1, 1}), x, dx);
    EXPECT_EQ(doubles(dx[0])[3], 0) << "relu's slope at 0 is 0";
  });
}

TEST(Pointwise, BitsDoNotDependOnThreads) {
  on_every_rung([] {
    for (DType type : float_types) {
      const Array in[] = {random_array({123, 777}, type, 1), random_array({777}, type, 2)};
      const Array dy = random_array({123, 777}, type, 3);
      Array one, two, d1[2], d2[2];
      {
        Threads threads(1);
        one = pointwise(Formula::swiglu, in, type);
        kernel::pointwise_backward(Formula::swiglu, 3, dy, in, d1);
      }
      {
        Threads threads(2);
        two = pointwise(Formula::swiglu, in, type);
        kernel::pointwise_backward(Formula::swiglu, 3, dy, in, d2);
      }
      EXPECT_TRUE(same_bits(one, two) && same_bits(d1[0], d2[0]) && same_bits(d1[1], d2[1]))
          << info(type).name;
    }
  });
}

TEST(Pointwise, RefusesWrongArguments) {
  const Array x = random_array({2}, DType::f32, 1), y = random_array({3}, DType::f32, 1);
  const Array one[] = {x}, unfit[] = {x, y}, fit[] = {x, x};
  EXPECT_THROW(pointwise(Formula::add, one, DType::f32), Error);
  EXPECT_THROW(pointwise(Formula::add, unfit, DType::f32), Error);
  EXPECT_THROW(pointwise(Formula::add, fit, DType::i32), Error);
}

TEST(Pointwise, ActivationsWorkInPlace) {
  on_every_rung([] {
    Array x = random_array({1, 37}, DType::f32, 1);
    const Array in[] = {x};
    const Array want = pointwise(Formula::gelu, in, DType::f32);
    kernel::activation(Formula::gelu)(x.mutable_data<float>(), 37);
    EXPECT_TRUE(same_bits(x, want));
    EXPECT_EQ(kernel::activation(Formula::add), nullptr);
  });
}

TEST(Map, RunsALambdaOnArrays) {
  const Array a = random_array({3, 50}, DType::f32, 1), b = random_array({50}, DType::f32, 2);
  const double factor = 3;
  const Array y = map([factor](auto p, auto q) { return factor * p + exp(q); }, a, b);
  const auto x = doubles(a), z = doubles(b);
  std::vector<double> want(150);
  for (size_t i = 0; i < 150; i++) want[i] = 3 * x[i] + std::exp(z[i % 50]);
  expect_close(y, want, 1e-6);
  EXPECT_EQ(map([](auto v) { return v * 2; }, random_array({4}, DType::f64, 1)).dtype(), DType::f64);
  EXPECT_EQ(map([](auto v) { return v * 2; }, random_array({4}, DType::bf16, 1)).dtype(), DType::bf16);
  EXPECT_EQ(map([](auto v) { return v * 2; }, Array::of<int32_t>({1})).dtype(), DType::f32);
}

TEST(Map, RunsAKernelOfTheActiveRung) {
  on_every_rung([] {
    const Array x = random_array({300}, DType::f32, 1, 2);
    std::vector<double> want = doubles(x);
    for (double& v : want) v = std::fabs(v) < 1 ? 0.5 * v * v : std::fabs(v) - 0.5;
    expect_close(map(test_huber(), x), want, 1e-6);
  });
}

}  // namespace
}  // namespace intarsia::test
