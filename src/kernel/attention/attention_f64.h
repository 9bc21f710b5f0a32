// Attention in f64: plain loops that say what it means, for small exact work and as the oracle of the others.
#pragma once
#include "kernel/kernels.h"

namespace intarsia::kernel {

void attention_f64(const Array& q, const AttentionBlocks& kv, const AttentionRule&, Array& o, Array* norms);
void attention_backward_f64(const Array& q, const Array& k, const Array& v, const Array& o,
                            const Array& norms, const Array& d_o, const AttentionRule&, Array& dq, Array& dk,
                            Array& dv, Array* d_bias);

}  // namespace intarsia::kernel
