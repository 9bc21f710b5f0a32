// Optimizer rules by name, and what a step hands to their kernels.
#pragma once
#include <cstdint>

namespace intarsia::kernel {

enum class UpdateRule : int {
#define UPDATE(NAME, ...) NAME,
#include "kernel/optimize/update_rules.inl"
#undef UPDATE
};
enum class UpdateDecay { coupled, decoupled, part, direction };

struct UpdateRuleInfo {
  const char* name;
  UpdateDecay decay;
  int states;
};
inline constexpr UpdateRuleInfo update_rules[] = {
#define UPDATE(NAME, DECAY, STATES, ...) {#NAME, UpdateDecay::DECAY, STATES},
#include "kernel/optimize/update_rules.inl"
#undef UPDATE
};
inline constexpr int update_rule_count = sizeof update_rules / sizeof *update_rules;
inline constexpr int most_update_states = 2;
constexpr const UpdateRuleInfo& info(UpdateRule rule) { return update_rules[static_cast<int>(rule)]; }

// What an element's step needs, worked out once a step in double: rest1 = 1 - beta1, keep = 1 - decay,
// correction = 1 / (1 - beta1^step), corrected_rate = rate * correction, inverse_root = 1 / sqrt(1 -
// beta2^step).
struct UpdateFactors {
  double scale, rate, beta1, rest1, beta2, rest2, eps, momentum, rest_momentum, decay, keep;
  double correction, corrected_rate, inverse_root;
  bool nesterov, stochastic;
  // Stochastic rounding of element i takes word 0 of philox(seed, stream, index + i).
  uint64_t seed, stream, index;
};

// Types that weights are updated in; states and gradients are f64 for f64 weights, else f32.
enum class UpdateType : int { f32, f64, bf16 };
inline constexpr int update_types = 3;
// A rounded copy that the same pass refreshes.
enum class UpdateCopy : int { none, bf16, f16 };

}  // namespace intarsia::kernel
