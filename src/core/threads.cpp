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

// Workers spin for 200 microseconds after a job, then sleep until the next one. Parts are claimed one by one,
// by the caller too, and the caller waits for claimed parts only: a worker that the system does not let run
// delays nobody.
class Workers {
 public:
  ~Workers() { stop(); }

  void run(int parts, void (*call)(void*, int), void* context) {
    std::unique_lock busy(one_job_, std::try_to_lock);
    if (!busy) {  // another thread of the program computes: this one does its work alone
      DenormalsOff guard;
      for (int part = 0; part < parts; part++) call(context, part);
      return;
    }
    start(thread_count() - 1);
    const uint32_t job = job_.load(std::memory_order_relaxed) + 1;
    error_ = nullptr;
    call_.store(call, std::memory_order_relaxed);
    context_.store(context, std::memory_order_relaxed);
    parts_.store(static_cast<uint32_t>(parts), std::memory_order_relaxed);
    done_.store(0, std::memory_order_relaxed);
    ticket_.store(uint64_t{job} << 32, std::memory_order_release);
    job_.store(job, std::memory_order_seq_cst);
    if (sleeping_.load(std::memory_order_seq_cst) > 0) job_.notify_all();
    work(job);
    for (int spins = 0; done_.load(std::memory_order_acquire) < static_cast<uint32_t>(parts); spins++) {
      if (spins < 2000)
        _mm_pause();
      else
        sched_yield();  // the worker may need this very processor
    }
    ticket_.store(uint64_t{job} << 32 | closed, std::memory_order_release);
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

  // A fork waits until no other thread computes, so that the child finds no job half done and no lock taken
  // by a thread that it does not have. (A part of a job that forks holds the lock already.)
  void before_fork() {
    if (!inside) one_job_.lock();
  }
  void after_fork() {
    if (!inside) one_job_.unlock();
  }
  // In the child only the calling thread exists: forget the others without joining them.
  void forget() {
    for (std::thread& t : threads_) t.detach();
    threads_.clear();
    sleeping_.store(0);
    after_fork();
  }

 private:
  static constexpr uint32_t closed = UINT32_MAX;

  void start(int wanted) {
    if (static_cast<int>(threads_.size()) == wanted) return;
    stop();
    const uint32_t now = job_.load();
    for (int i = 0; i < wanted; i++) threads_.emplace_back([this, now] { serve(now); });
  }

  // Claims parts of `job` until there are none. The ticket holds the job's number above the next part's. What
  // a job consists of is read before a part is claimed; the claim fails if the job has ended since, so a late
  // worker can neither run a part of another job nor use one job's part with another's function.
  void work(uint32_t job) {
    const bool outer = inside;
    inside = true;
    DenormalsOff guard;
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    for (;;) {
      const auto call = call_.load(std::memory_order_relaxed);
      void* context = context_.load(std::memory_order_relaxed);
      const uint32_t parts = parts_.load(std::memory_order_relaxed), part = static_cast<uint32_t>(ticket);
      if (ticket >> 32 != job || part >= parts) break;
      if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel,
                                         std::memory_order_acquire))
        continue;
      try {
        call(context, static_cast<int>(part));
      } catch (...) {
        std::lock_guard hold(error_lock_);
        if (!error_) error_ = std::current_exception();
      }
      done_.fetch_add(1, std::memory_order_release);
      ticket = ticket_.load(std::memory_order_acquire);
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
      work(job);
    }
  }

  std::mutex one_job_, error_lock_;
  std::vector<std::thread> threads_;
  alignas(64) std::atomic<uint32_t> job_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<bool> quit_{false};
  std::atomic<void (*)(void*, int)> call_{nullptr};
  std::atomic<void*> context_{nullptr};
  std::atomic<uint32_t> parts_{0};
  alignas(64) std::atomic<uint64_t> ticket_{closed};
  alignas(64) std::atomic<uint32_t> done_{0};
  std::exception_ptr error_;
};

Workers& workers() {
  static Workers pool;
  [[maybe_unused]] static const int registered = [] {
    // A job takes memory, so a fork must take the pool of threads before that of memory. Handlers run the
    // latest first: the memory's come before these.
    memory_use();
    return pthread_atfork([] { workers().before_fork(); }, [] { workers().after_fork(); },
                          [] { workers().forget(); });
  }();
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

InlineOnly::InlineOnly() : before_(inside) { inside = true; }
InlineOnly::~InlineOnly() { inside = before_; }

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
