#include "train/recipe.h"

namespace intarsia {

std::unique_ptr<const Autocast> autocast_of(const Recipe& recipe) {
  const Recipe::Precision& p = recipe.precision;
  if (p.narrow.empty() && p.wide.empty()) return nullptr;
  const DType compute = dtype_named(recipe.training.compute);
  return std::make_unique<const Autocast>(compute == DType::f32 ? DType::bf16 : compute, p.narrow, p.wide);
}

}  // namespace intarsia
