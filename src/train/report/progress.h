// What a training run shows while it runs: one rewritten line on a terminal, one plain line per report
// elsewhere.
#pragma once
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/terminal.h"
#include "intarsia/train.h"

namespace intarsia {

// "12,400/20,000 62 %  loss 1.404 ▆▅▄▃▃▂▂▁  val 1.421  21.9k tok/s 61 % peak  9.38 GiB  1 h 35 min left",
// styled, never wider than the terminal: validation, memory, share, sparkline, speed are dropped in this
// order; below 40 columns only step and loss stay. `trend` are the (up to 8) values of the sparkline.
std::string progress_line(const TrainProgress& progress, std::span<const double> trend,
                          const Terminal& terminal);
// "step 12400 loss 1.404 val 1.421 tok/s 21900 peak 0.61 mem_gib 9.38 left_s 5685"
std::string plain_progress_line(const TrainProgress& progress);

class Progress {
 public:
  using Write = std::function<void(std::string_view)>;
  using Clock = std::function<std::chrono::steady_clock::time_point()>;
  explicit Progress(std::FILE* stream = stderr);
  // For tests: everything that would go to the stream goes to `write`.
  Progress(Write write, const Terminal& terminal, Clock clock = std::chrono::steady_clock::now);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Shows it: on a terminal at most 10 times a second (call as often as you like), elsewhere one line a call.
  void update(const TrainProgress& progress);
  // A text that the model wrote, above the line; the prompt is dimmed.
  void sample(const TrainSample& sample);
  // A line above the progress line: what was chosen, saved, met.
  void note(std::string_view text);
  // Brings the line up to date and ends it.
  void finish();

  const Terminal& terminal() const { return terminal_; }
  // The losses of all updates as up to `buckets` means, for a closing sparkline.
  std::vector<double> loss_trend(int buckets) const;
  // The same of the newer half, where there is enough: the first steep steps would flatten all that follows.
  std::vector<double> recent_trend(int buckets) const;

 private:
  void draw();
  void clear();
  std::vector<double> means(size_t buckets, size_t each) const;
  std::FILE* stream_ = nullptr;
  Write write_;
  Terminal terminal_;
  Clock clock_;
  std::vector<double> losses_;
  TrainProgress last_;
  bool seen_ = false, shown_ = false, stale_ = false;
  std::chrono::steady_clock::time_point drawn_;
};

}  // namespace intarsia
