#include "train/report/summary.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "core/format.h"
#include "page/chart.h"

namespace intarsia {

namespace {

constexpr size_t recent_entries = 20;

double median(std::vector<double> values) {
  std::erase_if(values, [](double value) { return !std::isfinite(value); });
  if (values.empty()) return not_measured;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

template <class Get>
std::vector<double> values_of(std::span<const StepRecord> steps, Get get) {
  std::vector<double> out;
  for (const StepRecord& step : steps) out.push_back(get(step));
  return out;
}

std::span<const StepRecord> last_of(const std::vector<StepRecord>& steps, size_t count) {
  return std::span(steps).last(std::min(count, steps.size()));
}

// Least squares through the last third of the validations (at least four): slope and scatter around it.
void fit_change(RunSummary& summary, const std::vector<ValidationRecord>& validations) {
  const size_t count = std::max<size_t>(4, validations.size() / 3);
  if (validations.size() < count) return;
  const std::span<const ValidationRecord> points = std::span(validations).last(count);
  double mean_x = 0, mean_y = 0;
  for (const ValidationRecord& point : points) {
    mean_x += static_cast<double>(point.step) / static_cast<double>(count);
    mean_y += point.loss / static_cast<double>(count);
  }
  double xx = 0, xy = 0, yy = 0;
  for (const ValidationRecord& point : points) {
    const double x = static_cast<double>(point.step) - mean_x, y = point.loss - mean_y;
    xx += x * x;
    xy += x * y;
    yy += y * y;
  }
  if (!(xx > 0) || !std::isfinite(yy)) return;
  const double slope = xy / xx;
  const double scatter = std::sqrt(std::max(0.0, yy - slope * xy) / static_cast<double>(count - 2));
  summary.per = summary.steps >= 2000 ? 1000 : 100;
  summary.change = slope * static_cast<double>(summary.per);
  summary.change_is_noise = std::abs(slope) < 2 * scatter / std::sqrt(xx) || std::abs(summary.change) < 5e-4;
}

RunState state_of(const RunHistory& history, int64_t step, int64_t steps) {
  const EventRecord* last = history.events.empty() ? nullptr : &history.events.back();
  const bool at_the_end = last && last->step >= step;
  if (at_the_end && last->text.starts_with("failed")) return RunState::failed;
  if (history.end) return history.end->step < steps ? RunState::interrupted : RunState::done;
  if (at_the_end && last->text.starts_with("interrupted") &&
      (history.resumes.empty() || history.resumes.back().step < last->step))
    return RunState::interrupted;
  return RunState::running;
}

void find_concerns(RunSummary& summary, const RunHistory& history) {
  const StepRecord& last = history.steps.back();
  if (!std::isfinite(last.loss)) summary.concerns.push_back("the loss is not a number");
  if (summary.validation && summary.best && summary.validation->step > summary.best->step &&
      !summary.change_is_noise && summary.change > 0 && summary.loss < summary.validation->loss - .1)
    summary.concerns.push_back(
        fmt::format("the training loss is {} lower, so the model begins to learn the text by heart",
                    format_fixed(summary.validation->loss - summary.loss, 2)));
  const double usual =
      median(values_of(history.steps, [](const StepRecord& s) { return s.tokens_per_second; }));
  if (history.steps.size() >= 2 * recent_entries && summary.tokens_per_second < .8 * usual)
    summary.concerns.push_back(fmt::format("throughput is {} below its median",
                                           format_share(1 - summary.tokens_per_second / usual)));
}

std::string loss_text(double loss) { return format_fixed(loss, 3); }

std::string of_steps(const RunSummary& s) {
  return s.steps > 0 ? fmt::format("step {} of {}", format_count(s.step), format_count(s.steps))
                     : fmt::format("step {}", format_count(s.step));
}

// "Validation loss 1.421 nats per token at step 12,400 of 20,000, the lowest so far."
std::string first_sentence(const RunSummary& s) {
  const bool done = s.state == RunState::done;
  const std::string where = done ? fmt::format("after {} steps", format_count(s.step)) : "at " + of_steps(s);
  if (!s.validation)
    return fmt::format("Training loss {} nats per token {}; validation loss not measured yet.",
                       loss_text(s.loss), where);
  std::string text = fmt::format("Validation loss {} nats per token ", loss_text(s.validation->loss));
  text += s.validation->step == s.step ? where : fmt::format("at step {}", format_count(s.validation->step));
  if (s.best && s.best->step != s.validation->step)
    text +=
        fmt::format("; the lowest was {} at step {}", loss_text(s.best->loss), format_count(s.best->step));
  else
    text += done ? ", the lowest of the run" : ", the lowest so far";
  return text + ".";
}

std::string trend(const RunSummary& s) {
  if (!std::isfinite(s.change)) return {};
  if (s.change_is_noise) return "It has stopped falling";
  return fmt::format("It {} by about {} per {} steps", s.change < 0 ? "still falls" : "rises",
                     format_number(std::abs(s.change), 1), format_count(s.per));
}

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : "; ") + text;
  return out;
}

}  // namespace

