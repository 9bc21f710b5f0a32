// A linear layer: weight [out, in], bias [out] or none.
#pragma once
#include "intarsia/op.h"

namespace intarsia {

struct Linear {
  Tensor weight;
  Tensor bias;

  // x [..., in] -> activation(x weight^T + bias) [..., out]
  Tensor operator()(const Tensor& x, Activation activation = Activation::none) const {
    return linear(x, weight, bias, activation);
  }
};

}  // namespace intarsia
