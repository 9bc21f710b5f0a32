#include "train/recompute.h"

#include <cmath>

#include "core/fail.h"
#include "core/format.h"
#include "intarsia/op.h"

namespace intarsia {

namespace {

constexpr int64_t period = Model::blocks_a_layer;

// A plan for layers becomes one for their blocks.
RecomputePlan of_layers(RecomputePlan plan) {
  for (Stretch& stretch : plan) {
    stretch.first *= period;
    stretch.last *= period;
    stretch.again = of_layers(std::move(stretch.again));
  }
  return plan;
}

RecomputePlan attention_blocks(int64_t blocks) {
  RecomputePlan plan;
  for (int64_t i = 0; i < blocks; i += period) {
    plan.push_back({i, i + 1, {{i, i + 1, {}}}});
    plan.push_back({i + 1, i + period, {}});
  }
  return plan;
}

Recomputing within(const Model& model, size_t bytes, const Batch& batch, bool accumulates) {
  const StepCosts costs = measure_step(model, batch, accumulates);
  const size_t least = std::max(costs.held, costs.last);
  if (bytes <= costs.held || bytes < costs.last)
    fail("training.recompute: the budget is {}, weights, optimizer and gradients alone need {}",
         format_bytes(static_cast<double>(bytes)), format_bytes(static_cast<double>(least)));
  Recomputing result;
  result.plan = recompute_within(bytes - costs.held, costs.blocks);
  // What follows the layers is no part of the model's chain.
  if (!result.plan.empty() && --result.plan.back().last == result.plan.back().first) result.plan.pop_back();
  result.forecast = costs.forecast(result.plan);
  double all = 0;
  for (const BlockCost& cost : costs.blocks) all += cost.seconds;
  result.extra = recomputed_seconds(result.plan, costs.blocks) / std::max(all, 1e-9);
  return result;
}

}  // namespace

size_t StepCosts::forecast(const RecomputePlan& plan) const {
  const auto count = static_cast<int64_t>(blocks.size());
  RecomputePlan whole = plan;
  if (!whole.empty()) whole.push_back({whole.back().last, count, {}});
  return std::max(last, held + forecast_peak(whole, blocks));
}

StepCosts measure_step(const Model& model, const Batch& batch, bool accumulates) {
  struct Clear {
    const Model& model;
    ~Clear() {
      for (const Weight& weight : model.weights()) weight.tensor->clear_gradient();
    }
  } clear{model};
  Chain chain = model.layers(batch.ids);
  const int64_t layers = chain.blocks;
  const auto run = chain.run;
  chain.blocks++;
  chain.run = [&, run](int64_t block, const Tensor& x) {
    return block < layers ? run(block, x) : model.loss(model.last_norm(x), batch.targets);
  };
  StepCosts costs;
  costs.held = memory_use().current;
  costs.blocks = measure_blocks(chain);
  // The embedding's gradient comes last, when all others exist.
  size_t gradients = 0;
  for (const BlockCost& cost : costs.blocks) gradients += cost.gradient;
  reset_peak_memory();
  const size_t before = memory_use().current;
  backward(sum(std::exchange(chain.x, Tensor())));
  costs.last = costs.held + gradients + (memory_use().peak - before);
  if (accumulates) {
    costs.held = memory_use().current;
    for (BlockCost& cost : costs.blocks) cost.gradient = 0;
  }
  return costs;
}

Recomputing plan_recompute(const Model& model, const RecomputeChoice& choice, const Batch& batch,
                           bool accumulates) {
  const int64_t blocks = model.layers(batch.ids).blocks, layers = blocks / period;
  switch (choice.kind) {
    case RecomputeChoice::none:
      return {};
    case RecomputeChoice::all:
      return {recompute_each(blocks, period)};
    case RecomputeChoice::sqrt:
      return {of_layers(recompute_segments(layers, std::llround(std::sqrt(static_cast<double>(layers)))))};
    case RecomputeChoice::attention:
      return {attention_blocks(blocks)};
    case RecomputeChoice::segments:
      return {of_layers(recompute_segments(layers, choice.count))};
    case RecomputeChoice::binomial:
      return {of_layers(recompute_binomial(layers, choice.count))};
    case RecomputeChoice::budget:
      return within(model, choice.bytes, batch, accumulates);
  }
  return {};
}

}  // namespace intarsia