int smoothing_window(size_t entries) {
  if (entries < 20) return 1;
  return std::min(static_cast<int>(std::sqrt(static_cast<double>(entries))), 50) | 1;
}

RunSummary summarize(const RunHistory& history) {
  RunSummary s;
  s.steps = history.start ? history.start->steps : 0;
  if (!history.validations.empty()) {
    s.validation = history.validations.back();
    for (const ValidationRecord& point : history.validations)
      if (std::isfinite(point.loss) && !(s.best && s.best->loss <= point.loss)) s.best = point;
  }
  if (!history.steps.empty()) {
    const StepRecord& last = history.steps.back();
    const auto recent = last_of(history.steps, recent_entries);
    s.step = last.step;
    const auto losses = values_of(history.steps, [](const StepRecord& step) { return step.loss; });
    s.loss = smoothed(losses, smoothing_window(losses.size())).back();
    s.seconds = last.seconds;
    s.tokens_per_second =
        median(values_of(recent, [](const StepRecord& step) { return step.tokens_per_second; }));
    s.peak_share = median(values_of(recent, [](const StepRecord& step) { return step.peak_share; }));
    for (const StepRecord& step : history.steps) s.memory_peak = std::max(s.memory_peak, step.memory_peak);
    const StepRecord& before = recent.front();
    const auto steps = static_cast<double>(last.step - before.step);
    const double each = steps > 0 ? (last.seconds - before.seconds) / steps
                                  : last.seconds / static_cast<double>(std::max<int64_t>(last.step, 1));
    s.seconds_left = each * static_cast<double>(std::max<int64_t>(s.steps - last.step, 0));
  }
  if (history.end) {
    s.step = std::max(s.step, history.end->step);
    if (std::isfinite(history.end->seconds)) s.seconds = history.end->seconds;
  }
  s.state = state_of(history, s.step, s.steps);
  fit_change(s, history.validations);
  if (!history.steps.empty()) find_concerns(s, history);
  return s;
}

std::string answer(const RunSummary& s) {
  if (s.step == 0) return "The run has started; no step is logged yet.";
  std::string text = first_sentence(s);
  const std::string direction = trend(s), concerns = joined(s.concerns);
  switch (s.state) {
    case RunState::running:
      if (direction.empty() && concerns.empty()) return text + " Nothing needs attention.";
      if (direction.empty()) return text + fmt::format(" One thing to look at: {}.", concerns);
      return text +
             fmt::format(" {}; {}.", direction, concerns.empty() ? "nothing needs attention" : concerns);
    case RunState::done:
      text += fmt::format(" Training took {}", format_duration(s.seconds));
      if (s.validation) text += fmt::format("; training loss ended at {}", loss_text(s.loss));
      return text + (concerns.empty() ? "." : "; " + concerns + ".");
    case RunState::interrupted:
      return text + " The run was stopped; the command below goes on with it.";
    case RunState::failed:
      return text + " The run failed; its last event says why.";
  }
  return text;
}

const char* state_word(RunState state) {
  switch (state) {
    case RunState::running:
      return "running";
    case RunState::done:
      return "done";
    case RunState::interrupted:
      return "interrupted";
    case RunState::failed:
      return "failed";
  }
  return "";
}

std::vector<StepRecord> gradient_spikes(const RunHistory& history, double factor) {
  constexpr size_t before = 50;
  std::vector<StepRecord> spikes;
  for (size_t i = before; i < history.steps.size(); i++) {
    const auto earlier = std::span(history.steps).subspan(i - before, before);
    const double usual =
        median(values_of(earlier, [](const StepRecord& step) { return step.gradient_norm; }));
    if (usual > 0 && history.steps[i].gradient_norm > factor * usual) spikes.push_back(history.steps[i]);
  }
  return spikes;
}

}  // namespace intarsia
