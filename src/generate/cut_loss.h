// What it costs a model when its prompt ends inside a token, and how much of that token healing recovers.
#pragma once
#include <cstdint>
#include <functional>
#include <string_view>

#include "intarsia/generate.h"

namespace intarsia {

// Of the bytes behind a cut: -log of their probability, in nats, summed over all their tokenizations.
struct CutLoss {
  double naive = 0;  // behind the tokens of the prompt
  double healed =
      0;  // given that the text behind the tokens that healing keeps goes on with the prompt's bytes
  // The same given the bytes of the prompt's last words, whose tokenizations are all summed over: what a
  // model of bytes would lose.
  double exact = 0;
};

// Of `count` bytes of `text` from `cut` on; all before it is the prompt.
CutLoss cut_loss(Generator& generator, std::string_view text, size_t cut, size_t count);

struct HealingMeasure {
  int64_t cuts = 1000;   // drawn at random, at any byte
  size_t bytes = 16;     // behind each
  size_t context = 512;  // before each, back to the next space
  uint64_t seed = 1;
  std::function<void(int64_t done)> on_cut;
};
// The mean over the cuts, in nats a byte.
CutLoss measure_healing(Generator& generator, std::string_view text, const HealingMeasure& options);
// The share of the gap between naive and exact that healing closes.
inline double recovered(const CutLoss& loss) {
  return (loss.naive - loss.healed) / (loss.naive - loss.exact);
}

}  // namespace intarsia
