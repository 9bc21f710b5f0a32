// Attention that goes through a cache or not: the one place where training and generation differ.
#pragma once
#include "intarsia/model.h"
#include "intarsia/op.h"

namespace intarsia {

// Causal attention of q [B, T, H, d] over k and v [B, T, Hkv, d]; with a cache (B = 1) they are appended to
// the layer and all positions so far are seen. Both ways give the same bits.
Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, Cache* cache, int64_t layer);

}  // namespace intarsia
