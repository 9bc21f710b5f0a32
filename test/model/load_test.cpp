// Files that are not what they should be, and the ways between formats.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/json.h"
#include "data/safetensors.h"
#include "intarsia/error.h"
#include "intarsia/model.h"
#include "intarsia/op.h"
#include "kernel/kernels.h"
#include "model/layout.h"

namespace intarsia {
namespace {

namespace fs = std::filesystem;

class Files : public testing::Test {
 protected:
  Files() {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~Files() override { fs::remove_all(folder_); }
  fs::path path(const std::string& name) const { return folder_ / name; }

  static std::unique_ptr<Model> tiny() {
    return make_model(R"({"model_type": "llama", "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24,
      "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32})",
                      5);
  }
  // A saved model, with one tensor (or the config) put in another's place.
  fs::path directory(const std::function<void(NamedArrays&, Json&)>& change) const {
    const fs::path at = path("model");
    fs::remove_all(at);
    save(*tiny(), nullptr, at);
    NamedArrays arrays = read_safetensors(at).tensors;
    Json config = read_json(at / "config.json");
    change(arrays, config);
    std::vector<ArraySource> sources;
    for (const auto& [name, array] : arrays) sources.emplace_back(name, array);
    write_safetensors(at / "model.safetensors", std::move(sources));
    write_file(at / "config.json", config.dump());
    return at;
  }
  static std::string error_of(const fs::path& at, const LoadOptions& options = {}) {
    try {
      load(at, options);
    } catch (const Error& error) { return error.what(); }
    return "no error";
  }

 private:
  fs::path folder_ = fs::temp_directory_path() / ("intarsia-load-" + std::to_string(getpid()));
};

TEST_F(Files, AWrongShapeNamesFileTensorFoundAndExpected) {
  const fs::path at = directory([](NamedArrays& arrays, Json&) {
    arrays["model.layers.1.mlp.up_proj.weight"] = Array::zeros({23, 16});
  });
  EXPECT_EQ(error_of(at), (at / "model.safetensors").string() +
                              ": model.layers.1.mlp.up_proj.weight is [23, 16], expected [24, 16]");
}

TEST_F(Files, AMissingTensorIsAnErrorAndOneTooManyIsReported) {
  const fs::path missing = directory([](NamedArrays& arrays, Json&) { arrays.erase("model.norm.weight"); });
  EXPECT_EQ(error_of(missing),
            (missing / "model.safetensors").string() + ": has no tensor model.norm.weight");
  const fs::path more = directory([](NamedArrays& arrays, Json&) {
    arrays["model.layers.0.self_attn.q_norm.weight"] = Array::zeros({4});
    arrays["model.layers.0.self_attn.rotary_emb.inv_freq"] = Array::zeros({2});
  });
  EXPECT_EQ(load(more).unused, std::vector<std::string>{"model.layers.0.self_attn.q_norm.weight"});
}

TEST_F(Files, AWeightThatIsNoFloatIsAnError) {
  const fs::path at = directory(
      [](NamedArrays& arrays, Json&) { arrays["model.norm.weight"] = Array::zeros({16}, DType::i32); });
  EXPECT_EQ(error_of(at),
            (at / "model.safetensors").string() + ": model.norm.weight is i32, expected a float type");
}

TEST_F(Files, NamesWithoutThePrefixAreFound) {
  const fs::path at = directory([](NamedArrays& arrays, Json&) {
    NamedArrays bare;
    for (const auto& [name, array] : arrays) bare[name.starts_with("model.") ? name.substr(6) : name] = array;
    arrays = bare;
  });
  EXPECT_EQ(error_of(at), "no error");
}

TEST_F(Files, PathsThatHoldNoModelAreErrors) {
  EXPECT_NE(error_of(path("nothing")).find("nothing"), std::string::npos);
  fs::create_directories(path("empty"));
  EXPECT_EQ(error_of(path("empty")), path("empty").string() + ": has no config.json");
  std::ofstream(path("text.txt")) << "This is not a model.";
  EXPECT_NE(error_of(path("text.txt")), "no error");
  std::ofstream(path("none.gguf")).flush();
  EXPECT_NE(error_of(path("none.gguf")), "no error");
  const fs::path at = directory([](NamedArrays&, Json&) {});
  EXPECT_NE(error_of(at / "model.safetensors").find("without a config"), std::string::npos);
  fs::remove(at / "model.safetensors");
  EXPECT_NE(error_of(at), "no error");
}

TEST_F(Files, ARunIsItsBestCheckpointElseItsLast) {
  const fs::path run = path("run");
  EXPECT_THROW(load(run), Error);
  fs::create_directories(run / "checkpoints");
  EXPECT_EQ(error_of(run), run.string() + ": the run has no checkpoint yet");
  save(*tiny(), nullptr, run / "checkpoints/step-000002");
  std::ofstream(run / "checkpoints/last") << "step-000002\n";
  EXPECT_EQ(load(run).source, "run");
  std::ofstream(run / "checkpoints/best") << "../../etc\n";
  EXPECT_NE(error_of(run).find("expected the name of a checkpoint"), std::string::npos);
  std::ofstream(run / "checkpoints/best") << "step-000001\n";
  EXPECT_NE(error_of(run).find("step-000001"), std::string::npos);
}

TEST_F(Files, SavingReplacesNothing) {
  save(*tiny(), nullptr, path("a"));
  EXPECT_THROW(save(*tiny(), nullptr, path("a")), Error);
  fs::create_directories(path("b"));
  save(*tiny(), nullptr, path("b"));  // an empty directory holds nothing to lose
  EXPECT_EQ(error_of(path("b")), "no error");
  EXPECT_THROW(save(*tiny(), nullptr, path("c"), DType::i32), Error);
  EXPECT_FALSE(fs::exists(path("c.tmp")));
}

// Whatever is cut off or turned around: an Error, or a model that loads.
void damage(const fs::path& good, const fs::path& bad, size_t at_most) {
  std::ifstream in(good, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  const auto attempt = [&](const std::string& content) {
    std::ofstream(bad, std::ios::binary) << content;
    try {
      load(bad);
    } catch (const Error&) {}
  };
  Random random(11);
  for (size_t length = 0; length < bytes.size(); length += 1 + bytes.size() / at_most) {
    std::ofstream(bad, std::ios::binary) << bytes.substr(0, length);
    EXPECT_THROW(load(bad), Error) << good << " cut to " << length << " bytes";
  }
  for (size_t i = 0; i < at_most; i++) {
    std::string flipped = bytes;
    const size_t head = std::min<size_t>(bytes.size(), 3000);  // most of what is checked stands there
    flipped[random.below(head)] ^= static_cast<char>(1u << random.below(8));
    attempt(flipped);
  }
}

TEST_F(Files, DamagedGgufIsAnErrorOrAModel) {
  save(*tiny(), nullptr, path("good.gguf"));
  damage(path("good.gguf"), path("bad.gguf"), 400);
}

TEST_F(Files, DamagedLlama2cIsAnErrorOrAModel) {
  damage(fs::path(INTARSIA_SOURCE_DIR) / "test/golden/formats/llama2c.bin", path("bad.bin"), 400);
}

TEST_F(Files, ADamagedDirectoryIsAnErrorOrAModel) {
  const fs::path at = directory([](NamedArrays&, Json&) {});
  Random random(12);
  for (const char* name : {"config.json", "model.safetensors"}) {
    const std::string good = read_file(at / name);
    const size_t head = std::min<size_t>(good.size(), 2500);
    for (int i = 0; i < 300; i++) {
      std::string bad = good;
      bad[random.below(head)] = static_cast<char>(random.below(256));
      if (i % 3 == 0) bad.resize(random.below(good.size()));
      std::ofstream(at / name, std::ios::binary) << bad;
      try {
        const Loaded loaded = load(at);
        const NoGradient off;
        (*loaded.model)(
            Tensor(Array::copy_of(std::span<const int32_t>(std::vector<int32_t>{1, 2, 3}), {1, 3})));
      } catch (const Error&) {}
    }
    std::ofstream(at / name, std::ios::binary) << good;
  }
  EXPECT_EQ(error_of(at), "no error");
}

TEST_F(Files, QuantizedRowsMoveAsTheyAre) {
  const Weight weight{"q", nullptr, true, 0, false, 2};
  Array stored = Array::empty({8, 32}, DType::q8_0);
  Random random(3);
  auto* bytes = static_cast<uint8_t*>(stored.raw_mutable());
  for (size_t i = 0; i < stored.bytes(); i++)
    bytes[i] = i % 34 == 1 ? 0x2c : static_cast<uint8_t>(random.below(128));
  const Array moved = from_layout(weight, stored, Layout::gguf);
  // Rows (head, pair, half) become (head, half, pair): 0 1 2 3 of a head were 0 2 1 3.
  const int from[] = {0, 2, 1, 3, 4, 6, 5, 7};
  for (int row = 0; row < 8; row++) {
    const auto* found = static_cast<const uint8_t*>(moved.raw()) + row * 34;
    EXPECT_EQ(std::memcmp(found, bytes + from[row] * 34, 34), 0) << row;
  }
  const Array back = to_layout(weight, moved, Layout::gguf);
  EXPECT_EQ(std::memcmp(back.raw(), stored.raw(), stored.bytes()), 0);
  EXPECT_EQ(from_layout(weight, stored, Layout::hugging_face).raw(), stored.raw());
}

TEST_F(Files, PackedWeightsGiveTheSameBitsAndTheSameFile) {
  const fs::path at = directory([](NamedArrays&, Json&) {});
  for (const DType compute : {DType::f32, DType::bf16}) {
    LoadOptions options;
    options.compute = compute;
    const Loaded plain = load(at, options);
    options.packed = true;
    const Loaded packed = load(at, options);
    const auto same = [](const Tensor& x, const Tensor& y) {
      const Array a = kernel::contiguous(x.array()), b = kernel::contiguous(y.array());
      return a.shape() == b.shape() && a.dtype() == b.dtype() &&
             std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
    };
    const Tensor ids = Tensor(Array::zeros({1, 5}, DType::i32));
    EXPECT_TRUE(same((*plain.model)(ids), (*packed.model)(ids)));
    EXPECT_EQ(plain.model->parameter_count(), packed.model->parameter_count());
    size_t replaced = 0;
    for (size_t i = 0; i < plain.model->weights().size(); i++) {
      const Weight &weight = plain.model->weights()[i], &other = packed.model->weights()[i];
      EXPECT_TRUE(same(weight.value(), other.value())) << weight.name;
      replaced += !*other.tensor;
    }
    EXPECT_GT(replaced, 0u);
  }
}

TEST_F(Files, TrainableWeightsAreParametersOfTheirOwnMemory) {
  const fs::path at = directory([](NamedArrays&, Json&) {});
  const Loaded loaded = load(at, {DType::f32, {}, true});
  for (const Weight& weight : loaded.model->weights()) {
    EXPECT_TRUE(weight.tensor->needs_gradient()) << weight.name;
    Array value = weight.tensor->array();
    EXPECT_NO_THROW(value.raw_mutable()) << weight.name;
  }
  EXPECT_FALSE(load(at).model->weights()[0].tensor->needs_gradient());
}

}  // namespace
}  // namespace intarsia
