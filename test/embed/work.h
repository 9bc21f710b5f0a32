// A small computation that uses threads, the tape and the pool: the same bits wherever it runs.
#pragma once
#include <intarsia/intarsia.h>

namespace {

inline double some_work() {
  using namespace intarsia;
  const Tensor w = parameter(uniform({256, 256}, -1, 1, 7));
  const Tensor x = uniform({256, 256}, -1, 1, 8);
  Tensor y = x;
  for (int i = 0; i < 4; i++) y = tanh(matmul(y, w) * 0.1);
  backward(mean(y * y));
  double sum = 0;
  for (const float g : w.gradient().span<float>()) sum += g;
  return sum;
}

}  // namespace
