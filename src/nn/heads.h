// The last axis seen as attention heads, and back. Views: no memory moves.
#pragma once
#include "intarsia/op.h"

namespace intarsia {

// [B, T, H * d] -> [B, T, H, d]
inline Tensor split_heads(const Tensor& x, int64_t heads) {
  return reshape(x, {x.dim(0), x.dim(1), heads, x.dim(2) / heads});
}

// [B, T, H, d] -> [B, T, H * d]
inline Tensor merge_heads(const Tensor& x) { return reshape(x, {x.dim(0), x.dim(1), x.dim(2) * x.dim(3)}); }

}  // namespace intarsia
