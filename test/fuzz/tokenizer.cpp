// Tokenizers from tokenizer.json, GGUF metadata and llama2.c's tokenizer.bin: whichever the bytes look like.
#include "intarsia/tokenizer.h"

#include "data/gguf.h"
#include "text/format/llama2c_tokenizer.h"
#include "text/format/tokenizer_gguf.h"
#include "text/format/tokenizer_json.h"
#include "touch_tokenizer.h"

namespace {

std::shared_ptr<const intarsia::Tokenizer> read(const std::shared_ptr<const intarsia::MappedFile>& file) {
  using namespace intarsia;
  if (file->text().starts_with("GGUF")) return tokenizer_from_gguf(parse_gguf(file));
  if (file->text().starts_with("{")) return parse_tokenizer_json(file->text(), "f");
  return parse_llama2c_tokenizer(file->text(), "f");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace intarsia;
  fuzz::run(data, size, [](const auto& file) { return fuzz::touch_tokenizer(read(file), file->text()); });
  return 0;
}
