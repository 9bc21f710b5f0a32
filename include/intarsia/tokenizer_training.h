// Tokenizers trained on text that may be larger than memory. The result does not depend on the number of
// threads.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "intarsia/tokenizer.h"

namespace intarsia {

// Fills a chunk with text and returns true; false at the end.
using TextStream = std::function<bool(std::string& chunk)>;

struct TokenizerTraining {
  enum class Kind { bpe, wordpiece, unigram, bytepiece };
  Kind kind = Kind::bpe;
  int32_t vocabulary = 4096;  // entries in all
  // bpe: behind the others. wordpiece and unigram bring their own: [PAD] [UNK] [CLS] [SEP] [MASK], and <unk>
  // <s>
  // </s>.
  std::vector<std::string> special = {"<|endoftext|>"};
};

// bpe: bytes (Sennrich et al. 2016, arXiv:1508.07909). wordpiece: lower-cased words as BERT cuts them, merged
// by count. unigram: expectation maximization and pruning (Kudo 2018, arXiv:1804.10959); as in Hugging Face's
// `tokenizers`, entries are parts of what stands between spaces, and may join letters, digits and signs
// (`sentencepiece` forbids that unless split_by_unicode_script and split_by_number are false). bytepiece:
// https://kexue.fm/archives/9752, which reads the text twice: `open` starts it from the beginning.
std::shared_ptr<Tokenizer> train_tokenizer(const std::function<TextStream()>& open,
                                           const TokenizerTraining& options);

}  // namespace intarsia
