// The row kernels of one rung: softmax.h, norm.h, convert.h, reduce.h, optimize.h over the element types.
#include "kernel/cpu/rung.h"
#include "kernel/row/slots_rows.h"

#include "kernel/cpu/convert.h"
#include "kernel/cpu/norm.h"
#include "kernel/cpu/optimize.h"
#include "kernel/cpu/reduce.h"
#include "kernel/cpu/softmax.h"

namespace intarsia::kernel::INTARSIA_RUNG {

void fill_rows(RowSlots& slots);
void fill_rows(RowSlots& slots) {
  FILL_FLOATS(slots.softmax, softmax);
  FILL_FLOATS(slots.softmax_backward, softmax_backward);
  FILL_FLOATS(slots.log_softmax, log_softmax);
  FILL_FLOATS(slots.log_softmax_backward, log_softmax_backward);
  FILL_FLOATS(slots.cross_entropy, cross_entropy);
  FILL_FLOATS(slots.cross_entropy_backward, cross_entropy_backward);
  FILL_FLOATS(slots.rms_norm, rms_norm);
  FILL_FLOATS(slots.rms_norm_backward, rms_norm_backward);
  FILL_FLOATS(slots.layer_norm, layer_norm);
  FILL_FLOATS(slots.layer_norm_backward, layer_norm_backward);
  FILL_FLOATS(slots.rope, rope);
  FILL_PLAINS(slots.to_f32, to_f32);
  FILL_PLAINS(slots.to_f64, to_f64);
  FILL_PLAINS(slots.to_i64, to_i64);
  FILL_PLAINS(slots.from_f32, from_f32);
  FILL_PLAINS(slots.from_f64, from_f64);
  FILL_PLAINS(slots.from_i64, from_i64);
  slots.backwards[0] = backwards<uint8_t>;
  slots.backwards[1] = backwards<uint16_t>;
  slots.backwards[2] = backwards<uint32_t>;
  slots.backwards[3] = backwards<uint64_t>;
  FILL_FLOATS(slots.sum, sum);
  FILL_FLOATS(slots.sum_of_squares, sum_of_squares);
  FILL_FLOATS(slots.extreme, extreme);
  FILL_FLOATS(slots.argmax, argmax);
  FILL_FLOATS(slots.sum_rows, sum_rows);
  FILL_FLOATS(slots.extreme_rows, extreme_rows);
  FILL_FLOATS(slots.product, product);
  FILL_FLOATS(slots.product_rows, product_rows);
  FILL_FLOATS(slots.accumulate, accumulate);
  FILL_FLOATS(slots.dropout, dropout);
#define UPDATE(NAME, ...)                                                 \
  {                                                                       \
    auto& slot = slots.update[static_cast<int>(UpdateRule::NAME)];        \
    slot[static_cast<int>(UpdateType::f32)] = update<rule::NAME, float>;  \
    slot[static_cast<int>(UpdateType::f64)] = update<rule::NAME, double>; \
    slot[static_cast<int>(UpdateType::bf16)] = update<rule::NAME, bf16>;  \
  }
#include "kernel/optimize/update_rules.inl"
#undef UPDATE
}

}  // namespace intarsia::kernel::INTARSIA_RUNG
