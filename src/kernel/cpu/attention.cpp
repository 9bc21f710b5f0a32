// Tiled attention with online softmax (Dao et al. 2022) on the register tile of tile.h: f32 sums for f32 and
// bf16. Masks and score steps work on the tiles.
#include "kernel/cpu/attention/backward.h"
#include "kernel/cpu/attention/forward.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

template <class T>
constexpr AttentionKernels kernels_of = {
    packed_bytes<T>,  pack<T>, forward_scratch<T>,  forward<T>,    partial_bytes<T>, block_scratch<T>,
    forward_block<T>, join<T>, backward_scratch<T>, sums_bytes<T>, backward<T>,      backward_keys<T>};

}  // namespace

void fill_attention(AttentionSlots& slots) {
  if constexpr (INTARSIA_RENEWS_F32) slots.f32 = kernels_of<TypeF32>;
  slots.bf16 = kernels_of<TypeBf16>;
}

}  // namespace intarsia::kernel::INTARSIA_RUNG
