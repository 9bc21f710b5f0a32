#include "data/gguf.h"

#include "touch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace intarsia;
  fuzz::run(data, size, [](const auto& file) {
    const Gguf gguf = parse_gguf(file);
    unsigned sum = fuzz::touch(gguf.tensors());
    for (const auto& [key, value] : gguf.metadata()) {
      fuzz::require(gguf.find(key) == &value, "a metadata key that is not found");
      sum += static_cast<unsigned>(value.summary().size());
      if (value.element_type() == GgufType::string && value.is_array()) {
        for (std::string_view text : value.texts()) sum += static_cast<unsigned>(quote(text).size());
      }
    }
    return sum;
  });
  return 0;
}
