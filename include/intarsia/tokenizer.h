// Tokenizers: text to ids and back. A Tokenizer is immutable and may be used by many threads at once.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace intarsia {

class GgufWriter;

using Ids = std::vector<int32_t>;
struct Random;

// From which distribution sample() draws the segmentation of each word.
struct SubwordSampling {
  // BPE: each merge is skipped with this probability (Provilkov et al. 2019, arXiv:1910.13267).
  double dropout = 0.1;
  // Unigram and BytePiece: a segmentation's probability is proportional to exp(alpha * its score) (Kudo 2018,
  // arXiv:1804.10959), exactly.
  double alpha = 0.2;
  // Instead the older draw of https://kexue.fm/archives/9768, step by step with the best score so far, which
  // prefers some of equal segmentations.
  bool biased = false;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // Text (bytes; UTF-8 expected, anything accepted) to ids. No special tokens are added. With `special`, the
  // text of a special token ("<|im_start|>") becomes its id; without it that text is plain text.
  virtual Ids encode(std::string_view text, bool special = false) const = 0;
  // With the ids of special tokens, but not of those that touch one of the `plain` stretches, [begin, end) in
  // order: there, their text is plain text. A tokenizer that knows no special text has none anywhere.
  virtual Ids encode_between(std::string_view text, std::span<const std::pair<size_t, size_t>> plain) const;
  // encode() of many texts at once, on all threads.
  std::vector<Ids> encode_batch(std::span<const std::string_view> texts, bool special = false) const;
  // A segmentation drawn at random, for training that knows more than the best one (subword regularization).
  // An error if the tokenizer's model has one only.
  virtual Ids sample(std::string_view text, const SubwordSampling& sampling, Random& random) const;
  // The bytes of one token, as they appear in decoded text; empty for special tokens unless `special`.
  virtual std::string_view bytes(int32_t id, bool special = false) const = 0;
  // The bytes that `id` adds behind the id `previous`. They differ from bytes(id) where a tokenizer puts a
  // space before the first word of a text: it is dropped at the start of a text (`previous` = text_start) and
  // behind BOS, as llama2.c does. `previous` = inside_text when it isn't known.
  static constexpr int32_t text_start = -1, inside_text = -2;
  virtual std::string_view bytes_after(int32_t previous, int32_t id, bool special = false) const;
  // The ids of a whole text to its bytes. An id outside the vocabulary throws.
  virtual std::string decode(std::span<const int32_t> ids, bool special = false) const;
  virtual int32_t size() const = 0;                                        // ids are in [0, size)
  virtual std::optional<int32_t> id_of(std::string_view token) const = 0;  // by the token's own text
  virtual std::string_view piece(int32_t id) const = 0;                    // as the file names it ("Ġthe")
  virtual bool is_special(int32_t id) const = 0;
  // Writes what load_tokenizer reads: tokenizer.json (Hugging Face) in `directory`.
  virtual void save(const std::filesystem::path& directory) const = 0;
  // Adds the metadata tokenizer.ggml.* with `vocabulary` tokens, unused ones behind its own. An error if the
  // format cannot say what this tokenizer does.
  virtual void write_gguf(GgufWriter& out, int64_t vocabulary) const;

  std::optional<int32_t> bos, eos;
  bool add_bos = false;       // the model's own files ask for a BOS before a prompt
  Ids before, after;          // special tokens that the tokenizer's own file puts around a text
  std::vector<int32_t> stop;  // ids that end generation (eos and end-of-turn)
  std::string chat_template;  // Jinja text, empty if none
};

// tokenizer.json (file, or a directory that holds one with tokenizer_config.json beside it), llama2.c's
// tokenizer.bin.
std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& path);

// Byte-level BPE trained on text: `next` fills a chunk of text and returns false at the end. Deterministic
// for any thread count. Vocabulary: 256 bytes, merges, then the special tokens.
struct BpeTraining {
  int32_t vocabulary = 4096;
  std::vector<std::string> special = {"<|endoftext|>"};
};
std::shared_ptr<Tokenizer> train_bpe(const std::function<bool(std::string& chunk)>& next,
                                     const BpeTraining& options);
// One id per Unicode character (UTF-8 code point) that occurs, in code point order; encode of another
// character throws.
std::shared_ptr<Tokenizer> train_characters(const std::function<bool(std::string& chunk)>& next);

// Cuts a stream of tokens into whole characters: feed() returns the text that is complete, flush() the rest.
// Bytes that can't become a character are passed on. `previous`: the id before the stream (the last of the
// prompt), if known.
class StreamDecoder {
 public:
  explicit StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer,
                         int32_t previous = Tokenizer::inside_text)
      : tokenizer_(std::move(tokenizer)), previous_(previous) {}
  std::string feed(int32_t id);
  std::string flush();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  int32_t previous_;
  std::string pending_;
};

}  // namespace intarsia
