#include "core/threads.h"

#include <immintrin.h>
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "core/fail.h"

namespace intarsia {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto spin_time = std::chrono::microseconds(200);

int available_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set)) return 1;
  const int count = CPU_COUNT(&set);
  return count > 0 ? count : 1;
}

thread_local bool inside = false;  // this thread is running a part: nested calls run inline

// Workers spin for 200 microseconds after a job, then sleep until the next one. The caller takes parts too,
// so a job on two threads wakes one worker.
class Workers {
 public:
  ~Workers() { stop(); }

  void run(int parts, void (*call)(void*, int), void* context) {
    std::unique_lock busy(one_job_, std::try_to_lock);
    if (!busy) {  // another thread of the program computes: this one does its work alone
      for (int part = 0; part < parts; part++) call(context, part);
      return;
    }
    start(thread_count() - 1);
    call_ = call;
    context_ = context;
    error_ = nullptr;
    parts_ = parts;
    left_.store(static_cast<int>(threads_.size()), std::memory_order_relaxed);
    next_.store(0, std::memory_order_relaxed);
    job_.fetch_add(1, std::memory_order_seq_cst);
    if (sleeping_.load(std::memory_order_seq_cst) > 0) job_.notify_all();
    work();
    while (left_.load(std::memory_order_acquire) > 0) _mm_pause();
    if (error_) std::rethrow_exception(error_);
  }

  void stop() {
    quit_.store(true, std::memory_order_seq_cst);
    job_.fetch_add(1, std::memory_order_seq_cst);
    job_.notify_all();
    for (std::thread& t : threads_) t.join();
    threads_.clear();
    quit_.store(false, std::memory_order_seq_cst);
  }

  // After fork() only the calling thread exists: forget the others without joining them.
  void forget() {
    for (std::thread& t : threads_) t.detach();
    threads_.clear();
    sleeping_.store(0);
  }

 private:
  void start(int wanted) {
    if (static_cast<int>(threads_.size()) == wanted) return;
    stop();
    const uint32_t now = job_.load();
    for (int i = 0; i < wanted; i++) threads_.emplace_back([this, now] { serve(now); });
  }

  void work() {
    const bool outer = inside;
    inside = true;
    DenormalsOff guard;
    for (int part; (part = next_.fetch_add(1, std::memory_order_relaxed)) < parts_;) {
      try {
        call_(context_, part);
      } catch (...) {
        std::lock_guard hold(error_lock_);
        if (!error_) error_ = std::current_exception();
      }
    }
    inside = outer;
  }

  void serve(uint32_t seen) {
    for (;;) {
      const auto idle_since = Clock::now();
      uint32_t job;
      for (int spins = 0; (job = job_.load(std::memory_order_acquire)) == seen; spins++) {
        _mm_pause();
        if (spins % 64 || Clock::now() - idle_since < spin_time) continue;
        sleeping_.fetch_add(1, std::memory_order_seq_cst);
        job_.wait(seen, std::memory_order_seq_cst);
        sleeping_.fetch_sub(1, std::memory_order_seq_cst);
      }
      if (quit_.load(std::memory_order_acquire)) return;
      seen = job;
      work();
      left_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::mutex one_job_, error_lock_;
  std::vector<std::thread> threads_;
  std::atomic<uint32_t> job_{0};
  std::atomic<int> next_{0}, left_{0}, sleeping_{0};
  std::atomic<bool> quit_{false};
  void (*call_)(void*, int) = nullptr;
  void* context_ = nullptr;
  int parts_ = 0;
  std::exception_ptr error_;
};

Workers& workers() {
  static Workers pool;
  [[maybe_unused]] static const int registered = pthread_atfork(nullptr, nullptr, [] { workers().forget(); });
  return pool;
}

std::atomic<int>& wanted_threads() {
  static std::atomic<int> count{available_processors()};
  return count;
}

}  // namespace

int thread_count() { return wanted_threads().load(std::memory_order_relaxed); }

void set_thread_count(int count) {
  if (count < 1 || count > 1024) fail("thread count is {}, expected 1 to 1024", count);
  wanted_threads().store(count, std::memory_order_relaxed);
}

namespace detail {

void run_parallel(int parts, void (*call)(void* context, int part), void* context) {
  if (inside || thread_count() == 1) {
    DenormalsOff guard;
    for (int part = 0; part < parts; part++) call(context, part);
    return;
  }
  workers().run(parts, call, context);
}

}  // namespace detail
}  // namespace intarsia
