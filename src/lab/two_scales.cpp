// Two groups of weights with the same task, w near 1, but gradients of scale 1 and of scale 100. Adam's steps
// do not see the scale; L2 in its gradient does: weights with large gradients hardly decay.
#include "intarsia/op.h"
#include "intarsia/random.h"
#include "lab/task.h"
#include "train/optimizer/optimizer.h"
#include "train/optimizer/schedule.h"
#include "train/optimizer/weights_only.h"

namespace intarsia {

namespace {

constexpr Measure measures[] = {{"ratio", "large over small", Measure::Better::neither, 3},
                                {"scale 1", "mean weight", Measure::Better::neither, 3},
                                {"scale 100", "mean weight", Measure::Better::neither, 3}};

double mean_of(const Tensor& x) { return mean(cast(x, DType::f64)).item(); }

Outcome run(const Cell& cell) {
  Recipe base;
  base.training.steps = 2000;
  base.optimizer.clip = 0;
  base.optimizer.learning_rate = 1e-2;
  base.schedule.warm_up = 0;
  const Recipe recipe = cell.recipe(base);
  const double noise = cell.number("noise", 1), ratio = cell.number("ratio", 100);
  cell.finish();
  constexpr int64_t count = 512;
  const auto seed = static_cast<uint64_t>(cell.seed());
  Tensor small(normal({count}, 1, seed, 0)), large = small;
  WeightsOnly model({{"small", &small, true, 0}, {"large", &large, true, 0}});
  Optimizer optimizer(model, recipe.optimizer, DType::f32);
  Outcome outcome;
  // Half the squared distance to a target that moves at random around 1: its gradient is w - target.
  const auto loss_of = [&](const Tensor& w, const Tensor& target) {
    const Tensor away = w - target;
    return sum(away * away) * 0.5;
  };
  for (int64_t step = 0; step < recipe.training.steps; step++) {
    cell.check();
    const Tensor target = Tensor(normal({count}, noise, seed, 1 + static_cast<uint64_t>(step))) + 1;
    backward(loss_of(small, target) + loss_of(large, target) * ratio);
    optimizer.step(learning_rate_at(recipe, step));
    if ((step + 1) % std::max<int64_t>(1, recipe.training.steps / 50) == 0) {
      outcome.curve.x.push_back(static_cast<double>(step + 1));
      outcome.curve.y.push_back(mean_of(large) / mean_of(small));
    }
  }
  const double at_small = mean_of(small), at_large = mean_of(large);
  outcome.measures = {at_large / at_small, at_small, at_large};
  return outcome;
}

}  // namespace

namespace task {
extern const Task two_scales;
const Task two_scales = {"two_scales", "step", nullptr, measures, run};
}  // namespace task

}  // namespace intarsia
