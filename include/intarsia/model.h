// Models: an architecture, its weights, its cache. A Model's weights are Tensors; training, generation,
// saving and counting walk the same list. One Model may serve several Caches, from one thread at a time each.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "intarsia/recompute.h"
#include "intarsia/tensor.h"
#include "intarsia/tokenizer.h"

namespace intarsia {

// Keys and values of one sequence, in blocks of 256 positions. A step appends to every layer, then advances.
class Cache {
 public:
  static constexpr int64_t block = 256;
  Cache(int64_t layers, int64_t kv_heads, int64_t head_size, DType dtype);
  int64_t length() const { return length_; }  // positions held by every layer
  // Stores k and v [1, T, Hkv, d] of positions length() to length() + T - 1 of a layer.
  void append(int64_t layer, const Array& k, const Array& v);
  void advance(int64_t tokens) { length_ += tokens; }
  void rewind(int64_t length);  // forgets the newest positions; their memory is used again
  // Blocks of a layer, [256, Hkv, d] each.
  std::span<const Array> keys(int64_t layer) const { return layers_[static_cast<size_t>(layer)].k; }
  std::span<const Array> values(int64_t layer) const { return layers_[static_cast<size_t>(layer)].v; }
  size_t bytes() const;
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

 private:
  struct Layer {
    std::vector<Array> k, v;
  };
  std::vector<Layer> layers_;
  int64_t kv_heads_, head_size_, length_ = 0;
  DType dtype_;
};

struct PackedWeight;

struct Weight {
  std::string name;         // the checkpoint's own: "model.layers.0.mlp.up_proj.weight"
  Tensor* tensor;           // the model's member
  bool decay;               // whether weight decay applies (matrices yes; norms, biases no)
  double deviation;         // of the initial normal distribution; 0: zeros; negative: ones
  bool transposed = false;  // Hugging Face's files hold [in, out]; the model and GGUF have [out, in]
  int64_t rotary_heads =
      0;               // not 0: rows are this many heads, whose halves GGUF and llama2.c keep as neighbours
  bool table = false;  // one row a token id or position: embeddings and what shares them
  PackedWeight* packed = nullptr;  // of a linear layer: what holds its matrix if `tensor` is empty
  Tensor value() const;            // the tensor, or the packed matrix as a plain one
  Shape shape() const;             // of that
};

class Model {
 public:
  virtual ~Model() = default;
  // ids [B, T] i32 -> hidden states after the last norm [B, T, D]. With a cache (B = 1), ids continue it.
  virtual Tensor hidden(const Tensor& ids, Cache* cache = nullptr) const = 0;
  // The same as a chain of blocks, two a layer: attention, then feed-forward; and what follows it. The cache
  // must outlive the chain, and is not advanced. A model that has no such chain throws.
  virtual Chain layers(const Tensor& ids, Cache* cache = nullptr) const;
  virtual Tensor last_norm(const Tensor& x) const { return x; }
  static constexpr int64_t blocks_a_layer = 2;
  // Hidden states [..., D] -> logits [..., V].
  virtual Tensor logits(const Tensor& hidden) const = 0;
  // The mean cross entropy of targets [...], integers (-100: not counted), after hidden states [..., D].
  virtual Tensor loss(const Tensor& hidden, const Tensor& targets) const;
  Tensor operator()(const Tensor& ids, Cache* cache = nullptr) const { return logits(hidden(ids, cache)); }
  virtual std::unique_ptr<Cache> make_cache() const = 0;
  virtual int64_t context() const = 0;  // positions the model was made for
  virtual int64_t vocabulary() const = 0;
  virtual std::string config_json() const = 0;  // config.json as Hugging Face writes it, every key resolved
  virtual const char* model_type() const = 0;

  std::vector<Weight>& weights() { return weights_; }
  const std::vector<Weight>& weights() const { return weights_; }
  int64_t parameter_count() const;
  DType compute = DType::f32;  // type of activations
  RecomputePlan recompute;     // of the blocks of layers(), in training

 protected:
  // Checks ids [B, T] against the cache and the context; returns the position of the first.
  int64_t first_position(const Tensor& ids, const Cache* cache) const;
  std::vector<Weight> weights_;
};

// A fresh model from the text of a config.json (its model_type chooses the architecture), weights drawn from
// `seed`.
std::unique_ptr<Model> make_model(std::string_view config_json, uint64_t seed, DType weights = DType::f32);

// What a path holds: model and tokenizer (null if the path has none).
struct Loaded {
  std::shared_ptr<Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::string source;               // "gguf", "hugging face", "run", "llama2.c"
  std::vector<std::string> unused;  // tensors of the file that the model has no place for
};
struct LoadOptions {
  DType compute = DType::f32;       // type of activations: f32, bf16, or f64 (slow); plain weights become it
  std::filesystem::path tokenizer;  // overrides the one found at the path
  bool trainable = false;           // weights become parameters (quantized ones are dequantized to f32)
  bool as_stored = false;  // plain weights keep the type they are stored in: to convert or look at them
  // The matrices of linear layers are packed (see PackedWeight) in place of the plain ones, and nothing of
  // the file stays mapped: for text that is written token by token. Costs one pass over the weights.
  bool packed = false;
};
// PATH: Hugging Face directory, .gguf, run directory (its best or last checkpoint), llama2.c .bin.
Loaded load(const std::filesystem::path& path, const LoadOptions& options = {});
// Writes a Hugging Face directory (config.json, model.safetensors, tokenizer files, generation_config.json)
// or, if the path ends in .gguf, a GGUF file; weights as f32, f16 or bf16. Written beside the target, then
// renamed; a directory that holds something is an error.
void save(const Model& model, const Tokenizer* tokenizer, const std::filesystem::path& path,
          DType dtype = DType::f32);

}  // namespace intarsia
