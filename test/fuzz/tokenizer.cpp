// Tokenizers from tokenizer.json, GGUF metadata and llama2.c's tokenizer.bin: whichever the bytes look like.
#include "intarsia/tokenizer.h"

#include "data/gguf.h"
#include "text/llama2c_tokenizer.h"
#include "text/tokenizer_gguf.h"
#include "text/tokenizer_json.h"
#include "touch.h"

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
  fuzz::run(data, size, [](const auto& file) {
    const auto tokenizer = read(file);
    unsigned sum = 0;
    for (int32_t id = 0; id < tokenizer->size(); ++id) {
      sum += static_cast<unsigned>(tokenizer->piece(id).size() + tokenizer->bytes(id, true).size());
      sum += tokenizer->is_special(id);
    }
    // The file is a text, too, and not always UTF-8.
    for (const std::string_view text :
         {std::string_view("the <s>  12'll \xc3\xa9\xff"), file->text().substr(0, 512)}) {
      for (const bool special : {false, true}) {
        const Ids ids = tokenizer->encode(text, special);
        StreamDecoder stream(tokenizer);
        for (const int32_t id : ids) {
          fuzz::require(id >= 0 && id < tokenizer->size(), "an id outside the vocabulary");
          sum += static_cast<unsigned>(stream.feed(id).size());
        }
        sum += static_cast<unsigned>(tokenizer->decode(ids, special).size());
      }
    }
    return sum;
  });
  return 0;
}
