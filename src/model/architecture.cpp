#include "model/architecture.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/file.h"

namespace intarsia {

namespace architecture {
#define ARCHITECTURE(NAME) extern const Architecture NAME;
#include "model/table.inl"
#undef ARCHITECTURE
}  // namespace architecture

std::span<const Architecture* const> architectures() {
#define ARCHITECTURE(NAME) &architecture::NAME,
  static const Architecture* const table[] = {
#include "model/table.inl"
  };
#undef ARCHITECTURE
  return table;
}

const Architecture* find_architecture(std::string_view model_type) {
  for (const Architecture* known : architectures())
    if (model_type == known->model_type) return known;
  return nullptr;
}

std::string known_model_types() {
  std::string list;
  for (const Architecture* known : architectures())
    list += (list.empty() ? "" : ", ") + std::string(known->model_type);
  return list;
}

namespace {

// The text that "*" stands for if `name` fits the pattern; an exact name gives an empty text.
std::optional<std::string_view> match(std::string_view pattern, std::string_view name) {
  const size_t star = pattern.find('*');
  if (star == pattern.npos) return pattern == name ? std::optional(std::string_view()) : std::nullopt;
  const std::string_view before = pattern.substr(0, star);
  const std::string_view after = pattern.substr(star + 1);
  if (name.size() <= before.size() + after.size()) return std::nullopt;
  if (!name.starts_with(before) || !name.ends_with(after)) return std::nullopt;
  const std::string_view number = name.substr(before.size(), name.size() - before.size() - after.size());
  const bool digits = std::all_of(number.begin(), number.end(), [](char c) { return c >= '0' && c <= '9'; });
  return digits ? std::optional(number) : std::nullopt;
}

}  // namespace

std::string Architecture::gguf_name(std::string_view name) const {
  const size_t dot = name.rfind('.');
  const std::string_view stem = name.substr(0, dot);
  for (const GgufName& entry : gguf_names) {
    const std::optional<std::string_view> number = match(entry.ours, stem);
    if (!number) continue;
    std::string result = entry.gguf;
    if (const size_t star = result.find('*'); star != result.npos) result.replace(star, 1, *number);
    return result + std::string(name.substr(dot));
  }
  return {};
}

std::unique_ptr<Model> build_model(const Json& config, const std::string& name, const WeightSource& source) {
  const auto found = config.is_object() ? config.find("model_type") : config.end();
  if (!config.is_object() || found == config.end() || !found->is_string())
    fail("{}: has no \"model_type\"", name);
  const Architecture* architecture = find_architecture(found->get<std::string>());
  if (!architecture)
    fail("{}: model_type {} is not known, expected {}", name, quote(found->get<std::string>(), 40),
         known_model_types());
  ConfigKeys keys(config, name);
  keys.say("model_type", architecture->model_type);
  keys.say("architectures", std::vector<std::string>{architecture->class_name});
  return architecture->make(*architecture, keys, source);
}

}  // namespace intarsia
