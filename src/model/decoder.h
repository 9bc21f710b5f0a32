// What models that write text from left to right share: everything but their layers.
#pragma once
#include "intarsia/op.h"
#include "model/architecture.h"
#include "model/cache.h"

namespace intarsia {

class Decoder : public Model {
 public:
  std::unique_ptr<Cache> make_cache() const override {
    return std::make_unique<Cache>(shape_.layers, shape_.kv_heads, shape_.head_size, compute);
  }
  int64_t context() const override { return shape_.context; }
  int64_t vocabulary() const override { return shape_.vocabulary; }
  std::string config_json() const override { return key_.json(); }
  const char* model_type() const override { return architecture_.model_type; }
  Tensor logits(const Tensor& hidden) const override { return linear(hidden, head()); }
  Tensor loss(const Tensor& hidden, const Tensor& targets) const override {
    return linear_cross_entropy(hidden, head(), targets);
  }
  Tensor hidden(const Tensor& ids, Cache* cache) const override {
    const Tensor x = run_chain(layers(ids, cache), recompute);
    if (cache) cache->advance(ids.dim(1));
    return last_norm(x);
  }

 protected:
  struct DecoderShape {
    int64_t vocabulary, context, layers, kv_heads, head_size;
  };
  virtual const Tensor& head() const = 0;  // [V, D]
  Decoder(const Architecture& architecture, const ConfigKeys& key, const DecoderShape& shape)
      : architecture_(architecture), key_(key), shape_(shape) {
    key_.token_ids(shape.vocabulary);
  }

 private:
  const Architecture& architecture_;
  ConfigKeys key_;
  DecoderShape shape_;
};

}  // namespace intarsia
