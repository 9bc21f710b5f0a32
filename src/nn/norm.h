// Layers that normalize the last axis, with their learned scale.
#pragma once
#include "intarsia/op.h"

namespace intarsia {

struct RmsNorm {
  Tensor weight;
  double eps = 1e-5;

  Tensor operator()(const Tensor& x) const { return rms_norm(x, weight, eps); }
};

struct LayerNorm {
  Tensor weight;
  Tensor bias;
  double eps = 1e-5;

  Tensor operator()(const Tensor& x) const { return layer_norm(x, weight, bias, eps); }
};

}  // namespace intarsia
