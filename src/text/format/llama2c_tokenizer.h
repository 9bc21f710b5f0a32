// tokenizer.bin of llama2.c (https://github.com/karpathy/llama2.c): a SentencePiece vocabulary with scores.
#pragma once
#include <memory>
#include <string_view>

#include "intarsia/tokenizer.h"

namespace intarsia {

// The file: int32 length of the longest token, then for each id f32 score, int32 length, bytes. How many
// there are follows from its size. Ids 0, 1, 2 are unknown, BOS, EOS; 3 to 258 are bytes.
std::shared_ptr<Tokenizer> parse_llama2c_tokenizer(std::string_view file, std::string_view name);

}  // namespace intarsia
