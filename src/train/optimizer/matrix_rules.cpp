#include "train/optimizer/matrix_rules.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "intarsia/op.h"

namespace intarsia {

namespace {

using kernel::UpdateRule;
using kernel::UpdateStep;
using kernel::UpdateTensors;

double length(const Array& x) { return std::sqrt(kernel::sum_of_squares({&x, 1})); }
double root_mean_square(const Array& x) {
  return length(x) / std::sqrt(static_cast<double>(std::max<int64_t>(x.size(), 1)));
}

// ---- Adafactor (Shazeer & Stern 2018), as PyTorch has it: the mean squares of a matrix are the outer
// product of those of its rows and of its columns. The learning rate is the largest step in units of the
// weight's size.

constexpr double mean_decay = -0.8, smallest_weight = 1e-3, largest_direction = 1;

std::vector<Shape> adafactor_states(const Shape& weight) {
  if (weight.rank() < 2) return {weight};
  Shape rows = weight, columns = weight;
  rows[-1] = 1;
  columns[-2] = 1;
  return {rows, columns};
}

// state += share * (now - state)
Tensor approach(Array& state, const Tensor& now, double share) {
  const Tensor before(state);
  Tensor after = before + (now - before) * share;
  kernel::copy(after.array(), state);
  return after;
}

double adafactor(UpdateTensors& t, const UpdateStep& s) {
  const NoGradient no_gradient;
  const double infinity = std::numeric_limits<double>::infinity();
  const double step = static_cast<double>(s.step), share = std::pow(step, mean_decay);
  const Tensor gradient = Tensor(t.gradient) * s.scale, square = gradient * gradient;
  Tensor mean_square;
  if (gradient.rank() < 2) {
    mean_square = approach(t.states[0], square, share);
  } else {
    const Tensor rows = approach(t.states[0], mean(square, {-1}, true), share);
    const Tensor columns = approach(t.states[1], mean(square, {-2}, true), share);
    mean_square = rows * columns / clamp(mean(rows, {-2}, true), s.eps, infinity);
  }
  t.gradient = (gradient * rsqrt(clamp(mean_square, s.eps * s.eps, infinity))).array();
  const double relative = std::min(s.learning_rate, 1 / std::sqrt(step));
  const double size = std::max(smallest_weight, root_mean_square(t.weight));
  const double excess = std::max(1.0, root_mean_square(t.gradient) / largest_direction);
  return s.learning_rate > 0 ? size * relative / excess / s.learning_rate : 0;
}

// ---- LAMB (You et al. 2020): Adam's direction, scaled to the length of the weight

std::vector<Shape> lamb_states(const Shape& weight) { return {weight, weight}; }

double lamb(UpdateTensors& t, const UpdateStep& s) {
  kernel::update(UpdateRule::lamb, {&t, 1}, s);
  const double weight = length(t.weight), direction = length(t.gradient);
  return weight > 0 && direction > 0 ? weight / direction : 1;
}

// ---- Muon (Jordan 2024): momentum made orthogonal, so that all its singular values are about one. The step
// has the size that AdamW's has (Liu et al. 2025), so one learning rate and one decay serve both.

std::vector<Shape> muon_states(const Shape& weight) { return {weight}; }

// Newton and Schulz's iteration with a quintic whose slope at 0 is steep: singular values end in about 0.7
// to 1.2.
Tensor orthogonal(Tensor x) {
  constexpr double a = 3.4445, b = -4.7750, c = 2.0315, smallest = 1e-7;
  constexpr int steps = 5;
  const bool tall = x.dim(0) > x.dim(1);
  if (tall) x = transpose(x);
  x = x * (1 / std::max(length(kernel::contiguous(x.array())), smallest));
  for (int i = 0; i < steps; i++) {
    const Tensor gram = matmul(x, transpose(x));
    x = x * a + matmul(gram * b + matmul(gram, gram) * c, x);
  }
  return tall ? transpose(x) : x;
}

double muon(UpdateTensors& t, const UpdateStep& s) {
  const NoGradient no_gradient;
  kernel::update(UpdateRule::muon, {&t, 1}, s);
  t.gradient = kernel::contiguous(orthogonal(Tensor(t.gradient)).array());
  return 0.2 * std::sqrt(static_cast<double>(std::max(t.weight.dim(0), t.weight.dim(1))));
}

constexpr MatrixRule rules[] = {
    {"adafactor", false, false, adafactor_states, adafactor},
    {"lamb", true, false, lamb_states, lamb},
    {"muon", false, true, muon_states, muon},
};

}  // namespace

const MatrixRule* matrix_rule(std::string_view name) {
  for (const MatrixRule& rule : rules)
    if (name == rule.name) return &rule;
  return nullptr;
}

}  // namespace intarsia
