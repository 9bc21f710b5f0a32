#include "text/train/trainers.h"

#include "core/fail.h"

namespace intarsia {

std::shared_ptr<Tokenizer> train_tokenizer(const std::function<TextStream()>& open,
                                           const TokenizerTraining& options) {
  switch (options.kind) {
    case TokenizerTraining::Kind::bpe:
      return train_bpe(open(), {options.vocabulary, options.special});
    case TokenizerTraining::Kind::wordpiece:
      return train_wordpiece(open(), options.vocabulary);
    case TokenizerTraining::Kind::unigram:
      return train_unigram(open(), options.vocabulary);
    case TokenizerTraining::Kind::bytepiece:
      return train_bytepiece(open, options.vocabulary);
  }
  fail("train: unknown kind");
}

}  // namespace intarsia
