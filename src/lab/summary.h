// What a lab's outcomes say: means over seeds, the best place of each grid, who is best and by how much.
#pragma once
#include "lab/lab.h"

namespace intarsia {

struct Statistic {
  std::vector<double> values;  // of the seeds that did not fail
  double mean = 0, deviation = 0;
  double error() const;  // standard error of the mean
};
enum class Standing { plain, near, best };  // near: not distinguishable from the best

struct VariantSummary {
  size_t row = 0, column = 0;             // the best place of the grid, by the mean of the first measure
  std::vector<Statistic> measures;        // there; empty values if every seed failed
  std::vector<Standing> standings;        // one a measure
  Statistic seconds;                      // of all its runs
  Curve curve;                            // mean over seeds, at the best place
  std::vector<double> low, high;          // mean -+ one standard deviation
  Profile profile;                        // mean over seeds
  std::vector<std::vector<double>> grid;  // means of the first measure; NaN where a run failed
  std::vector<int> row_best;              // the best column of each row, -1 if all failed
  // The column that is best for all rows alike, and how far above its row's best it is at most: 0.04 is 4 %.
  // If that is little, the two settings can be chosen apart.
  int shared = -1;
  double regret = 0;
  int64_t failed = 0;
};
struct TaskSummary {
  std::vector<VariantSummary> variants;
  int best = -1;  // by the first measure
};
struct LabSummary {
  std::vector<TaskSummary> tasks;
  size_t done = 0, failed = 0;
  double seconds = 0;
  std::vector<std::string> failures;  // one line each, equal ones once
};
LabSummary summarize(const Comparison& comparison, const LabResult& result);

// One to three sentences: the result first.
std::string answer(const Comparison& comparison, const LabSummary& summary);

}  // namespace intarsia
