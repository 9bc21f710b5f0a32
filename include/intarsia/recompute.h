// Gradient checkpointing: memory for time. A chain of blocks keeps the inputs of some blocks only and runs
// the others again during backward (Chen et al. 2016; Griewank and Walther 2000). The gradients have the same
// bits.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "intarsia/tensor.h"

namespace intarsia {

// run(blocks - 1, ... run(0, x)). `run` must be a pure function of x and of parameters.
struct Chain {
  Tensor x;
  int64_t blocks = 0;
  std::function<Tensor(int64_t block, const Tensor& x)> run;
};

// Blocks [first, last): all that their backward needs is kept or, if `again` is not empty, nothing but the
// input of the first. Then they are run once more, as the stretches of `again` say.
struct Stretch {
  int64_t first = 0, last = 0;
  std::vector<Stretch> again;
};
// The stretches of a chain, in order and without gaps. An empty plan keeps everything.
using RecomputePlan = std::vector<Stretch>;

Tensor run_chain(const Chain& chain, const RecomputePlan& plan);

// Every `period` blocks are run again, from their own input.
RecomputePlan recompute_each(int64_t blocks, int64_t period = 1);
// `segments` stretches of nearly equal length, each run again as a whole. With sqrt(blocks) of them, memory
// is least: that many inputs, and what the blocks of one stretch keep.
RecomputePlan recompute_segments(int64_t blocks, int64_t segments);
// The fewest runs with at most `slots` inputs kept, the chain's own among them, and one block's memory: n
// blocks need no block more than r + 1 times where n <= C(slots + r, slots).
RecomputePlan recompute_binomial(int64_t blocks, int64_t slots);

// What one block costs, in bytes of the pool and seconds.
struct BlockCost {
  size_t output = 0;         // its result
  size_t kept = 0;           // the result and all that its backward needs
  size_t forward_peak = 0;   // at most during a recorded run
  size_t plain_peak = 0;     // at most during a run that keeps nothing
  size_t backward_peak = 0;  // at most during its backward, beyond what it kept
  size_t gradient = 0;       // of its parameters
  double seconds = 0;        // of a run
};
// Runs each block forward and backward once, with `chain.x` as it is. The parameters must have no gradients
// yet, and have some afterwards: clear them.
std::vector<BlockCost> measure_blocks(const Chain& chain);

// The pool's highest use during a forward and backward of the chain, beyond what is in use at its start.
size_t forecast_peak(const RecomputePlan& plan, std::span<const BlockCost> blocks);
// The seconds that the blocks run again take.
double recomputed_seconds(const RecomputePlan& plan, std::span<const BlockCost> blocks);
// The plan that takes the least time and whose forecast is at most `bytes`, by dynamic programming over
// stretches and memory. Throws, naming the least that is possible, if there is none.
RecomputePlan recompute_within(size_t bytes, std::span<const BlockCost> blocks);

}  // namespace intarsia
