#include "data/llama2c.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/fail.h"

namespace intarsia {

namespace {

constexpr int32_t header_numbers = 7, most_layers = 4096, largest = 1 << 24;
constexpr uint32_t versioned_magic = 0x616b3432;  // "ak42": llama2.c's later layouts

// Hands out the arrays in the order of the file.
class Weights {
 public:
  explicit Weights(std::shared_ptr<const MappedFile> file) : file_(std::move(file)) {}
  Array next(const Shape& shape, std::string_view what) {
    Array array = array_in(file_, offset_, shape, DType::f32, what);
    offset_ += array.bytes();
    return array;
  }
  uint64_t offset() const { return offset_; }

 private:
  std::shared_ptr<const MappedFile> file_;
  uint64_t offset_ = header_numbers * sizeof(int32_t);
};

int32_t in_range(int32_t value, int32_t high, const char* what, const std::string& file) {
  if (value < 1 || value > high) fail("{}: {} is {}, expected 1 to {}", file, what, value, high);
  return value;
}

}  // namespace

Llama2c parse_llama2c(const std::shared_ptr<const MappedFile>& file) {
  const std::string& name = file->name();
  int32_t header[header_numbers];
  if (file->size() < sizeof header)
    fail("{}: has {} bytes, expected at least the {} of a llama2.c header", name, file->size(),
         sizeof header);
  std::memcpy(header, file->data(), sizeof header);
  if (static_cast<uint32_t>(header[0]) == versioned_magic)
    fail_hint("export it with --version 0", "{}: is a versioned llama2.c file, expected the legacy layout",
              name);

  Llama2c model;
  model.dim = in_range(header[0], largest, "dim", name);
  model.hidden_dim = in_range(header[1], largest, "hidden_dim", name);
  model.layers = in_range(header[2], most_layers, "n_layers", name);
  model.heads = in_range(header[3], model.dim, "n_heads", name);
  model.kv_heads = in_range(header[4], model.heads, "n_kv_heads", name);
  model.shared_classifier = header[5] > 0;  // a negative vocabulary marks an output layer of its own
  const int32_t vocabulary = header[5] < 0 && header[5] >= -largest ? -header[5] : header[5];
  model.vocabulary = in_range(vocabulary, largest, "vocab_size", name);
  model.context = in_range(header[6], largest, "seq_len", name);
  if (model.dim % model.heads || model.dim / model.heads % 2)
    fail("{}: dim {} is not n_heads {} times an even head size", name, model.dim, model.heads);
  if (model.heads % model.kv_heads)
    fail("{}: n_heads {} is not a multiple of n_kv_heads {}", name, model.heads, model.kv_heads);

  const int64_t D = model.dim, F = model.hidden_dim, V = model.vocabulary, L = model.layers;
  const int64_t head = D / model.heads, K = head * model.kv_heads;
  Weights weights(file);
  // The file holds each kind of weight for all layers together.
  const auto layers = [&](const Shape& shape, const char* part) {
    for (int64_t layer = 0; layer < L; layer++) {
      std::string key = fmt::format("model.layers.{}.{}.weight", layer, part);
      Array array = weights.next(shape, key);
      model.tensors.emplace(std::move(key), std::move(array));
    }
  };
  model.tensors.emplace("model.embed_tokens.weight", weights.next({V, D}, "model.embed_tokens.weight"));
  layers({D}, "input_layernorm");
  layers({D, D}, "self_attn.q_proj");
  layers({K, D}, "self_attn.k_proj");
  layers({K, D}, "self_attn.v_proj");
  layers({D, D}, "self_attn.o_proj");
  layers({D}, "post_attention_layernorm");
  layers({F, D}, "mlp.gate_proj");
  layers({D, F}, "mlp.down_proj");
  layers({F, D}, "mlp.up_proj");
  model.tensors.emplace("model.norm.weight", weights.next({D}, "model.norm.weight"));
  // Tables of cosines and sines, which the positions give anyway.
  weights.next({model.context, head / 2}, "freq_cis_real");
  weights.next({model.context, head / 2}, "freq_cis_imag");
  if (!model.shared_classifier)
    model.tensors.emplace("lm_head.weight", weights.next({V, D}, "lm_head.weight"));
  if (weights.offset() != file->size())
    fail("{}: the header describes {} bytes, but the file has {}", name, weights.offset(), file->size());
  return model;
}

Llama2c read_llama2c(const std::filesystem::path& path) { return read_mapped(path, parse_llama2c); }

}  // namespace intarsia
