// Writing models: Hugging Face directories and GGUF files.
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/gguf.h"
#include "data/safetensors.h"
#include "kernel/kernels.h"
#include "model/gguf_config.h"
#include "model/layout.h"

namespace intarsia {

namespace {

namespace fs = std::filesystem;

// A weight in a file's layout and type; its values are made when they are written.
ArraySource stored(const Weight& weight, std::string name, Layout layout, DType dtype) {
  const Shape shape = stored_shape(weight, weight.shape(), layout);
  return {std::move(name), shape, dtype, [&weight, layout, dtype] {
            return to_layout(weight, kernel::cast(weight.value().array(), dtype), layout);
          }};
}

const char* torch_name(DType dtype) {
  return dtype == DType::f32 ? "float32" : dtype == DType::f16 ? "float16" : "bfloat16";
}

// The model's config, with the tokenizer's ids where it has none of its own.
Json config_of(const Model& model, const Tokenizer* tokenizer) {
  Json config = parse_json(model.config_json(), "config");
  if (!tokenizer) return config;
  if (config["bos_token_id"].is_null() && tokenizer->bos) config["bos_token_id"] = *tokenizer->bos;
  if (config["eos_token_id"].is_null() && tokenizer->eos) config["eos_token_id"] = *tokenizer->eos;
  return config;
}

// How transformers generates unless told otherwise: which ids begin and end a text.
Json generation_config(const Json& config, const Tokenizer* tokenizer) {
  Json ends = config["eos_token_id"];
  if (tokenizer && !tokenizer->stop.empty()) {
    if (ends.is_number()) ends = Json::array({ends});
    if (!ends.is_array()) ends = Json::array();
    for (const int32_t id : tokenizer->stop)
      if (std::find(ends.begin(), ends.end(), Json(id)) == ends.end()) ends.push_back(id);
    if (ends.size() == 1) ends = Json(ends[0]);
  }
  Json result = Json::object();
  if (!config["bos_token_id"].is_null()) result["bos_token_id"] = config["bos_token_id"];
  if (!ends.is_null()) result["eos_token_id"] = ends;
  return result;
}

void write_directory(const Model& model, const Tokenizer* tokenizer, const fs::path& directory, DType dtype) {
  Json config = config_of(model, tokenizer);
  write_file(directory / "generation_config.json", generation_config(config, tokenizer).dump(2) + "\n");
  config["torch_dtype"] = torch_name(dtype);
  write_file(directory / "config.json", config.dump(2) + "\n");
  if (tokenizer) tokenizer->save(directory);
  std::vector<ArraySource> weights;
  for (const Weight& weight : model.weights())
    weights.push_back(stored(weight, weight.name, Layout::hugging_face, dtype));
  write_safetensors(directory / "model.safetensors", std::move(weights));
}

void save_directory(const Model& model, const Tokenizer* tokenizer, const fs::path& path, DType dtype) {
  const fs::path target = path.has_filename() ? path : path.parent_path();
  if (fs::exists(target) && !(fs::is_directory(target) && fs::is_empty(target)))
    fail_hint("choose another path, or remove it first", "{}: exists already", target.string());
  fs::path temporary = target;
  temporary += ".tmp";
  remove_tree(temporary);
  make_directories(temporary);
  try {
    write_directory(model, tokenizer, temporary, dtype);
    rename_path(temporary, target);
  } catch (...) {
    // What is half written is in the way; the first error is the one to tell.
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw;
  }
}

void save_gguf(const Model& model, const Tokenizer* tokenizer, const fs::path& path, DType dtype) {
  const Architecture& architecture = *find_architecture(model.model_type());
  GgufWriter out;
  config_to_gguf(architecture, config_of(model, tokenizer), out);
  // general.file_type: what most tensors are, as llama.cpp counts its formats.
  out.set("general.file_type", uint32_t{dtype == DType::f32 ? 0u : dtype == DType::f16 ? 1u : 32u});
  if (tokenizer) tokenizer->write_gguf(out, model.vocabulary());
  for (const Weight& weight : model.weights()) {
    // llama.cpp wants vectors (norms, biases) in f32.
    const DType type = weight.shape().rank() == 1 ? DType::f32 : dtype;
    out.add(stored(weight, architecture.gguf_name(weight.name), Layout::gguf, type));
  }
  out.write(path);
}

}  // namespace

void save(const Model& model, const Tokenizer* tokenizer, const fs::path& path, DType dtype) {
  if (dtype != DType::f32 && dtype != DType::f16 && dtype != DType::bf16)
    fail("save: type {} is asked for, expected f32, f16 or bf16", info(dtype).name);
  if (path.extension() == ".gguf") {
    save_gguf(model, tokenizer, path, dtype);
  } else {
    save_directory(model, tokenizer, path, dtype);
  }
}

}  // namespace intarsia
