// Tokenizers from tokenizer.json, GGUF metadata and llama2.c's tokenizer.bin: whichever the bytes look like.
// Behind a plus there stand the files beside a tokenizer.json: one line is tokenizer_config.json, the others
// are generation_config.json.
#include "intarsia/tokenizer.h"

#include <algorithm>

#include "data/gguf.h"
#include "folder.h"
#include "text/format/llama2c_tokenizer.h"
#include "text/format/tokenizer_gguf.h"
#include "text/format/tokenizer_json.h"
#include "touch_tokenizer.h"

namespace {

std::shared_ptr<const intarsia::Tokenizer> read_with_neighbours(std::string_view text) {
  static const intarsia::fuzz::Folder folder;
  folder.put("tokenizer.json",
             R"({"model": {"type": "WordLevel", "unk_token": "a", "vocab": {"a": 0, "b": 1}},
                                   "added_tokens": [{"id": 2, "content": "<s>", "special": true}]})");
  const size_t end = std::min(text.find('\n'), text.size());
  folder.put("tokenizer_config.json", text.substr(0, end));
  folder.put("generation_config.json", text.substr(end));
  return intarsia::read_tokenizer_json(folder.path());
}

std::shared_ptr<const intarsia::Tokenizer> read(const std::shared_ptr<const intarsia::MappedFile>& file) {
  using namespace intarsia;
  if (file->text().starts_with("GGUF")) return tokenizer_from_gguf(parse_gguf(file));
  if (file->text().starts_with("{")) return parse_tokenizer_json(file->text(), "f");
  if (file->text().starts_with("+")) return read_with_neighbours(file->text().substr(1));
  return parse_llama2c_tokenizer(file->text(), "f");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace intarsia;
  fuzz::run(data, size, [](const auto& file) { return fuzz::touch_tokenizer(read(file), file->text()); });
  return 0;
}
