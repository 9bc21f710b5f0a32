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
void each_range(std::span<UpdateTensors> tensors, F f) {
  int64_t total = 0;
  for (const UpdateTensors& t : tensors) total += t.weight.size();
  parallel_for(total, thread_grain, [&](int64_t begin, int64_t end) {
    int64_t first = 0;
    for (UpdateTensors& t : tensors) {
      const int64_t n = t.weight.size(), from = std::max(begin - first, int64_t{0}),
                    to = std::min(end - first, n);
      if (from < to) f(t, from, to - from);
      first += n;
      if (first >= end) return;
    }
  });
}

void check(UpdateRule rule, UpdateTensors& t) {
  const DType type = t.weight.dtype(), wide = type == DType::f64 ? DType::f64 : DType::f32;
  const auto fits = [&](const Array& a, DType dtype) {
    return a.dtype() == dtype && a.contiguous() && a.size() == t.weight.size();
  };
  bool fit = type == DType::f32 || type == DType::f64 || type == DType::bf16;
  fit = fit && fits(t.weight, type) && fits(t.gradient, wide);
  for (int i = 0; i < info(rule).states; i++) fit = fit && fits(t.states[i], wide);
  if (t.copy) fit = fit && type == DType::f32 && (fits(t.copy, DType::bf16) || fits(t.copy, DType::f16));
  if (!fit)
    fail(
        "{}: weight {} {} with gradient {} {}: expected contiguous arrays of equal size and of one type, "
        "bf16 "
        "weights with f32",
        info(rule).name, info(type).name, t.weight.shape().text(), info(t.gradient.dtype()).name,
        t.gradient.shape().text());
  // Once here, so that the threads need not raise the versions.
  if (info(rule).decay == UpdateDecay::direction)
    t.gradient.raw_mutable();
  else
    t.weight.raw_mutable();
  for (int i = 0; i < info(rule).states; i++) t.states[i].raw_mutable();
  if (t.copy) t.copy.raw_mutable();
}

void* writable(const Array& x, int64_t offset) {
  return x ? address(const_cast<void*>(x.raw()), x.dtype(), offset) : nullptr;
}

UpdateType type_of(const Array& weight) {
  if (weight.dtype() == DType::f32) return UpdateType::f32;
  return weight.dtype() == DType::f64 ? UpdateType::f64 : UpdateType::bf16;
}

UpdateCopy copy_of(const Array& copy) {
  if (!copy) return UpdateCopy::none;
  return copy.dtype() == DType::bf16 ? UpdateCopy::bf16 : UpdateCopy::f16;
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

void update(UpdateRule rule, std::span<UpdateTensors> tensors, const UpdateStep& s) {
  for (UpdateTensors& t : tensors) check(rule, t);
  const double step = static_cast<double>(s.step);
  UpdateFactors f{};
  f.scale = s.scale;
  f.rate = s.learning_rate;
  f.beta1 = s.beta1;
  f.rest1 = 1 - s.beta1;
  f.beta2 = s.beta2;
  f.rest2 = 1 - s.beta2;
  f.eps = s.eps;
  f.momentum = s.momentum;
  f.rest_momentum = 1 - s.momentum;
  f.decay = s.decay;
  f.keep = 1 - s.decay;
  f.correction = 1 / (1 - std::pow(s.beta1, step));
  f.corrected_rate = s.learning_rate * f.correction;
  f.inverse_root = 1 / std::sqrt(1 - std::pow(s.beta2, step));
  f.nesterov = s.nesterov;
  f.stochastic = s.stochastic;
  f.seed = s.seed;
  f.stream = static_cast<uint64_t>(s.step);
  each_range(tensors, [&](const UpdateTensors& t, int64_t i, int64_t n) {
    UpdateFactors here = f;
    here.index = t.index + static_cast<uint64_t>(i);
    void* states[most_update_states] = {};
    for (int k = 0; k < info(rule).states; k++) states[k] = writable(t.states[k], i);
    table().rows.update[static_cast<int>(rule)][static_cast<int>(type_of(t.weight))](
        writable(t.weight, i), writable(t.gradient, i), states, writable(t.copy, i), copy_of(t.copy), n,
        here);
  });
}

}  // namespace intarsia::kernel
