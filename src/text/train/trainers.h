// The trainers behind train_tokenizer().
#pragma once
#include "intarsia/tokenizer_training.h"

namespace intarsia {

std::shared_ptr<Tokenizer> train_wordpiece(const TextStream& next, int32_t vocabulary);
std::shared_ptr<Tokenizer> train_unigram(const TextStream& next, int32_t vocabulary);
std::shared_ptr<Tokenizer> train_bytepiece(const std::function<TextStream()>& open, int32_t vocabulary);

}  // namespace intarsia
