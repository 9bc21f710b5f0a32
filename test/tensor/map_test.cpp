// map() on tensors: a user's lambda with its gradient, recorded on the tape.
#include "intarsia/map.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "intarsia/error.h"
#include "intarsia/random.h"
#include "kernel/kernels.h"

namespace intarsia {
namespace {

std::vector<double> doubles(const Array& x) {
  const Array wide = kernel::cast(x, DType::f64);
  const auto span = wide.span<double>();
  return {span.begin(), span.end()};
}

// backward() starts from one element.
Tensor only(const Array& value) { return parameter(value.reshape({1})); }

TEST(Map, RecordsTheGradientOfALambda) {
  const Tensor a = only(Array::of<double>({0.7})), b = only(Array::of<double>({-1.2}));
  const double factor = 3;
  const auto f = [factor](auto x, auto y) { return factor * x * exp(y) + tanh(x); };
  const Tensor y = map(f, a, b);
  EXPECT_NEAR(y.item(), 3 * 0.7 * std::exp(-1.2) + std::tanh(0.7), 1e-14);
  backward(y);
  EXPECT_NEAR(doubles(a.gradient())[0], 3 * std::exp(-1.2) + 1 - std::tanh(0.7) * std::tanh(0.7), 1e-14);
  EXPECT_NEAR(doubles(b.gradient())[0], 3 * 0.7 * std::exp(-1.2), 1e-14);
}

TEST(Map, SumsTheGradientOfABroadcastInput) {
  const Tensor x = parameter(kernel::cast(normal({40, 3}, 1, 1), DType::f64));
  const Tensor w = parameter(kernel::cast(normal({3}, 1, 2), DType::f64));
  const Tensor squares = map([](auto p, auto q) { return p * q * q; }, x, w);
  // A sum by hand: the tensor room has no reductions.
  const Tensor total = record("total", kernel::reduce(kernel::Reduction::sum, squares.array(), 3, DType::f64),
                              {&squares}, [](const Array& dy, Gradients& dx) {
                                Array all = Array::empty({40, 3}, DType::f64);
                                kernel::fill(all, doubles(dy)[0]);
                                dx.add(0, all);
                              });
  backward(total);
  const auto v = doubles(x.array()), u = doubles(w.array()), dx = doubles(x.gradient()),
             dw = doubles(w.gradient());
  ASSERT_EQ(w.gradient().shape(), (Shape{3}));
  for (size_t j = 0; j < 3; j++) {
    double want = 0;
    for (size_t i = 0; i < 40; i++) {
      want += 2 * v[i * 3 + j] * u[j];
      EXPECT_NEAR(dx[i * 3 + j], u[j] * u[j], 1e-13);
    }
    EXPECT_NEAR(dw[j], want, 1e-12);
  }
}

TEST(Map, LeavesInputsThatNeedNoGradientAlone) {
  const Tensor a = only(Array::of<float>({2})), constant = Array::of<float>({INFINITY});
  const Tensor y = map([](auto x, auto c) { return select(c > 0, x * x, c); }, a, constant);
  backward(y);
  EXPECT_EQ(doubles(a.gradient())[0], 4);
  EXPECT_FALSE(map([](auto x) { return x + 1; }, constant).needs_gradient());
}

TEST(Map, RefusesInputsChangedSinceTheyWereSaved) {
  Array value = Array::of<float>({2});
  const Tensor a = parameter(value);
  const Tensor y = map([](auto x) { return x * x; }, a);
  value.mutable_data<float>()[0] = 3;
  EXPECT_THROW(backward(y), Error);
}

}  // namespace
}  // namespace intarsia
