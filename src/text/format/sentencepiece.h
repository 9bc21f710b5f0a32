// The .model file of SentencePiece (Kudo and Richardson 2018, arXiv:1808.06226): a protocol buffer with
// pieces, scores and the rules of the normalizer.
#pragma once
#include <memory>
#include <string_view>

#include "intarsia/tokenizer.h"

namespace intarsia {

// Whether the bytes look like such a file (it has no magic number): a first field that holds a piece.
bool is_sentencepiece(std::string_view file);
// Models of the types unigram and bpe. Ids are those of the library `sentencepiece`, bit for bit in its sums
// of f32 scores. `name` stands before error messages.
std::shared_ptr<Tokenizer> parse_sentencepiece(std::string_view file, std::string_view name);

}  // namespace intarsia
