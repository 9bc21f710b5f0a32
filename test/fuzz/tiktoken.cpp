// OpenAI's ranks and RWKV's vocabulary: whichever the bytes look like.
#include "text/format/tiktoken.h"
#include "touch_tokenizer.h"

namespace {

std::shared_ptr<const intarsia::Tokenizer> read(const std::shared_ptr<const intarsia::MappedFile>& file) {
  using namespace intarsia;
  constexpr std::string_view names[] = {"gpt2", "p50k_base", "cl100k_base", "o200k_base", "o200k_harmony"};
  const std::string_view text = file->text();
  if (is_rwkv_vocabulary(text)) return parse_rwkv_vocabulary(text, "f");
  // What a name adds are 50,000 ids and more, which take long; of a name that is not known the ranks are
  // read.
  const bool known = is_tiktoken(text) && text.size() % 16 == 15;
  return parse_tiktoken(text, known ? names[text.size() / 16 % std::size(names)] : "other");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace intarsia;
  fuzz::run(data, size, [](const auto& file) { return fuzz::touch_tokenizer(read(file), file->text()); });
  return 0;
}
