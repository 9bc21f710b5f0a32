#include "train/optimizer/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/fail.h"

namespace intarsia {

namespace {

// From 0 at `begin` to 1 at `end`.
double progress(double begin, double end, double step) {
  if (end <= begin) return step < end ? 0 : 1;
  return std::clamp((step - begin) / (end - begin), 0.0, 1.0);
}

}  // namespace

double schedule_share(const Recipe::Schedule& schedule, int64_t steps, int64_t step) {
  if (step < schedule.warm_up) return static_cast<double>(step + 1) / static_cast<double>(schedule.warm_up);
  const auto begin = static_cast<double>(schedule.warm_up), end = static_cast<double>(steps);
  const auto now = static_cast<double>(step);
  const double fall = 1 - schedule.final_share;
  if (schedule.kind == "constant") return 1;
  const auto half_cosine = [&](double share) {
    return schedule.final_share + fall * 0.5 * (1 + std::cos(std::numbers::pi * share));
  };
  if (schedule.kind == "cosine") return half_cosine(progress(begin, end, now));
  if (schedule.kind == "linear") return 1 - fall * progress(begin, end, now);
  if (schedule.kind == "wsd") {
    const double decay = std::max(begin, end * (1 - schedule.decay_share));
    return 1 - fall * progress(decay, end, now);
  }
  if (schedule.kind == "inverse_sqrt") {
    const double first = std::max(begin, 1.0);
    return std::sqrt(first / std::max(now + 1, first));
  }
  if (schedule.kind == "restarts") {
    double cycle = static_cast<double>(std::max<int64_t>(schedule.cycle, 1)), since = now - begin;
    while (since >= cycle) {
      since -= cycle;
      cycle *= schedule.cycle_growth;
      if (schedule.cycle_growth <= 1) since = std::fmod(since, cycle);
    }
    return half_cosine(since / cycle);
  }
  fail("recipe: schedule.kind is \"{}\", expected cosine, linear, wsd, constant, inverse_sqrt or restarts",
       schedule.kind);
}

double learning_rate_at(const Recipe& recipe, int64_t step) {
  return recipe.optimizer.learning_rate * schedule_share(recipe.schedule, recipe.training.steps, step);
}

}  // namespace intarsia
