// LLaMA 1 to 3, SmolLM2, TinyLlama (Touvron et al. 2023; Grattafiori et al. 2024) and Mistral (Jiang et al.
// 2023): rotary positions, grouped key/value heads, gated feed-forward layers, RMS norms before each.
#include <fmt/format.h>

#include <algorithm>

#include "model/decoder.h"
#include "nn/heads.h"

namespace intarsia {

namespace {

// Nothing if there is a rest: a file must say what it means.
std::optional<int64_t> quotient(int64_t a, int64_t b) { return a % b ? std::nullopt : std::optional(a / b); }

struct Config {
  ConfigKeys key;
  bool mistral = false;
  int64_t vocab_size = key.integer("vocab_size", 1, 1 << 24);
  int64_t hidden_size = key.integer("hidden_size", 1, 1 << 20);
  int64_t intermediate_size = key.integer("intermediate_size", 1, 1 << 22);
  int64_t num_hidden_layers = key.integer("num_hidden_layers", 1, 4096);
  int64_t num_attention_heads = key.integer("num_attention_heads", 1, 1 << 16);
  int64_t num_key_value_heads =
      key.integer("num_key_value_heads", 1, num_attention_heads, num_attention_heads);
  int64_t head_dim = key.integer("head_dim", 2, 1 << 16, quotient(hidden_size, num_attention_heads));
  int64_t max_position_embeddings = key.integer("max_position_embeddings", 1, 1 << 30, 2048);
  int64_t sliding_window = mistral ? key.optional("sliding_window", 1, 1 << 30) : 0;
  double rms_norm_eps = key.number("rms_norm_eps", 0, 1, 1e-6);
  double initializer_range = key.number("initializer_range", 0, 10, 0.02);
  bool attention_bias = key.flag("attention_bias", false);
  bool mlp_bias = key.flag("mlp_bias", false);
  bool tie_word_embeddings = key.flag("tie_word_embeddings", false);
  std::string hidden_act = key.text("hidden_act", {"silu"}, "silu");
  Rope rope = key.rope();

  // A sliding window changes nothing up to its width; beyond it, this model would compute something else.
  int64_t context() const {
    return sliding_window ? std::min(sliding_window, max_position_embeddings) : max_position_embeddings;
  }
};

struct Layer {
  RmsNorm input_layernorm, post_attention_layernorm;
  Linear q_proj, k_proj, v_proj, o_proj;
  Linear gate_proj, up_proj, down_proj;
};

class Llama final : public Decoder {
 public:
  Llama(const Architecture& architecture, const Config& c, const WeightSource& source)
      : Decoder(architecture, c.key,
                {c.vocab_size, c.context(), c.num_hidden_layers, c.num_key_value_heads, c.head_dim}),
        config_(c),
        positions_(c.rope, c.head_dim, c.context()),
        layers_(static_cast<size_t>(c.num_hidden_layers)) {
    const int64_t D = c.hidden_size;
    const int64_t queries = c.num_attention_heads * c.head_dim;
    const int64_t keys = c.num_key_value_heads * c.head_dim;
    const double residual = residual_deviation(c.initializer_range, c.num_hidden_layers);
    const Weights root(weights_, source, c.initializer_range);
    const Weights w = root.at("model");
    w.table("embed_tokens", embed_tokens_, c.vocab_size, D);
    for (int64_t i = 0; i < c.num_hidden_layers; i++) {
      Layer& layer = layers_[static_cast<size_t>(i)];
      const Weights l = w.at("layers", i);
      l.norm("input_layernorm", layer.input_layernorm, D, c.rms_norm_eps);
      const Weights a = l.at("self_attn");
      a.linear("q_proj", layer.q_proj, D, queries,
               {.bias = c.attention_bias, .rotary_heads = c.num_attention_heads});
      a.linear("k_proj", layer.k_proj, D, keys,
               {.bias = c.attention_bias, .rotary_heads = c.num_key_value_heads});
      a.linear("v_proj", layer.v_proj, D, keys, {.bias = c.attention_bias});
      a.linear("o_proj", layer.o_proj, queries, D, {.bias = c.attention_bias, .deviation = residual});
      l.norm("post_attention_layernorm", layer.post_attention_layernorm, D, c.rms_norm_eps);
      const Weights m = l.at("mlp");
      m.linear("gate_proj", layer.gate_proj, D, c.intermediate_size, {.bias = c.mlp_bias});
      m.linear("up_proj", layer.up_proj, D, c.intermediate_size, {.bias = c.mlp_bias});
      m.linear("down_proj", layer.down_proj, c.intermediate_size, D,
               {.bias = c.mlp_bias, .deviation = residual});
    }
    w.norm("norm", norm_, D, c.rms_norm_eps);
    if (!c.tie_word_embeddings) root.table("lm_head", lm_head_, c.vocab_size, D);
  }

  Chain layers(const Tensor& ids, Cache* cache) const override {
    const int64_t first = first_position(ids, cache);
    const RopeTable table = positions_.table(first + ids.dim(1));
    return {cast(embedding(embed_tokens_, ids), compute), blocks_a_layer * config_.num_hidden_layers,
            [=, this](int64_t block, const Tensor& x) {
              const int64_t number = block / blocks_a_layer;
              const Layer& layer = layers_[static_cast<size_t>(number)];
              if (block % blocks_a_layer) {
                const Tensor m = layer.post_attention_layernorm(x);
                return layer.down_proj.add_to(x, layer.up_proj.gated_by(layer.gate_proj(m), m));
              }
              const Tensor a = layer.input_layernorm(x);
              const Tensor q = rope(split_heads(layer.q_proj(a), config_.num_attention_heads), table, first);
              const Tensor k = rope(split_heads(layer.k_proj(a), config_.num_key_value_heads), table, first);
              const Tensor v = split_heads(layer.v_proj(a), config_.num_key_value_heads);
              return layer.o_proj.add_to(x, merge_heads(attend(q, k, v, cache, number)));
            }};
  }

  const Tensor& head() const override { return lm_head_ ? lm_head_ : embed_tokens_; }

  Tensor last_norm(const Tensor& x) const override { return norm_(x); }

 private:
  Config config_;
  RotaryPositions positions_;
  Tensor embed_tokens_;
  std::vector<Layer> layers_;
  RmsNorm norm_;
  Tensor lm_head_;
};

std::unique_ptr<Model> make(const Architecture& architecture, const ConfigKeys& key,
                            const WeightSource& source) {
  const Config config{key, architecture.model_type == std::string_view("mistral")};
  if (config.num_attention_heads % config.num_key_value_heads)
    key.refuse("num_attention_heads is not a multiple of num_key_value_heads");
  if (config.head_dim % 2)
    key.refuse(
        fmt::format("head_dim (by default hidden_size / num_attention_heads) is {}, expected an even "
                    "number, because rotary positions turn pairs",
                    config.head_dim));
  return std::make_unique<Llama>(architecture, config, source);
}

constexpr const char* ignored[] = {"rotary_emb.inv_freq", "lm_head.weight", "rope_freqs.weight",
                                   "output.weight"};

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
