// PNG and JPEG: whichever the bytes look like.
#include "data/image/image.h"

#include <zlib.h>

#include "touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace intarsia;
  const int channels = size == 0 ? 0 : data[size - 1] % 5;
  fuzz::run(data, size, [&](const auto& file) { return fuzz::touch(parse_image(file, channels)); });
  return 0;
}

#ifdef __has_feature
#if __has_feature(coverage_sanitizer)  // libFuzzer is linked

namespace {

uint32_t big_endian(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

// Chunks of a PNG with a wrong sum are refused before anything else is looked at, so nearly all get a right
// one.
void repair_sums(uint8_t* png, size_t size) {
  constexpr size_t signature = 8, head = 8, sum = 4;
  for (size_t at = signature; size >= at + head + sum;) {
    const size_t length = big_endian(png + at);
    if (length > size - at - head - sum) return;
    const auto right = static_cast<uint32_t>(::crc32(0, png + at + 4, static_cast<uInt>(length + 4)));
    for (size_t i = 0; i < sum; ++i)
      png[at + head + length + i] = static_cast<uint8_t>(right >> (24 - 8 * i));
    at += head + length + sum;
  }
}

}  // namespace

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (size > 0 && data[0] == 0x89 && seed % 16 != 0) repair_sums(data, size);
  return size;
}

#endif
#endif
