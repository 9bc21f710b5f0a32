// intarsia bench optimizer: a step of each element-wise optimizer. Its limit is the memory: every weight,
// gradient and state is read once, every weight and state written once.
#include <fmt/core.h>

#include <memory>

#include "cli/bench/item.h"
#include "core/format.h"

namespace intarsia::cli {

Item update_item(kernel::UpdateRule rule, int64_t n, int64_t arrays, bool copy) {
  const kernel::UpdateRuleInfo& about = kernel::info(rule);
  const double bytes = 4.0 * (3 + 2 * about.states) + (copy ? 2 : 0);
  Json request;
  if (!copy && about.decay != kernel::UpdateDecay::direction && rule != kernel::UpdateRule::lion)
    request = {{"name", about.name}, {"n", n}, {"tensors", arrays}};
  const int64_t each = n / arrays;
  return {fmt::format("{} f32 {} in {}{}", about.name, format_short(static_cast<double>(n)), arrays,
                      copy ? ", bf16 copy" : ""),
          request,
          [=]() -> Call {
            auto tensors = std::make_shared<std::vector<kernel::UpdateTensors>>();
            for (int64_t i = 0; i < arrays; i++) {
              const Shape shape{each};
              kernel::UpdateTensors t;
              t.weight = random_array(shape, DType::f32);
              t.gradient = random_array(shape, DType::f32, 1);
              for (int k = 0; k < kernel::info(rule).states; k++) t.states[k] = Array::zeros(shape);
              if (copy) t.copy = Array::zeros(shape, DType::bf16);
              tensors->push_back(std::move(t));
            }
            return [tensors, rule, step = int64_t{0}]() mutable {
              kernel::UpdateStep s;
              s.learning_rate = 1e-3;
              s.beta1 = 0.9;
              s.beta2 = 0.95;
              s.eps = 1e-8;
              s.momentum = 0.9;
              s.decay = 1e-4;
              s.step = ++step;
              kernel::update(rule, *tensors, s);
            };
          },
          bytes* static_cast<double>(each * arrays),
          Item::Unit::bytes,
          DType::f32};
}

std::vector<Item> optimizer_items() {
  using kernel::UpdateRule;
  constexpr int64_t many = int64_t{1} << 24;
  std::vector<Item> items;
  for (const UpdateRule rule : {UpdateRule::adamw, UpdateRule::adam, UpdateRule::sgd, UpdateRule::rmsprop,
                                UpdateRule::adagrad, UpdateRule::lion})
    items.push_back(update_item(rule, many, 8, false));
  items.push_back(update_item(UpdateRule::adamw, many, 8, true));
  items.push_back(update_item(UpdateRule::adamw, 800000, 30, false));
  return items;
}

}  // namespace intarsia::cli
