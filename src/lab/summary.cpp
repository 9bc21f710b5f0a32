#include "lab/summary.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/format.h"

namespace intarsia {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr size_t most_failures = 20;

Statistic statistic_of(std::vector<double> values) {
  Statistic s;
  s.values = std::move(values);
  const auto n = static_cast<double>(s.values.size());
  if (s.values.empty()) return s;
  for (const double value : s.values) s.mean += value / n;
  double squares = 0;
  for (const double value : s.values) squares += (value - s.mean) * (value - s.mean);
  if (s.values.size() > 1) s.deviation = std::sqrt(squares / (n - 1));
  return s;
}

bool better(Measure::Better direction, double a, double b) {
  return direction == Measure::Better::higher ? a > b : a < b;
}

using Outcomes = std::vector<const Outcome*>;  // of one place of a grid, one a seed

// Rows where every run failed say nothing.
int shared_column(const VariantSummary& v, double& cost) {
  int shared = -1;
  for (size_t c = 0; c < v.grid[0].size(); c++) {
    double worst = 0;
    for (size_t r = 0; r < v.grid.size(); r++) {
      if (v.row_best[r] < 0) continue;
      const double best = v.grid[r][static_cast<size_t>(v.row_best[r])], here = v.grid[r][c];
      const double away = std::abs(here - best) / std::max(std::abs(best), 1e-300);
      worst = std::max(worst, std::isfinite(here) ? away : std::numeric_limits<double>::infinity());
    }
    if (worst >= cost) continue;
    cost = worst;
    shared = static_cast<int>(c);
  }
  return shared;
}

// The slope of a line through (x, y) by least squares; NaN for fewer than two x.
double slope_of(std::span<const double> x, std::span<const double> y) {
  const double n = static_cast<double>(x.size());
  double mean_x = 0, mean_y = 0, xx = 0, xy = 0;
  for (size_t i = 0; i < x.size(); i++) mean_x += x[i] / n, mean_y += y[i] / n;
  for (size_t i = 0; i < x.size(); i++) {
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    xy += (x[i] - mean_x) * (y[i] - mean_y);
  }
  return xx > 0 ? xy / xx : nan;
}

// `errors`: the standard error of each place of the grid.
Valley valley_of(const Axis& rows, const Axis& columns, const VariantSummary& v,
                 const std::vector<std::vector<double>>& errors, bool one_seed) {
  Valley valley;
  const auto least = static_cast<size_t>(std::min_element(columns.values.begin(), columns.values.end()) -
                                         columns.values.begin());
  std::vector<double> x, y;
  double gain = 0, noise = 0;
  int counted = 0;
  for (size_t r = 0; r < v.grid.size(); r++) {
    if (v.row_best[r] < 0) continue;
    const auto best = static_cast<size_t>(v.row_best[r]);
    if (rows.values[r] > 0 && columns.values[best] > 0) {
      x.push_back(std::log(rows.values[r]));
      y.push_back(std::log(columns.values[best]));
    }
    const double from = v.grid[r][least], size = std::abs(from);
    if (!(size > 0)) continue;
    gain += std::abs(v.grid[r][best] - from) / size;
    const double error = std::hypot(errors[r][best], errors[r][least]) / size;
    noise += error * error;
    counted++;
  }
  valley.slope = slope_of(x, y);
  if (counted) {
    valley.gain = gain / counted;
    valley.noise = one_seed ? .01 : 2 * std::sqrt(noise) / counted;
  }
  valley.shared = shared_column(v, valley.cost);
  return valley;
}

VariantSummary summarize(const TaskSetup& setup, size_t variant,
                         const std::vector<std::vector<Outcomes>>& grid) {
  const Task& task = *setup.task;
  VariantSummary v;
  std::vector<double> seconds;
  std::vector<std::vector<double>> errors;
  size_t seeds = 0;
  double best = nan;
  for (size_t r = 0; r < grid.size(); r++) {
    v.grid.emplace_back();
    errors.emplace_back();
    v.row_best.push_back(-1);
    for (size_t c = 0; c < grid[r].size(); c++) {
      std::vector<double> first;
      bool failed = grid[r][c].empty();
      for (const Outcome* outcome : grid[r][c]) {
        seconds.push_back(outcome->seconds);
        if (outcome->failed.empty()) first.push_back(outcome->measures[0]);
        failed |= !outcome->failed.empty();
        v.failed += !outcome->failed.empty();
      }
      const Statistic statistic = statistic_of(first);
      const double mean = failed ? nan : statistic.mean;
      v.grid[r].push_back(mean);
      errors[r].push_back(statistic.error());
      seeds = std::max(seeds, first.size());
      if (!std::isfinite(mean)) continue;
      const int row_best = v.row_best[r];
      if (row_best < 0 || better(task.measures[0].better, mean, v.grid[r][static_cast<size_t>(row_best)]))
        v.row_best[r] = static_cast<int>(c);
      if (std::isfinite(best) && !better(task.measures[0].better, mean, best)) continue;
      best = mean;
      v.row = r;
      v.column = c;
    }
  }
  v.seconds = statistic_of(seconds);
  if (setup.grid && task.measures[0].better != Measure::Better::neither)
    v.valley = valley_of(setup.grid->rows, setup.columns(variant), v, errors, seeds < 2);
  Outcomes there;
  for (const Outcome* outcome : grid[v.row][v.column])
    if (outcome->failed.empty()) there.push_back(outcome);
  for (size_t m = 0; m < task.measures.size(); m++) {
    std::vector<double> values;
    for (const Outcome* outcome : there) values.push_back(outcome->measures[m]);
    v.measures.push_back(statistic_of(values));
  }
  v.standings.resize(task.measures.size(), Standing::plain);
  if (there.empty()) return v;
  v.curve.x = there[0]->curve.x;
  for (size_t i = 0; i < v.curve.x.size(); i++) {
    std::vector<double> values;
    for (const Outcome* outcome : there)
      if (outcome->curve.x == v.curve.x) values.push_back(outcome->curve.y[i]);
    const Statistic s = statistic_of(values);
    v.curve.y.push_back(s.mean);
    v.low.push_back(s.mean - s.deviation);
    v.high.push_back(s.mean + s.deviation);
  }
  v.profile.labels = there[0]->profile.labels;
  for (size_t i = 0; i < v.profile.labels.size(); i++) {
    std::vector<double> values;
    for (const Outcome* outcome : there)
      if (outcome->profile.labels == v.profile.labels) values.push_back(outcome->profile.values[i]);
    v.profile.values.push_back(statistic_of(values).mean);
  }
  return v;
}

// Marks the best variant of each measure, and those whose difference is below twice its standard error.
void compare(const Task& task, TaskSummary& summary) {
  for (size_t m = 0; m < task.measures.size(); m++) {
    const Measure::Better direction = task.measures[m].better;
    if (direction == Measure::Better::neither) continue;
    VariantSummary* best = nullptr;
    for (VariantSummary& v : summary.variants)
      if (!v.measures[m].values.empty() &&
          (!best || better(direction, v.measures[m].mean, best->measures[m].mean)))
        best = &v;
    if (!best) continue;
    if (m == 0) summary.best = static_cast<int>(best - summary.variants.data());
    for (VariantSummary& v : summary.variants) {
      if (v.measures[m].values.empty()) continue;
      const double away = std::abs(v.measures[m].mean - best->measures[m].mean);
      double error = std::hypot(v.measures[m].error(), best->measures[m].error());
      // One seed says nothing about the noise: then a hundredth counts as none.
      if (v.measures[m].values.size() < 2) error = .005 * std::abs(best->measures[m].mean);
      if (away <= 2 * error) v.standings[m] = Standing::near;
    }
    best->standings[m] = Standing::best;
    // Where all are equal nobody is best.
    if (std::all_of(summary.variants.begin(), summary.variants.end(), [&](const VariantSummary& v) {
          return v.measures[m].values.empty() || v.measures[m].mean == best->measures[m].mean;
        }))
      for (VariantSummary& v : summary.variants) v.standings[m] = Standing::plain;
  }
}

}  // namespace

