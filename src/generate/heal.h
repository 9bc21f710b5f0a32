// Token healing: going on from a prompt that ends inside a token.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "intarsia/tokenizer.h"

namespace intarsia {

// The logits behind one more id, and the way back to before it.
struct Lookahead {
  std::function<std::vector<float>(int32_t id)> step;
  std::function<void()> back;
};

// A prompt is text, so what follows it should have the probability of all token sequences that begin with its
// bytes. The last tokens of a prompt that is cut anywhere are often not those of the whole text: they are
// taken back, and their bytes, the `rest`, are what the next tokens must begin with.
class Healer {
 public:
  explicit Healer(const Tokenizer& tokenizer);

  // Takes back the tokens at the end of `ids` that a longer token could replace, at most 8, none that is
  // special and not the first, and returns their bytes.
  std::string take_back(Ids& ids) const;

  // Left out are ways less likely than `negligible` times another that has done as many bytes, and all behind
  // so many steps of the model.
  struct Effort {
    double negligible;
    int steps = 256;
  };
  // Logits of the next id among those whose bytes begin with `rest`, or that `rest` begins with; -inf for all
  // others. An id that leaves some of the rest open counts with the probability that those behind it complete
  // the rest, found by running the model (Phan et al. 2024, "Exact Byte-Level Probabilities from Tokenized
  // Language Models").
  std::vector<float> heal(std::span<const float> logits, std::string_view rest, const Lookahead& model,
                          const Effort& effort) const;
  // The logarithm of the probability that the ids behind `logits` begin with `bytes`, summed over all
  // sequences of ids that do.
  double log_probability(std::span<const float> logits, std::string_view bytes, const Lookahead& model,
                         const Effort& effort) const;

 private:
  std::span<const int32_t> beginning_with(std::string_view bytes) const;
  // The ids whose bytes are a beginning of `rest`, but not all of it.
  std::vector<int32_t> inside(std::string_view rest) const;

  struct Search;
  double search_all(std::span<const float> logits, std::string_view rest, double so_far, Search& search,
                    std::vector<float>* healed) const;

  const Tokenizer& tokenizer_;
  std::vector<int32_t> sorted_;  // ids of plain tokens by their bytes
};

}  // namespace intarsia
