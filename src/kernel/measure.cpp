#include "kernel/measure.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#include "core/threads.h"
#include "kernel/table.h"

namespace intarsia::kernel {
namespace {

using Clock = std::chrono::steady_clock;

// The best of several short runs on all threads: a disturbed run says nothing about the machine.
template <class Run>
double best_rate(double seconds, Run run) {
  double best = 0;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  do {
    std::atomic<int64_t> done{0};
    const auto start = Clock::now();
    parallel(thread_count(), [&](int part) { done += run(part); });
    const double took = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, static_cast<double>(done.load()) / took);
  } while (Clock::now() < end);
  return best;
}

}  // namespace

namespace {
std::atomic<uint64_t> sink{0};  // so that what is read is used
}

void read_only(const Array& x) {
  const auto* start = static_cast<const char*>(x.raw());
  const int64_t lines = static_cast<int64_t>(x.bytes()) / 512;
  parallel_for(lines, 64, [&](int64_t begin, int64_t end) {
    sink |= table().measure.read(start + begin * 512, (end - begin) * 512);
  });
}

Limits measure_limits(double seconds) {
  const MeasureSlots& slots = table().measure;
  Limits limits{};
  limits.f32_flops = best_rate(seconds, [&](int) { return slots.f32(100000); });
  limits.bf16_flops = best_rate(seconds, [&](int) { return slots.bf16(100000); });

  const int64_t piece = int64_t{48} << 20;  // a thread; beyond the caches of the machines this is made for
  Array memory = Array::zeros({thread_count(), piece}, DType::u8);
  const char* start = static_cast<const char*>(memory.raw());
  limits.read_bytes = best_rate(seconds, [&](int part) {
    sink |= slots.read(start + part * piece, piece);
    return piece;
  });
  return limits;
}

}  // namespace intarsia::kernel
