// Which blocks of a chain to run again: arithmetic on what they cost, without a tensor.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/fail.h"
#include "core/format.h"
#include "intarsia/recompute.h"

namespace intarsia {

namespace {

Stretch kept(int64_t first, int64_t last) { return {first, last, {}}; }
Stretch run_again(int64_t first, int64_t last) { return {first, last, {kept(first, last)}}; }

void require_blocks(const char* who, const char* argument, int64_t value) {
  if (value < 1) fail("{}: {} is {}, expected at least 1", who, argument, value);
}

}  // namespace

RecomputePlan recompute_each(int64_t blocks, int64_t period) {
  require_blocks("recompute_each", "period", period);
  RecomputePlan plan;
  for (int64_t first = 0; first < blocks; first += period)
    plan.push_back(run_again(first, std::min(blocks, first + period)));
  return plan;
}

RecomputePlan recompute_segments(int64_t blocks, int64_t segments) {
  require_blocks("recompute_segments", "segments", segments);
  segments = std::min(segments, blocks);
  RecomputePlan plan;
  for (int64_t i = 0; i < segments; i++)
    plan.push_back(run_again(blocks * i / segments, blocks * (i + 1) / segments));
  return plan;
}

// runs(n, s) = min over m of m + runs(m, s) + runs(n - m, s - 1): the first m blocks are run without being
// kept, the others are walked back with one slot less, then the first with all slots. One slot is the chain's
// own input.
RecomputePlan recompute_binomial(int64_t blocks, int64_t slots) {
  require_blocks("recompute_binomial", "blocks", blocks);
  require_blocks("recompute_binomial", "slots", slots);
  if (blocks > 4096) fail("recompute_binomial: {} blocks, at most 4096 are planned", blocks);
  slots = std::min(slots, blocks);
  const auto count = static_cast<size_t>(blocks) + 1;
  struct Best {
    int64_t runs, split;
  };
  std::vector<std::vector<Best>> best(static_cast<size_t>(slots) + 1, std::vector<Best>(count));
  for (size_t s = 1; s < best.size(); s++) {
    best[s][0] = best[s][1] = {0, 0};
    for (size_t n = 2; n < count; n++) {
      const auto all = static_cast<int64_t>(n);
      // With the last slot taken, all blocks but the last are run again from the start.
      best[s][n] = {all - 1 + best[s][n - 1].runs, all - 1};
      if (s == 1) continue;
      // The optimal split grows by at most one with n, so it is found beside the one before.
      const int64_t before = best[s][n - 1].split;
      for (int64_t m = std::max<int64_t>(1, before); m <= std::min(before + 1, all - 1); m++) {
        const auto i = static_cast<size_t>(m);
        const int64_t runs = m + best[s][i].runs + best[s - 1][n - i].runs;
        if (runs < best[s][n].runs) best[s][n] = {runs, m};
      }
    }
  }
  const std::function<RecomputePlan(int64_t, int64_t, int64_t)> plan_of = [&](int64_t first, int64_t n,
                                                                              int64_t s) -> RecomputePlan {
    if (n == 1) return {kept(first, first + 1)};
    const int64_t m = best[static_cast<size_t>(s)][static_cast<size_t>(n)].split;
    RecomputePlan plan{{first, first + m, plan_of(first, m, s)}};
    for (Stretch& rest : plan_of(first + m, n - m, std::max<int64_t>(1, s - 1)))
      plan.push_back(std::move(rest));
    return plan;
  };
  return plan_of(0, blocks, slots);
}

namespace {

// What a forward and backward under a plan holds, step by step.
class Simulation {
 public:
  explicit Simulation(std::span<const BlockCost> blocks) : blocks_(blocks) {}

  size_t peak_of(std::span<const Stretch> plan) {
    forward(plan);
    backward(plan);
    return static_cast<size_t>(std::max(0.0, peak_));
  }

