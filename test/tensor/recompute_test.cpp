// Chains of blocks under plans: the same gradients, the runs and the memory that were planned.
#include <gtest/gtest.h>

#include <map>

#include "intarsia/error.h"
#include "intarsia/recompute.h"
#include "kernel/kernels.h"

namespace intarsia {
namespace {

using kernel::Formula;

Array apply(Formula f, std::initializer_list<Array> in) {
  return kernel::pointwise(f, {in.begin(), in.size()}, in.begin()->dtype());
}

// x + tanh(w x), with the memory of a few arrays.
Tensor block(const Tensor& x, const Tensor& w) {
  const Array wx = apply(Formula::mul, {w.array(), x.array()});
  const Array t = apply(Formula::tanh, {wx});
  return record("block", apply(Formula::add, {x.array(), t}), {&x, &w},
                [x = Saved(x), w = Saved(w), t = Saved(t)](const Array& dy, Gradients& dx) {
                  const Array d = apply(Formula::tanh_backward, {*t, dy});
                  dx.add(0, apply(Formula::add, {dy, apply(Formula::mul, {d, *w})}));
                  dx.add(1, apply(Formula::mul, {d, *x}));
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

struct Model {
  std::vector<Tensor> weights;
  std::map<int64_t, int> runs;
  Chain chain;
  explicit Model(int64_t blocks, int64_t width = 64) {
    for (int64_t i = 0; i < blocks; i++) {
      Array w = Array::empty({width});
      kernel::fill(w, 0.1 * static_cast<double>(i % 7) - 0.2);
      weights.push_back(parameter(w));
    }
    Array x = Array::empty({width});
    kernel::fill(x, 0.7);
    chain = {parameter(x), blocks, [this](int64_t i, const Tensor& in) {
               runs[i]++;
               return block(in, weights[static_cast<size_t>(i)]);
             }};
  }
  std::vector<std::vector<float>> gradients(const RecomputePlan& plan) {
    runs.clear();
    chain.x.clear_gradient();
    for (const Tensor& w : weights) w.clear_gradient();
    backward(total(run_chain(chain, plan)));
    std::vector<std::vector<float>> all;
    const auto add = [&](const Tensor& t) {
      const auto s = t.gradient().span<float>();
      all.emplace_back(s.begin(), s.end());
    };
    add(chain.x);
    for (const Tensor& w : weights) add(w);
    return all;
  }
  int64_t all_runs() const {
    int64_t n = 0;
    for (const auto& [block, count] : runs) n += count;
    return n;
  }
};

TEST(Recompute, EveryPlanGivesTheGradientsBitForBit) {
  Model model(13);
  const auto expected = model.gradients({});
  EXPECT_EQ(model.all_runs(), 13);
  EXPECT_EQ(model.gradients(recompute_each(13)), expected);
  EXPECT_EQ(model.all_runs(), 26);
  EXPECT_EQ(model.gradients(recompute_each(13, 4)), expected);
  EXPECT_EQ(model.gradients(recompute_segments(13, 4)), expected);
  EXPECT_EQ(model.all_runs(), 26);
  for (int64_t slots = 1; slots < 6; slots++)
    EXPECT_EQ(model.gradients(recompute_binomial(13, slots)), expected) << slots;
}

TEST(Recompute, AnInputWithoutAGradientStillGivesTheWeightsTheirs) {
  Model model(5);
  const auto expected = model.gradients({});
  model.chain.x = Tensor(model.chain.x.array());
  for (const Tensor& w : model.weights) w.clear_gradient();
  backward(total(run_chain(model.chain, recompute_each(5))));
  for (size_t i = 0; i < 5; i++) {
    const auto s = model.weights[i].gradient().span<float>();
    EXPECT_EQ(std::vector<float>(s.begin(), s.end()), expected[i + 1]);
  }
}

TEST(Recompute, APlanWithAGapIsRefused) {
  Model model(4);
  EXPECT_THROW(run_chain(model.chain, {{0, 2, {}}, {3, 4, {}}}), Error);
  EXPECT_THROW(run_chain(model.chain, {{0, 3, {}}}), Error);
  EXPECT_THROW(run_chain(model.chain, {{0, 4, {{0, 3, {}}}}}), Error);
}

double binomial(int64_t n, int64_t k) {
  double c = 1;
  for (int64_t i = 1; i <= k; i++) c = c * static_cast<double>(n - k + i) / static_cast<double>(i);
  return c;
}

// Griewank and Walther 2000, theorem 1: with s slots and r the least number with n <= C(s + r, s), the runs
// beside those that are walked back are r n - C(s + r, r - 1), and no block is run more than r + 1 times.
TEST(Recompute, BinomialPlansRunAsOftenAsTheClosedFormSays) {
  for (int64_t n : {1, 2, 3, 5, 8, 13, 20, 21, 40, 56, 57})
    for (int64_t s = 1; s <= 6; s++) {
      int64_t r = 0;
      while (binomial(s + r, s) < static_cast<double>(n)) r++;
      const double closed = r ? static_cast<double>(r * n) - binomial(s + r, r - 1) : 0;
      Model model(n, 4);
      model.gradients(recompute_binomial(n, s));
      EXPECT_EQ(static_cast<double>(model.all_runs() - n), closed) << n << " blocks, " << s << " slots";
      for (const auto& [block, runs] : model.runs) EXPECT_LE(runs, r + 1);
    }
}

std::vector<BlockCost> equal_blocks(size_t n, size_t output, size_t kept) {
  return std::vector<BlockCost>(n, BlockCost{output, kept, kept, output, 0, 0, 1.0});
}

// One block's memory and s - 1 outputs: then the optimum over all stretches is the binomial one.
TEST(Recompute, DynamicProgrammingFindsTheBinomialOptimumForEqualBlocks) {
  for (size_t n : {4, 7, 12})
    for (size_t s = 1; s <= 4; s++) {
      const auto blocks = equal_blocks(n, 1 << 20, 40 << 20);
      const auto best = recompute_binomial(static_cast<int64_t>(n), static_cast<int64_t>(s));
      const size_t bytes = forecast_peak(best, blocks);
      EXPECT_LE(recomputed_seconds(recompute_within(bytes, blocks), blocks), recomputed_seconds(best, blocks))
          << n << " blocks, " << s << " slots";
    }
}

TEST(Recompute, UnequalBlocksAreDroppedWhereMemoryIsCheap) {
  // The third keeps much and takes no time: it alone is run again.
  auto blocks = equal_blocks(5, 1 << 20, 4 << 20);
  blocks[2].kept = blocks[2].forward_peak = 100 << 20;
  blocks[2].seconds = 0.01;
  const RecomputePlan plan = recompute_within(112 << 20, blocks);
  EXPECT_LE(forecast_peak(plan, blocks), size_t{112} << 20);
  EXPECT_NEAR(recomputed_seconds(plan, blocks), 0.01, 1e-9);
  EXPECT_TRUE(recompute_within(size_t{1} << 30, blocks).empty());  // enough for all
  EXPECT_THROW(recompute_within(50 << 20, blocks), Error);         // less than one block
}

TEST(Recompute, TheForecastIsThePoolsPeak) {
  const int64_t n = 16;
  Model model(n, 1 << 17);
  // The loss is the last block, so that no result is held from outside.
  model.chain.blocks++;
  model.chain.run = [blocks = model.chain.run](int64_t i, const Tensor& x) {
    return i < n ? blocks(i, x) : total(x);
  };
  const auto costs = measure_blocks(model.chain);
  ASSERT_EQ(costs.size(), 17u);
  for (const RecomputePlan& plan :
       {RecomputePlan{}, recompute_each(n + 1), recompute_segments(n + 1, 4), recompute_binomial(n + 1, 3)}) {
    model.chain.x.clear_gradient();
    for (const Tensor& w : model.weights) w.clear_gradient();
    model.runs.clear();
    const size_t base = memory_use().current;
    reset_peak_memory();
    backward(run_chain(model.chain, plan));
    const auto peak = static_cast<double>(memory_use().peak - base);
    EXPECT_NEAR(static_cast<double>(forecast_peak(plan, costs)) / peak, 1, 0.05);
  }
}

}  // namespace
}  // namespace intarsia
