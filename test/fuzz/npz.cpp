#include "data/npy.h"
#include "touch.h"

static constexpr uint64_t unpacked_limit = 1 << 20;  // small, so that a run is quick

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace intarsia;
  fuzz::run(data, size, [](const auto& file) { return fuzz::touch(parse_npz(file, unpacked_limit)); });
  return 0;
}
