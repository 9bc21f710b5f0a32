// Optimizer steps over many tensors: the threads share the elements of all of them.
#include <algorithm>
#include <cmath>

#include "core/threads.h"
#include "kernel/kernels.h"
#include "kernel/strided.h"
#include "kernel/table.h"

namespace intarsia::kernel {
namespace {

// Splits the elements of all tensors over the threads: f(tensor, begin, end). For kernels that are
// elementwise.
template <class F>
void each_range(std::span<AdamWTensors> tensors, F f) {
  int64_t total = 0;
  for (const AdamWTensors& t : tensors) total += t.weight.size();
  parallel_for(total, thread_grain, [&](int64_t begin, int64_t end) {
    int64_t first = 0;
    for (AdamWTensors& t : tensors) {
      const int64_t n = t.weight.size(), from = std::max(begin - first, int64_t{0}),
                    to = std::min(end - first, n);
      if (from < to) f(t, from, to - from);
      first += n;
      if (first >= end) return;
    }
  });
}

void check(AdamWTensors& t, bool second, const char* op) {
  auto fits = [&](const Array& a, DType dtype) {
    return a.dtype() == dtype && a.contiguous() && a.size() == t.weight.size();
  };
  if (!fits(t.weight, DType::f32) || !fits(t.gradient, DType::f32) || (t.m && !fits(t.m, DType::f32)) ||
      (second && (!t.m || !fits(t.v, DType::f32))) || (t.shadow && !fits(t.shadow, DType::bf16)))
    fail("{}: weight {} with gradient {}: expected f32, contiguous, of equal size", op,
         t.weight.shape().text(), t.gradient.shape().text());
  // Once here, so that the threads need not raise the versions.
  t.weight.raw_mutable();
  if (t.m) t.m.raw_mutable();
  if (t.v) t.v.raw_mutable();
  if (t.shadow) t.shadow.raw_mutable();
}

template <class T>
T* writable(const Array& x, int64_t offset) {
  return x ? static_cast<T*>(const_cast<void*>(x.raw())) + offset : nullptr;
}

}  // namespace

double sum_of_squares(std::span<const Array> tensors) {
  constexpr int64_t chunk = 65536;
  int64_t chunks = 0;
  for (const Array& x : tensors) {
    float_slot(x.dtype(), "sum_of_squares");
    if (!x.contiguous())
      fail("sum_of_squares: the array with strides {} is not contiguous", x.strides().text());
    chunks += (x.size() + chunk - 1) / chunk;
  }
  Array sums = Array::empty({chunks}, DType::f64);
  double* sum = sums.mutable_data<double>();
  parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
    int64_t first = 0;
    for (const Array& x : tensors) {
      const int64_t count = (x.size() + chunk - 1) / chunk;
      for (int64_t c = std::max(begin - first, int64_t{0}); c < std::min(end - first, count); c++)
        sum[first + c] = table().rows.sum_of_squares[static_cast<int>(x.dtype())](
            address(x.raw(), x.dtype(), c * chunk), std::min(chunk, x.size() - c * chunk));
      first += count;
      if (first >= end) return;
    }
  });
  double total = 0;
  for (int64_t i = 0; i < chunks; i++) total += sum[i];
  return total;
}

void adamw(std::span<AdamWTensors> tensors, const AdamWStep& s) {
  for (AdamWTensors& t : tensors) check(t, true, "adamw");
  const double step = static_cast<double>(s.step);
  AdamWFactors f{};
  f.scale = static_cast<float>(s.scale);
  f.keep = static_cast<float>(1 - s.learning_rate * s.weight_decay);
  f.rest1 = static_cast<float>(1 - s.beta1);
  f.beta2 = static_cast<float>(s.beta2);
  f.rest2 = static_cast<float>(1 - s.beta2);
  f.rate = static_cast<float>(s.learning_rate / (1 - std::pow(s.beta1, step)));
  f.inverse_root = static_cast<float>(1 / std::sqrt(1 - std::pow(s.beta2, step)));
  f.eps = static_cast<float>(s.eps);
  each_range(tensors, [&](const AdamWTensors& t, int64_t i, int64_t n) {
    table().rows.adamw(writable<float>(t.weight, i), writable<float>(t.gradient, i), writable<float>(t.m, i),
                       writable<float>(t.v, i), writable<uint16_t>(t.shadow, i), n, f);
  });
}

void sgd(std::span<AdamWTensors> tensors, const SgdStep& s) {
  for (AdamWTensors& t : tensors) check(t, false, "sgd");
  const SgdFactors f{static_cast<float>(s.scale), static_cast<float>(s.weight_decay),
                     static_cast<float>(s.momentum), static_cast<float>(s.learning_rate), s.first};
  each_range(tensors, [&](const AdamWTensors& t, int64_t i, int64_t n) {
    table().rows.sgd(writable<float>(t.weight, i), writable<float>(t.gradient, i), writable<float>(t.m, i),
                     writable<uint16_t>(t.shadow, i), n, f);
  });
}

}  // namespace intarsia::kernel
