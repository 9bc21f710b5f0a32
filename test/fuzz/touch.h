// What the fuzz targets of formats share: bytes in, everything read, Errors swallowed. Anything else that is
// thrown, and any read outside the input, ends the run.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "data/arrays.h"
#include "data/file.h"
#include "intarsia/error.h"

namespace intarsia::fuzz {

// The sum of an array's bytes, so that a borrowed one is read to its end.
inline unsigned touch(const Array& array) {
  unsigned sum = 0;
  const auto* bytes = static_cast<const unsigned char*>(array.raw());
  for (size_t i = 0; i < array.bytes(); i++) sum += bytes[i];
  return sum;
}
inline unsigned touch(const NamedArrays& arrays) {
  unsigned sum = 0;
  for (const auto& [name, array] : arrays) sum += touch(array);
  return sum;
}

// Ends the run where something that must hold does not.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

template <class F>
void run(const uint8_t* data, size_t size, F&& read) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    [[maybe_unused]] volatile unsigned sum = read(MappedFile::of_memory("f", bytes));
  } catch (const Error& error) {
    require(std::string_view(error.what()).find('\n') == std::string_view::npos,
            "an Error of more than one line");
  }
}

}  // namespace intarsia::fuzz
