#include "model/config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/file.h"

namespace intarsia {

struct ConfigKeys::State {
  Json read;
  Json resolved = Json::object();
  std::string name;
};

namespace {

constexpr double largest_theta = 1e15;
constexpr double largest_factor = 1e6;
constexpr int64_t largest_context = int64_t{1} << 30;

struct NamedActivation {
  const char* name;
  Activation activation;
};
constexpr NamedActivation activations[] = {
    {"gelu", Activation::gelu},
    {"gelu_new", Activation::gelu_tanh},
    {"gelu_pytorch_tanh", Activation::gelu_tanh},
    {"relu", Activation::relu},
    {"silu", Activation::silu},
};

}  // namespace

ConfigKeys::ConfigKeys(const Json& object, std::string name) : state_(std::make_shared<State>()) {
  state_->name = std::move(name);
  if (!object.is_object()) refuse(fmt::format("is {}, expected an object", object.type_name()));
  state_->read = object;
}

void ConfigKeys::refuse(const std::string& what) const { fail("{}: {}", state_->name, what); }

const Json* ConfigKeys::find(const char* key) const {
  const auto found = state_->read.find(key);
  return found == state_->read.end() || found->is_null() ? nullptr : &*found;
}

int64_t ConfigKeys::integer(const char* key, int64_t low, int64_t high, std::optional<int64_t> otherwise) {
  const Json* found = find(key);
  if (!found && !otherwise) refuse(fmt::format("has no \"{}\"", key));
  if (found && !found->is_number_integer())
    refuse(fmt::format("{} is {}, expected a whole number", key, quote(found->dump(), 40)));
  // Above the largest int64: any value that is out of range does.
  const bool huge = found && found->is_number_unsigned() && found->get<uint64_t>() > uint64_t{INT64_MAX};
  const int64_t value = huge ? INT64_MAX : found ? found->get<int64_t>() : otherwise.value_or(0);
  if (value < low || value > high)
    refuse(fmt::format("{} is {}, expected {} to {}", key, found ? found->dump() : std::to_string(value), low,
                       high));
  state_->resolved[key] = value;
  return value;
}

double ConfigKeys::number(const char* key, double low, double high, std::optional<double> otherwise) {
  const Json* found = find(key);
  if (!found && !otherwise) refuse(fmt::format("has no \"{}\"", key));
  if (found && !found->is_number())
    refuse(fmt::format("{} is {}, expected a number", key, quote(found->dump(), 40)));
  const double value = found ? found->get<double>() : otherwise.value_or(0);
  if (!(value >= low && value <= high))
    refuse(fmt::format("{} is {}, expected {} to {}", key, value, low, high));
  state_->resolved[key] = value;
  return value;
}

bool ConfigKeys::flag(const char* key, bool otherwise) {
  const Json* found = find(key);
  if (found && !found->is_boolean())
    refuse(fmt::format("{} is {}, expected true or false", key, quote(found->dump(), 40)));
  const bool value = found ? found->get<bool>() : otherwise;
  state_->resolved[key] = value;
  return value;
}

std::string ConfigKeys::text(const char* key, std::initializer_list<const char*> choices,
                             const char* otherwise) {
  const Json* found = find(key);
  std::string value = !found ? otherwise : found->is_string() ? found->get<std::string>() : found->dump();
  const bool known = std::any_of(choices.begin(), choices.end(), [&](const char* c) { return value == c; });
  if (!known) {
    std::string expected;
    for (const char* choice : choices) expected += (expected.empty() ? "" : ", ") + std::string(choice);
    refuse(fmt::format("{} is {}, expected {}", key, quote(value, 40), expected));
  }
  state_->resolved[key] = value;
  return value;
}

Activation ConfigKeys::activation(const char* key, const char* otherwise) {
  const std::string name = text(key, {"gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu"}, otherwise);
  for (const NamedActivation& known : activations)
    if (name == known.name) return known.activation;
  return Activation::none;
}

int64_t ConfigKeys::optional(const char* key, int64_t low, int64_t high) {
  const Json* found = find(key);
  const bool zero = found && found->is_number_integer() && *found == 0;
  if (found && !zero) return integer(key, low, high);
  state_->resolved[key] = nullptr;
  return 0;
}

Rope ConfigKeys::rope() {
  Rope rope;
  const Json* parameters = find("rope_parameters");
  const Json* object = parameters ? parameters : find("rope_scaling");
  if (object && !object->is_object())
    refuse(fmt::format("rope_scaling is {}, expected an object", object->type_name()));

  ConfigKeys inner(object ? *object : Json::object(), state_->name + ": rope_scaling");
  ConfigKeys& theta_owner = parameters && parameters->contains("rope_theta") ? inner : *this;
  rope.theta = theta_owner.number("rope_theta", 1, largest_theta, rope.theta);
  state_->resolved["rope_theta"] = rope.theta;
  inner.state_->resolved.clear();

  const char* type_key = object && object->contains("rope_type") ? "rope_type" : "type";
  RopeScaling& scaling = rope.scaling;
  scaling.type = inner.text(type_key, {"default", "linear", "llama3", "factors"}, "default");
  inner.state_->resolved.clear();
  inner.state_->resolved["rope_type"] = scaling.type;
  if (scaling.type == "linear" || scaling.type == "llama3")
    scaling.factor = inner.number("factor", 1 / largest_factor, largest_factor);
  if (scaling.type == "llama3") {
    scaling.low_freq_factor = inner.number("low_freq_factor", 1 / largest_factor, largest_factor);
    scaling.high_freq_factor = inner.number("high_freq_factor", 1 / largest_factor, largest_factor);
    if (scaling.high_freq_factor <= scaling.low_freq_factor)
      inner.refuse("high_freq_factor must be greater than low_freq_factor");
    scaling.original_max_position_embeddings =
        inner.integer("original_max_position_embeddings", 1, largest_context);
  }
  if (scaling.type == "factors") {
    const Json* list = inner.find("factors");
    if (!list || !list->is_array()) inner.refuse("has no list \"factors\"");
    for (const Json& factor : *list) {
      const double value = factor.is_number() ? factor.get<double>() : 0;
      if (!(value >= 1 / largest_factor && value <= largest_factor))
        inner.refuse(fmt::format("a factor is {}, expected a positive number", quote(factor.dump(), 40)));
      scaling.factors.push_back(static_cast<float>(value));
    }
    inner.state_->resolved["factors"] = *list;
  }
  state_->resolved["rope_scaling"] = scaling.type == "default" ? Json(nullptr) : inner.state_->resolved;
  return rope;
}

void ConfigKeys::say(const char* key, const Json& value) { state_->resolved[key] = value; }

void ConfigKeys::token_ids(int64_t vocabulary) {
  for (const char* key : {"bos_token_id", "eos_token_id"}) {
    const Json* found = find(key);
    Json value = found ? *found : Json(nullptr);
    // Ids outside the vocabulary stand in real files; they name no token, so they are left out.
    const auto names_token = [&](const Json& id) {
      return id.is_number_integer() && id >= 0 && id < vocabulary;
    };
    if (value.is_array())
      value.erase(std::remove_if(value.begin(), value.end(), std::not_fn(names_token)), value.end());
    else if (!names_token(value))
      value = nullptr;
    state_->resolved[key] = value;
  }
}

std::string ConfigKeys::json() const { return state_->resolved.dump(2); }

}  // namespace intarsia
