#include "text/format/sentencepiece.h"
#include "touch_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace intarsia;
  fuzz::run(data, size, [](const auto& file) {
    const unsigned is = is_sentencepiece(file->text());
    return is + fuzz::touch_tokenizer(parse_sentencepiece(file->text(), "f"), file->text());
  });
  return 0;
}
