// The tape alone: operations here are made on the spot from kernels, so that nothing above the tensor room is
// needed.
#include <gtest/gtest.h>

#include "intarsia/error.h"
#include "intarsia/tensor.h"
#include "kernel/kernels.h"

namespace intarsia {
namespace {

using kernel::Formula;

Array multiply(const Array& a, const Array& b) {
  const Array in[] = {a, b};
  return kernel::pointwise(Formula::mul, in, a.dtype());
}

Tensor times(const Tensor& a, const Tensor& b) {
  return record("times", multiply(a.array(), b.array()), {&a, &b},
                [a = Saved(a), b = Saved(b)](const Array& dy, Gradients& dx) {
                  dx.add(0, multiply(dy, *b));
                  dx.add(1, multiply(dy, *a));
                });
}

Tensor total(const Tensor& x) {
  Array y = kernel::reduce(kernel::Reduction::sum, x.array(), (1u << x.rank()) - 1, x.dtype()).reshape({});
  return record("total", y, {&x}, [shape = x.shape()](const Array& dy, Gradients& dx) {
    Array g = Array::empty(shape, dy.dtype());
    kernel::fill(g, Tensor(dy).item());
    dx.add(0, g);
  });
}

std::vector<float> values(const Array& a) {
  const auto s = a.span<float>();
  return {s.begin(), s.end()};
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) { return e.what(); }
  return "no error";
}

TEST(Tape, GradientsOfATensorUsedTwiceAreSummed) {
  const Tensor x = parameter(Array::of<float>({1, 2, 3}));
  const Tensor y = times(x, x);
  backward(total(times(y, x)));  // x^3
  EXPECT_EQ(values(x.gradient()), (std::vector<float>{3, 12, 27}));
  backward(total(times(x, x)));  // accumulates on top
  EXPECT_EQ(values(x.gradient()), (std::vector<float>{5, 16, 33}));
  x.clear_gradient();
  EXPECT_FALSE(x.gradient());
}

TEST(Tape, BroadcastAxesAreSummed) {
  const Tensor x = parameter(Array::of<float>({1, 2, 3, 4, 5, 6}).reshape({2, 3}));
  const Tensor row = parameter(Array::of<float>({1, 10, 100}));
  backward(total(times(x, row)));
  EXPECT_EQ(values(row.gradient()), (std::vector<float>{5, 7, 9}));
  EXPECT_EQ(row.gradient().shape(), Shape({3}));
}

TEST(Tape, AnArrayWrittenAfterItWasSavedIsAnError) {
  Array value = Array::of<float>({1, 2, 3});
  const Tensor x = parameter(value);
  const Tensor y = total(times(x, x));
  value.mutable_data<float>()[0] = 9;
  EXPECT_EQ(message_of([&] { backward(y); }),
            "backward: an array that was saved for a gradient has been written since");
  EXPECT_FALSE(x.gradient());
}

TEST(Tape, RefusalsNameTheOperation) {
  const Tensor x = parameter(Array::of<float>({1, 2, 3}));
  const Tensor rounded = nondifferentiable("round", x.array(), {&x});
  EXPECT_EQ(message_of([&] { backward(total(times(rounded, x))); }),
            "backward: round has no gradient; use stop_gradient(x) where none is meant to flow");
  EXPECT_FALSE(x.gradient());
  const Tensor loss = total(times(stop_gradient(rounded), x));
  backward(loss);
  EXPECT_EQ(values(x.gradient()), (std::vector<float>{1, 2, 3}));
  EXPECT_NE(message_of([&] { backward(loss); }).find("was used already"), std::string::npos);
  EXPECT_NE(message_of([&] { backward(x); }).find("expected one element"), std::string::npos);
  EXPECT_NE(message_of([&] { backward(Tensor(Array::of<float>({1}))); }).find("depends on no parameter"),
            std::string::npos);
}

TEST(Tape, GradientsOfGradientsAreRefused) {
  const Tensor x = parameter(Array::of<float>({2}));
  const Tensor y = record("twice", x.array(), {&x}, [x](const Array& dy, Gradients& dx) {
    backward(total(times(x, x)));
    dx.add(0, dy);
  });
  EXPECT_NE(message_of([&] { backward(total(y)); }).find("gradients of gradients"), std::string::npos);
}

TEST(Tape, NothingIsRecordedUnderNoGradient) {
  const Tensor x = parameter(Array::of<float>({1, 2}));
  NoGradient off;
  EXPECT_FALSE(times(x, x).needs_gradient());
}

TEST(Tape, GradGivesInnerGradientsAndCanKeepTheGraph) {
  const Tensor x = parameter(Array::of<float>({1, 2, 3}));
  const Tensor y = times(x, x);
  const Tensor loss = total(times(y, y));  // x^4
  const Tensor wrt[] = {x, y};
  const std::vector<Array> first = grad(loss, wrt, true);
  EXPECT_EQ(values(first[0]), (std::vector<float>{4, 32, 108}));
  EXPECT_EQ(values(first[1]), (std::vector<float>{2, 8, 18}));
  EXPECT_FALSE(x.gradient());
  EXPECT_EQ(values(grad(loss, wrt)[0]), values(first[0]));
}

TEST(Tape, SixteenBitWeightsSumTheirGradientsInF32) {
  const Tensor w = parameter(kernel::cast(Array::of<float>({1, 2}), DType::bf16), DType::f32);
  backward(total(times(w, w)));
  EXPECT_EQ(w.gradient().dtype(), DType::f32);
}

TEST(Tape, RecomputeGivesTheSameGradientAndKeepsLess) {
  const auto cube = [](std::span<const Tensor> in) {
    return times(times(in[0], in[0]), times(in[0], in[1]));
  };
  const auto run = [&](bool again) {
    std::vector<Tensor> in = {parameter(Array::of<float>({1, 2, 3})), parameter(Array::of<float>({4, 5, 6}))};
    backward(total(again ? recompute(cube, in) : cube(in)));
    std::vector<float> g = values(in[0].gradient());
    const std::vector<float> second = values(in[1].gradient());
    g.insert(g.end(), second.begin(), second.end());
    return g;
  };
  EXPECT_EQ(run(true), run(false));
}

TEST(Tape, AGraphOfAHundredThousandNodesIsFreedWithoutRecursion) {
  const size_t before = memory_use().current;
  {
    const Tensor x = parameter(Array::of<float>({1}));
    Tensor y = x;
    for (int i = 0; i < 100000; i++) y = times(y, x);
  }
  EXPECT_EQ(memory_use().current, before);
}

TEST(Tape, BackwardFreesWhatWasSaved) {
  const Tensor x = parameter(Array::zeros({1 << 16}));
  Tensor y = x;
  for (int i = 0; i < 20; i++) y = times(y, y);
  const Tensor loss = total(y);
  y = Tensor();
  const size_t held = memory_use().current;
  backward(loss);
  EXPECT_LT(memory_use().current, held - 15 * (size_t{1} << 18));
}

}  // namespace
}  // namespace intarsia
