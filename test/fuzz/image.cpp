// PNG and JPEG: whichever the bytes look like.
#include "data/image/image.h"
#include "touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace intarsia;
  const int channels = size == 0 ? 0 : data[size - 1] % 5;
  fuzz::run(data, size, [&](const auto& file) { return fuzz::touch(parse_image(file, channels)); });
  return 0;
}
