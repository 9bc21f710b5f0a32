// The caching memory pool behind arrays. Freed blocks are kept by size class and used again, so that a
// training step does not touch the system allocator after warm-up.
#pragma once
#include <cstddef>

#include "intarsia/array.h"

namespace intarsia::detail {

// A buffer of at least `bytes` bytes with one reference; data is 64-byte aligned, values undefined.
Buffer* allocate(size_t bytes);
// A buffer that points at memory owned by somebody else.
Buffer* adopt(const void* data, size_t bytes, std::shared_ptr<const void> owner);

}  // namespace intarsia::detail
