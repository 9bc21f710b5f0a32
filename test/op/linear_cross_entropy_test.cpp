#include <gtest/gtest.h>

#include <cmath>

#include "intarsia/error.h"
#include "intarsia/op.h"
#include "intarsia/random.h"

namespace intarsia {
namespace {

double largest_difference(const Array& a, const Array& b) {
  const Array x = cast(Tensor(a), DType::f64).array(), y = cast(Tensor(b), DType::f64).array();
  double difference = 0, scale = 0;
  for (size_t i = 0; i < x.span<double>().size(); i++) {
    difference = std::max(difference, std::fabs(x.span<double>()[i] - y.span<double>()[i]));
    scale = std::max(scale, std::fabs(y.span<double>()[i]));
  }
  return difference / scale;
}

Array targets_below(int64_t classes, int64_t rows) {
  Array ids = Array::empty({rows}, DType::i32);
  Random random(5);
  for (int64_t i = 0; i < rows; i++)
    ids.mutable_data<int32_t>()[i] =
        i % 7 == 3 ? -100 : static_cast<int32_t>(random.below(static_cast<uint64_t>(classes)));
  return ids;
}

// Enough rows and classes for three blocks, the last one shorter.
TEST(LinearCrossEntropy, BlocksGiveWhatTheWholeLogitsGiveInLessMemory) {
  const int64_t rows = 2000, classes = 60'000, width = 4;
  const Array x = normal({rows, width}, 1, 1), w = normal({classes, width}, 1, 2);
  const Tensor targets(targets_below(classes, rows));
  const Tensor x1 = parameter(x), w1 = parameter(w), x2 = parameter(x), w2 = parameter(w);
  reset_peak_memory();
  const size_t before = memory_use().current;
  const Tensor loss = linear_cross_entropy(x1, w1, targets);
  backward(loss);
  const size_t peak = memory_use().peak - before;
  EXPECT_LT(peak, size_t{400} << 20);  // the logits are 458 MiB, their gradient as much
  const Tensor plain = cross_entropy(linear(x2, w2), targets);
  backward(plain);
  EXPECT_NEAR(loss.item(), plain.item(), 1e-6 * plain.item());
  EXPECT_LT(largest_difference(x1.gradient(), x2.gradient()), 1e-5);
  EXPECT_LT(largest_difference(w1.gradient(), w2.gradient()), 1e-5);
}

TEST(LinearCrossEntropy, AScaledLossScalesTheGradientsInEachType) {
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    const Array x = cast(Tensor(normal({6, 8}, 1, 1)), type).array(),
                w = cast(Tensor(normal({11, 8}, 1, 2)), type).array();
    const Tensor targets(targets_below(11, 6));
    const Tensor x1 = parameter(x), w1 = parameter(w), x2 = parameter(x), w2 = parameter(w);
    backward(linear_cross_entropy(x1, w1, targets));
    backward(linear_cross_entropy(x2, w2, targets) * 64.0);
    const double tolerance = type == DType::f32 ? 0 : 1e-2;
    EXPECT_LE(largest_difference((Tensor(x1.gradient()) * 64.0).array(), x2.gradient()), tolerance)
        << info(type).name;
    EXPECT_LE(largest_difference((Tensor(w1.gradient()) * 64.0).array(), w2.gradient()), tolerance)
        << info(type).name;
  }
}

TEST(LinearCrossEntropy, AGraphThatIsKeptCanBeUsedTwice) {
  const Tensor x = parameter(normal({6, 8}, 1, 1)), w = parameter(normal({11, 8}, 1, 2));
  const Tensor loss = linear_cross_entropy(x, w, Tensor(targets_below(11, 6)));
  const Tensor wrt[] = {x, w};
  const std::vector<Array> once = grad(loss, wrt, true), again = grad(loss, wrt);
  EXPECT_EQ(largest_difference(once[1], again[1]), 0);
}

TEST(LinearCrossEntropy, NoRowsAndNoCountedRowGiveZero) {
  const Tensor w = parameter(normal({11, 8}, 1, 2));
  EXPECT_EQ(
      linear_cross_entropy(Tensor(Array::zeros({0, 8})), w, Tensor(Array::zeros({0}, DType::i32))).item(), 0);
  Array ignored = Array::zeros({2}, DType::i32);
  for (int i = 0; i < 2; i++) ignored.mutable_data<int32_t>()[i] = -100;
  const Tensor loss = linear_cross_entropy(Tensor(normal({2, 8}, 1, 1)), w, Tensor(ignored), {}, 0, 0.1);
  EXPECT_EQ(loss.item(), 0);
  backward(loss);
  for (const float g : w.gradient().span<float>()) EXPECT_EQ(g, 0);
}

TEST(LinearCrossEntropy, ShapesThatDoNotFitAreNamed) {
  const Tensor x(normal({2, 8}, 1, 1)), w(normal({11, 8}, 1, 2));
  const auto message = [](auto f) -> std::string {
    try {
      f();
    } catch (const Error& error) { return error.what(); }
    return "none";
  };
  EXPECT_EQ(message([&] {
              linear_cross_entropy(x, Tensor(normal({11, 7}, 1, 2)), Tensor(Array::zeros({2}, DType::i32)));
            }),
            "linear_cross_entropy: w has shape [11, 7], expected [classes, 8], the last axis of x");
  EXPECT_EQ(message([&] { linear_cross_entropy(x, w, Tensor(Array::zeros({3}, DType::i32))); }),
            "linear_cross_entropy: targets have shape [3], expected [2], the axes of x before the last");
}

}  // namespace
}  // namespace intarsia
