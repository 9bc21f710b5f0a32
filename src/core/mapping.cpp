#include "core/mapping.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>

#include "core/fail.h"

namespace intarsia {

// The handler walks the slots without a lock: one is never freed, and its begin is set last and cleared
// first.
struct WatchedMapping::Slot {
  std::atomic<uintptr_t> begin{0};  // 0: not in use
  std::atomic<uintptr_t> end{0};
  std::atomic<bool> lost{false};
  std::atomic<const WatchedMapping*> owner{nullptr};
  std::atomic<Slot*> next{nullptr};
};

namespace {

using Slot = WatchedMapping::Slot;

constinit std::atomic<Slot*> slots{nullptr};
constinit std::atomic<int> lost_count{0};
constinit std::mutex slots_lock;  // of those that make and leave slots

Slot* slot_of(uintptr_t address) {
  for (Slot* slot = slots.load(std::memory_order_acquire); slot; slot = slot->next.load()) {
    const uintptr_t begin = slot->begin.load();
    if (begin && address >= begin && address < slot->end.load()) return slot;
  }
  return nullptr;
}

struct sigaction before;  // what handled SIGBUS until now

// Zeros from the page that is missing to the end of the mapping. True if that was the matter.
bool replace_lost_pages(uintptr_t address) {
  Slot* slot = slot_of(address);
  if (!slot) return false;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t from = address / page * page, to = (slot->end.load() + page - 1) / page * page;
  void* zeros = mmap(reinterpret_cast<void*>(from), to - from, PROT_READ,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
  if (zeros == MAP_FAILED) return false;
  if (!slot->lost.exchange(true)) lost_count.fetch_add(1);
  return true;
}

void on_bus_error(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  const bool done = replace_lost_pages(reinterpret_cast<uintptr_t>(info->si_addr));
  errno = error;
  if (done) return;
  if (before.sa_flags & SA_SIGINFO)
    before.sa_sigaction(signal, info, context);
  else if (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN)
    sigaction(SIGBUS, &before, nullptr);  // the instruction runs again, and the system does what it does
  else
    before.sa_handler(signal);
}

// In place until the library is unloaded, unless somebody has put another one there.
class Handler {
 public:
  Handler() {
    struct sigaction ours {};
    ours.sa_sigaction = on_bus_error;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&ours.sa_mask);
    sigaction(SIGBUS, &ours, &before);
  }
  ~Handler() {
    struct sigaction now {};
    sigaction(SIGBUS, nullptr, &now);
    if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_bus_error) sigaction(SIGBUS, &before, nullptr);
  }
};

[[noreturn]] void fail_lost(const std::string& name, const char* who) {
  fail("{}{}{}: was shortened by another program while in use; what it lost cannot be read", who ? who : "",
       who ? ": " : "", name);
}

}  // namespace

WatchedMapping::WatchedMapping(const void* memory, size_t bytes, std::string name) : name_(std::move(name)) {
  static const Handler handler;
  const std::lock_guard hold(slots_lock);
  slot_ = slots.load();
  while (slot_ && slot_->begin.load()) slot_ = slot_->next.load();
  if (!slot_) {
    slot_ = new Slot;
    slot_->next = slots.load();
    slots.store(slot_, std::memory_order_release);
  }
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  slot_->owner = this;
  slot_->lost = false;
  slot_->end = begin + bytes;
  slot_->begin = begin;
}

WatchedMapping::~WatchedMapping() {
  const std::lock_guard hold(slots_lock);
  slot_->begin = 0;
  slot_->owner = nullptr;
  if (slot_->lost.exchange(false)) lost_count.fetch_sub(1);
}

void WatchedMapping::check() const {
  if (slot_->lost.load()) fail_lost(name_, nullptr);
}

bool WatchedMapping::any_lost() { return lost_count.load(std::memory_order_relaxed) > 0; }

void WatchedMapping::check(const void* address, const char* who) {
  if (!address) return;
  const std::lock_guard hold(slots_lock);
  const Slot* slot = slot_of(reinterpret_cast<uintptr_t>(address));
  if (slot && slot->lost.load()) fail_lost(slot->owner.load()->name_, who);
}

}  // namespace intarsia
