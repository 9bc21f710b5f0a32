#include "data/table/table.h"
#include "touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace intarsia;
  // Headers or none, as the last byte says, so that both ways are walked.
  const bool header = size == 0 || data[size - 1] % 8 != 7;
  fuzz::run(data, size, [&](const auto& file) {
    return fuzz::touch(parse_csv(file, {.header = header, .limit = fuzz::table_limit(*file)}));
  });
  return 0;
}
