// Range kernels of normalizations over channels: each works on a run of one channel's pixels. Indexed by
// DType as in slots_rows.h; arithmetic is wide, totals of blocks are f64.
#pragma once
#include <cstdint>

#include "kernel/row/slots_rows.h"

namespace intarsia::kernel {

struct ChannelSlots {
  double (*squared_differences[floats])(const void* x, int64_t n, double mean);  // sum of (x - mean)^2
  // y = factor (x - mean) + shift
  void (*scale[floats])(const void* x, void* y, int64_t n, double mean, double factor, double shift);
  // sums[0] = sum of dy, sums[1] = sum of dy (x - mean)
  void (*gradient_sums[floats])(const void* x, const void* dy, int64_t n, double mean, double* sums);
  // dx = a dy + b (x - mean) + c
  void (*gradient[floats])(const void* x, const void* dy, void* dx, int64_t n, double mean, double a,
                           double b, double c);
};

}  // namespace intarsia::kernel
