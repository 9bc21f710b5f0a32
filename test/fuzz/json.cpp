#include "data/json.h"

#include <nlohmann/json.hpp>

#include "touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace intarsia;
  fuzz::run(data, size, [](const auto& file) {
    const Json value = parse_json(file->text(), "f");
    const std::string text = value.dump();
    fuzz::require(parse_json(text, "f").dump() == text, "a value that changes when it is written and read");
    return static_cast<unsigned>(text.size());
  });
  return 0;
}
