// LLaMA 1 to 3, SmolLM2, TinyLlama (Touvron et al. 2023; Grattafiori et al. 2024) and Mistral (Jiang et al. 2023):
// rotary positions, grouped key/value heads, gated feed-forward layers, RMS norms before each.
#include <algorithm>
#include <cmath>

#include "model/architecture.h"
#include "model/cache.h"
#include "nn/heads.h"

namespace intarsia {

namespace {

struct Config {
  ConfigKeys key;
  bool mistral = false;
  int64_t vocab_size = key.integer("vocab_size", 1, 1 << 24);
  int64_t hidden_size = key.integer("hidden_size", 1, 1 << 20);
  int64_t intermediate_size = key.integer("intermediate_size", 1, 1 << 22);
  int64_t num_hidden_layers = key.integer("num_hidden_layers", 1, 4096);
  int64_t num_attention_heads = key.integer("num_attention_heads", 1, 1 << 16);
  int64_t num_key_value_heads = key.integer("num_key_value_heads", 1, num_attention_heads, num_attention_heads);
  int64_t head_dim = key.integer("head_dim", 2, 1 << 16, hidden_size / num_attention_heads);
  int64_t max_position_embeddings = key.integer("max_position_embeddings", 1, 1 << 30, 2048);
  int64_t sliding_window = mistral ? key.optional("sliding_window", 1, 1 << 30) : 0;
  double rms_norm_eps = key.number("rms_norm_eps", 0, 1, 1e-6);
  double initializer_range = key.number("initializer_range", 0, 10, 0.02);
  bool attention_bias = key.flag("attention_bias", false);
  bool mlp_bias = key.flag("mlp_bias", false);
  bool tie_word_embeddings = key.flag("tie_word_embeddings", false);
  std::string hidden_act = key.text("hidden_act", {"silu"}, "silu");
  Rope rope = key.rope();
};

struct Layer {
  RmsNorm input_layernorm, post_attention_layernorm;
  Linear q_proj, k_proj, v_proj, o_proj;
  Linear gate_proj, up_proj, down_proj;
};

class Llama final : public Model {
 public:
  Llama(const Architecture& architecture, const ConfigKeys& key, const WeightSource& source)
      : architecture_(architecture),
        config_{key, architecture.class_name == std::string_view("MistralForCausalLM")},
        positions_(config_.rope, config_.head_dim, context()),
        layers_(static_cast<size_t>(config_.num_hidden_layers)) {
    const Config& c = config_;
    if (c.num_attention_heads % c.num_key_value_heads)
      key.refuse("num_attention_heads is not a multiple of num_key_value_heads");
    if (c.head_dim % 2) key.refuse("head_dim is odd, rotary positions need pairs");
    const int64_t queries = c.num_attention_heads * c.head_dim;
    const int64_t keys = c.num_key_value_heads * c.head_dim;
    // Layers that write to the residual stream start smaller, so that its variance does not grow with depth (GPT-2).
    const double deviation = c.initializer_range;
    const double residual = deviation / std::sqrt(2.0 * static_cast<double>(c.num_hidden_layers));

    config_.key.token_ids(c.vocab_size);

    const Weights root(weights_, source);
    const Weights w = root.at("model");
    w.table("embed_tokens", embed_tokens_, c.vocab_size, c.hidden_size, deviation);
    for (int64_t i = 0; i < c.num_hidden_layers; i++) {
      Layer& layer = layers_[static_cast<size_t>(i)];
      const Weights l = w.at("layers", i);
      l.norm("input_layernorm", layer.input_layernorm, c.hidden_size, c.rms_norm_eps);
      const Weights a = l.at("self_attn");
      a.linear("q_proj", layer.q_proj, c.hidden_size, queries,
               {c.attention_bias, deviation, false, c.num_attention_heads});
      a.linear("k_proj", layer.k_proj, c.hidden_size, keys,
               {c.attention_bias, deviation, false, c.num_key_value_heads});
      a.linear("v_proj", layer.v_proj, c.hidden_size, keys, {c.attention_bias, deviation});
      a.linear("o_proj", layer.o_proj, queries, c.hidden_size, {c.attention_bias, residual});
      l.norm("post_attention_layernorm", layer.post_attention_layernorm, c.hidden_size, c.rms_norm_eps);
      const Weights m = l.at("mlp");
      m.linear("gate_proj", layer.gate_proj, c.hidden_size, c.intermediate_size, {c.mlp_bias, deviation});
      m.linear("up_proj", layer.up_proj, c.hidden_size, c.intermediate_size, {c.mlp_bias, deviation});
      m.linear("down_proj", layer.down_proj, c.intermediate_size, c.hidden_size, {c.mlp_bias, residual});
    }
    w.norm("norm", norm_, c.hidden_size, c.rms_norm_eps);
    if (!c.tie_word_embeddings) root.table("lm_head", lm_head_, c.vocab_size, c.hidden_size, deviation);
  }

