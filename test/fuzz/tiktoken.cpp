// OpenAI's ranks and RWKV's vocabulary: whichever the bytes look like.
#include "text/format/tiktoken.h"
#include "touch_tokenizer.h"

namespace {

// What a name adds are 50,000 ids and more, which take long.
bool has_name(size_t size) { return size % 16 == 15; }

std::shared_ptr<const intarsia::Tokenizer> read(const std::shared_ptr<const intarsia::MappedFile>& file) {
  using namespace intarsia;
  constexpr std::string_view names[] = {"gpt2", "p50k_base", "cl100k_base", "o200k_base", "o200k_harmony"};
  const std::string_view text = file->text();
  if (is_rwkv_vocabulary(text)) return parse_rwkv_vocabulary(text, "f");
  // Of a name that is not known the ranks are read.
  const bool known = is_tiktoken(text) && has_name(text.size());
  return parse_tiktoken(text, known ? names[text.size() / 16 % std::size(names)] : "other");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace intarsia;
  fuzz::run(data, size, [](const auto& file) { return fuzz::touch_tokenizer(read(file), file->text()); });
  return 0;
}

#ifdef __has_feature
#if __has_feature(coverage_sanitizer)  // libFuzzer is linked

// Nearly all inputs get a length that has no name.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  return has_name(size) && seed % 64 != 0 ? size - 1 : size;
}

#endif
#endif
