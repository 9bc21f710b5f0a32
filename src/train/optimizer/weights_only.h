// Weights without an architecture: what an optimizer needs of a model.
#pragma once
#include "intarsia/model.h"

namespace intarsia {

class WeightsOnly : public Model {
 public:
  explicit WeightsOnly(std::vector<Weight> weights = {}) { weights_ = std::move(weights); }
  Tensor hidden(const Tensor& ids, Cache*) const override { return ids; }
  Tensor logits(const Tensor& hidden) const override { return hidden; }
  std::unique_ptr<Cache> make_cache() const override { return nullptr; }
  int64_t context() const override { return 1; }
  int64_t vocabulary() const override { return 1; }
  std::string config_json() const override { return "{}"; }
  const char* model_type() const override { return "weights only"; }
};

}  // namespace intarsia
