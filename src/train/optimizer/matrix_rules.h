// Optimizers that look at a whole array before they step: Adafactor, LAMB, Muon.
#pragma once
#include <string_view>
#include <vector>

#include "kernel/kernels.h"

namespace intarsia {

struct MatrixRule {
  const char* name;
  bool decay_in_direction;  // weight decay is part of the direction; else the weight shrinks beside the step
  bool hidden_only;         // for matrices between layers; other weights take AdamW
  std::vector<Shape> (*states)(const Shape& weight);
  // Advances the states and puts the direction where the gradient was; returns the factor of the learning
  // rate.
  double (*direction)(kernel::UpdateTensors&, const kernel::UpdateStep&);
};

// Null if there is none of that name.
const MatrixRule* matrix_rule(std::string_view name);

}  // namespace intarsia
