#include "text/format/tiktoken.h"
#include "touch_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace intarsia;
  fuzz::run(data, size, [](const auto& file) {
    return fuzz::touch_tokenizer(parse_tiktoken(file->text(), "gpt2"), file->text());
  });
  return 0;
}
