// The tokenizer in the metadata of a GGUF model (tokenizer.ggml.*).
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "data/gguf.h"
#include "intarsia/tokenizer.h"

namespace intarsia {

// tokenizer.ggml.model "gpt2" (byte-level, with the splitter that tokenizer.ggml.pre names) and "llama"
// (SentencePiece's byte-pair encoding). Nothing of the file is kept.
std::shared_ptr<const Tokenizer> tokenizer_from_gguf(const Gguf& file);

// The name in tokenizer.ggml.pre that stands for a pre-tokenizer of tokenizer.json; empty if there is none.
std::string gguf_pre_of(std::string_view pre_tokenizer, bool ignore_merges);

}  // namespace intarsia