 private:
  const BlockCost& at(int64_t block) const { return blocks_[static_cast<size_t>(block)]; }
  void use(double more) { peak_ = std::max(peak_, live_ + more); }
  static double bytes(size_t n) { return static_cast<double>(n); }

  void forward(std::span<const Stretch> plan) {
    for (const Stretch& s : plan) {
      if (s.again.empty()) {
        for (int64_t i = s.first; i < s.last; i++) {
          use(bytes(at(i).forward_peak));
          live_ += bytes(at(i).kept);
        }
        continue;
      }
      double input = 0;  // of the stretch, which is kept anyway; then of each block in it
      for (int64_t i = s.first; i < s.last; i++) {
        use(input + bytes(at(i).plain_peak));
        input = bytes(at(i).output);
      }
      live_ += input;
    }
  }

  void backward(std::span<const Stretch> plan) {
    for (size_t k = plan.size(); k-- > 0;) {
      const Stretch& s = plan[k];
      if (s.again.empty()) {
        for (int64_t i = s.last; i-- > s.first;) {
          use(bytes(at(i).backward_peak));  // its result is gone, the result's gradient is in its place
          live_ += bytes(at(i).gradient) - bytes(at(i).kept);
        }
        continue;
      }
      forward(s.again);  // the stretch's result is gone, its gradient is in its place
      live_ -= bytes(at(s.last - 1).output);
      backward(s.again);
    }
  }

  std::span<const BlockCost> blocks_;
  double live_ = 0, peak_ = 0;
};

void count_runs(std::span<const Stretch> plan, std::vector<int64_t>& runs) {
  for (const Stretch& s : plan) {
    if (s.again.empty()) continue;
    for (int64_t i = s.first; i < s.last; i++) runs[static_cast<size_t>(i)]++;
    count_runs(s.again, runs);
  }
}

// The least time for blocks [i, j) with m units of memory: either block i is kept, or blocks [i, k) leave
// only their result and are walked back, with all m units, after those from k on.
class Planner {
 public:
  Planner(std::span<const BlockCost> blocks, size_t bytes)
      : blocks_(blocks), n_(blocks.size()), unit_(static_cast<double>(bytes) / (levels - 1)) {
    const size_t cells = (n_ + 1) * (n_ + 1) * levels;
    time_.assign(cells, never);
    split_.assign(cells, 0);
    gradients_after_.assign(n_ + 1, 0);
    for (size_t i = n_; i-- > 0;)
      gradients_after_[i] = gradients_after_[i + 1] + static_cast<double>(blocks[i].gradient);
    for (size_t j = 0; j <= n_; j++)
      for (size_t m = 0; m < levels; m++) time_[cell(j, j, m)] = 0;
    for (size_t length = 1; length <= n_; length++)
      for (size_t i = 0; i + length <= n_; i++) solve(i, i + length);
  }

  // The plan with m units, empty if there is none.
  RecomputePlan plan(size_t m) const {
    if (time_[cell(0, n_, m)] >= never) return {};
    return plan_of(0, n_, m);
  }
  static constexpr size_t levels = 160;

 private:
  static constexpr float never = std::numeric_limits<float>::max();

  size_t cell(size_t i, size_t j, size_t m) const { return (i * (n_ + 1) + j) * levels + m; }
  // Units that hold the bytes; one more than there are if they do not fit.
  size_t units(double bytes) const {
    return static_cast<size_t>(std::min(std::ceil(bytes / unit_), static_cast<double>(levels)));
  }

