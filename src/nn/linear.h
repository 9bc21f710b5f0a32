// A linear layer: weight [out, in], bias [out] or none. For inference the weight may be packed instead.
#pragma once
#include "intarsia/op.h"

namespace intarsia {

struct Linear {
  Tensor weight;
  Tensor bias;
  PackedWeight packed;  // in place of `weight`, which is then empty

  // x [..., in] -> activation(x weight^T + bias) [..., out]
  Tensor operator()(const Tensor& x, Activation activation = Activation::none) const {
    return packed.panels ? linear(x, packed, bias, activation) : linear(x, weight, bias, activation);
  }
  // residual + x weight^T + bias
  Tensor add_to(const Tensor& residual, const Tensor& x) const {
    return packed.panels ? linear_add(residual, x, packed, bias) : linear_add(residual, x, weight, bias);
  }
  // swiglu(gate, x weight^T + bias)
  Tensor gated_by(const Tensor& gate, const Tensor& x) const {
    return packed.panels ? gated_linear(gate, x, packed, bias) : gated_linear(gate, x, weight, bias);
  }
};

}  // namespace intarsia
