// How much a model's step asks of the machine, and how much the machine can give.
#pragma once
#include "intarsia/model.h"

namespace intarsia {

// Floating-point operations a second on registers, all threads, of the compute type: the best of several
// short runs, a few milliseconds together.
double measured_peak(DType compute);

// Operations of one token's forward and backward pass: 6 for each weight of a product, and causal attention's
// 6 x layers x width x context.
double operations_per_token(const Model& model, int64_t context);

}  // namespace intarsia
