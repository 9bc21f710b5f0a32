#include "train/optimizer/optimizer.h"

#include <algorithm>
#include <cmath>

#include "core/fail.h"

namespace intarsia {

namespace {

constexpr uint64_t rounding_seed = 0x726f756e64;
constexpr double smallest_scale = 0x1p-24, largest_scale = 0x1p60;

}  // namespace

Optimizer::Optimizer(Model& model, const Recipe::Optimizer& options, DType compute,
                     const Recipe::Precision& precision, const Recipe::Average& average, int64_t total_steps)
    : options_(options),
      precision_(precision),
      average_(average),
      compute_(compute),
      average_start_(average.kind == "swa"
                         ? static_cast<int64_t>(average.start_share * static_cast<double>(total_steps))
                         : 0) {
  if (!precision.masters && compute != DType::bf16)
    fail("recipe: precision.masters is false with {} compute, expected bf16", info(compute).name);
  if (compute == DType::f16 && precision.loss_scale > 0) state_.loss_scale = precision.loss_scale;
  model.compute = compute;
  const DType wide = compute == DType::f64 ? DType::f64 : DType::f32;
  const DType stored = precision.masters ? wide : compute;
  uint64_t index = 0;
  for (Weight& weight : model.weights()) {
    const Array& value = weight.tensor->array();
    if (!is_float(value.dtype()))
      fail("optimizer: {} is stored as {}, expected a float type", weight.name, info(value.dtype()).name);
    Entry entry;
    entry.name = weight.name;
    entry.index = index;
    entry.group = group_for(weight);
    entry.master = Array::empty(value.shape(), stored);  // a copy: the value may be a mapped file
    kernel::copy(value, entry.master);
    const Group& group = groups_[entry.group];
    if (group.matrix)
      for (const Shape& shape : group.matrix->states(value.shape()))
        entry.states.push_back(Array::zeros(shape, wide));
    else
      for (int i = 0; i < kernel::info(group.rule).states; i++)
        entry.states.push_back(Array::zeros(value.shape(), wide));
    if (averages()) {
      entry.average = Array::empty(value.shape(), wide);
      kernel::copy(value, entry.average);
    }
    entry.parameter = stored == compute ? parameter(entry.master, wide)
                                        : parameter(kernel::cast(entry.master, compute), wide);
    *weight.tensor = entry.parameter;
    index += static_cast<uint64_t>(value.size());
    entries_.push_back(std::move(entry));
  }
}

size_t Optimizer::group_for(const Weight& weight) {
  const bool hidden = weight.tensor->rank() == 2 && !weight.table;
  const bool decay =
      options_.decay_on == "all" || (weight.decay && (options_.decay_on != "hidden" || hidden));
  Group group{kernel::UpdateRule::adamw, matrix_rule(options_.kind), decay, {}};
  bool known = group.matrix != nullptr;
  if (group.matrix && group.matrix->hidden_only && !hidden) group.matrix = nullptr;
  for (int i = 0; i < kernel::update_rule_count && !known; i++) {
    group.rule = static_cast<kernel::UpdateRule>(i);
    known = options_.kind == kernel::update_rules[i].name;
  }
  if (!known) fail("recipe: optimizer.kind is \"{}\", expected one of {}", options_.kind, optimizer_names);
  for (size_t i = 0; i < groups_.size(); i++)
    if (groups_[i].rule == group.rule && groups_[i].matrix == group.matrix && groups_[i].decay == decay)
      return i;
  groups_.push_back(std::move(group));
  return groups_.size() - 1;
}

double Optimizer::step(double learning_rate) {
  for (Entry& entry : entries_) {
    Array gradient = entry.parameter.gradient();
    if (!gradient) continue;  // the loss does not depend on this weight
    entry.parameter.clear_gradient();
    Group& group = groups_[entry.group];
    gradient = kernel::contiguous(gradient);
    // A rule for whole arrays writes to the gradient, which two weights of one sum may share.
    if (group.matrix && !gradient.unique()) {
      Array own = Array::empty(gradient.shape(), gradient.dtype());
      kernel::copy(gradient, own);
      gradient = own;
    }
    gradients_.push_back(gradient);
    kernel::UpdateTensors tensors;
    tensors.weight = entry.master;
    tensors.gradient = gradient;
    for (size_t i = 0; i < entry.states.size(); i++) tensors.states[i] = entry.states[i];
    if (entry.parameter.dtype() != entry.master.dtype()) tensors.copy = entry.parameter.array();
    tensors.index = entry.index;
    group.tensors.push_back(std::move(tensors));
  }
  const double norm = std::sqrt(kernel::sum_of_squares(gradients_)) / state_.loss_scale;
  gradients_.clear();
  if (scaled_well(norm)) {
    // PyTorch's clip_grad_norm_ has the same small term.
    const double clip = options_.clip > 0 ? std::min(1.0, options_.clip / (norm + 1e-6)) : 1.0;
    const double scale = clip / state_.loss_scale;
    state_.steps++;
    for (Group& group : groups_) update(group, learning_rate, scale);
    update_averages();
    if (state_.good_steps == precision_.growth_interval && state_.loss_scale < largest_scale) {
      state_.loss_scale *= 2;
      state_.good_steps = 0;
    }
  }
  for (Group& group : groups_) group.tensors.clear();
  return norm;
}

// Whether the step is to be taken. Counts good ones, and halves the scale after a bad one.
bool Optimizer::scaled_well(double norm) {
  const bool scaling = compute_ == DType::f16 && precision_.loss_scale > 0;
  if (std::isfinite(norm)) {
    if (scaling) state_.good_steps++;
    return true;
  }
  const bool hopeless = state_.loss_scale <= smallest_scale;
  if (!scaling || hopeless) {
    for (Group& group : groups_) group.tensors.clear();
    fail_hint("lower optimizer.learning_rate, or raise schedule.warm_up",
              "training: the gradient is not finite at step {}", state_.steps + 1);
  }
  state_.loss_scale /= 2;
  state_.good_steps = 0;
  return false;
}

void Optimizer::update(Group& group, double learning_rate, double scale) {
  if (group.tensors.empty()) return;
  const double decay = group.decay ? options_.weight_decay : 0;
  // The share of a weight that goes in a step, where decay stands beside the gradient.
  const double times =
      options_.decay_scale == "rate" ? learning_rate : learning_rate / options_.learning_rate;
  kernel::UpdateStep step;
  step.learning_rate = learning_rate;
  step.beta1 = options_.beta1;
  step.beta2 = options_.beta2;
  step.eps = options_.eps;
  step.momentum = options_.momentum;
  step.nesterov = options_.nesterov;
  step.scale = scale;
  step.step = state_.steps;
  step.stochastic = precision_.rounding == "stochastic";
  step.seed = rounding_seed;
  if (!group.matrix) {
    const bool coupled = kernel::info(group.rule).decay == kernel::UpdateDecay::coupled;
    step.decay = coupled || decay == 0 ? decay : decay * times;
    kernel::update(group.rule, group.tensors, step);
    return;
  }
  for (kernel::UpdateTensors& tensors : group.tensors) {
    kernel::UpdateStep along = step;
    step.decay = decay;
    along.learning_rate = learning_rate * group.matrix->direction(tensors, step);
    along.scale = 1;
    along.decay = group.matrix->decay_in_direction || decay == 0 ? 0 : decay * times;
    kernel::update(kernel::UpdateRule::descend, {&tensors, 1}, along);
  }
}

// ema: moves towards the weights by 1 - decay. swa: the mean of the weights of all steps since its start
// (Izmailov et al. 2018). Both are the weights themselves after the first step, as PyTorch's are.
void Optimizer::update_averages() {
  if (!averages()) return;
  const int64_t before = std::max<int64_t>(0, state_.steps - 1 - average_start_);  // steps in the mean
  double share = 1 - average_.decay;
  if (average_.kind == "swa") share = 1 / static_cast<double>(before + 1);
  for (Entry& entry : entries_) {
    if (before == 0) {
      kernel::copy(entry.master, entry.average);
      continue;
    }
    kernel::UpdateTensors tensors;
    tensors.weight = entry.average;
    tensors.gradient = kernel::cast(entry.master, entry.average.dtype());
    kernel::UpdateStep step;
    step.learning_rate = share;
    kernel::update(kernel::UpdateRule::approach, {&tensors, 1}, step);
  }
}

size_t Optimizer::bytes() const {
  size_t total = 0;
  for (const Entry& entry : entries_) {
    total += entry.master.bytes();
    for (const Array& state : entry.states) total += state.bytes();
    if (entry.average) total += entry.average.bytes();
    if (entry.parameter.dtype() != entry.master.dtype()) total += entry.parameter.array().bytes();
  }
  return total;
}

std::vector<Optimizer::Part> Optimizer::parts() const {
  constexpr const char* state_names[] = {".m", ".v"};
  std::vector<Part> parts;
  for (const Entry& entry : entries_) {
    for (size_t i = 0; i < std::min(entry.states.size(), std::size(state_names)); i++)
      parts.push_back({entry.name + state_names[i], entry.states[i]});
    // The model's file then holds the average.
    if (entry.average) {
      parts.push_back({entry.name + ".weight", entry.master});
      parts.push_back({entry.name + ".average", entry.average});
    }
  }
  return parts;
}

void Optimizer::restore(const State& state) {
  state_ = state;
  for (Entry& entry : entries_)
    if (entry.parameter.dtype() != entry.master.dtype()) {
      Array copy = entry.parameter.array();
      kernel::copy(entry.master, copy);
    }
}

void Optimizer::show(Model& model, Shown shown) {
  size_t i = 0;
  for (Weight& weight : model.weights()) {
    const Entry& entry = entries_[i++];
    if (shown == Shown::parameters)
      *weight.tensor = entry.parameter;
    else if (shown == Shown::saved)
      *weight.tensor = Tensor(averages() ? entry.average : entry.master);
    else
      *weight.tensor = Tensor(kernel::cast(entry.average, compute_));
  }
}

}  // namespace intarsia
