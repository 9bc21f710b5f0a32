#include "model/weights.h"

#include <fmt/core.h>

#include <cmath>

namespace intarsia {

double residual_deviation(double deviation, int64_t layers) {
  return deviation / std::sqrt(2.0 * static_cast<double>(layers));
}

Weights Weights::at(std::string_view part) const {
  Weights below = *this;
  below.prefix_ = fmt::format("{}{}.", prefix_, part);
  return below;
}

Weights Weights::at(std::string_view part, int64_t index) const {
  return at(fmt::format("{}.{}", part, index));
}

void Weights::add(Weight weight, const Shape& shape) const {
  *weight.tensor = (*source_)(weight, shape);
  list_->push_back(std::move(weight));
}

void Weights::table(std::string_view name, Tensor& tensor, int64_t rows, int64_t columns) const {
  add({.name = fmt::format("{}{}.weight", prefix_, name),
       .tensor = &tensor,
       .decay = true,
       .deviation = deviation_,
       .table = true},
      {rows, columns});
}

void Weights::linear(std::string_view name, Linear& layer, int64_t in, int64_t out,
                     const LinearOptions& options) const {
  const double deviation = options.deviation < 0 ? deviation_ : options.deviation;
  add({fmt::format("{}{}.weight", prefix_, name), &layer.weight, true, deviation, options.transposed,
       options.rotary_heads, false, &layer.packed},
      {out, in});
  if (!options.bias) return;
  add({fmt::format("{}{}.bias", prefix_, name), &layer.bias, false, 0, false, options.rotary_heads}, {out});
}

void Weights::norm(std::string_view name, RmsNorm& layer, int64_t width, double eps) const {
  layer.eps = eps;
  add({fmt::format("{}{}.weight", prefix_, name), &layer.weight, false, -1}, {width});
}

void Weights::norm(std::string_view name, LayerNorm& layer, int64_t width, double eps) const {
  layer.eps = eps;
  add({fmt::format("{}{}.weight", prefix_, name), &layer.weight, false, -1}, {width});
  add({fmt::format("{}{}.bias", prefix_, name), &layer.bias, false, 0}, {width});
}

}  // namespace intarsia
