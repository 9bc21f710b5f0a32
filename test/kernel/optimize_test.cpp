// Optimizer rules: f64 against golden files is in test/train; here every rung and type against f64.
#include "arrays.h"

namespace intarsia::test {
namespace {

using kernel::UpdateRule;
using kernel::UpdateStep;
using kernel::UpdateTensors;

std::vector<UpdateTensors> tensors(std::initializer_list<int64_t> sizes, DType type) {
  const DType wide = type == DType::f64 ? DType::f64 : DType::f32;
  std::vector<UpdateTensors> all;
  uint64_t seed = 1, index = 0;
  for (int64_t n : sizes) {
    UpdateTensors t;
    t.weight = kernel::cast(kernel::cast(random_array({n}, DType::f32, seed++), DType::bf16), type);
    t.gradient = kernel::cast(random_array({n}, DType::f32, seed++), wide);
    for (Array& state : t.states) state = Array::zeros({n}, wide);
    t.index = index;
    index += static_cast<uint64_t>(n);
    all.push_back(t);
  }
  return all;
}

UpdateStep step_of(int64_t step) {
  UpdateStep s;
  s.learning_rate = 1e-2;
  s.beta1 = 0.9;
  s.beta2 = 0.95;
  s.eps = 1e-8;
  s.momentum = 0.8;
  s.decay = 0.01;
  s.scale = 0.5;
  s.nesterov = true;
  s.step = step;
  return s;
}

class EachRule : public testing::TestWithParam<int> {
 protected:
  UpdateRule rule() const { return static_cast<UpdateRule>(GetParam()); }
};

TEST_P(EachRule, GivesTheSameInF32AsInF64AndRefreshesTheCopy) {
  on_every_rung([&] {
    for (const DType copy : {DType::bf16, DType::f16}) {
      std::vector<UpdateTensors> found = tensors({1, 17, 0, 30000, 100}, DType::f32);
      std::vector<UpdateTensors> exact = tensors({1, 17, 0, 30000, 100}, DType::f64);
      for (UpdateTensors& t : found) t.copy = kernel::cast(t.weight, copy);
      for (int64_t step = 1; step <= 4; step++) {
        kernel::update(rule(), found, step_of(step));
        kernel::update(rule(), exact, step_of(step));
      }
      for (size_t i = 0; i < found.size(); i++) {
        expect_close(found[i].weight, doubles(exact[i].weight), 2e-5, "weight");
        expect_close(found[i].gradient, doubles(exact[i].gradient), 2e-5, "gradient");
        for (int k = 0; k < kernel::info(rule()).states; k++)
          expect_close(found[i].states[k], doubles(exact[i].states[k]), 2e-6, "state");
        EXPECT_TRUE(same_bits(found[i].copy, kernel::cast(found[i].weight, copy)));
      }
    }
  });
}

TEST_P(EachRule, BitsDoNotDependOnThreads) {
  for (const DType type : {DType::f32, DType::bf16}) {
    std::vector<UpdateTensors> one = tensors({40000, 7, 30001}, type), two = tensors({40000, 7, 30001}, type);
    UpdateStep step = step_of(3);
    step.stochastic = true;
    {
      Threads threads(1);
      kernel::update(rule(), one, step);
    }
    {
      Threads threads(2);
      kernel::update(rule(), two, step);
    }
    for (size_t i = 0; i < one.size(); i++)
      EXPECT_TRUE(same_bits(one[i].weight, two[i].weight) && same_bits(one[i].states[0], two[i].states[0]) &&
                  same_bits(one[i].gradient, two[i].gradient));
  }
}

INSTANTIATE_TEST_SUITE_P(Update, EachRule, testing::Range(0, kernel::update_rule_count),
                         [](const auto& p) { return std::string(kernel::update_rules[p.param].name); });

TEST(Update, Bf16WeightsAreRoundedToTheNearest) {
  on_every_rung([] {
    std::vector<UpdateTensors> narrow = tensors({1000}, DType::bf16), wide = tensors({1000}, DType::f32);
    kernel::update(UpdateRule::adamw, narrow, step_of(1));
    kernel::update(UpdateRule::adamw, wide, step_of(1));
    EXPECT_TRUE(same_bits(narrow[0].weight, kernel::cast(wide[0].weight, DType::bf16)));
  });
}

// A step of a hundredth of the distance between two bf16 numbers is lost in rounding to the nearest. At
// random, one weight in a hundred moves, and the mean is right.
TEST(Update, StochasticRoundingKeepsTheMeanOfStepsTooSmallForBf16) {
  on_every_rung([] {
    constexpr int64_t n = 100000;
    UpdateTensors t;
    t.weight = Array::zeros({n}, DType::bf16);
    kernel::fill(t.weight, 1.0);
    t.gradient = Array::zeros({n});
    kernel::fill(t.gradient, 1.0);
    UpdateStep step;
    step.learning_rate = 0x1p-8 / 100;  // below 1, bf16 numbers lie 2^-8 apart
    const auto mean = [&] {
      double sum = 0;
      for (const double w : doubles(t.weight)) sum += w;
      return sum / n;
    };
    kernel::update(UpdateRule::descend, {&t, 1}, step);
    EXPECT_EQ(mean(), 1.0);
    step.stochastic = true;
    std::vector<double> first;
    for (step.step = 1; step.step <= 20; step.step++) {
      kernel::update(UpdateRule::descend, {&t, 1}, step);
      if (step.step == 1) first = doubles(t.weight);
    }
    // 20 steps of 2^-8 / 100, with a standard deviation of about 2^-8 sqrt(0.2 / n)
    EXPECT_NEAR(1 - mean(), 20 * 0x1p-8 / 100, 5 * 0x1p-8 * std::sqrt(0.2 / n));
    for (const double w : first) ASSERT_TRUE(w == 1 || w == 1 - 0x1p-8) << w;
  });
}

TEST(Optimizers, SumOfSquaresIsExactEnoughAndFixed) {
  on_every_rung([] {
    std::vector<Array> x;
    double want = 0;
    for (int64_t n : {0, 1, 100, 70000, 150001}) {
      x.push_back(random_array({n}, n == 100 ? DType::bf16 : DType::f32, static_cast<uint64_t>(n)));
      for (double v : doubles(x.back())) want += v * v;
    }
    double sums[2];
    for (int threads = 1; threads <= 2; threads++) {
      Threads scope(threads);
      sums[threads - 1] = kernel::sum_of_squares(x);
    }
    EXPECT_NEAR(sums[0], want, want * 1e-6);
    EXPECT_EQ(sums[0], sums[1]);
  });
}

TEST(Update, RefusesOtherTypesAndSizes) {
  std::vector<UpdateTensors> all = tensors({8}, DType::f32);
  all[0].gradient = Array::zeros({7});
  EXPECT_THROW(kernel::update(UpdateRule::adamw, all, step_of(1)), Error);
  all[0].gradient = Array::zeros({8}, DType::bf16);
  EXPECT_THROW(kernel::update(UpdateRule::sgd, all, step_of(1)), Error);
  all[0].gradient = Array::zeros({8});
  all[0].states[0] = Array::zeros({8}, DType::f64);
  EXPECT_THROW(kernel::update(UpdateRule::sgd, all, step_of(1)), Error);
}

}  // namespace
}  // namespace intarsia::test