double Statistic::error() const {
  return values.size() > 1 ? deviation / std::sqrt(static_cast<double>(values.size())) : 0;
}

LabSummary summarize(const Comparison& comparison, const LabResult& result) {
  const std::vector<Place> places = places_of(comparison);
  LabSummary summary;
  std::vector<std::vector<std::vector<std::vector<Outcomes>>>> all(comparison.tasks.size());
  for (size_t t = 0; t < all.size(); t++) {
    const TaskSetup& setup = comparison.tasks[t];
    for (size_t v = 0; v < setup.variants.size(); v++) {
      const size_t columns = setup.grid ? setup.columns(v).values.size() : 1;
      all[t].emplace_back(setup.grid ? setup.grid->rows.values.size() : 1, std::vector<Outcomes>(columns));
    }
  }
  for (size_t i = 0; i < places.size(); i++) {
    const std::optional<Outcome>& outcome = result.outcomes[i];
    if (!outcome) continue;
    const Place& place = places[i];
    all[place.task][place.variant][place.row][place.column].push_back(&*outcome);
    summary.done++;
    summary.seconds += outcome->seconds;
    if (outcome->failed.empty()) continue;
    summary.failed++;
    const std::string failure =
        fmt::format("{}, {}: {}", comparison.tasks[place.task].name,
                    comparison.tasks[place.task].variants[place.variant].name, outcome->failed);
    if (std::find(summary.failures.begin(), summary.failures.end(), failure) == summary.failures.end() &&
        summary.failures.size() < most_failures)
      summary.failures.push_back(failure);
  }
  for (size_t t = 0; t < all.size(); t++) {
    TaskSummary task;
    for (size_t v = 0; v < all[t].size(); v++)
      task.variants.push_back(summarize(comparison.tasks[t], v, all[t][v]));
    compare(*comparison.tasks[t].task, task);
    summary.tasks.push_back(std::move(task));
  }
  return summary;
}

