// GPT-2 (Radford et al. 2019): learned positions, layer norms before each block, one matrix for queries, keys
// and values, biases everywhere. Its checkpoints hold linear weights transposed ("Conv1D").
#include "model/decoder.h"
#include "nn/heads.h"

namespace intarsia {

namespace {

struct Config {
  ConfigKeys key;
  int64_t vocab_size = key.integer("vocab_size", 1, 1 << 24);
  int64_t n_embd = key.integer("n_embd", 1, 1 << 20);
  int64_t n_layer = key.integer("n_layer", 1, 4096);
  int64_t n_head = key.integer("n_head", 1, 1 << 16);
  int64_t n_inner = key.integer("n_inner", 1, 1 << 22, 4 * n_embd);
  int64_t n_positions = key.integer("n_positions", 1, 1 << 24, 1024);
  double layer_norm_epsilon = key.number("layer_norm_epsilon", 0, 1, 1e-5);
  double initializer_range = key.number("initializer_range", 0, 10, 0.02);
  Activation activation_function = key.activation("activation_function", "gelu_new");
  bool tie_word_embeddings = key.flag("tie_word_embeddings", true);
  bool scale_attn_weights = key.flag("scale_attn_weights", true);
  bool scale_attn_by_inverse_layer_idx = key.flag("scale_attn_by_inverse_layer_idx", false);
  bool add_cross_attention = key.flag("add_cross_attention", false);
};

struct Layer {
  LayerNorm ln_1, ln_2;
  Linear attention, attention_out;
  Linear up, down;
};

class Gpt2 final : public Decoder {
 public:
  Gpt2(const Architecture& architecture, const Config& c, const WeightSource& source)
      : Decoder(architecture, c.key, {c.vocab_size, c.n_positions, c.n_layer, c.n_head, c.n_embd / c.n_head}),
        config_(c),
        layers_(static_cast<size_t>(c.n_layer)) {
    const int64_t D = c.n_embd;
    const double residual = residual_deviation(c.initializer_range, c.n_layer);
    const Weights root(weights_, source, c.initializer_range);
    const Weights w = root.at("transformer");
    w.table("wte", wte_, c.vocab_size, D);
    w.table("wpe", wpe_, c.n_positions, D);
    for (int64_t i = 0; i < c.n_layer; i++) {
      Layer& layer = layers_[static_cast<size_t>(i)];
      const Weights h = w.at("h", i);
      h.norm("ln_1", layer.ln_1, D, c.layer_norm_epsilon);
      const Weights a = h.at("attn");
      a.linear("c_attn", layer.attention, D, 3 * D, {.bias = true, .transposed = true});
      a.linear("c_proj", layer.attention_out, D, D,
               {.bias = true, .transposed = true, .deviation = residual});
      h.norm("ln_2", layer.ln_2, D, c.layer_norm_epsilon);
      const Weights m = h.at("mlp");
      m.linear("c_fc", layer.up, D, c.n_inner, {.bias = true, .transposed = true});
      m.linear("c_proj", layer.down, c.n_inner, D, {.bias = true, .transposed = true, .deviation = residual});
    }
    w.norm("ln_f", ln_f_, D, c.layer_norm_epsilon);
    if (!c.tie_word_embeddings) root.table("lm_head", lm_head_, c.vocab_size, D);
  }

  Chain layers(const Tensor& ids, Cache* cache) const override {
    const int64_t first = first_position(ids, cache);
    const Tensor positions = embedding(wpe_, consecutive(first, ids.dim(1)));
    return {cast(embedding(wte_, ids) + positions, compute), blocks_a_layer * config_.n_layer,
            [=, this](int64_t block, const Tensor& x) {
              const int64_t D = config_.n_embd, number = block / blocks_a_layer;
              const Layer& layer = layers_[static_cast<size_t>(number)];
              if (block % blocks_a_layer)
                return layer.down.add_to(x, layer.up(layer.ln_2(x), config_.activation_function));
              const Tensor qkv = layer.attention(layer.ln_1(x));
              const Tensor q = split_heads(slice(qkv, -1, 0, D), config_.n_head);
              const Tensor k = split_heads(slice(qkv, -1, D, 2 * D), config_.n_head);
              const Tensor v = split_heads(slice(qkv, -1, 2 * D, 3 * D), config_.n_head);
              return layer.attention_out.add_to(x, merge_heads(attend(q, k, v, cache, number)));
            }};
  }

  const Tensor& head() const override { return lm_head_ ? lm_head_ : wte_; }

  Tensor last_norm(const Tensor& x) const override { return ln_f_(x); }

 private:
  // Positions first, first + 1, ...
  static Tensor consecutive(int64_t first, int64_t count) {
    Array ids = Array::empty({count}, DType::i64);
    int64_t* id = ids.mutable_data<int64_t>();
    for (int64_t i = 0; i < count; i++) id[i] = first + i;
    return Tensor(ids);
  }

  Config config_;
  Tensor wte_, wpe_;
  std::vector<Layer> layers_;
  LayerNorm ln_f_;
  Tensor lm_head_;
};

std::unique_ptr<Model> make(const Architecture& architecture, const ConfigKeys& key,
                            const WeightSource& source) {
  const Config config{key};
  if (config.n_embd % config.n_head) key.refuse("n_embd is not a multiple of n_head");
  if (!config.scale_attn_weights || config.scale_attn_by_inverse_layer_idx || config.add_cross_attention)
    key.refuse(
        "scale_attn_weights false, scale_attn_by_inverse_layer_idx and add_cross_attention are not known");
  return std::make_unique<Gpt2>(architecture, config, source);
}

// Causal masks are saved with the weights of old checkpoints.
constexpr const char* ignored[] = {".attn.bias", ".attn.masked_bias", "lm_head.weight", "output.weight"};

constexpr GgufKey gguf_keys[] = {
    {"vocab_size", "vocab_size"},
    {"n_embd", "embedding_length"},
    {"n_layer", "block_count"},
    {"n_head", "attention.head_count"},
    {"n_inner", "feed_forward_length"},
    {"n_positions", "context_length"},
    {"layer_norm_epsilon", "attention.layer_norm_epsilon", GgufKey::number},
    {"activation_function", "activation_function", GgufKey::text},  // our own: llama.cpp knows only gelu_new
};

constexpr Architecture::GgufFlag gguf_flags[] = {{"tie_word_embeddings", "output.weight", false}};

constexpr GgufName gguf_names[] = {
    {"transformer.wte", "token_embd"},
    {"transformer.wpe", "position_embd"},
    {"transformer.h.*.ln_1", "blk.*.attn_norm"},
    {"transformer.h.*.attn.c_attn", "blk.*.attn_qkv"},
    {"transformer.h.*.attn.c_proj", "blk.*.attn_output"},
    {"transformer.h.*.ln_2", "blk.*.ffn_norm"},
    {"transformer.h.*.mlp.c_fc", "blk.*.ffn_up"},
    {"transformer.h.*.mlp.c_proj", "blk.*.ffn_down"},
    {"transformer.ln_f", "output_norm"},
    {"lm_head", "output"},
};

}  // namespace

namespace architecture {

extern const Architecture gpt2;
const Architecture gpt2 = {
    "gpt2", "GPT2LMHeadModel", make, "transformer.", ignored, "gpt2", gguf_keys, gguf_names, gguf_flags,
};

}  // namespace architecture

}  // namespace intarsia
