// A deep model's step under a plan of what to recompute: the pool's peak, its forecast, and the time.
#include <algorithm>
#include <chrono>

#include "intarsia/op.h"
#include "intarsia/random.h"
#include "lab/task.h"
#include "train/loop.h"
#include "train/recompute.h"

namespace intarsia {

namespace {

constexpr Measure measures[] = {{"peak", "MiB beside the weights", Measure::Better::lower, 1},
                                {"forecast", "MiB", Measure::Better::neither, 1},
                                {"time", "of a step that keeps all", Measure::Better::lower, 2},
                                {"runs", "of a block in a step", Measure::Better::lower, 2}};

constexpr double mebibyte = 1 << 20;
double mebibytes(size_t bytes) { return static_cast<double>(bytes) / mebibyte; }

void clear_gradients(const Model& model) {
  for (const Weight& weight : model.weights()) weight.tensor->clear_gradient();
}

Tensor loss_of(const Model& model, const Batch& batch) {
  return model.loss(model.hidden(batch.ids), batch.targets);
}

double seconds_of_step(const Model& model, const Batch& batch) {
  clear_gradients(model);
  const auto start = std::chrono::steady_clock::now();
  backward(loss_of(model, batch));
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Turns with and without the plan, one after the other: the ratio of their medians.
double time_ratio(Model& model, const Batch& batch, const RecomputePlan& plan, int turns) {
  std::vector<double> kept, again;
  for (int i = 0; i < turns; i++) {
    model.recompute.clear();
    kept.push_back(seconds_of_step(model, batch));
    model.recompute = plan;
    again.push_back(seconds_of_step(model, batch));
  }
  std::sort(kept.begin(), kept.end());
  std::sort(again.begin(), again.end());
  return again[again.size() / 2] / kept[kept.size() / 2];
}

Array random_ids(const Recipe& recipe, int64_t vocabulary, uint64_t stream) {
  Random random(static_cast<uint64_t>(recipe.training.seed), stream, 0);
  Array ids = Array::empty({recipe.training.batch, recipe.model.context}, DType::i32);
  auto* id = ids.mutable_data<int32_t>();
  for (int64_t i = 0, n = ids.size(); i < n; i++)
    id[i] = static_cast<int32_t>(random.below(static_cast<uint64_t>(vocabulary)));
  return ids;
}

Outcome run(const Cell& cell) {
  Recipe base;
  base.model.layers = 48;
  base.model.width = 128;
  base.model.context = 128;
  base.training.batch = 4;
  const Recipe recipe = cell.recipe(base);
  const auto vocabulary = static_cast<int64_t>(cell.number("vocabulary", 256));
  const int turns = static_cast<int>(cell.number("turns", 7));
  cell.finish();
  const std::unique_ptr<Model> model =
      make_model(model_config(recipe, vocabulary), static_cast<uint64_t>(cell.seed()));
  for (Weight& weight : model->weights()) *weight.tensor = parameter(weight.tensor->array());
  const Batch batch{Tensor(random_ids(recipe, vocabulary, 1)), Tensor(random_ids(recipe, vocabulary, 2))};
  const size_t weights = memory_use().current;
  const Recomputing found = plan_recompute(*model, parse_recompute(recipe.training.recompute), batch, false);

  // What is in use whenever a block runs: forward, and again on the way back.
  Outcome outcome;
  Chain chain = model->layers(batch.ids);
  double runs = 0;
  chain.run = [&, run = chain.run](int64_t block, const Tensor& x) {
    Tensor y = run(block, x);
    outcome.curve.x.push_back(++runs);
    outcome.curve.y.push_back(mebibytes(memory_use().current - weights));
    return y;
  };
  reset_peak_memory();
  {
    const Tensor loss = model->loss(model->last_norm(run_chain(chain, found.plan)), batch.targets);
    backward(loss);
  }
  const double peak = mebibytes(memory_use().peak - weights);
  const auto blocks = static_cast<double>(chain.blocks);
  chain = Chain();
  clear_gradients(*model);
  const double forecast = mebibytes(measure_step(*model, batch, false).forecast(found.plan) - weights);
  outcome.measures = {peak, forecast, time_ratio(*model, batch, found.plan, turns), runs / blocks};
  clear_gradients(*model);
  return outcome;
}

}  // namespace

namespace task {
extern const Task recomputation;
const Task recomputation = {"recomputation", "run of a block", nullptr, measures, run};
}  // namespace task

}  // namespace intarsia
