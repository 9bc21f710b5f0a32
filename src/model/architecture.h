// What a model's file declares about itself: everything that the rest of the engine must know of an
// architecture.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "model/config.h"
#include "model/weights.h"

namespace intarsia {

// A key of config.json and the metadata key that says the same in GGUF, behind "ARCHITECTURE.".
struct GgufKey {
  enum Kind { integer, number, text };
  const char* config;
  const char* gguf;
  Kind kind = integer;
};

// A tensor's name without ".weight" or ".bias", here and in GGUF; "*" stands for a layer's number.
struct GgufName {
  const char* ours;
  const char* gguf;
};

struct Architecture {
  const char* model_type;  // of config.json
  const char* class_name;  // transformers' class
  std::unique_ptr<Model> (*make)(const Architecture&, const ConfigKeys&, const WeightSource&);
  const char* prefix;                    // of all names but the output layer's; some checkpoints leave it out
  std::span<const char* const> ignored;  // ends of names of tensors that hold nothing learned
  const char* gguf;                      // GGUF's name of the architecture
  std::span<const GgufKey> gguf_keys;
  std::span<const GgufName> gguf_names;
  // A flag of config.json has the value `present` if GGUF holds the tensor, else its opposite.
  struct GgufFlag {
    const char* config;
    const char* tensor;
    bool present;
  };
  std::span<const GgufFlag> gguf_flags;

  // The GGUF name of a weight, empty if it has none: "model.norm.weight" -> "output_norm.weight".
  std::string gguf_name(std::string_view name) const;
};

std::span<const Architecture* const> architectures();
const Architecture* find_architecture(std::string_view model_type);  // null if unknown
std::string known_model_types();                                     // "llama, mistral, gpt2"

// The model of a config.json, its weights from the source. `name` is the config's in messages.
std::unique_ptr<Model> build_model(const Json& config, const std::string& name, const WeightSource& source);

}  // namespace intarsia