  Tensor hidden(const Tensor& ids, Cache* cache) const override {
    const int64_t first = first_position(ids, cache);
    const RopeTable table = positions_.table(first + ids.dim(1));
    Tensor x = cast(embedding(embed_tokens_, ids), compute);
    for (int64_t i = 0; i < config_.num_hidden_layers; i++) {
      const Layer& layer = layers_[static_cast<size_t>(i)];
      const Tensor a = layer.input_layernorm(x);
      const Tensor q = rope(split_heads(layer.q_proj(a), config_.num_attention_heads), table, first);
      const Tensor k = rope(split_heads(layer.k_proj(a), config_.num_key_value_heads), table, first);
      const Tensor v = split_heads(layer.v_proj(a), config_.num_key_value_heads);
      x = x + layer.o_proj(merge_heads(attend(q, k, v, cache, i)));
      const Tensor m = layer.post_attention_layernorm(x);
      x = x + layer.down_proj(swiglu(layer.gate_proj(m), layer.up_proj(m)));
    }
    if (cache) cache->advance(ids.dim(1));
    return norm_(x);
  }

  Tensor logits(const Tensor& hidden) const override { return linear(hidden, lm_head_ ? lm_head_ : embed_tokens_); }

  std::unique_ptr<Cache> make_cache() const override {
    return std::make_unique<Cache>(config_.num_hidden_layers, config_.num_key_value_heads, config_.head_dim, compute);
  }
  // A sliding window changes nothing up to its width; beyond it, this model would compute something else.
  int64_t context() const override {
    const int64_t window = config_.sliding_window;
    return window ? std::min(window, config_.max_position_embeddings) : config_.max_position_embeddings;
  }
  int64_t vocabulary() const override { return config_.vocab_size; }
  std::string config_json() const override { return config_.key.json(); }
  const char* model_type() const override { return architecture_.model_type; }

 private:
  const Architecture& architecture_;
  Config config_;
  RotaryPositions positions_;
  Tensor embed_tokens_;
  std::vector<Layer> layers_;
  RmsNorm norm_;
  Tensor lm_head_;
};

std::unique_ptr<Model> make(const Architecture& architecture, const ConfigKeys& key, const WeightSource& source) {
  return std::make_unique<Llama>(architecture, key, source);
}

constexpr const char* ignored[] = {"rotary_emb.inv_freq", "lm_head.weight", "rope_freqs.weight", "output.weight"};

constexpr GgufKey gguf_keys[] = {
    {"vocab_size", "vocab_size"},
    {"hidden_size", "embedding_length"},
    {"intermediate_size", "feed_forward_length"},
    {"num_hidden_layers", "block_count"},
    {"num_attention_heads", "attention.head_count"},
    {"num_key_value_heads", "attention.head_count_kv"},
    {"head_dim", "attention.key_length"},
    {"head_dim", "attention.value_length"},
    {"head_dim", "rope.dimension_count"},
    {"max_position_embeddings", "context_length"},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon", GgufKey::number},
    {"rope_theta", "rope.freq_base", GgufKey::number},
};

constexpr Architecture::GgufFlag gguf_flags[] = {
    {"attention_bias", "blk.0.attn_q.bias", true},
    {"mlp_bias", "blk.0.ffn_gate.bias", true},
    {"tie_word_embeddings", "output.weight", false},
};

constexpr GgufName gguf_names[] = {
    {"model.embed_tokens", "token_embd"},
    {"model.layers.*.input_layernorm", "blk.*.attn_norm"},
    {"model.layers.*.self_attn.q_proj", "blk.*.attn_q"},
    {"model.layers.*.self_attn.k_proj", "blk.*.attn_k"},
    {"model.layers.*.self_attn.v_proj", "blk.*.attn_v"},
    {"model.layers.*.self_attn.o_proj", "blk.*.attn_output"},
    {"model.layers.*.post_attention_layernorm", "blk.*.ffn_norm"},
    {"model.layers.*.mlp.gate_proj", "blk.*.ffn_gate"},
    {"model.layers.*.mlp.up_proj", "blk.*.ffn_up"},
    {"model.layers.*.mlp.down_proj", "blk.*.ffn_down"},
    {"model.norm", "output_norm"},
    {"lm_head", "output"},
};

}  // namespace

namespace architecture {

extern const Architecture llama, mistral;
const Architecture llama = {
    "llama", "LlamaForCausalLM", make, "model.", ignored, "llama", gguf_keys, gguf_names, gguf_flags,
};
// The same model under another name; GGUF knows only the one.
const Architecture mistral = {
    "mistral", "MistralForCausalLM", make, "model.", ignored, "llama", gguf_keys, gguf_names, gguf_flags,
};

}  // namespace architecture

}  // namespace intarsia
