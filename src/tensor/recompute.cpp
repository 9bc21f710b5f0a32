#include "intarsia/recompute.h"

#include <chrono>

#include "core/fail.h"
#include "kernel/kernels.h"
#include "tensor/backward_from.h"

namespace intarsia {

namespace {

using Run = std::function<Tensor(int64_t, const Tensor&)>;

Tensor run_stretches(const Run& run, std::span<const Stretch> stretches, Tensor x) {
  for (const Stretch& stretch : stretches) {
    if (stretch.again.empty()) {
      for (int64_t block = stretch.first; block < stretch.last; block++) x = run(block, x);
    } else {
      x = recompute([run, again = stretch.again](
                        std::span<const Tensor> in) { return run_stretches(run, again, in[0]); },
                    {x});
    }
  }
  return x;
}

void check_plan(std::span<const Stretch> stretches, int64_t first, int64_t last) {
  int64_t at = first;
  for (const Stretch& stretch : stretches) {
    if (stretch.first != at || stretch.last <= at)
      fail("run_chain: a stretch of the plan is [{}, {}), expected one from block {} on", stretch.first,
           stretch.last, at);
    if (!stretch.again.empty()) check_plan(stretch.again, stretch.first, stretch.last);
    at = stretch.last;
  }
  if (at != last) fail("run_chain: the plan ends at block {}, the chain or stretch at {}", at, last);
}

}  // namespace

Tensor run_chain(const Chain& chain, const RecomputePlan& plan) {
  const Stretch all[] = {{0, chain.blocks, {}}};
  if (plan.empty() || !recording()) return run_stretches(chain.run, all, chain.x);
  check_plan(plan, 0, chain.blocks);
  // A stretch is recorded only if its input takes a gradient.
  const Tensor x = chain.x.needs_gradient() ? chain.x : parameter(chain.x.array());
  return run_stretches(chain.run, plan, x);
}

std::vector<BlockCost> measure_blocks(const Chain& chain) {
  const auto in_use = [] { return memory_use().current; };
  const auto peak_above = [](size_t before) { return memory_use().peak - before; };
  std::vector<BlockCost> costs;
  Array x = chain.x.array();
  for (int64_t block = 0; block < chain.blocks; block++) {
    BlockCost cost;
    Array next;
    const size_t before = in_use();
    {
      const NoGradient plain;
      reset_peak_memory();
      next = chain.run(block, Tensor(x)).array();
      cost.plain_peak = peak_above(before);
      cost.output = in_use() - before;
      next = Array();
    }
    {
      const Tensor in = parameter(x);
      reset_peak_memory();
      const auto start = std::chrono::steady_clock::now();
      Tensor y = chain.run(block, in);
      cost.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      cost.forward_peak = peak_above(before);
      cost.kept = in_use() - before;
      next = y.array();
      if (y.node()) {
        Array dy = Array::empty(y.shape(), y.dtype());
        kernel::fill(dy, 1);
        const size_t kept = in_use();
        reset_peak_memory();
        detail::backward_from(std::move(y), std::move(dy));
        cost.backward_peak = peak_above(kept);
      }
    }
    cost.gradient = in_use() - before - cost.output;
    costs.push_back(cost);
    x = std::move(next);
  }
  return costs;
}

}  // namespace intarsia
