// Rotary positions (Su et al. 2021): which frequencies a model turns its heads by, and their tables.
#pragma once
#include <mutex>
#include <string>
#include <vector>

#include "intarsia/op.h"

namespace intarsia {

// How frequencies are changed for contexts longer than those trained on. Each is divided by a factor:
//   default  1
//   linear   `factor` (Chen et al. 2023)
//   llama3   1 for short waves, `factor` for long ones, a blend between (Llama 3.1)
//   factors  as listed
struct RopeScaling {
  std::string type = "default";
  double factor = 1;
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  int64_t original_max_position_embeddings = 8192;
  std::vector<float> factors;
};

struct Rope {
  double theta = 10000;
  RopeScaling scaling;

  // Of `size` rotated features: size / 2 of each. A factor is rounded to f32, the type that files keep it in,
  // so that a model gives the same bits from each of them.
  std::vector<float> factors(int64_t size) const;
  std::vector<double> frequencies(int64_t size) const;
};

// A table of cosines and sines that grows with the positions asked for. May be used by several threads at
// once.
class RotaryPositions {
 public:
  RotaryPositions(const Rope& rope, int64_t size, int64_t context);
  // A table for positions 0 to count - 1 at least.
  RopeTable table(int64_t count) const;

 private:
  std::vector<double> frequencies_;
  int64_t context_;
  mutable std::mutex mutex_;
  mutable RopeTable table_;
};

}  // namespace intarsia
