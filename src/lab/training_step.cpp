#include "lab/training_step.h"

#include <cmath>

#include "core/fail.h"
#include "intarsia/op.h"
#include "train/optimizer/schedule.h"

namespace intarsia {

double training_step(const Recipe& recipe, const Model& model, Optimizer& optimizer, const Dataset& dataset,
                     int64_t step) {
  const int64_t rows = recipe.training.batch;
  const Batch batch = dataset.training(step * rows, rows);
  const Tensor loss = model.loss(model.hidden(batch.ids), batch.targets);
  const double value = loss.item();
  if (!std::isfinite(value)) fail("the loss is {} at step {}", value, step + 1);
  backward(loss * optimizer.loss_scale());
  optimizer.step(learning_rate_at(recipe, step));
  return value;
}

}  // namespace intarsia
