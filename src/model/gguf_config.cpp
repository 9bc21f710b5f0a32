#include "model/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/file.h"
#include "kernel/kernels.h"

namespace intarsia {

namespace {

constexpr const char* factors_name = "rope_freqs.weight";

// The shortest decimal number that is this f32: 1e-05, not 9.99999974e-06.
double shortest(double value) {
  const float narrow = static_cast<float>(value);
  return static_cast<double>(narrow) == value ? std::strtod(fmt::format("{}", narrow).c_str(), nullptr)
                                              : value;
}

Json value_of(const GgufValue& value, GgufKey::Kind kind) {
  if (kind == GgufKey::integer) return value.integer();
  if (kind == GgufKey::text) return std::string(value.text());
  return shortest(value.number());
}

// Two metadata keys may say one thing; a model in which they differ is another than ours.
void read_keys(const Gguf& file, const Architecture& architecture, Json& config) {
  for (const GgufKey& key : architecture.gguf_keys) {
    const std::string name = fmt::format("{}.{}", architecture.gguf, key.gguf);
    const GgufValue* found = file.find(name);
    if (!found) continue;
    const Json value = value_of(*found, key.kind);
    const Json earlier = config.value(key.config, value);
    if (earlier != value)
      fail("{}: {} is {}, expected {}, as other keys have it", file.name(), quote(name), value.dump(),
           earlier.dump());
    config[key.config] = value;
  }
}

// The parameters of llama3's scaling, if the factors are what they give; else the factors as a list.
Json scaling_of_factors(const Gguf& file, const Array& stored, const Json& config, const char* prefix) {
  if (!is_float(stored.dtype()) || stored.rank() != 1)
    fail("{}: {} is {} {}, expected a list of f32", file.name(), factors_name, info(stored.dtype()).name,
         stored.shape().text());
  const Array plain = kernel::cast(stored, DType::f32);
  const std::span<const float> factors = plain.span<float>();
  Rope rope;
  rope.theta = config.value("rope_theta", rope.theta);
  rope.scaling.type = "llama3";
  rope.scaling.factor = shortest(*std::max_element(factors.begin(), factors.end()));
  rope.scaling.original_max_position_embeddings =
      std::max<int64_t>(1, file.integer(fmt::format("{}.rope.scaling.original_context_length", prefix),
                                        rope.scaling.original_max_position_embeddings));
  const std::vector<float> expected = rope.factors(2 * stored.size());
  const bool fits = std::equal(factors.begin(), factors.end(), expected.begin(),
                               [](float a, float b) { return std::abs(a - b) <= 1e-6f * std::abs(b); });
  if (!fits)
    return {{"rope_type", "factors"}, {"factors", std::vector<float>(factors.begin(), factors.end())}};
  return {{"rope_type", "llama3"},
          {"factor", rope.scaling.factor},
          {"low_freq_factor", rope.scaling.low_freq_factor},
          {"high_freq_factor", rope.scaling.high_freq_factor},
          {"original_max_position_embeddings", rope.scaling.original_max_position_embeddings}};
}

void read_rope(const Gguf& file, const char* prefix, Json& config) {
  const std::string type_key = fmt::format("{}.rope.scaling.type", prefix);
  const std::string_view type = file.text(type_key, "none");
  if (type != "none" && type != "linear")
    fail("{}: {} is {}, expected none or linear", file.name(), type_key, quote(type, 40));
  const auto factors = file.tensors().find(factors_name);
  if (factors != file.tensors().end())
    config["rope_scaling"] = scaling_of_factors(file, factors->second, config, prefix);
  if (type == "linear") {
    const double factor = file.number(fmt::format("{}.rope.scaling.factor", prefix), 1);
    config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", shortest(factor)}};
  }
}

void write_rope(const char* prefix, const Json& config, GgufWriter& out) {
  ConfigKeys keys(config, "config");
  const Rope rope = keys.rope();
  const RopeScaling& scaling = rope.scaling;
  if (scaling.type == "linear") {
    out.set(fmt::format("{}.rope.scaling.type", prefix), "linear");
    out.set(fmt::format("{}.rope.scaling.factor", prefix), static_cast<float>(scaling.factor));
  }
  if (scaling.type == "llama3")
    out.set(fmt::format("{}.rope.scaling.original_context_length", prefix),
            static_cast<uint32_t>(scaling.original_max_position_embeddings));
  if (scaling.type == "llama3" || scaling.type == "factors") {
    const std::vector<float> factors = rope.factors(config.at("head_dim").get<int64_t>());
    out.add({factors_name,
             Array::copy_of(std::span<const float>(factors), {static_cast<int64_t>(factors.size())})});
  }
}

}  // namespace

const Architecture* find_gguf_architecture(std::string_view name) {
  for (const Architecture* known : architectures())
    if (name == known->gguf) return known;
  return nullptr;
}

Json config_from_gguf(const Gguf& file) {
  const std::string_view name = file.at("general.architecture").text();
  const Architecture* architecture = find_gguf_architecture(name);
  if (!architecture) {
    std::string known;
    for (const Architecture* a : architectures())
      if (known.find(a->gguf) == known.npos) known += (known.empty() ? "" : ", ") + std::string(a->gguf);
    fail("{}: general.architecture {} is not known, expected {}", file.name(), quote(name, 40), known);
  }
  Json config = {{"model_type", architecture->model_type}};
  if (const auto table = file.tensors().find("token_embd.weight"); table != file.tensors().end())
    config["vocab_size"] = table->second.rank() ? table->second.dim(0) : 0;
  read_keys(file, *architecture, config);
  for (const Architecture::GgufFlag& flag : architecture->gguf_flags)
    config[flag.config] = file.tensors().contains(flag.tensor) == flag.present;
  read_rope(file, architecture->gguf, config);
  if (const GgufValue* id = file.find("tokenizer.ggml.bos_token_id")) config["bos_token_id"] = id->integer();
  if (const GgufValue* id = file.find("tokenizer.ggml.eos_token_id")) config["eos_token_id"] = id->integer();
  return config;
}

void config_to_gguf(const Architecture& architecture, const Json& config, GgufWriter& out) {
  out.set("general.architecture", architecture.gguf);
  for (const GgufKey& key : architecture.gguf_keys) {
    const auto found = config.find(key.config);
    if (found == config.end() || found->is_null()) continue;
    const std::string name = fmt::format("{}.{}", architecture.gguf, key.gguf);
    switch (key.kind) {
      case GgufKey::integer:
        out.set(name, found->get<uint32_t>());
        break;
      case GgufKey::number:
        out.set(name, found->get<float>());
        break;
      case GgufKey::text:
        out.set(name, found->get<std::string>());
        break;
    }
  }
  if (config.contains("rope_theta")) write_rope(architecture.gguf, config, out);
}

}  // namespace intarsia
