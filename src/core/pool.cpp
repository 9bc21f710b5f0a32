#include "core/pool.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <new>
#include <string>

#include "core/fail.h"
#include "core/format.h"
#include "core/spin_lock.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace intarsia {
namespace detail {
namespace {

// A block is a 64-byte header, which holds the Buffer, followed by the data. Sizes are 2^k, and three steps
// between (1.25, 1.5, 1.75), all multiples of 64.
constexpr size_t header = 64, smallest = 256, huge_page = size_t{2} << 20, slab = huge_page, page = 4096;
constexpr int class_count = 4 * 40;
static_assert(sizeof(Buffer) + sizeof(int) <= header);

int class_of(size_t bytes) {
  if (bytes <= smallest) return 0;
  const int power = std::bit_width(bytes - 1) - 1;  // 2^power < bytes <= 2^(power+1)
  const size_t step = size_t{1} << (power - 2);
  const size_t above = (bytes - (size_t{1} << power) + step - 1) / step;  // 1..4
  return 4 * (power - 8) + static_cast<int>(above);
}

size_t class_bytes(int index) {
  return (size_t{1} << (8 + index / 4)) / 4 * (4 + static_cast<size_t>(index % 4));
}

std::string in_words(size_t bytes) { return format_bytes(static_cast<double>(bytes)); }

struct FreeBlock {
  FreeBlock* next;
};

class Pool;
Pool& pool();

class Pool {
 public:
  void* take(int index) {
    const size_t bytes = class_bytes(index);
    std::lock_guard hold(lock_);
    use_.current += bytes;
    if (use_.current > use_.peak) use_.peak = use_.current;
    if (FreeBlock* block = free_[static_cast<size_t>(index)]) {
      ASAN_UNPOISON_MEMORY_REGION(block, bytes);
      free_[static_cast<size_t>(index)] = block->next;
      return block;
    }
    void* fresh = fresh_block(bytes);
    if (!fresh && give_back()) fresh = fresh_block(bytes);
    if (fresh) return fresh;
    use_.current -= bytes;
    if (limit_)
      fail_hint("allow more with --memory or set_memory_limit(), or make the model, batch or context smaller",
                "out of memory: {} more asked for, {} held, the limit is {}", in_words(bytes),
                in_words(use_.reserved), in_words(limit_));
    fail("out of memory: {} more asked for, {} held", in_words(bytes), in_words(use_.reserved));
  }

  void give(void* memory, int index) {
    const size_t bytes = class_bytes(index);
    std::lock_guard hold(lock_);
    use_.current -= bytes;
    auto* block = static_cast<FreeBlock*>(memory);
    block->next = free_[static_cast<size_t>(index)];
    free_[static_cast<size_t>(index)] = block;
    ASAN_POISON_MEMORY_REGION(block, bytes);
  }

  // A child of fork() must not find the lock taken by a thread that it does not have.
  void lock() { lock_.lock(); }
  void unlock() { lock_.unlock(); }

  MemoryUse use() {
    std::lock_guard hold(lock_);
    return use_;
  }
  void set_limit(size_t bytes) {
    std::lock_guard hold(lock_);
    limit_ = bytes;
  }
  size_t limit() {
    std::lock_guard hold(lock_);
    return limit_;
  }
  void reset_peak() {
    std::lock_guard hold(lock_);
    use_.peak = use_.current;
  }

 private:
  static constexpr size_t smallest_mapped = slab / 4;  // smaller blocks are cut from slabs
  static size_t mapped_bytes(size_t bytes) {
    return bytes >= huge_page ? (bytes + huge_page - 1) / huge_page * huge_page : bytes;
  }

  void* fresh_block(size_t bytes) { return bytes < smallest_mapped ? carve(bytes) : map(bytes); }

  // Unmaps the large blocks that are kept for later; whether there were any.
  bool give_back() {
    bool any = false;
    for (int index = class_of(smallest_mapped); index < class_count; index++) {
      const size_t bytes = class_bytes(index);
      while (FreeBlock* block = free_[static_cast<size_t>(index)]) {
        ASAN_UNPOISON_MEMORY_REGION(block, bytes);
        free_[static_cast<size_t>(index)] = block->next;
        munmap(block, mapped_bytes(bytes));
        use_.reserved -= bytes;
        any = true;
      }
    }
    return any;
  }

