// The one thread pool: fork-join with spinning workers. Results never depend on the number of threads, so a
// caller must split work into parts whose result does not depend on where the cuts are.
#pragma once
#include <immintrin.h>

#include <cstdint>

#include "intarsia/array.h"

namespace intarsia {

// Denormal numbers are flushed to zero while one of these lives (they cost 35x on some loops); the caller's
// own mode comes back at the end.
class DenormalsOff {
 public:
  DenormalsOff() : before_(_mm_getcsr()) {
    if ((before_ & off) != off) _mm_setcsr(before_ | off);
  }
  ~DenormalsOff() {
    if ((before_ & off) != off) _mm_setcsr(before_);
  }
  DenormalsOff(const DenormalsOff&) = delete;
  DenormalsOff& operator=(const DenormalsOff&) = delete;

 private:
  static constexpr unsigned off = 0x8040;  // FTZ and DAZ
  unsigned before_;
};

// While one of these lives, what its thread computes runs on that thread alone: for threads that prepare
// data beside a training loop, whose computation they must not take the pool from.
class InlineOnly {
 public:
  InlineOnly();
  ~InlineOnly();
  InlineOnly(const InlineOnly&) = delete;
  InlineOnly& operator=(const InlineOnly&) = delete;

 private:
  bool before_;
};

namespace detail {
void run_parallel(int parts, void (*call)(void* context, int part), void* context);
}

// Runs f(part) for part in [0, parts), on the pool's threads; nested calls run inline. The first exception
// thrown by a part is thrown again here after all have ended.
template <class F>
void parallel(int parts, F&& f) {
  if (parts == 1) {
    DenormalsOff guard;
    return f(0);
  }
  detail::run_parallel(
      parts, [](void* context, int part) { (*static_cast<F*>(context))(part); }, &f);
}

// Runs f(begin, end) on consecutive ranges that cover [0, n), each of at least `grain` items, about one a
// thread.
template <class F>
void parallel_for(int64_t n, int64_t grain, F&& f) {
  if (n <= 0) return;
  int64_t parts = (n + grain - 1) / grain;
  if (parts > thread_count()) parts = thread_count();
  if (parts <= 1) {
    DenormalsOff guard;
    return f(int64_t{0}, n);
  }
  parallel(static_cast<int>(parts), [&](int part) { f(n * part / parts, n * (part + 1) / parts); });
}

}  // namespace intarsia
