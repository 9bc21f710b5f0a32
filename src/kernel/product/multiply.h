// What the adapters of products share: how an operand lies in memory, and one product split over the threads.
#pragma once
#include "kernel/kernels.h"
#include "kernel/product/slots_product.h"

namespace intarsia::kernel {

// An operand whose matrices (the last two axes) have an axis of neighbouring elements.
struct Operand {
  Array array;
  int64_t distance = 0;     // between stored rows
  bool transposed = false;  // the last axis but one is the contiguous one
};
Operand operand_of(const Array&);  // a copy if neither axis has neighbours

// The fields of a (k from its last axis) or of b in p.
void set_left(Product& p, const Operand& a);
void set_right(Product& p, const Operand& b);

// c, contiguous, and what happens to the sums on the way there.
void set_result(Product& p, Array& c, bool accumulate, const Epilogue&);

// Types that the kernels take: a f32, bf16 or f16 and b one of those or a block format, or both f64.
void choose_types(Array& a, Array& b);
ProductWord word_of(DType a, DType b);

const void* advance(const void* p, DType dtype, int64_t elements);
int64_t words_of(const Product&);
int64_t panels_of(const Product&);  // of the active rung
// Threads worth their start.
int threads_for(double multiply_adds);
double multiply_adds(const Product&);
// `packed`: all panels of b, packed with all of k; null if they are still to be packed.
void multiply(const Product&, const uint32_t* packed, int threads);

}  // namespace intarsia::kernel
