// Attention beyond the walk's small cases: long sequences, what memory held before, masks and score steps.
#include <gtest/gtest.h>

#include <cmath>

#include "intarsia/op.h"
#include "kernel/kernels.h"
#include "kernel/table.h"

namespace intarsia {
namespace {

// The pool hands memory out as it came back: what a kernel does not write itself is NaN from here on.
void spoil_pool() {
  std::vector<Array> spoilt;
  for (int64_t bytes = 1 << 12; bytes <= 1 << 24; bytes *= 2)
    for (int i = 0; i < 2; i++) {
      spoilt.push_back(Array::empty({bytes / 4}));
      kernel::fill(spoilt.back(), NAN);
    }
}

struct Outcome {
  std::vector<Array> parts;  // o, then the gradients
};

Outcome attend(const std::vector<Array>& inputs, DType dtype, const AttentionOptions& options) {
  std::vector<Tensor> x;
  for (size_t i = 0; i < 3; i++) x.push_back(parameter(kernel::cast(inputs[i], dtype)));
  const Tensor o = attention(x[0], x[1], x[2], options);
  backward(sum(o * Tensor(kernel::cast(inputs[3], dtype))));
  Outcome out{{o.array()}};
  for (const Tensor& t : x) out.parts.push_back(t.gradient());
  return out;
}

double relative_error(const Array& a, const Array& b) {
  const Array x = kernel::cast(kernel::contiguous(a), DType::f64),
              y = kernel::cast(kernel::contiguous(b), DType::f64);
  double difference = 0, total = 0;
  for (int64_t i = 0; i < x.size(); i++) {
    const double d = x.data<double>()[i] - y.data<double>()[i];
    difference += d * d;
    total += y.data<double>()[i] * y.data<double>()[i];
  }
  return std::sqrt(difference / total);
}

TEST(Attention, LongSequencesDoNotReadWhatMemoryHeldBefore) {
  const Shape shape = {1, 600, 2, 16};
  std::vector<Array> inputs;
  for (uint64_t i = 0; i < 4; i++) inputs.push_back(kernel::cast(normal(shape, 1, 3, i), DType::bf16));
  const Outcome expected = attend(inputs, DType::f64, {});
  const std::string before = kernel::table().name;
  for (const kernel::Kernels* rung : kernel::rungs()) {
    kernel::use_rung(rung->name);
    for (DType dtype : {DType::f32, DType::bf16}) {
      spoil_pool();
      const Outcome got = attend(inputs, dtype, {});
      for (size_t i = 0; i < got.parts.size(); i++)
        EXPECT_LT(relative_error(got.parts[i], expected.parts[i]), dtype == DType::f32 ? 1e-6 : 5e-3)
            << rung->name << ' ' << info(dtype).name << " part " << i;
    }
  }
  kernel::use_rung(before);
}

}  // namespace
}  // namespace intarsia
