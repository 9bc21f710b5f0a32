#include "train/report/curves.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/format.h"

namespace intarsia {

namespace {

constexpr double gib = 1024.0 * 1024 * 1024, mib = 1024.0 * 1024;

template <class Get>
ChartLine line_of(const RunHistory& history, std::string name, int colour, Get get) {
  ChartLine line;
  line.name = std::move(name);
  line.colour = colour;
  for (const StepRecord& step : history.steps) {
    line.x.push_back(static_cast<double>(step.step));
    line.y.push_back(get(step));
  }
  return line;
}

double last_value(const std::vector<double>& values) {
  for (auto value = values.rbegin(); value != values.rend(); ++value)
    if (std::isfinite(*value)) return *value;
  return std::numeric_limits<double>::quiet_NaN();
}

double first_value(const std::vector<double>& values) {
  for (const double value : values)
    if (std::isfinite(value)) return value;
  return std::numeric_limits<double>::quiet_NaN();
}

Chart loss_chart(const RunHistory& history) {
  Chart chart;
  chart.id = "loss";
  chart.title = "Loss";
  chart.height = 300;
  chart.unit = "nats per token";
  chart.decimals = 3;
  chart.subtitle = "nats per token, log scale, by step";

  ChartLine raw = line_of(history, "each", 1, [](const StepRecord& step) { return step.loss; });
  const auto count = static_cast<int>(raw.y.size());
  const int window = smoothing_window(raw.y.size());
  ChartLine train = raw;
  train.name = "train";
  if (window > 1) {
    train.y = smoothed(raw.y, window);
    raw.faint = true;
    chart.subtitle += fmt::format("; train smoothed over {} points", window);
  }
  ChartLine validation;
  validation.name = "validation";
  validation.colour = 2;
  validation.points = true;
  for (const ValidationRecord& point : history.validations) {
    validation.x.push_back(static_cast<double>(point.step));
    validation.y.push_back(point.loss);
  }

  // The first steep steps may be cut, so that the rest is not flattened; the subtitle then says where it
  // started.
  Extent all, rest;
  all.add(raw.y);
  all.add(validation.y);
  const size_t skipped = count < 20 ? 0 : static_cast<size_t>(count) / 25 + 1;
  for (size_t i = skipped; i < train.y.size(); i++) rest.add(train.y[i]);
  for (size_t i = 0; i < validation.x.size(); i++)
    if (validation.x[i] >= raw.x[skipped]) rest.add(validation.y[i]);
  for (size_t i = raw.y.size() / 2; i < raw.y.size(); i++) rest.add(raw.y[i]);
  if (!rest.known()) rest = all;
  if (!all.known() || all.low <= 0) rest = {.5, 1};
  const bool cut = all.high > 1.1 * rest.high;
  rest.low = std::min(rest.low, std::max(all.low, .5 * rest.low));
  if (!cut) rest.high = all.known() ? std::max(rest.high, all.high) : rest.high;
  set_log_range(chart, rest);
  if (cut)
    chart.subtitle += fmt::format("; starts at {}, cut above {}", format_number(first_value(raw.y), 3),
                                  format_number(chart.high, 2));

  chart.finding = fmt::format("Loss by step, log scale. Train falls from {} to {}",
                              format_fixed(first_value(raw.y), 2), format_fixed(last_value(train.y), 2));
  if (!validation.x.empty())
    chart.finding += fmt::format(
        ", validation from {} to {} at step {}", format_fixed(first_value(validation.y), 2),
        format_fixed(last_value(validation.y), 2), format_count(static_cast<int64_t>(validation.x.back())));
  chart.finding += ".";

  if (raw.faint) chart.lines.push_back(thinned(raw));
  chart.lines.push_back(thinned(train));
  if (!validation.x.empty()) chart.lines.push_back(thinned(validation));
  for (const ResumeRecord& resume : history.resumes)
    if (chart.marks.size() < 4)
      chart.marks.push_back({static_cast<double>(resume.step), chart.marks.empty() ? "resumed" : ""});
  return chart;
}

Chart speed_chart(const RunHistory& history, const RunSummary& summary) {
  Chart chart;
  chart.id = "speed";
  chart.title = "Throughput";
  chart.subtitle = chart.unit = "tokens per second";
  chart.decimals = 0;
  const ChartLine line =
      line_of(history, "tokens/s", 0, [](const StepRecord& step) { return step.tokens_per_second; });
  Extent extent;
  extent.add(line.y);
  const double peak = summary.tokens_per_second / summary.peak_share;
  chart.finding =
      fmt::format("Throughput, now {} tokens per second", format_count(std::llround(last_value(line.y))));
  if (std::isfinite(peak) && summary.peak_share > 0) {
    const std::string share = format_share(summary.peak_share);
    chart.finding += fmt::format(", {} of the measured peak", share);
    // A limit far above the line would only flatten it.
    if (summary.peak_share > .4) {
      chart.limits.push_back({peak, fmt::format("measured peak {}", format_short(peak))});
      extent.add(peak);
    } else {
      chart.subtitle += fmt::format(", {} of the measured peak", share);
    }
  }
  chart.finding += ".";
  set_range_from_zero(chart, extent);
  chart.lines.push_back(thinned(line));
  return chart;
}

Chart memory_chart(const RunHistory& history, const RunSummary& summary) {
  const bool large = static_cast<double>(summary.memory_peak) >= gib / 2;
  const double unit = large ? gib : mib;
  Chart chart;
  chart.id = "memory";
  chart.title = "Memory";
  chart.unit = large ? "GiB" : "MiB";
  chart.subtitle = fmt::format("{} in arrays: the most so far, and between steps", chart.unit);
  chart.decimals = large ? 2 : static_cast<double>(summary.memory_peak) < 100 * mib ? 1 : 0;
  const auto peak = line_of(history, "peak", 0,
                            [&](const StepRecord& s) { return static_cast<double>(s.memory_peak) / unit; });
  const auto held =
      line_of(history, "held", 7, [&](const StepRecord& s) { return static_cast<double>(s.memory) / unit; });
  Extent extent;
  extent.add(peak.y);
  extent.add(held.y);
  set_range_from_zero(chart, extent);
  chart.finding = fmt::format("Memory in arrays: at most {}, {} between steps.",
                              format_bytes(static_cast<double>(summary.memory_peak)),
                              format_bytes(static_cast<double>(history.steps.back().memory)));
  chart.lines = {thinned(peak), thinned(held)};
  return chart;
}

Chart norm_chart(const RunHistory& history, double clip) {
  Chart chart;
  chart.id = "norm";
  chart.title = "Gradient norm";
  chart.subtitle = "before clipping, log scale";
  if (!(clip > 0)) chart.subtitle = "log scale";
  const ChartLine line =
      line_of(history, "norm", 0, [](const StepRecord& step) { return step.gradient_norm; });
  Extent extent;
  extent.add(line.y);
  if (extent.known() && extent.low > 0) {
    if (clip > 0 && clip < 10 * extent.high) {
      chart.limits.push_back({clip, fmt::format("clipped above {}", format_number(clip, 2))});
      extent.add(clip);
    }
    set_log_range(chart, extent);
  } else {
    chart.subtitle = clip > 0 ? "before clipping" : "";
    set_range_from_zero(chart, extent);
  }
  chart.finding = fmt::format("Gradient norm, from {} to {}, now {}.", format_number(extent.low),
                              format_number(extent.high), format_number(last_value(line.y)));
  chart.lines.push_back(thinned(line));
  return chart;
}

Chart rate_chart(const RunHistory& history, const std::string& schedule) {
  Chart chart;
  chart.id = "rate";
  chart.title = "Learning rate";
  chart.subtitle = schedule;
  const ChartLine line =
      line_of(history, "rate", 0, [](const StepRecord& step) { return step.learning_rate; });
  Extent extent;
  extent.add(line.y);
  set_range_from_zero(chart, extent);
  chart.finding = fmt::format("Learning rate, at most {}, now {}.", format_number(extent.high),
                              format_number(last_value(line.y)));
  chart.lines.push_back(thinned(line));
  return chart;
}

}  // namespace

std::vector<Chart> run_charts(const RunHistory& history, const RunSummary& summary, double clip,
                              const std::string& schedule) {
  if (history.steps.empty()) return {};
  return {loss_chart(history), rate_chart(history, schedule), norm_chart(history, clip),
          speed_chart(history, summary), memory_chart(history, summary)};
}

}  // namespace intarsia