namespace {

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); i++)
    text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  return text;
}

// Who cannot be told from the best, in as few words as that takes.
std::string noise_text(const TaskSetup& setup, const TaskSummary& task) {
  std::vector<std::string> near, far;
  for (size_t v = 0; v < task.variants.size(); v++) {
    if (task.variants[v].measures[0].values.empty() || static_cast<int>(v) == task.best) continue;
    (task.variants[v].standings[0] == Standing::near ? near : far).push_back(setup.variants[v].name);
  }
  if (near.empty()) return {};
  if (far.empty())
    return near.size() == 1 ? near[0] + " is within the noise" : "all others are within the noise";
  if (far.size() < near.size()) return "within the noise are all but " + listed(far);
  return fmt::format("{} {} within the noise", listed(near), near.size() == 1 ? "is" : "are");
}

// "^−1.0"
std::string power_text(double slope) {
  const std::string digits = format_fixed(std::abs(slope), 1);
  if (digits == "0.0") return "^0.0 (one for all)";
  return (slope < 0 ? "^−" : "^") + digits;
}

std::string valleys_text(const TaskSetup& setup, const Grid& grid, const TaskSummary& task) {
  const std::string &row = grid.rows.name, &column = grid.columns.name;
  std::string slopes;
  std::vector<std::string> none;
  for (size_t v = 0; v < task.variants.size(); v++) {
    const Valley& valley = task.variants[v].valley;
    if (valley.found() && std::isfinite(valley.slope))
      slopes += fmt::format("{}{}{} with {}", slopes.empty() ? "" : ", ", row, power_text(valley.slope),
                            setup.variants[v].name);
    else if (valley.shared >= 0 && !valley.found())
      none.push_back(fmt::format("{} ({})", setup.variants[v].name, format_share(valley.gain)));
  }
  std::string text;
  if (!slopes.empty()) text += fmt::format(" The best {} goes as {}.", column, slopes);
  if (!none.empty())
    text += fmt::format(" No {} gains anything beyond the noise with {}.", column, listed(none));
  return text;
}

}  // namespace

std::string slope_text(const Valley& valley, const std::string& row) {
  if (!valley.found()) return "no valley";
  return std::isfinite(valley.slope) ? format_fixed(valley.slope, 2) : "one " + row;
}

std::string finding(const TaskSetup& setup, const TaskSummary& task) {
  if (task.best < 0) return {};
  const Measure& measure = setup.task->measures[0];
  const auto best_at = static_cast<size_t>(task.best);
  const VariantSummary& best = task.variants[best_at];
  std::string text = fmt::format("{} is best, {} {} {}", setup.variants[best_at].name, measure.name,
                                 format_fixed(best.measures[0].mean, measure.decimals), measure.unit);
  const VariantSummary* worst = nullptr;
  size_t worst_at = 0;
  for (size_t v = 0; v < task.variants.size(); v++) {
    const VariantSummary& variant = task.variants[v];
    if (variant.measures[0].values.empty() || &variant == &best) continue;
    if (!worst || better(measure.better, worst->measures[0].mean, variant.measures[0].mean))
      worst = &variant, worst_at = v;
  }
  if (worst && worst->standings[0] != Standing::near)
    text += fmt::format("; {} is last with {}", setup.variants[worst_at].name,
                        format_fixed(worst->measures[0].mean, measure.decimals));
  const std::string noise = noise_text(setup, task);
  if (!noise.empty()) text += "; " + noise;
  text += ".";
  return setup.grid ? text + valleys_text(setup, *setup.grid, task) : text;
}

std::string answer(const Comparison& comparison, const LabSummary& summary) {
  constexpr size_t enough = 120, most = 300;
  std::string text;
  for (size_t t = 0; t < comparison.tasks.size(); t++) {
    const std::string found = finding(comparison.tasks[t], summary.tasks[t]);
    if (found.empty()) continue;
    const std::string next = fmt::format("{}: {}", comparison.tasks[t].title, found);
    if (!text.empty() && (text.size() > enough || text.size() + next.size() > most)) break;
    text += (text.empty() ? "" : " ") + next;
  }
  return text.empty() ? "Nothing was measured that has a best." : text;
}

}  // namespace intarsia
