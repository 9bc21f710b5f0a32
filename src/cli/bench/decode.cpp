// intarsia bench decode: one token reads a cache of 16,384 positions through its block table, and a token of
// a small LLaMA reads its weights. Both are bound by reading: beside them the same bytes are only read.
#include <fmt/core.h>

#include <memory>

#include "cli/bench/item.h"
#include "intarsia/model.h"
#include "intarsia/op.h"
#include "kernel/measure.h"

namespace intarsia::cli {
namespace {

constexpr int64_t keys = 16384, heads = 12, head_size = 64, block = Cache::block;

struct Layer {
  Array all[2];             // keys, values: the memory of the blocks
  std::vector<Array> k, v;  // the blocks, in no order of memory
};

// Layers take turns, so that together they are far beyond the caches.
std::shared_ptr<std::vector<Layer>> make_layers(int64_t count, int64_t kv_heads) {
  auto layers = std::make_shared<std::vector<Layer>>(static_cast<size_t>(count));
  uint64_t stream = 2;
  for (Layer& layer : *layers)
    for (int half : {0, 1}) {
      layer.all[half] = random_array({keys, kv_heads, head_size}, DType::bf16, stream++);
      const Array& all = layer.all[half];
      for (int64_t i = 0; i < keys / block; i++) {
        const int64_t place = i * 37 % (keys / block);
        (half ? layer.v : layer.k)
            .push_back(
                all.view({block, kv_heads, head_size}, all.strides(), place * block * all.strides()[0]));
      }
    }
  return layers;
}

Item cache_item(int64_t kv_heads) {
  const int64_t bytes = 2 * keys * kv_heads * head_size * 2, layers = (int64_t{256} << 20) / bytes + 1;
  Item item;
  item.title =
      fmt::format("decode bf16, {} keys, {} heads over {}, {} layers", keys, heads, kv_heads, layers);
  item.request = {{"name", "decode"}, {"heads", heads},         {"kv_heads", kv_heads}, {"tokens", keys},
                  {"layers", layers}, {"head_size", head_size}, {"dtype", "bf16"}};
  item.work = static_cast<double>(bytes * layers);
  item.unit = Item::Unit::bytes;
  item.dtype = DType::bf16;
  item.prepare = [=]() -> Call {
    const auto cache = make_layers(layers, kv_heads);
    const Tensor q = random_array({1, 1, heads, head_size}, DType::bf16, 1);
    return [=] {
      const NoGradient off;
      for (const Layer& layer : *cache) attention(q, layer.k, layer.v, block, keys);
    };
  };
  item.limit = [=]() -> Call {
    const auto cache = make_layers(layers, kv_heads);
    return [=] {
      for (const Layer& layer : *cache)
        for (const Array& half : layer.all) kernel::read_only(half);
    };
  };
  return item;
}

// SmolLM2-135M's shape.
constexpr const char* small_llama =
    R"({"model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
  "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 2048,
  "rms_norm_eps": 1e-5, "rope_theta": 100000, "tie_word_embeddings": true})";

Item token_item() {
  const auto make = [] {
    std::shared_ptr<Model> model = make_model(small_llama, 1, DType::bf16);
    model->compute = DType::bf16;
    for (Weight& weight : model->weights())
      if (weight.packed) {
        *weight.packed = pack(*weight.tensor);
        *weight.tensor = Tensor();
      }
    return model;
  };
  int64_t elements = 0;
  const std::unique_ptr<Model> plain = make_model(small_llama, 1, DType::bf16);
  for (const Weight& weight : plain->weights()) elements += weight.tensor->array().size();
  Item item;
  item.title = "token bf16, LLaMA of 30 layers of 576, 64 behind it";
  item.work = 2.0 * static_cast<double>(elements);
  item.unit = Item::Unit::bytes;
  item.dtype = DType::bf16;
  item.prepare = [=]() -> Call {
    const auto model = make();
    const std::shared_ptr<Cache> cache = model->make_cache();
    const NoGradient off;
    (*model)(Tensor(Array::zeros({1, 64}, DType::i32)), cache.get());
    return [=] {
      const NoGradient no_gradient;
      (*model)(Tensor(Array::zeros({1, 1}, DType::i32)), cache.get());
      cache->rewind(64);
    };
  };
  item.limit = [=]() -> Call {
    const Array weights = random_array({elements}, DType::bf16);
    return [=] { kernel::read_only(weights); };
  };
  return item;
}

}  // namespace

std::vector<Item> decode_items() { return {cache_item(3), cache_item(12), token_item()}; }

}  // namespace intarsia::cli
