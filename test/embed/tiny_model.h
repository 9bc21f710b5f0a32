// A model that is quick to make, and a recipe that is quick to train.
#pragma once
#include <fstream>
#include <string>

#include "intarsia/intarsia.h"
#include "scratch_folder.h"

namespace intarsia {

inline Loaded tiny_model(uint64_t seed) {
  int calls = 0;
  const auto text = [&](std::string& chunk) {
    chunk = "the cat sat on the mat, the cat sat on the hat. ";
    return calls++ == 0;
  };
  Loaded loaded;
  loaded.tokenizer = train_bpe(text, {.vocabulary = 270, .special = {"<|endoftext|>"}});
  const std::string config = R"({"model_type": "llama", "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3,
    "max_position_embeddings": 256, "vocab_size": )" +
                             std::to_string(loaded.tokenizer->size()) + "}";
  loaded.model = make_model(config, seed);
  return loaded;
}

inline GenerateOptions short_text(uint64_t seed = 5) {
  GenerateOptions options;
  options.max_tokens = 60;
  options.ignore_stop_ids = true;
  options.sampling.seed = seed;
  return options;
}

// Six steps, a checkpoint every two, on a text in `folder`.
inline Recipe small_recipe(const Folder& folder) {
  std::ofstream text(folder / "text");
  for (int i = 0; i < 200; i++) text << "the cat sat on mat " << i * i % 97 << ". ";
  text.close();
  Recipe recipe = parse_recipe("", "r");
  recipe.data.path = (folder / "text").string();
  recipe.tokenizer.kind = "characters";
  recipe.model.layers = 1;
  recipe.model.width = 32;
  recipe.model.context = 16;
  recipe.training.steps = 6;
  recipe.training.batch = 4;
  recipe.training.log_every = 1;
  recipe.schedule.warm_up = 0;
  recipe.checkpoints.every = 2;
  recipe.evaluation.every = 100;
  return recipe;
}

}  // namespace intarsia
