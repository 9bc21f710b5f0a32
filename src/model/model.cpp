#include "intarsia/model.h"

#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "intarsia/op.h"
#include "kernel/kernels.h"
#include "model/architecture.h"

namespace intarsia {

Tensor Weight::value() const { return packed && packed->panels ? unpack(*packed) : *tensor; }

Shape Weight::shape() const {
  return packed && packed->panels ? Shape{packed->outputs, packed->inputs} : tensor->shape();
}

int64_t Model::parameter_count() const {
  int64_t total = 0;
  for (const Weight& weight : weights_) total += weight.shape().count();
  return total;
}

Tensor Model::loss(const Tensor& hidden, const Tensor& targets) const {
  return cross_entropy(logits(hidden), targets);
}

Chain Model::layers(const Tensor&, Cache*) const { fail("{}: has no chain of layers", model_type()); }

int64_t Model::first_position(const Tensor& ids, const Cache* cache) const {
  if (ids.rank() != 2 || ids.dim(0) < 1 || ids.dim(1) < 1 || (cache && ids.dim(0) != 1))
    fail("{}: ids have shape {}, expected [{}, time]", model_type(), ids.shape().text(),
         cache ? "1" : "batch");
  const int64_t first = cache ? cache->length() : 0;
  if (first + ids.dim(1) > context())
    fail("{}: {} positions are asked for, the model's context is {}", model_type(), first + ids.dim(1),
         context());
  return first;
}

std::unique_ptr<Model> make_model(std::string_view config_json, uint64_t seed, DType dtype) {
  if (!is_float(dtype))
    fail("make_model: weights of type {} are asked for, expected a float type", info(dtype).name);
  // Each weight has a stream of its own, so its values do not depend on the sizes of those before it.
  uint64_t stream = 0;
  const WeightSource drawn = [&](const Weight& weight, const Shape& shape) -> Tensor {
    stream++;
    if (weight.deviation > 0) return kernel::cast(normal(shape, weight.deviation, seed, stream), dtype);
    Array values = Array::empty(shape, dtype);
    kernel::fill(values, weight.deviation < 0 ? 1 : 0);
    return values;
  };
  return build_model(parse_json(config_json, "model config"), "model config", drawn);
}

}  // namespace intarsia
