// This machine's limits, measured.
#pragma once

#include "intarsia/array.h"

namespace intarsia::kernel {

struct Limits {
  double f32_flops;  // operations a second on registers, all threads
  double bf16_flops;
  double read_bytes;  // bytes a second from memory, all threads
};

// Takes about `seconds` for each of the three. The active rung; thread_count() threads.
Limits measure_limits(double seconds = 0.05);
// Reads x, contiguous, on all threads, and does nothing with it.
void read_only(const Array& x);

}  // namespace intarsia::kernel