  // Memory straight from the system, aligned to huge pages where it is large enough to profit from them.
  void* map(size_t bytes) {
    if (limit_ && (use_.reserved > limit_ || bytes > limit_ - use_.reserved)) return nullptr;
    const bool huge = bytes >= huge_page;
    const size_t asked = mapped_bytes(bytes) + (huge ? huge_page : 0);
    void* memory = mmap(nullptr, asked, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    use_.reserved += bytes;
    if (!huge) return memory;
    const auto address = reinterpret_cast<uintptr_t>(memory);
    const uintptr_t aligned = (address + huge_page - 1) / huge_page * huge_page;
    const uintptr_t end = aligned + asked - huge_page;
    if (aligned > address) munmap(memory, aligned - address);
    if (end < address + asked) munmap(reinterpret_cast<void*>(end), address + asked - end);
    madvise(reinterpret_cast<void*>(aligned), asked - huge_page, MADV_HUGEPAGE);
    return reinterpret_cast<void*>(aligned);
  }

  void* carve(size_t bytes) {
    if (!slab_ || slab_used_ + bytes > slab_bytes_) {
      // Where the limit leaves no room for a whole slab, a smaller one takes what it leaves.
      size_t size = slab;
      if (limit_ && limit_ > use_.reserved) size = std::min(slab, (limit_ - use_.reserved) / page * page);
      void* fresh = size < bytes ? nullptr : map(size);
      if (!fresh) return nullptr;
      slab_ = static_cast<char*>(fresh);  // the rest of the old slab stays unused: less than a block
      slab_bytes_ = size;
      slab_used_ = 0;
    }
    void* block = slab_ + slab_used_;
    slab_used_ += bytes;
    return block;
  }

  SpinLock lock_;
  std::array<FreeBlock*, class_count> free_{};
  MemoryUse use_{};
  char* slab_ = nullptr;
  size_t slab_bytes_ = 0, slab_used_ = 0, limit_ = 0;
};

// Never destroyed: arrays in other static objects may outlive any order of destruction.
Pool& pool() {
  alignas(Pool) static char memory[sizeof(Pool)];
  static Pool* instance = [] {
    pthread_atfork([] { pool().lock(); }, [] { pool().unlock(); }, [] { pool().unlock(); });
    return new (memory) Pool;
  }();
  return *instance;
}

int& class_in(Buffer* buffer) {
  return *reinterpret_cast<int*>(reinterpret_cast<char*>(buffer) + header - sizeof(int));
}

}  // namespace

Buffer* allocate(size_t bytes) {
  if (bytes > (size_t{1} << 44)) fail("array of {} bytes is larger than this library addresses", bytes);
  const int index = class_of(bytes + header);
  void* block = pool().take(index);
  auto* buffer = new (block) Buffer;
  buffer->data = static_cast<char*>(block) + header;
  buffer->bytes = bytes;
  class_in(buffer) = index;
#if defined(__SANITIZE_ADDRESS__)
  std::memset(buffer->data, 0xff, bytes);  // NaN in every float type: what is read before it is written shows
#endif
  return buffer;
}

Buffer* adopt(const void* data, size_t bytes, std::shared_ptr<const void> owner) {
  Buffer* buffer = allocate(0);
  buffer->owner = new std::shared_ptr<const void>(std::move(owner));
  buffer->data = const_cast<void*>(data);  // raw_mutable() refuses to hand it out
  buffer->bytes = bytes;
  buffer->read_only = true;
  return buffer;
}

void release(Buffer* buffer) {
  if (buffer->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  const int index = class_in(buffer);
  delete buffer->owner;
  buffer->~Buffer();
  pool().give(buffer, index);
}

// Nodes of the tape come from the same pool: a step must not reach malloc.
void* node_memory(size_t bytes) { return pool().take(class_of(bytes)); }
void free_node_memory(void* memory, size_t bytes) { pool().give(memory, class_of(bytes)); }

}  // namespace detail

MemoryUse memory_use() { return detail::pool().use(); }
void reset_peak_memory() { detail::pool().reset_peak(); }
void set_memory_limit(size_t bytes) { detail::pool().set_limit(bytes); }
size_t memory_limit() { return detail::pool().limit(); }

}  // namespace intarsia
