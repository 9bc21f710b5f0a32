// Counts memory under the address sanitizer, and prints the highest peak of a run at its end.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "touch.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define INTARSIA_COUNTS_MEMORY
#endif
#endif

#ifdef INTARSIA_COUNTS_MEMORY
#include <sanitizer/allocator_interface.h>

namespace intarsia::fuzz {
namespace {

std::atomic<size_t> held{0}, peak{0}, highest{0};
size_t before = 0;

void on_malloc(const volatile void* memory, size_t) {
  const size_t now = held += __sanitizer_get_allocated_size(const_cast<const void*>(memory));
  if (now > peak) peak = now;
}
void on_free(const volatile void* memory) {
  if (memory) held -= __sanitizer_get_allocated_size(const_cast<const void*>(memory));
}

const bool hooked = [] {
  __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
  std::atexit([] { std::fprintf(stderr, "peak %zu bytes\n", highest.load()); });
  return true;
}();

}  // namespace

void start_counting() {
  before = held;
  peak = before;
  reset_peak_memory();
}

size_t peak_bytes() {
  const size_t bytes = peak - std::min<size_t>(before, peak) + memory_use().peak;
  highest = std::max(highest.load(), bytes);
  return bytes;
}

}  // namespace intarsia::fuzz

#else

namespace intarsia::fuzz {
void start_counting() {}
size_t peak_bytes() { return 0; }
}  // namespace intarsia::fuzz

#endif
