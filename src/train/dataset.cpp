#include "train/dataset.h"

#include <algorithm>
#include <cstring>

#include "core/fail.h"
#include "data/permutation.h"
#include "intarsia/random.h"

namespace intarsia {

namespace {

constexpr uint64_t tokenizer_text = uint64_t{64} << 20;  // bytes that a tokenizer is trained on, about
constexpr uint64_t start_stream = 0x7374617274, sampling_stream = 0x73616d706c65;

TextSource open_text(const Recipe& recipe) {
  return TextSource(recipe.data.path, {.field = recipe.data.field});
}

// What changes when the tokenizer does.
std::string fingerprint(const Tokenizer& tokenizer) {
  Sha256 hash;
  for (int32_t id = 0; id < tokenizer.size(); id++) {
    hash.update(tokenizer.piece(id));
    hash.update(std::string_view("\0", 1));
  }
  return hash.hex();
}

}  // namespace

std::shared_ptr<const Tokenizer> make_tokenizer(const Recipe& recipe) {
  if (recipe.tokenizer.kind == "file") return load_tokenizer(recipe.tokenizer.path);
  TextSource text = open_text(recipe);
  if (recipe.tokenizer.kind == "characters")  // every character must be seen, so nothing is left out
    return train_characters([&](std::string& chunk) { return text.next(chunk); });
  // Of a large text every n-th chunk.
  const uint64_t stride = text.bytes() / tokenizer_text + 1;
  const auto next = [&](std::string& chunk) {
    if (!text.next(chunk)) return false;
    std::string skipped;
    for (uint64_t i = 1; i < stride && text.next(skipped); i++) {}
    return true;
  };
  BpeTraining options;
  options.vocabulary = static_cast<int32_t>(recipe.tokenizer.vocabulary);
  return train_bpe(next, options);
}

TokenShards tokenize(const Recipe& recipe, const Tokenizer& tokenizer, const std::filesystem::path& directory,
                     const std::function<bool()>& cancel) {
  TextSource text = open_text(recipe);
  TokenOptions options;
  options.vocabulary = tokenizer.size();
  options.separator = tokenizer.eos.value_or(-1);
  options.validation = recipe.data.validation;
  options.tokenizer = fingerprint(tokenizer);
  if (cancel) options.progress = [&](uint64_t, uint64_t) { return !cancel(); };
  return TokenShards::prepare(
      directory, text, [&](std::string_view part) { return tokenizer.encode(part); }, options);
}

// ---- batches

Dataset::Dataset(TokenShards shards, int64_t context, uint64_t seed,
                 std::shared_ptr<const Tokenizer> tokenizer, double sampling)
    : shards_(std::move(shards)), context_(context), seed_(seed), row_(static_cast<size_t>(context) + 1) {
  if (sampling > 0) {
    tokenizer_ = std::move(tokenizer);
    sampling_.dropout = sampling_.alpha = sampling;
    Random random(seed);
    tokenizer_->sample("a", sampling_, random);  // throws now and not in the first step
  }
  // The start of an epoch moves by less than one window, so one window is left free for it.
  windows_ = (shards_.train_size() - context) / context;
  if (windows_ < 1)
    fail_hint("give more text, or lower model.context",
              "data: the text has {} training tokens, expected at least {}, twice the context",
              shards_.train_size(), 2 * context);
  validation_windows_ = std::max<int64_t>(0, (shards_.validation_size() - 1) / context);
}

int64_t Dataset::position(int64_t sample) const {
  const auto epoch = static_cast<uint64_t>(sample / windows_);
  const Philox start = philox(seed_, start_stream, epoch);
  const Permutation order(static_cast<uint64_t>(windows_), seed_, epoch);
  const auto window = static_cast<int64_t>(order(static_cast<uint64_t>(sample % windows_)));
  return static_cast<int64_t>(start.word[0] % static_cast<uint64_t>(context_)) + window * context_;
}

// Fills row_ with a drawn segmentation of the sample's text.
void Dataset::draw_row(int64_t sample) const {
  const int64_t begin = position(sample), best_count = static_cast<int64_t>(row_.size());
  // The best segmentation is nearly always the shortest; where it is not, it is taken.
  const int64_t count = std::min(best_count + best_count / 4 + 8, shards_.train_size() - begin);
  Ids best(static_cast<size_t>(count)), drawn;
  shards_.read(begin, best);
  Random random(seed_, sampling_stream, static_cast<uint64_t>(sample) << 20);
  std::string text;
  const auto draw = [&] {
    const Ids part = tokenizer_->sample(text, sampling_, random);
    drawn.insert(drawn.end(), part.begin(), part.end());
    text.clear();
  };
  for (const int32_t id : best) {
    const std::string_view bytes = tokenizer_->bytes(id);
    text += bytes;
    if (!bytes.empty()) continue;
    draw();
    drawn.push_back(id);  // a special token
  }
  draw();
  const Ids& row = drawn.size() < row_.size() ? best : drawn;
  std::copy_n(row.begin(), row_.size(), row_.begin());
}

void Dataset::write_row(int64_t row, Array& ids, Array& targets) const {
  const size_t bytes = static_cast<size_t>(context_) * sizeof(int32_t);
  std::memcpy(ids.mutable_data<int32_t>() + row * context_, row_.data(), bytes);
  std::memcpy(targets.mutable_data<int32_t>() + row * context_, row_.data() + 1, bytes);
}

Batch Dataset::training(int64_t sample, int64_t rows) const {
  Array ids = Array::empty({rows, context_}, DType::i32),
        targets = Array::empty({rows, context_}, DType::i32);
  for (int64_t row = 0; row < rows; row++) {
    if (tokenizer_) {
      draw_row(sample + row);
    } else {
      shards_.read(position(sample + row), row_);
    }
    write_row(row, ids, targets);
  }
  return {Tensor(std::move(ids)), Tensor(std::move(targets))};
}

Batch Dataset::validation(int64_t window, int64_t rows) const {
  Array ids = Array::empty({rows, context_}, DType::i32),
        targets = Array::empty({rows, context_}, DType::i32);
  for (int64_t row = 0; row < rows; row++) {
    shards_.read(shards_.train_size() + (window + row) * context_, row_);
    write_row(row, ids, targets);
  }
  return {Tensor(std::move(ids)), Tensor(std::move(targets))};
}

}  // namespace intarsia
