// Loops that find this machine's limits: what `intarsia doctor` prints and shares of a peak refer to.
#pragma once
#include <cstdint>

namespace intarsia::kernel {

struct MeasureSlots {
  // Multiply-adds on registers alone; returns the floating-point operations done (a multiply-add counts two).
  int64_t (*f32)(int64_t rounds);
  int64_t (*bf16)(int64_t rounds);
  // Reads `bytes` (a multiple of 512) once; returns something that depends on all of them.
  uint64_t (*read)(const void* memory, int64_t bytes);
};

}  // namespace intarsia::kernel
