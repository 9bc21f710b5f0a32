// Runs a comparison. Finished runs are kept in DIR/runs.jsonl, one a line, with what they were made from, so
// that an interrupted lab goes on and a changed one measures only what changed.
#pragma once
#include "lab/comparison.h"

namespace intarsia {

struct LabProgress {
  size_t done, runs;    // of all
  std::string what;     // of the run that begins: "digits, adamw, rate 0.001, decay 0.1, seed 2"
  double seconds_left;  // NaN until known
};
struct LabOptions {
  std::filesystem::path directory;
  std::string command;  // that would run it again
  std::function<void(const LabProgress&)> progress;
  std::function<bool()> cancel;
};
// Outcomes in the order of places_of(); those of an interrupted lab are absent.
struct LabResult {
  std::vector<std::optional<Outcome>> outcomes;
  bool interrupted = false;
};
// Writes DIR/report.html too, at the end and when it is interrupted.
LabResult run_lab(const Comparison& comparison, const LabOptions& options);

// "rate 0.001": how messages and pages write a value of an axis.
std::string axis_text(const Axis& axis, size_t index);

}  // namespace intarsia
