// Unigram (Kudo 2018, arXiv:1804.10959): every token has a log probability, and a word becomes the tokens
// with the highest sum, found by dynamic programming. BytePiece (https://kexue.fm/archives/9752) is the same
// over bytes.
#pragma once
#include <array>
#include <bit>
#include <cmath>
#include <mutex>

#include "text/model/segmentation.h"
#include "text/model/trie.h"

namespace intarsia {

struct UnigramParts {
  std::vector<double> scores;   // by id; -infinity: never
  std::vector<double> written;  // what a file says where scores are as_tokenizers_reads() it; or empty
  int32_t unknown = -1;         // the id of a character that no token covers; -1: it is an error
  double unknown_score = 0;     // and its score
  bool fuse_unknown = true;     // neighbouring unknown characters make one id
  std::array<int32_t, 256>
      bytes;                    // ids that an unknown character becomes, if all its bytes have one; -1: none
  bool by_bytes = false;        // tokens may begin inside a character
  std::vector<int64_t> counts;  // by id, in a BytePiece model
  // Sums are rounded to f32 at each token and run on from word to word, as in the library `sentencepiece`.
  // Scores may be more precise.
  bool single_precision = false;
  UnigramParts() { bytes.fill(-1); }
};

// The number that Hugging Face's `tokenizers` reads where the shortest text of `written` stands in a file: it
// divides the digits by a power of ten, both rounded, and so is off by a unit in the last place at times.
double as_tokenizers_reads(double written);

class Unigram final : public RememberingModel<11> {
 public:
  // `words`: the tokens that may come out of plain text, empty for ids that may not.
  Unigram(const StringTable& words, UnigramParts parts, std::string_view name);
  using SegmentationModel::encode;
  void encode(std::span<const std::string_view> words, double& state, Ids& out) const override;
  void sample(std::string_view word, const SubwordSampling& sampling, Random& random,
              Ids& out) const override;
  std::string json(const Vocabulary& vocabulary) const override;
  const UnigramParts& parts() const { return parts_; }

  // For models of single precision. `score`: the sum before the word, then with it; `after_unknown`: whether
  // the id before it stands for what is unknown, then whether its last one does. What `cache` holds of a word
  // is its ids, then the bits of an f32, below which the sum must stay.
  using Cache = WordCache<remembered>;
  // Writes the ids of a word from the cache to `ids`, which has room for one more, and returns their number;
  // 0 if they are not there, or rounding might decide otherwise.
  size_t find_known(const Cache& cache, WordKey key, float& score, int32_t* ids) const {
    const size_t found = key ? cache.find(key, ids) : 0;
    if (found == 0) return 0;
    float sum = score;
    for (size_t i = 0; i + 1 < found; ++i) sum += single_scores_[static_cast<size_t>(ids[i])];
    if (!(std::abs(sum) < std::bit_cast<float>(ids[found - 1]))) return 0;
    score = sum;
    return found - 1;
  }
  void encode_new(Cache& cache, WordKey key, std::string_view word, float& score, bool& after_unknown,
                  Ids& out) const;
  // The ids of characters that are unknown, of which bytes() are all there or none.
  void append_unknown(std::string_view text, bool& after_unknown, Ids& out) const {
    append(text, -1, after_unknown, out);
  }
  // By id; 0 where it is not that of parts().
  const std::vector<float>& single_scores() const { return single_scores_; }

  // The logarithm of the sum of exp(alpha * score) over all segmentations of `word`.
  double log_sum(std::string_view word, double alpha) const;

 private:
  // How the best segmentation of the text up to a place ends. None: `begin` is the place itself.
  struct Step {
    double score;
    int32_t id;
    uint32_t begin;
    double lead;  // by how much this step won over the next best one
  };
  struct Weights;
  void segment(std::string_view word, Ids& out) const override;
  std::shared_ptr<const Weights> weights(double alpha) const;
  template <class Weight>
  void draw(std::string_view word, const Weight* weights, Random& random, Ids& out) const;
  void draw_biased(std::string_view word, double alpha, Random& random, Step* steps) const;
  std::string bytepiece_json(const Vocabulary& vocabulary) const;
  // Fills steps (one more than bytes) from `score` on; returns by how much the best segmentation won, at the
  // place where it won least. `rounded`: sums are those of single precision.
  template <bool rounded>
  double find_best(std::string_view word, double score, Step* steps) const;
  template <class F>
  void each_edge(std::string_view word, size_t begin, F&& edge) const;
  void append(std::string_view piece, int32_t id, bool& after_unknown, Ids& out) const;
  void collect(std::string_view word, Step* steps, Ids& out) const;
  // Calls token(begin, end, id) for each token of the best segmentation, in order.
  template <class F>
  static void follow(Step* steps, size_t size, F&& token);

  UnigramParts parts_;
  std::vector<float> single_scores_;
  std::vector<bool> has_score_;  // by id: a single one, and not of those that stand for unknown characters
  Trie trie_;
  std::array<int32_t, 256>
      only_token_;  // by byte: the token that is this byte if no longer one begins so; or -1
  mutable std::mutex weights_mutex_;
  mutable std::shared_ptr<const Weights> weights_;  // of the alpha that was asked for last
};

}  // namespace intarsia
