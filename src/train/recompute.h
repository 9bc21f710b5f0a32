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

struct Recomputing {
  RecomputePlan plan;
  // Of a budget only: the pool's highest use in a step, and what running again adds to the blocks' time.
  size_t forecast = 0;
  double extra = 0;
};
// The plan for steps on batches like `batch`, of which gradients of several are summed where `accumulates`.
// For a budget, blocks are run and measured; the model must have no gradients yet.
Recomputing plan_recompute(const Model& model, const RecomputeChoice& choice, const Batch& batch,
                           bool accumulates);

}  // namespace intarsia
