// What the fuzz targets of formats share: bytes in, everything read, Errors swallowed. Anything else that is
// thrown, any read outside the input, and a peak of memory above 64 MB + twice the input end the run.
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

// Bytes held by malloc and by the pool since start(), at most; 0 where the sanitizer's hooks are missing.
void start_counting();
size_t peak_bytes();

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
// Runs what may end in an Error.
template <class F>
void attempt(F&& f) {
  try {
    f();
  } catch (const Error&) {}
}
// Ends the run where something that must hold does not.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

inline unsigned touch(const Table& table) {
  unsigned sum = 0;
  for (const Column& column : table.columns) {
    require(table[column.name].name == column.name, "a column that is not found");
    sum += touch(column.values) + touch(column.missing);
    for (const std::string& text : column.texts) sum += static_cast<unsigned>(text.size());
  }
  attempt([&] { sum += static_cast<unsigned>(table["none"].texts.size()); });
  return sum;
}

// The limit that a table is read with: the reader's own, but a small one for most packed texts, because a few
// hundred bytes of those may be megabytes to read. Inputs as long as they may be are many: they are not
// chosen.
inline uint64_t table_limit(const MappedFile& file) {
  const bool packed = file.text().starts_with("\x1f\x8b");
  return packed && file.size() % 64 != 1 ? uint64_t{1} << 14 : 0;
}

template <class F>
void run(const uint8_t* data, size_t size, F&& read) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  start_counting();
  try {
    [[maybe_unused]] volatile unsigned sum = read(MappedFile::of_memory("f", bytes));
  } catch (const Error& error) {
    require(std::string_view(error.what()).find('\n') == std::string_view::npos,
            "an Error of more than one line");
  }
  require(peak_bytes() <= (size_t{64} << 20) + 2 * size, "more memory than 64 MB + twice the input");
}

}  // namespace intarsia::fuzz
