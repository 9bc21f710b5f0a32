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

// A block is a 64-byte header, which holds the Buffer, followed by the data. Small blocks have sizes of 2^k
// and three steps between (1.25, 1.5, 1.75), all multiples of 64, and a list of free ones for each size.
// Large blocks are a whole number of granules, cut from regions where they fit best, and join their free
// neighbours when they are given back: a model's arrays have many sizes, and rounding them up would cost a
// quarter of the memory.
constexpr size_t header = 64, smallest = 256, huge_page = size_t{2} << 20, slab = huge_page, page = 4096;
constexpr size_t smallest_large = slab / 4, granule = size_t{16} << 10, region = size_t{32} << 20;
constexpr int class_count = 4 * 12 + 1, large = class_count;
static_assert(sizeof(Buffer) + sizeof(int) <= header);

constexpr size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

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

// The start of a region: its blocks come after `header` bytes, so that those of two regions never touch.
struct Region {
  Region* next;
  size_t bytes;
};
// The start of a free piece of a region.
struct Piece {
  Piece* next;  // the next one in memory
  size_t bytes;
  char* begin() { return reinterpret_cast<char*>(this); }
  char* end() { return begin() + bytes; }
};
static_assert(sizeof(Region) <= header && sizeof(Piece) <= header);

class Pool;
Pool& pool();

class Pool {
 public:
  void* take(int index) {
    const size_t bytes = class_bytes(index);
    std::lock_guard hold(lock_);
    return counted(bytes, [&]() -> void* {
      FreeBlock*& list = free_[static_cast<size_t>(index)];
      if (!list) return carve(bytes);
      FreeBlock* block = list;
      ASAN_UNPOISON_MEMORY_REGION(block, bytes);
      list = block->next;
      return block;
    });
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

  // bytes: a whole number of granules.
  void* take_large(size_t bytes) {
    std::lock_guard hold(lock_);
    return counted(bytes, [&]() -> void* {
      void* block = cut_best(bytes);
      return block || !add_region(bytes) ? block : cut_best(bytes);
    });
  }

  void give_large(void* memory, size_t bytes) {
    std::lock_guard hold(lock_);
    use_.current -= bytes;
    insert(static_cast<char*>(memory), bytes);
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
  // What `find` gives, counted as in use; the system is asked again after all that is free went back to it.
  template <class Find>
  void* counted(size_t bytes, Find find) {
    void* block = find();
    if (!block && give_back()) block = find();
    if (block) {
      use_.current += bytes;
      if (use_.current > use_.peak) use_.peak = use_.current;
      return block;
    }
    if (limit_)
      fail_hint("allow more with --memory or set_memory_limit(), or make the model, batch or context smaller",
                "out of memory: {} more asked for, {} held, the limit is {}", in_words(bytes),
                in_words(use_.reserved), in_words(limit_));
    fail("out of memory: {} more asked for, {} held", in_words(bytes), in_words(use_.reserved));
  }

  // ---- large blocks

  // From the smallest free piece that is large enough, its first bytes.
  void* cut_best(size_t bytes) {
    Piece** best = nullptr;
    for (Piece** at = &pieces_; *at; at = &(*at)->next) {
      if ((*at)->bytes < bytes || (best && (*at)->bytes >= (*best)->bytes)) continue;
      best = at;
      if ((*at)->bytes == bytes) break;
    }
    if (!best) return nullptr;
    Piece* piece = *best;
    ASAN_UNPOISON_MEMORY_REGION(piece, bytes);
    Piece* rest = piece->next;
    if (piece->bytes > bytes) {
      rest = reinterpret_cast<Piece*>(piece->begin() + bytes);
      ASAN_UNPOISON_MEMORY_REGION(rest, header);
      *rest = {piece->next, piece->bytes - bytes};
    }
    *best = rest;
    return piece;
  }

  // Pieces are listed in the order of their addresses, and join those that they touch.
  void insert(char* memory, size_t bytes) {
    Piece *before = nullptr, *after = pieces_;
    while (after && after->begin() < memory) before = after, after = after->next;
    auto* piece = reinterpret_cast<Piece*>(memory);
    *piece = {after, bytes};
    ASAN_POISON_MEMORY_REGION(memory + header, bytes - header);
    if (after && piece->end() == after->begin()) *piece = {after->next, bytes + after->bytes};
    if (before && before->end() == memory)
      *before = {piece->next, before->bytes + piece->bytes};
    else
      (before ? before->next : pieces_) = piece;
  }

  // Room for a block of `bytes`, and some for later ones if the limit allows it.
  bool add_region(size_t bytes) {
    const size_t least = round_up(header + bytes, page);
    size_t size = std::max(region, round_up(least, huge_page));
    void* memory = map(size);
    if (!memory) memory = map(size = least);
    if (!memory) return false;
    auto* fresh = static_cast<Region*>(memory);
    *fresh = {regions_, size};
    regions_ = fresh;
    insert(static_cast<char*>(memory) + header, (size - header) / granule * granule);
    return true;
  }

  // Unmaps the regions of which nothing is in use; whether there were any.
  bool give_back() {
    bool any = false;
    for (Region** at = &regions_; *at;) {
      Region* region_here = *at;
      const size_t size = region_here->bytes;
      Piece** piece = &pieces_;
      while (*piece && (*piece)->begin() != reinterpret_cast<char*>(region_here) + header)
        piece = &(*piece)->next;
      if (!*piece || (*piece)->bytes != (size - header) / granule * granule) {
        at = &region_here->next;
        continue;
      }
      *piece = (*piece)->next;
      *at = region_here->next;
      ASAN_UNPOISON_MEMORY_REGION(region_here, size);
      munmap(region_here, size);
      use_.reserved -= size;
      any = true;
    }
    return any;
  }

  // Memory straight from the system, aligned to huge pages where it is large enough to profit from them.
  void* map(size_t bytes) {
    if (limit_ && (use_.reserved > limit_ || bytes > limit_ - use_.reserved)) return nullptr;
    const bool huge = bytes >= huge_page;
    const size_t asked = bytes + (huge ? huge_page : 0);
    void* memory = mmap(nullptr, asked, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    use_.reserved += bytes;
    if (!huge) return memory;
    const auto address = reinterpret_cast<uintptr_t>(memory);
    const uintptr_t aligned = round_up(address, huge_page), end = aligned + bytes;
    if (aligned > address) munmap(memory, aligned - address);
    if (end < address + asked) munmap(reinterpret_cast<void*>(end), address + asked - end);
    madvise(reinterpret_cast<void*>(aligned), bytes, MADV_HUGEPAGE);
    return reinterpret_cast<void*>(aligned);
  }

  // ---- small blocks

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
  Piece* pieces_ = nullptr;
  Region* regions_ = nullptr;
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
  const bool is_large = bytes + header > smallest_large;
  const int index = is_large ? large : class_of(bytes + header);
  void* block = is_large ? pool().take_large(round_up(bytes + header, granule)) : pool().take(index);
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
  const size_t bytes = round_up(buffer->bytes + header, granule);
  delete buffer->owner;
  buffer->~Buffer();
  if (index == large)
    pool().give_large(buffer, bytes);
  else
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