  void solve(size_t i, size_t j) {
    const BlockCost& block = blocks_[i];
    // Gradients of all later blocks exist when block i is walked back, those behind j when it is run.
    const size_t forward = units(static_cast<double>(block.forward_peak) + gradients_after_[j]);
    const size_t back =
        units(static_cast<double>(block.kept + block.backward_peak) + gradients_after_[i + 1]);
    const size_t rest = units(static_cast<double>(block.kept));
    for (size_t m = std::max(forward, back); m < levels; m++) {
      if (m < rest) continue;
      const float time = time_[cell(i + 1, j, m - rest)];
      if (time < time_[cell(i, j, m)]) choose(i, j, m, time, 0);
    }
    double input = 0, peak = 0, seconds = 0;
    for (size_t k = i + 1; k < j; k++) {
      const BlockCost& run = blocks_[k - 1];
      peak = std::max(peak, input + static_cast<double>(run.plain_peak));
      input = static_cast<double>(run.output);
      seconds += run.seconds;
      const size_t result = units(input);
      for (size_t m = std::max(units(peak + gradients_after_[j]), result); m < levels; m++) {
        const float first = time_[cell(i, k, m)], after = time_[cell(k, j, m - result)];
        if (first >= never || after >= never) continue;
        const float time = static_cast<float>(seconds) + first + after;
        if (time < time_[cell(i, j, m)]) choose(i, j, m, time, k);
      }
    }
  }

  void choose(size_t i, size_t j, size_t m, float time, size_t split) {
    time_[cell(i, j, m)] = time;
    split_[cell(i, j, m)] = static_cast<uint16_t>(split);
  }

  RecomputePlan plan_of(size_t i, size_t j, size_t m) const {
    RecomputePlan plan;
    while (i < j) {
      const auto first = static_cast<int64_t>(i);
      const size_t k = split_[cell(i, j, m)];
      if (k == 0) {
        if (!plan.empty() && plan.back().again.empty())
          plan.back().last++;
        else
          plan.push_back(kept(first, first + 1));
        m -= units(static_cast<double>(blocks_[i].kept));
        i++;
      } else {
        plan.push_back({first, static_cast<int64_t>(k), plan_of(i, k, m)});
        m -= units(static_cast<double>(blocks_[k - 1].output));
        i = k;
      }
    }
    return plan;
  }

  std::span<const BlockCost> blocks_;
  size_t n_;
  double unit_;
  std::vector<float> time_;
  std::vector<uint16_t> split_;
  std::vector<double> gradients_after_;
};

RecomputePlan keep_all(std::span<const BlockCost> blocks) {
  return {kept(0, static_cast<int64_t>(blocks.size()))};
}

}  // namespace

size_t forecast_peak(const RecomputePlan& plan, std::span<const BlockCost> blocks) {
  if (blocks.empty()) return 0;
  return Simulation(blocks).peak_of(plan.empty() ? keep_all(blocks) : plan);
}

double recomputed_seconds(const RecomputePlan& plan, std::span<const BlockCost> blocks) {
  std::vector<int64_t> runs(blocks.size());
  count_runs(plan, runs);
  double seconds = 0;
  for (size_t i = 0; i < runs.size(); i++) seconds += static_cast<double>(runs[i]) * blocks[i].seconds;
  return seconds;
}

RecomputePlan recompute_within(size_t bytes, std::span<const BlockCost> blocks) {
  if (blocks.empty() || forecast_peak({}, blocks) <= bytes) return {};
  if (blocks.size() > 512) fail("recompute_within: {} blocks, at most 512 are planned", blocks.size());
  // Memory counts in steps of 1/159, so a plan can be a little off either way: those with more units than the
  // budget has are tried too, and the forecast decides.
  const Planner planner(blocks, bytes + bytes / 8);
  for (size_t m = Planner::levels; m-- > 0;) {
    RecomputePlan plan = planner.plan(m);
    if (!plan.empty() && forecast_peak(plan, blocks) <= bytes) return plan;
  }
  size_t least = forecast_peak(recompute_each(static_cast<int64_t>(blocks.size())), blocks);
  for (int64_t slots = 1; slots <= 16; slots++)
    least = std::min(least,
                     forecast_peak(recompute_binomial(static_cast<int64_t>(blocks.size()), slots), blocks));
  fail("recompute: {} are allowed, the least that forward and backward need is about {}",
       format_bytes(static_cast<double>(bytes)), format_bytes(static_cast<double>(least)));
}

}  // namespace intarsia
