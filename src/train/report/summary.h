// What a run's log says, in a few numbers and two sentences.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "train/report/log.h"

namespace intarsia {

enum class RunState { running, done, interrupted, failed };

struct RunSummary {
  RunState state = RunState::running;
  int64_t step = 0, steps = 0;  // done, asked for
  double loss = not_measured;   // training loss, mean of the last tenth of the log (at most 20 entries)
  std::optional<ValidationRecord> validation, best;  // the last one, the lowest one
  double seconds = not_measured, seconds_left = not_measured;
  double tokens_per_second = not_measured, peak_share = not_measured;  // median of the last 20 entries
  int64_t memory_peak = 0;
  double change =
      not_measured;  // of the validation loss per `per` steps at the end; NaN if there are too few
  int64_t per = 1000;
  bool change_is_noise = true;        // it cannot be told from the scatter of the points
  std::vector<std::string> concerns;  // "the loss is NaN": what somebody should look at
};
// Over how many entries of the log the training loss is smoothed; 1 if there are few.
int smoothing_window(size_t entries);
RunSummary summarize(const RunHistory& history);

// One or two sentences: the result first, then where it goes and what needs attention.
std::string answer(const RunSummary& summary);
const char* state_word(RunState state);

// The gradient norms that stand out: at least `factor` times the median of the 50 entries before.
std::vector<StepRecord> gradient_spikes(const RunHistory& history, double factor = 6);

}  // namespace intarsia
