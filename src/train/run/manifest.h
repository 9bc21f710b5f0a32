// The two texts of a checkpoint: what a run must know to go on, and the hashes of its files. Read as hostile.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "train/optimizer/optimizer.h"
#include "train/report/log.h"

namespace intarsia {

// What a run must know to go on, beside weights and moments.
struct TrainState {
  int64_t step = 0;    // updates done
  int64_t sample = 0;  // training samples used: the place in the data
  Optimizer::State optimizer;
  double loss = 0;                         // of the last step
  std::optional<double> validation, best;  // the last and the lowest
  int64_t best_step = -1;
  int64_t evaluated_step = -1;
  double seconds = 0;  // of training, all calls together
  TimeRecord time;     // where they went
};

// state.json; `name` stands for it in messages.
std::string state_text(const TrainState& state);
TrainState parse_state(std::string_view text, const std::string& name);

// manifest.json: the SHA-256 of each file beside it. The files that every checkpoint has must be there.
using Hashes = std::map<std::string, std::string>;
std::string manifest_text(const Hashes& hashes);
Hashes parse_manifest(std::string_view text, const std::string& name);

}  // namespace intarsia
