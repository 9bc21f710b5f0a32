// What a lab's outcomes say: means over seeds, the best place of each grid, who is best and by how much.
#pragma once
#include <cmath>
#include <limits>

#include "lab/lab.h"

namespace intarsia {

struct Statistic {
  std::vector<double> values;  // of the seeds that did not fail
  double mean = 0, deviation = 0;
  double error() const;  // standard error of the mean
};
enum class Standing { plain, near, best };  // near: not distinguishable from the best

// Where the best columns of a grid lie, row by row: for decay over rates, how the best decay goes with the
// rate.
struct Valley {
  // The best column goes as row^slope: least squares of their logarithms. NaN if fewer than two rows have a
  // best column above 0. 0: the two can be chosen apart.
  double slope = std::numeric_limits<double>::quiet_NaN();
  // What the best column of a row gains over the least one, as a share of that, mean over rows; and twice its
  // standard error (of one seed: a hundredth). A gain below it is no valley.
  double gain = 0, noise = 0;
  bool found() const { return gain > noise; }
  // The column that is best for all rows alike, -1 if there is none, and how far above its row's best it is
  // at most: 0.04 is 4 %.
  int shared = -1;
  double cost = std::numeric_limits<double>::infinity();
};
// "−0.98"; "no valley"; "one rate" where a slope needs more.
std::string slope_text(const Valley& valley, const std::string& row);
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
  Valley valley;                          // only of a grid, whose first measure has a better end
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

// What a task says, in one sentence or two: who is best, and where the valleys of a grid lie; empty if
// nothing has a best.
std::string finding(const TaskSetup& setup, const TaskSummary& task);
// Two or three lines that say the most: the findings of the first tasks.
std::string answer(const Comparison& comparison, const LabSummary& summary);

}  // namespace intarsia
