// A step of training that tasks share; the loop of train/ has what they do without: runs, logs, checkpoints.
#pragma once
#include "train/dataset.h"
#include "train/optimizer/optimizer.h"

namespace intarsia {

// Batch number `step` of the dataset, its loss, gradients, an update at the recipe's rate. Returns the loss;
// an Error if it is not finite. Whoever calls it holds the recipe's autocast.
double training_step(const Recipe& recipe, const Model& model, Optimizer& optimizer, const Dataset& dataset,
                     int64_t step);

}  // namespace intarsia
