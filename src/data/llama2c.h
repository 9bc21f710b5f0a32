// Checkpoints of llama2.c (https://github.com/karpathy/llama2.c), legacy layout: seven int32, then f32
// weights.
#pragma once
#include <filesystem>

#include "data/arrays.h"

namespace intarsia {

struct Llama2c {
  int32_t dim = 0, hidden_dim = 0, layers = 0, heads = 0, kv_heads = 0, vocabulary = 0, context = 0;
  bool shared_classifier = true;  // the output layer is the embedding; else tensors hold lm_head.weight
  // The rows of q and k are stored for rotary positions on neighbouring pairs (2i, 2i+1), not on halves.
  bool rope_interleaved = true;
  NamedArrays tensors;  // borrowed, under Hugging Face's names: model.layers.0.self_attn.q_proj.weight ...
};

// Checks the header against the exact size of the file.
Llama2c read_llama2c(const std::filesystem::path& path);
Llama2c parse_llama2c(const std::shared_ptr<const MappedFile>& file);

}  // namespace intarsia
