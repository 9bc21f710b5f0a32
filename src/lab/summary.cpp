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

// Rows where every run failed say nothing.
void find_shared(const Task& task, VariantSummary& v) {
  v.regret = std::numeric_limits<double>::infinity();
  if (task.measures[0].better == Measure::Better::neither) return;
  for (size_t c = 0; c < v.grid[0].size(); c++) {
    double worst = 0;
    for (size_t r = 0; r < v.grid.size(); r++) {
      if (v.row_best[r] < 0) continue;
      const double best = v.grid[r][static_cast<size_t>(v.row_best[r])], here = v.grid[r][c];
      const double away = std::abs(here - best) / std::max(std::abs(best), 1e-300);
      worst = std::max(worst, std::isfinite(here) ? away : std::numeric_limits<double>::infinity());
    }
    if (worst >= v.regret) continue;
    v.regret = worst;
    v.shared = static_cast<int>(c);
  }
}

using Outcomes = std::vector<const Outcome*>;  // of one place of a grid, one a seed

VariantSummary summarize(const TaskSetup& setup, const std::vector<std::vector<Outcomes>>& grid) {
  const Task& task = *setup.task;
  VariantSummary v;
  std::vector<double> seconds;
  double best = nan;
  for (size_t r = 0; r < grid.size(); r++) {
    v.grid.emplace_back();
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
      const double mean = failed ? nan : statistic_of(first).mean;
      v.grid[r].push_back(mean);
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
  find_shared(task, v);
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
    const auto& grid = comparison.tasks[t].grid;
    const size_t rows = grid ? grid->rows.values.size() : 1, columns = grid ? grid->columns.values.size() : 1;
    all[t].assign(comparison.tasks[t].variants.size(),
                  std::vector<std::vector<Outcomes>>(rows, std::vector<Outcomes>(columns)));
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
    for (const auto& grid : all[t]) task.variants.push_back(summarize(comparison.tasks[t], grid));
    compare(*comparison.tasks[t].task, task);
    summary.tasks.push_back(std::move(task));
  }
  return summary;
}

std::string answer(const Comparison& comparison, const LabSummary& summary) {
  std::string text;
  for (size_t t = 0; t < comparison.tasks.size(); t++) {
    const TaskSetup& setup = comparison.tasks[t];
    const TaskSummary& task = summary.tasks[t];
    const Measure& measure = setup.task->measures[0];
    if (task.best < 0) continue;
    std::vector<std::string> near;
    const VariantSummary& best = task.variants[static_cast<size_t>(task.best)];
    const VariantSummary* worst = nullptr;
    size_t worst_at = 0;
    for (size_t v = 0; v < task.variants.size(); v++) {
      const VariantSummary& variant = task.variants[v];
      if (variant.measures[0].values.empty() || &variant == &best) continue;
      if (variant.standings[0] == Standing::near) near.push_back(setup.variants[v].name);
      if (!worst || better(measure.better, worst->measures[0].mean, variant.measures[0].mean))
        worst = &variant, worst_at = v;
    }
    text += fmt::format("{}: {} is best, {} {} {}", setup.title,
                        setup.variants[static_cast<size_t>(task.best)].name, measure.name,
                        format_fixed(best.measures[0].mean, measure.decimals), measure.unit);
    if (setup.grid)
      text += fmt::format(" at {} and {}", axis_text(setup.grid->rows, best.row),
                          axis_text(setup.grid->columns, best.column));
    if (worst && worst->standings[0] != Standing::near)
      text += fmt::format("; {} is last with {}", setup.variants[worst_at].name,
                          format_fixed(worst->measures[0].mean, measure.decimals));
    if (!near.empty()) {
      text += "; within the noise: ";
      for (size_t i = 0; i < near.size(); i++) text += (i ? ", " : "") + near[i];
    }
    text += ". ";
  }
  return text.empty() ? "Nothing was measured that has a best." : text;
}

}  // namespace intarsia
