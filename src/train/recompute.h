// Which activations of a training step are dropped and made again: the recipe's training.recompute.
#pragma once
#include <string_view>

#include "intarsia/model.h"
#include "train/dataset.h"

namespace intarsia {

struct RecomputeChoice {
  enum Kind { none, all, sqrt, attention, segments, binomial, budget } kind = none;
  int64_t count = 0;  // of segments, or of binomial's slots
  size_t bytes = 0;   // of a budget: the pool's use at most, weights and optimizer included
};
// "none", "all" (each layer from its input), "sqrt" (so many stretches of layers), "attention" (each
// attention block), "segments:N", "binomial:SLOTS", "budget:1.5GB"; anything else is an Error.
RecomputeChoice parse_recompute(std::string_view text);

// What a step on batches like `batch` costs; the gradients of several are summed where it `accumulates`.
struct StepCosts {
  std::vector<BlockCost> blocks;  // of Model::layers(), and one for all that follows them
  size_t held = 0;                // the pool's use at the start
  size_t last = 0;                // at most when the embedding, the last, gets its gradient
  // The pool's highest use in a step under a plan for the model's layers.
  size_t forecast(const RecomputePlan& plan) const;
};
// Runs each block once; the model must have no gradients yet.
StepCosts measure_step(const Model& model, const Batch& batch, bool accumulates);

struct Recomputing {
  RecomputePlan plan;
  // Of a budget only: the forecast, and what running again adds to the blocks' time.
  size_t forecast = 0;
  double extra = 0;
};
// The plan for such steps. For a budget the costs are measured.
Recomputing plan_recompute(const Model& model, const RecomputeChoice& choice, const Batch& batch,
                           bool accumulates);

}  // namespace intarsia
