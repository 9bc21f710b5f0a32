#include "train/optimizer.h"

#include <cmath>
#include <cstring>

#include "core/fail.h"

namespace intarsia {

Optimizer::Optimizer(Model& model, const Recipe::Optimizer& options, DType compute)
    : options_(options), adamw_(options.kind == "adamw") {
  if (!adamw_ && options.kind != "sgd")
    fail("recipe: optimizer.kind is \"{}\", expected adamw or sgd", options.kind);
  model.compute = compute;
  for (Weight& weight : model.weights()) {
    const Array& value = weight.tensor->array();
    if (!is_float(value.dtype()))
      fail("optimizer: {} is stored as {}, expected a float type", weight.name, info(value.dtype()).name);
    Entry entry;
    entry.name = weight.name;
    entry.decay = weight.decay;
    entry.master = Array::empty(value.shape());  // a copy: the value may be a mapped file
    kernel::copy(value, entry.master);
    entry.m = Array::zeros(value.shape());
    if (adamw_) entry.v = Array::zeros(value.shape());
    entry.parameter = compute == DType::f32
                          ? intarsia::parameter(entry.master)
                          : intarsia::parameter(kernel::cast(entry.master, compute), DType::f32);
    *weight.tensor = entry.parameter;
    entries_.push_back(std::move(entry));
  }
}

double Optimizer::step(double learning_rate) {
  gradients_.clear();
  decayed_.clear();
  plain_.clear();
  for (const Entry& entry : entries_) {
    Array gradient = entry.parameter.gradient();
    if (!gradient) continue;  // the loss does not depend on this weight
    entry.parameter.clear_gradient();
    gradient = kernel::contiguous(gradient);
    gradients_.push_back(gradient);
    const bool rounded = entry.parameter.dtype() != DType::f32;
    kernel::AdamWTensors tensors{entry.master, gradient, entry.m, entry.v,
                                 rounded ? entry.parameter.array() : Array()};
    (entry.decay ? decayed_ : plain_).push_back(std::move(tensors));
  }
  const double norm = std::sqrt(kernel::sum_of_squares(gradients_));
  gradients_.clear();
  if (!std::isfinite(norm)) {
    decayed_.clear();
    plain_.clear();
    fail_hint("lower optimizer.learning_rate, or raise schedule.warm_up",
              "training: the gradient is not finite at step {}", steps_ + 1);
  }
  steps_++;
  // PyTorch's clip_grad_norm_ has the same small term.
  const double scale = options_.clip > 0 ? std::min(1.0, options_.clip / (norm + 1e-6)) : 1.0;
  update(decayed_, learning_rate, options_.weight_decay, scale);
  update(plain_, learning_rate, 0, scale);
  decayed_.clear();
  plain_.clear();
  return norm;
}

void Optimizer::update(std::vector<kernel::AdamWTensors>& group, double learning_rate, double weight_decay,
                       double scale) {
  if (group.empty()) return;
  if (adamw_) {
    kernel::adamw(group, {.learning_rate = learning_rate,
                          .beta1 = options_.beta1,
                          .beta2 = options_.beta2,
                          .eps = options_.eps,
                          .weight_decay = weight_decay,
                          .scale = scale,
                          .step = steps_});
  } else {
    kernel::sgd(group, {.learning_rate = learning_rate,
                        .momentum = options_.momentum,
                        .weight_decay = weight_decay,
                        .scale = scale,
                        .first = steps_ == 1});
  }
}

size_t Optimizer::bytes() const {
  size_t total = 0;
  for (const Entry& entry : entries_) {
    total += entry.master.bytes() + entry.m.bytes();
    if (entry.v) total += entry.v.bytes();
    if (entry.parameter.dtype() != DType::f32) total += entry.parameter.array().bytes();
  }
  return total;
}

void Optimizer::restore(int64_t steps, const std::vector<Array>& m, const std::vector<Array>& v) {
  const auto take = [](const Entry& entry, const Array& from, Array& to) {
    if (from.shape() != to.shape() || from.dtype() != DType::f32)
      fail("optimizer: the state of {} is {} {}, expected f32 {}", entry.name, info(from.dtype()).name,
           from.shape().text(), to.shape().text());
    kernel::copy(from, to);
  };
  for (size_t i = 0; i < entries_.size(); i++) {
    take(entries_[i], m.at(i), entries_[i].m);
    if (adamw_) take(entries_[i], v.at(i), entries_[i].v);
  }
  steps_ = steps;
}

void Optimizer::show_masters(Model& model, bool masters) {
  size_t i = 0;
  for (Weight& weight : model.weights()) {
    const Entry& entry = entries_[i++];
    *weight.tensor = masters ? Tensor(entry.master) : entry.parameter;
  }
}

}  // namespace intarsia
