// Prints what pointwise formulas, row operations and optimizer steps take on this machine: microseconds, the
// best and the median of some repetitions, on one thread and on all.
//   bench_pointwise [rung]
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "intarsia/array.h"
#include "intarsia/random.h"
#include "kernel/kernels.h"
#include "kernel/table.h"

namespace {

using namespace intarsia;
using kernel::Formula;

struct Case {
  std::string name;
  std::function<void()> run;
};

struct Time {
  double best, median;  // microseconds
};

Time measure(const std::function<void()>& run) {
  using Clock = std::chrono::steady_clock;
  const auto once = [&](int count) {
    const auto start = Clock::now();
    for (int i = 0; i < count; i++) run();
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count() / count;
  };
  once(3);
  const int inner = std::clamp(static_cast<int>(300 / once(3)), 1, 10000);
  std::vector<double> times;
  for (int i = 0; i < 40; i++) times.push_back(once(inner));
  std::sort(times.begin(), times.end());
  return {times.front(), times[times.size() / 2]};
}

Array values(const Shape& shape, DType type, uint64_t seed) {
  return kernel::cast(normal(shape, 1, seed), type);
}

Case forward_case(Formula f, int64_t n, DType type) {
  std::vector<Array> x;
  for (int i = 0; i < kernel::arity(f); i++) x.push_back(values({n}, type, static_cast<uint64_t>(i) + 1));
  return {fmt::format("{} {} {}", kernel::formula_names[static_cast<int>(f)], info(type).name, n),
          [=] { kernel::pointwise(f, x, type); }};
}

Case backward_case(Formula f, int64_t n, DType type) {
  std::vector<Array> x;
  for (int i = 0; i < kernel::arity(f); i++) x.push_back(values({n}, type, static_cast<uint64_t>(i) + 1));
  const Array dy = values({n}, type, 9);
  return {fmt::format("{}_backward {} {}", kernel::formula_names[static_cast<int>(f)], info(type).name, n),
          [=] {
            Array dx[4];
            kernel::pointwise_backward(f, (1u << x.size()) - 1, dy, x, dx);
          }};
}

void add_rows(std::vector<Case>& cases, int64_t rows, int64_t d, DType type) {
  const Array x = values({rows, d}, type, 1), dy = values({rows, d}, type, 2), w = values({d}, type, 3);
  const std::string tail = fmt::format(" {} {}x{}", info(type).name, rows, d);
  const Array y = kernel::softmax(x);
  std::vector<int64_t> ids(static_cast<size_t>(rows));
  for (size_t i = 0; i < ids.size(); i++) ids[i] = static_cast<int64_t>(i) % d;
  const Array targets = Array::copy_of<int64_t>(ids, {rows});
  const auto rms = kernel::rms_norm(x, &w, 1e-5), layer = kernel::layer_norm(x, &w, &w, 1e-5);
  const auto loss = kernel::cross_entropy(x, targets, -1, 0);
  cases.push_back({"softmax" + tail, [=] { kernel::softmax(x); }});
  cases.push_back({"softmax_backward" + tail, [=] { kernel::softmax_backward(y, dy); }});
  cases.push_back({"rms_norm" + tail, [=] { kernel::rms_norm(x, &w, 1e-5); }});
  cases.push_back({"rms_norm_backward" + tail, [=] {
                     Array dx, dw;
                     kernel::rms_norm_backward(x, &w, rms.rstd, dy, &dx, &dw);
                   }});
  cases.push_back({"layer_norm" + tail, [=] { kernel::layer_norm(x, &w, &w, 1e-5); }});
  cases.push_back({"layer_norm_backward" + tail, [=] {
                     Array dx, dw, db;
                     kernel::layer_norm_backward(x, &w, layer.mean, layer.rstd, dy, &dx, &dw, &db);
                   }});
  cases.push_back({"cross_entropy" + tail, [=] { kernel::cross_entropy(x, targets, -1, 0); }});
  cases.push_back({"cross_entropy_backward" + tail,
                   [=] { kernel::cross_entropy_backward(x, targets, loss.lse, loss.loss, -1, 0); }});
  cases.push_back({"sum_rows" + tail, [=] { kernel::reduce(kernel::Reduction::sum, x, 1, type); }});
  cases.push_back({"sum_all" + tail, [=] { kernel::reduce(kernel::Reduction::sum, x, 3, type); }});
  cases.push_back({"transpose" + tail, [=] { kernel::contiguous(x.view({d, rows}, {1, d})); }});
  cases.push_back({"argmax" + tail, [=] { kernel::argmax(x, 1); }});
  cases.push_back({"add_bias" + tail, [=] {
                     const Array in[] = {x, w};
                     kernel::pointwise(Formula::add, in, type);
                   }});
  const Array ids_of_table = targets;
  cases.push_back({"embedding_backward" + tail, [=] {
                     kernel::embedding_backward({d, d}, ids_of_table, dy, type);
                   }});
}

Case adamw_case(int64_t n, int64_t tensors) {
  std::vector<kernel::AdamWTensors> all;
  for (int64_t i = 0; i < tensors; i++) {
    const Shape shape{n / tensors};
    all.push_back({values(shape, DType::f32, 1),
                   values(shape, DType::f32, 2),
                   Array::zeros(shape),
                   Array::zeros(shape),
                   {}});
  }
  return {fmt::format("adamw f32 {}x{}", tensors, n / tensors), [all, step = int64_t{0}]() mutable {
            kernel::adamw(all, {1e-3, 0.9, 0.95, 1e-8, 0.1, 1, ++step});
          }};
}

}  // namespace

int main(int count, char** arguments) {
  if (count > 1) kernel::use_rung(arguments[1]);
  std::vector<Case> cases;
  for (int64_t n : {16, 98304, 393216, 8388608})
    for (Formula f :
         {Formula::add, Formula::exp, Formula::gelu, Formula::silu, Formula::tanh, Formula::swiglu}) {
      cases.push_back(forward_case(f, n, DType::f32));
      if (n != 16) cases.push_back(backward_case(f, n, DType::f32));
      if (n == 393216) {
        cases.push_back(forward_case(f, n, DType::bf16));
        cases.push_back(backward_case(f, n, DType::bf16));
      }
    }
  add_rows(cases, 768, 128, DType::f32);
  add_rows(cases, 768, 512, DType::f32);
  add_rows(cases, 768, 512, DType::bf16);
  add_rows(cases, 8192, 1024, DType::f32);
  cases.push_back(adamw_case(800000, 30));
  cases.push_back(adamw_case(int64_t{1} << 24, 8));
  const int threads = thread_count();
  fmt::print("{}, rung {}; us      1 thread: best, median   {} threads: best, median\n", kernel::cpu().brand,
             kernel::table().name, threads);
  for (const Case& c : cases) {
    set_thread_count(1);
    const Time one = measure(c.run);
    set_thread_count(threads);
    const Time all = measure(c.run);
    fmt::print("{:36} {:10.2f} {:10.2f} {:10.2f} {:10.2f}\n", c.name, one.best, one.median, all.best,
               all.median);
  }
}
