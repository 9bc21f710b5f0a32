// What a path holds, and the model in it.
#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "core/fail.h"
#include "data/gguf.h"
#include "data/llama2c.h"
#include "data/safetensors.h"
#include "kernel/kernels.h"
#include "model/gguf_config.h"
#include "model/layout.h"

namespace intarsia {

namespace {

namespace fs = std::filesystem;

// The arrays of a file as the source of a model's weights.
class StoredWeights {
 public:
  StoredWeights(NamedArrays arrays, std::string file, Layout layout, const Architecture& architecture,
                const LoadOptions& options)
      : arrays_(std::move(arrays)),
        file_(std::move(file)),
        layout_(layout),
        architecture_(architecture),
        options_(options) {}

  Tensor operator()(const Weight& weight, const Shape& shape) {
    const auto found = find(weight.name);
    const auto& [name, stored] = *found;
    const Shape expected = stored_shape(weight, shape, layout_);
    if (!(stored.shape() == expected))
      fail("{}: {} is {}, expected {}", file_, name, stored.shape().text(), expected.text());
    if (!is_float(stored.dtype()) && !(is_quantized(stored.dtype()) && shape.rank() == 2))
      fail("{}: {} is {}, expected a float type", file_, name, info(stored.dtype()).name);
    used_.insert(name);
    Tensor value = converted(from_layout(weight, stored, layout_));
    if (WatchedMapping::any_lost()) WatchedMapping::check(stored.raw(), "load");
    return value;
  }

  // Names that no weight has taken.
  std::vector<std::string> unused() const {
    std::vector<std::string> names;
    for (const auto& [name, array] : arrays_)
      if (!used_.contains(name) && !is_ignored(name)) names.push_back(name);
    return names;
  }

 private:
  NamedArrays::const_iterator find(const std::string& name) const {
    const std::string own = layout_ == Layout::gguf ? architecture_.gguf_name(name) : name;
    auto found = arrays_.find(own);
    const std::string_view prefix = architecture_.prefix;
    if (found == arrays_.end() && layout_ == Layout::hugging_face && own.starts_with(prefix))
      found = arrays_.find(own.substr(prefix.size()));
    if (found == arrays_.end()) fail("{}: has no tensor {}", file_, own.empty() ? name : own);
    return found;
  }

  Tensor converted(const Array& value) const {
    if (options_.trainable) {
      const Array plain = kernel::cast(value, DType::f32);
      Array own = Array::empty(plain.shape());
      kernel::copy(plain, own);
      return parameter(own);
    }
    if (options_.as_stored || is_quantized(value.dtype())) return value;
    return kernel::cast(value, options_.compute);
  }

  bool is_ignored(std::string_view name) const {
    const auto ends = [&](const char* end) { return name.ends_with(end); };
    return std::any_of(architecture_.ignored.begin(), architecture_.ignored.end(), ends);
  }

