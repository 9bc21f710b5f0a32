// Prints what matrix products reach on this machine: GFLOP/s for one thread and for all, median of some
// repetitions.
//   bench_products [rung]
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "intarsia/array.h"
#include "intarsia/random.h"
#include "kernel/kernels.h"
#include "kernel/table.h"

namespace {

using namespace intarsia;

double seconds() {
  using namespace std::chrono;
  return duration<double>(steady_clock::now().time_since_epoch()).count();
}

struct Case {
  int64_t m, k, n;
  bool a_transposed, b_transposed;
  DType type, result;
};

// Pseudorandom values in (-1, 1), written through a product with one so that every type works.
Array values(int64_t rows, int64_t columns, DType type, uint64_t seed) {
  return kernel::cast(uniform({rows, columns}, -1, 1, seed), type);
}
Array transposed(const Array& x) { return x.view({x.dim(1), x.dim(0)}, {x.strides()[1], x.strides()[0]}); }

double median_seconds(const Case& t) {
  const Array a = t.a_transposed ? transposed(values(t.k, t.m, t.type, 1)) : values(t.m, t.k, t.type, 1);
  const Array b = t.b_transposed ? transposed(values(t.n, t.k, t.type, 2)) : values(t.k, t.n, t.type, 2);
  Array c = Array::empty({t.m, t.n}, t.result);
  const double work = 2.0 * static_cast<double>(t.m) * static_cast<double>(t.n) * static_cast<double>(t.k);
  const int inner = std::max(1, static_cast<int>(1e9 / work));
  std::vector<double> times;
  for (int i = 0; i < 10; i++) {
    const double start = seconds();
    for (int j = 0; j < inner; j++) kernel::matmul(a, b, c);
    if (i > 0) times.push_back((seconds() - start) / inner);  // the first one warms up
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

void print(const Case& t) {
  const double work = 2e-9 * static_cast<double>(t.m) * static_cast<double>(t.n) * static_cast<double>(t.k);
  const int threads = thread_count();
  set_thread_count(1);
  const double one = median_seconds(t);
  set_thread_count(threads);
  const double all = median_seconds(t);
  fmt::print("{:5} {:5} {:5}  {}{}  {:4} -> {:4} {:9.1f} {:9.1f} GFLOP/s {:10.1f} {:10.1f} us\n", t.m, t.k,
             t.n, t.a_transposed ? 'T' : 'N', t.b_transposed ? 'T' : 'N', info(t.type).name,
             info(t.result).name, work / one, work / all, one * 1e6, all * 1e6);
}

}  // namespace

int main(int count, char** arguments) {
  if (count > 1) kernel::use_rung(arguments[1]);
  fmt::print("{}, rung {}\n    m     k     n  form  type          1 thread {:>2} threads\n",
             kernel::cpu().brand, kernel::table().name, thread_count());
  const int64_t shapes[][3] = {{4096, 768, 768}, {4096, 768, 3072}, {4096, 3072, 768}, {2048, 2048, 2048},
                               {512, 576, 1536}, {37, 4096, 2048},  {8, 768, 3072},    {1, 768, 3072},
                               {768, 128, 128},  {768, 128, 512},   {768, 512, 128},   {768, 256, 256}};
  for (const DType type : {DType::f32, DType::bf16}) {
    for (const auto& s : shapes) print({s[0], s[1], s[2], false, true, type, type});
    for (const auto& s : {shapes[2], shapes[9]}) print({s[0], s[1], s[2], false, false, type, type});
    print({3072, 4096, 768, true, false, type, DType::f32});
    print({128, 768, 128, true, false, type, DType::f32});
    print({512, 768, 128, true, false, type, DType::f32});
  }
}
