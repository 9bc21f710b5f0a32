// Options that verbs which run a model share.
#pragma once
#include <optional>
#include <string>

#include "cli/command.h"
#include "intarsia/generate.h"
#include "intarsia/model.h"

namespace intarsia::cli {

inline constexpr const char* model_help = "a Hugging Face directory, a run, a .gguf or a llama2.c .bin file";

struct ModelOptions {
  std::string path, tokenizer, compute = "f32";
  void add(Command verb);
  // Loads the model, and tells on stderr of tensors that it has no place for.
  Loaded load() const;
};

struct SamplingOptions {
  Sampling sampling;
  int64_t max_tokens = 256;
  bool ignore_eos = false;
  std::vector<std::string> stop;
  std::optional<Option> seed;
  void add(Command verb);
  // A seed that nobody gave is drawn.
  GenerateOptions options() const;
};

}  // namespace intarsia::cli