  NamedArrays arrays_;
  std::string file_;
  Layout layout_;
  const Architecture& architecture_;
  const LoadOptions& options_;
  std::set<std::string, std::less<>> used_;
};

// Packs what can be; the rest of what lies in the mapped file is copied, so that the file need not stay
// mapped.
void pack_weights(Model& model) {
  for (Weight& weight : model.weights()) {
    const Array& value = weight.tensor->array();
    if (is_quantized(value.dtype())) continue;
    if (weight.packed && value.dtype() == model.compute && model.compute != DType::f64) {
      *weight.packed = pack(*weight.tensor);
      *weight.tensor = Tensor();
    } else {
      Array own = Array::empty(value.shape(), value.dtype());
      kernel::copy(value, own);
      *weight.tensor = Tensor(std::move(own));
    }
  }
}

Loaded build(const Json& config, const std::string& config_name, NamedArrays arrays, const std::string& file,
             Layout layout, const LoadOptions& options) {
  // An unknown model_type is build_model's error; until then any architecture stands in for the name mapping.
  const auto type = config.is_object() ? config.find("model_type") : config.end();
  const Architecture* known = nullptr;
  if (config.is_object() && type != config.end() && type->is_string())
    known = find_architecture(type->get<std::string>());
  StoredWeights weights(std::move(arrays), file, layout, known ? *known : *architectures().front(), options);
  Loaded loaded;
  loaded.model =
      build_model(config, config_name, [&](const Weight& w, const Shape& s) { return weights(w, s); });
  loaded.model->compute = options.trainable ? DType::f32 : options.compute;
  loaded.unused = weights.unused();
  if (options.packed && !options.trainable && !options.as_stored) pack_weights(*loaded.model);
  return loaded;
}

Loaded load_gguf(const fs::path& path, const LoadOptions& options) {
  const Gguf file = read_gguf(path);
  Loaded loaded =
      build(config_from_gguf(file), file.name(), file.tensors(), file.name(), Layout::gguf, options);
  loaded.source = "gguf";
  if (options.tokenizer.empty() && file.find("tokenizer.ggml.model")) loaded.tokenizer = load_tokenizer(path);
  return loaded;
}

Loaded load_llama2c(const fs::path& path, const LoadOptions& options) {
  const Llama2c file = read_llama2c(path);
  const Json config = {
      {"model_type", "llama"},
      {"vocab_size", file.vocabulary},
      {"hidden_size", file.dim},
      {"intermediate_size", file.hidden_dim},
      {"num_hidden_layers", file.layers},
      {"num_attention_heads", file.heads},
      {"num_key_value_heads", file.kv_heads},
      {"max_position_embeddings", file.context},
      {"tie_word_embeddings", file.shared_classifier},
      {"rms_norm_eps", 1e-5},
      {"bos_token_id", 1},
      {"eos_token_id", 2},
  };
  Loaded loaded = build(config, path.string(), file.tensors, path.string(), Layout::llama2c, options);
  loaded.source = "llama2.c";
  const fs::path beside = path.parent_path() / "tokenizer.bin";
  if (options.tokenizer.empty() && fs::exists(beside)) loaded.tokenizer = load_tokenizer(beside);
  return loaded;
}

Loaded load_hugging_face(const fs::path& path, const LoadOptions& options) {
  const fs::path config = path / "config.json";
  const fs::path index = path / "model.safetensors.index.json";
  const fs::path weights = fs::exists(index) ? index : path / "model.safetensors";
  Safetensors stored = read_safetensors(path);
  Loaded loaded = build(read_json(config), config.string(), std::move(stored.tensors), weights.string(),
                        Layout::hugging_face, options);
  loaded.source = "hugging face";
  if (options.tokenizer.empty() && fs::exists(path / "tokenizer.json"))
    loaded.tokenizer = load_tokenizer(path);
  return loaded;
}

// RUN/checkpoints/best or last: a text file that names a directory beside it.
fs::path checkpoint_of(const fs::path& run) {
  const fs::path checkpoints = run / "checkpoints";
  for (const char* pointer : {"best", "last"}) {
    const fs::path file = checkpoints / pointer;
    if (!fs::is_regular_file(file)) continue;
    std::string name = read_file(file, 4096);
    while (!name.empty() && (name.back() == '\n' || name.back() == '\r' || name.back() == ' '))
      name.pop_back();
    if (name.empty() || name == "." || name == ".." || name.find('/') != name.npos)
      fail("{}: holds {}, expected the name of a checkpoint", file.string(), quote(name, 40));
    return checkpoints / name;
  }
  fail_hint("train until the first checkpoint is written", "{}: the run has no checkpoint yet", run.string());
}

bool is_gguf(const fs::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  return file->text().starts_with("GGUF");
}

}  // namespace

Loaded load(const fs::path& path, const LoadOptions& options) {
  if (options.compute != DType::f32 && options.compute != DType::bf16 && options.compute != DType::f64)
    fail("load: compute type {} is asked for, expected f32 or bf16", info(options.compute).name);
  Loaded loaded;
  fs::path place = path;
  if (fs::is_directory(path)) {
    const bool run = fs::is_directory(path / "checkpoints");
    if (run) place = checkpoint_of(path);
    if (!fs::exists(place / "config.json"))
      fail_hint("give a Hugging Face directory, a run, a .gguf or a llama2.c .bin file",
                "{}: has no config.json", place.string());
    loaded = load_hugging_face(place, options);
    if (run) loaded.source = "run";
  } else if (path.extension() == ".safetensors") {
    fail_hint("give the directory that holds it and config.json", "{}: is a file of weights without a config",
              path.string());
  } else {
    loaded = is_gguf(path) ? load_gguf(path, options) : load_llama2c(path, options);
  }

  if (!options.tokenizer.empty()) loaded.tokenizer = load_tokenizer(options.tokenizer);
  if (loaded.tokenizer && loaded.tokenizer->size() > loaded.model->vocabulary())
    fail_hint("give the model's own with --tokenizer",
              "{}: the tokenizer has {} ids, the model's vocabulary is {}",
              (options.tokenizer.empty() ? place : options.tokenizer).string(), loaded.tokenizer->size(),
              loaded.model->vocabulary());
  return loaded;
}

}  // namespace intarsia
