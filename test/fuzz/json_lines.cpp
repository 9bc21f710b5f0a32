#include "data/table/table.h"
#include "touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace intarsia;
  fuzz::run(data, size,
            [](const auto& file) { return fuzz::touch(parse_json_lines(file, fuzz::table_limit(*file))); });
  return 0;
}
