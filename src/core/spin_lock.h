// A lock for sections of a few nanoseconds.
#pragma once
#include <immintrin.h>

#include <atomic>
#include <mutex>

namespace intarsia {

class SpinLock {
 public:
  void lock() {
    while (held_.exchange(true, std::memory_order_acquire))
      while (held_.load(std::memory_order_relaxed)) _mm_pause();
  }
  void unlock() { held_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> held_{false};
};

}  // namespace intarsia
