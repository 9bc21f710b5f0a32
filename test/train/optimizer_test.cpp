#include "train/optimizer/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "intarsia/error.h"
#include "intarsia/op.h"
#include "intarsia/random.h"
#include "train/optimizer/weights_only.h"

namespace intarsia {
namespace {

// A matrix that decays and a vector that does not; no architecture.
class TwoWeights : public WeightsOnly {
 public:
  TwoWeights() : matrix(normal({33, 70}, 0.5, 1)), vector(normal({70}, 0.5, 2)) {
    weights_ = {{"matrix", &matrix, true, 0.5}, {"vector", &vector, false, 0.5}};
  }
  Tensor matrix, vector;
};

// Gives both weights the gradient of step `step`: random numbers, the same in every test.
void give_gradients(TwoWeights& model, int step, double size = 1) {
  const Tensor m = normal({33, 70}, size, 100, static_cast<uint64_t>(step)),
               v = normal({70}, size, 200, static_cast<uint64_t>(step));
  backward(sum(cast(model.matrix, DType::f32) * m) + sum(cast(model.vector, DType::f32) * v));
}

std::vector<double> doubles(const Array& array) {
  const std::span<const float> values = array.span<float>();
  return {values.begin(), values.end()};
}

// The update rules once more, in double and as the papers write them.
struct Reference {
  std::vector<double> w, m, v;
  explicit Reference(const Array& start) : w(doubles(start)), m(w.size()), v(w.size()) {}
  void adamw(const std::vector<double>& gradient, int t, double rate, const Recipe::Optimizer& o,
             double decay, double scale) {
    for (size_t i = 0; i < w.size(); i++) {
      const double g = gradient[i] * scale;
      m[i] = o.beta1 * m[i] + (1 - o.beta1) * g;
      v[i] = o.beta2 * v[i] + (1 - o.beta2) * g * g;
      const double m_hat = m[i] / (1 - std::pow(o.beta1, t)), v_hat = v[i] / (1 - std::pow(o.beta2, t));
      w[i] -= rate * decay * w[i];
      w[i] -= rate * m_hat / (std::sqrt(v_hat) + o.eps);
    }
  }
  void sgd(const std::vector<double>& gradient, double rate, const Recipe::Optimizer& o, double decay,
           double scale) {
    for (size_t i = 0; i < w.size(); i++) {
      m[i] = o.momentum * m[i] + gradient[i] * scale + decay * w[i];
      w[i] -= rate * m[i];
    }
  }
};

double norm_of(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (double x : a) sum += x * x;
  for (double x : b) sum += x * x;
  return std::sqrt(sum);
}

void expect_near(const Array& found, const std::vector<double>& expected, double tolerance) {
  const std::span<const float> values = found.span<float>();
  ASSERT_EQ(values.size(), expected.size());
  for (size_t i = 0; i < expected.size(); i++) ASSERT_NEAR(values[i], expected[i], tolerance) << "at " << i;
}

class Rules : public testing::TestWithParam<const char*> {};

TEST_P(Rules, FollowTheFormulaWithDecayOnMatricesOnlyAndClippingByTheNormOfAll) {
  Recipe::Optimizer options;
  options.kind = GetParam();
  options.weight_decay = 0.3;
  options.clip = 20;  // some of the gradients below are longer, some are not
  TwoWeights model;
  Reference matrix(model.matrix.array()), vector(model.vector.array());
  Optimizer optimizer(model, options, DType::f32);
  bool clipped = false, unclipped = false;
  for (int t = 1; t <= 6; t++) {
    const double rate = 0.01 / t;
    give_gradients(model, t, t % 2 ? 1.0 : 0.1);
    const std::vector<double> gm = doubles(model.matrix.gradient()), gv = doubles(model.vector.gradient());
    const double norm = norm_of(gm, gv), scale = std::min(1.0, options.clip / (norm + 1e-6));
    clipped |= scale < 1;
    unclipped |= scale == 1;
    EXPECT_NEAR(optimizer.step(rate), norm, 1e-5 * norm);
    EXPECT_FALSE(model.matrix.gradient()) << "the gradient must be dropped";
    if (options.kind == "adamw") {
      matrix.adamw(gm, t, rate, options, options.weight_decay, scale);
      vector.adamw(gv, t, rate, options, 0, scale);
    } else {
      matrix.sgd(gm, rate, options, options.weight_decay, scale);
      vector.sgd(gv, rate, options, 0, scale);
    }
  }
  EXPECT_TRUE(clipped && unclipped);
  EXPECT_EQ(optimizer.state().steps, 6);
  expect_near(model.matrix.array(), matrix.w, 3e-6);
  expect_near(model.vector.array(), vector.w, 3e-6);
}

TEST_P(Rules, RestoredStateGoesOnWithTheSameBits) {
  Recipe::Optimizer options;
  options.kind = GetParam();
  TwoWeights whole, first, second;
  Optimizer a(whole, options, DType::f32), b(first, options, DType::f32);
  for (int t = 1; t <= 4; t++) {
    give_gradients(whole, t);
    a.step(0.01);
    if (t > 2) continue;
    give_gradients(first, t);
    b.step(0.01);
  }
  second.matrix = Tensor(first.matrix.array());
  second.vector = Tensor(first.vector.array());
  Optimizer c(second, options, DType::f32);
  std::vector<Optimizer::Part> to = c.parts();
  const std::vector<Optimizer::Part> from = b.parts();
  ASSERT_EQ(to.size(), from.size());
  for (size_t i = 0; i < to.size(); i++) kernel::copy(from[i].array, to[i].array);
  c.restore(b.state());
  for (int t = 3; t <= 4; t++) {
    give_gradients(second, t);
    c.step(0.01);
  }
  const auto equal = [](const Tensor& x, const Tensor& y) {
    return std::memcmp(x.array().raw(), y.array().raw(), x.array().bytes()) == 0;
  };
  EXPECT_TRUE(equal(whole.matrix, second.matrix));
  EXPECT_TRUE(equal(whole.vector, second.vector));
}

INSTANTIATE_TEST_SUITE_P(Optimizer, Rules, testing::Values("adamw", "sgd"),
                         [](const auto& kind) { return std::string(kind.param); });

TEST(Optimizer, Bf16WeightsAreTheRoundedMastersAfterEachStep) {
  TwoWeights model;
  Optimizer optimizer(model, {}, DType::bf16);
  ASSERT_EQ(model.matrix.dtype(), DType::bf16);
  for (int t = 1; t <= 3; t++) {
    give_gradients(model, t);
    EXPECT_EQ(model.matrix.gradient().dtype(), DType::f32);
    optimizer.step(1e-4);  // smaller than a bf16 weight can follow: only masters add such steps up
    Array rounded;
    optimizer.with_saved(model, [&] { rounded = cast(model.matrix, DType::bf16).array(); });
    EXPECT_EQ(std::memcmp(rounded.raw(), model.matrix.array().raw(), rounded.bytes()), 0);
  }
  Array master;
  optimizer.with_saved(model, [&] { master = model.matrix.array(); });
  EXPECT_EQ(master.dtype(), DType::f32);
  EXPECT_EQ(model.matrix.dtype(), DType::bf16);
}

TEST(Optimizer, TheMastersGoBackAfterAnExceptionToo) {
  TwoWeights model;
  Optimizer optimizer(model, {}, DType::bf16);
  EXPECT_THROW(optimizer.with_saved(model, [] { throw Error("disk full"); }), Error);
  EXPECT_EQ(model.matrix.dtype(), DType::bf16);
  EXPECT_TRUE(model.matrix.needs_gradient());
}

TEST(Optimizer, AGradientThatIsNotFiniteIsAnErrorAndLeavesTheWeights) {
  for (const double bad :
       {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    TwoWeights model;
    Optimizer optimizer(model, {}, DType::f32);
    const std::vector<double> before = doubles(model.matrix.array());
    backward(sum(model.matrix * bad));
    EXPECT_THROW(optimizer.step(0.1), Error);
    EXPECT_EQ(doubles(model.matrix.array()), before);
    EXPECT_EQ(optimizer.state().steps, 0);
  }
}

TEST(Optimizer, AWeightThatTheLossDoesNotUseStays) {
  TwoWeights model;
  Optimizer optimizer(model, {}, DType::f32);
  const std::vector<double> before = doubles(model.vector.array());
  backward(sum(model.matrix));
  optimizer.step(0.1);
  EXPECT_EQ(doubles(model.vector.array()), before);
}

TEST(Optimizer, AnUnknownKindIsAnError) {
  TwoWeights model;
  Recipe::Optimizer options;
  options.kind = "adamwx";
  EXPECT_THROW(Optimizer(model, options, DType::f32), Error);
}

TEST(Optimizer, WithoutMastersWeightsAreRoundedAndSmallStepsAreLostUnlessRoundedAtRandom) {
  for (const char* rounding : {"nearest", "stochastic"}) {
    TwoWeights model;
    Recipe::Precision precision;
    precision.masters = false;
    precision.rounding = rounding;
    Recipe::Optimizer options;
    options.weight_decay = 0;
    Optimizer optimizer(model, options, DType::bf16, precision);
    const Array before = kernel::cast(model.matrix.array(), DType::f64);
    for (int t = 1; t <= 20; t++) {
      backward(sum(cast(model.matrix, DType::f32)));
      optimizer.step(1e-6);  // Adam's steps have the size of the rate
    }
    const Array after = kernel::cast(model.matrix.array(), DType::f64);
    double moved = 0;
    for (int64_t i = 0; i < after.size(); i++)
      moved += before.span<double>()[static_cast<size_t>(i)] - after.span<double>()[static_cast<size_t>(i)];
    moved /= static_cast<double>(after.size());
    if (std::string_view(rounding) == "stochastic")
      EXPECT_NEAR(moved, 20e-6, 12e-6);
    else
      EXPECT_NEAR(moved, 0, 2e-6);  // but for weights near zero
    double stored = 0;
    optimizer.with_saved(model, [&] { stored = static_cast<double>(info(model.matrix.dtype()).bytes); });
    EXPECT_EQ(stored, 2);
  }
}

// ---- loss scaling

struct Scaled {
  TwoWeights model;
  Recipe::Precision precision;
  Optimizer optimizer;
  Scaled(double scale, int64_t interval)
      : precision{.loss_scale = scale, .growth_interval = interval},
        optimizer(model, {}, DType::f16, precision) {}
  double step(double factor) {
    backward(sum(cast(model.matrix, DType::f32)) * (factor * optimizer.loss_scale()));
    return optimizer.step(1e-3);
  }
};

TEST(LossScale, DoublesAfterGoodStepsAndHalvesAtAnInfinityWithoutAStep) {
  Scaled run(1024, 3);
  for (int i = 0; i < 3; i++) run.step(1);
  EXPECT_EQ(run.optimizer.loss_scale(), 2048);
  EXPECT_EQ(run.optimizer.state().good_steps, 0);
  run.step(1);
  Array before;
  run.optimizer.with_saved(run.model, [&] { before = kernel::cast(run.model.matrix.array(), DType::f64); });
  EXPECT_FALSE(std::isfinite(run.step(std::numeric_limits<double>::infinity())));
  EXPECT_EQ(run.optimizer.loss_scale(), 1024);
  EXPECT_EQ(run.optimizer.state().steps, 4);
  EXPECT_EQ(run.optimizer.state().good_steps, 0);
  run.optimizer.with_saved(run.model, [&] {
    EXPECT_EQ(doubles(kernel::cast(before, DType::f32)), doubles(run.model.matrix.array()));
  });
}

// Gradients are divided by the scale before their norm is taken, so that clipping and steps do not know of
// it.
TEST(LossScale, NormAndStepsDoNotDependOnTheScale) {
  Scaled one(1, 1000), large(4096, 1000);
  for (int i = 0; i < 3; i++) EXPECT_NEAR(one.step(10), large.step(10), 1e-4);
  std::vector<double> a, b;
  one.optimizer.with_saved(one.model, [&] { a = doubles(one.model.matrix.array()); });
  large.optimizer.with_saved(large.model, [&] { b = doubles(large.model.matrix.array()); });
  EXPECT_EQ(a, b);
}

TEST(LossScale, AScaleThatCannotShrinkFurtherIsAnError) {
  Scaled run(1, 1000);
  EXPECT_THROW(for (int i = 0; i < 100; i++) run.step(std::numeric_limits<double>::infinity()), Error);
}

}  // namespace
}  // namespace intarsia
