// The data of a run: its tokenizer, its token shards, and which tokens stand in which batch.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "data/text.h"
#include "intarsia/tensor.h"
#include "intarsia/tokenizer.h"
#include "intarsia/train.h"

namespace intarsia {

// The tokenizer that the recipe asks for: trained on the text, or read from a file. Large texts are sampled.
std::shared_ptr<const Tokenizer> make_tokenizer(const Recipe& recipe);

// The tokens of the recipe's text in `directory`, made if they are not there yet.
TokenShards tokenize(const Recipe& recipe, const Tokenizer& tokenizer, const std::filesystem::path& directory,
                     const std::function<bool()>& cancel);

struct Batch {
  Tensor ids, targets;
};  // i32 [rows, context]; target t is the id that follows id t

// Training samples are numbered from 0 without end; sample s is a pure function of (seed, s), so a run's
// place in its data is one number. An epoch cuts the training tokens into windows of `context`, from a start
// that differs from epoch to epoch, and visits each once in random order. Validation windows do not overlap;
// a shorter rest is left out.
class Dataset {
 public:
  // With a rate of `sampling` above 0, the text of a training window is segmented anew at random (subword
  // regularization), by (seed, s) too: as it takes more tokens, some of the window's end is left to other
  // epochs. Validation sees the best segmentation. An error if the tokenizer has one only.
  Dataset(TokenShards shards, int64_t context, uint64_t seed,
          std::shared_ptr<const Tokenizer> tokenizer = nullptr, double sampling = 0);
  const TokenShards& shards() const { return shards_; }
  int64_t context() const { return context_; }
  int64_t windows() const { return windows_; }  // of an epoch
  int64_t validation_windows() const { return validation_windows_; }
  int64_t position(int64_t sample) const;  // of a sample's first token
  Batch training(int64_t sample, int64_t rows) const;
  Batch validation(int64_t window, int64_t rows) const;

 private:
  void write_row(int64_t row, Array& ids, Array& targets) const;
  void draw_row(int64_t sample) const;
  TokenShards shards_;
  int64_t context_, windows_, validation_windows_;
  uint64_t seed_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  SubwordSampling sampling_;
  mutable std::vector<int32_t> row_;  // a window and the id behind it
};

}  // namespace intarsia
