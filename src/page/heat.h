// Heat maps: a table whose cells hold the numbers and are coloured by them, with the scale below.
#pragma once
#include <span>
#include <string>
#include <vector>

namespace intarsia {

struct HeatMap {
  std::string caption;
  std::string row_name, column_name;        // "learning rate", "decay"
  std::vector<std::string> rows, columns;   // heads
  std::vector<std::vector<double>> values;  // [row][column]; not finite: a run that failed
  int decimals = 2;
  // Marked: the best cell of all, and of each row the best one (-1: none).
  int best_row = -1, best_column = -1;
  std::vector<int> row_best;
};

// The lower ends of the seven steps above the first, on a log scale where all values are positive: from the
// least value to what 85 % of them are below, so that a few wild ones do not flatten the rest.
std::vector<double> heat_steps(std::span<const double> values);
// Maps that stand together share the steps.
std::string heat_html(const HeatMap& map, std::span<const double> steps);
std::string heat_scale_html(std::span<const double> steps, int decimals);
std::string_view heat_style();  // CSS, for Page::style

}  // namespace intarsia
