// The bits of models and of training, by rung, against test/golden/bits/models.txt, for any number of
// threads. A debug build compares with the same table as a release build.
#include "bits.h"

#include <gtest/gtest.h>

#include "intarsia/model.h"
#include "intarsia/op.h"
#include "kernel/table.h"
#include "train/small_run.h"

namespace intarsia::test {
namespace {

struct Architecture {
  const char* name;
  const char* config;
};
constexpr Architecture architectures[] = {
    {"llama",
     R"({"model_type": "llama", "vocab_size": 300, "hidden_size": 48, "intermediate_size": 80,
  "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 400})"},
    {"gpt2",
     R"({"model_type": "gpt2", "vocab_size": 300, "n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 400})"},
};

Tensor some_ids(int64_t batch, int64_t time) {
  Random random(5);
  Array ids = Array::empty({batch, time}, DType::i32);
  for (int32_t& id : std::span(ids.mutable_data<int32_t>(), static_cast<size_t>(ids.size())))
    id = static_cast<int32_t>(random.below(300));
  return ids;
}

// Logits of a batch, longer than a block of the cache, and of its rows alone and in pieces.
std::string bits_of_logits(const Architecture& architecture, DType compute) {
  const NoGradient off;
  const auto model = make_model(architecture.config, 6, compute);
  model->compute = compute;
  const Tensor ids = some_ids(2, 300);
  BitsHash whole;
  for (int64_t row = 0; row < 2; row++) whole.add(contiguous(slice((*model)(ids), 0, row, row + 1)).array());
  for (const std::vector<int64_t>& ends : {std::vector<int64_t>{300}, {1, 300}, {255, 257, 300}}) {
    BitsHash pieces;
    for (int64_t row = 0; row < 2; row++) {
      const auto cache = model->make_cache();
      std::vector<Tensor> parts;
      int64_t begin = 0;
      for (const int64_t end : ends) {
        const Tensor part = contiguous(slice(slice(ids, 0, row, row + 1), 1, begin, end));
        parts.push_back((*model)(part, cache.get()));
        begin = end;
      }
      pieces.add(contiguous(concat(parts, 1)).array());
    }
    EXPECT_EQ(pieces.text(), whole.text()) << architecture.name << " alone, in " << ends.size() << " pieces";
  }
  return whole.text();
}

// Weights and moments after some steps.
std::string bits_of_training(const Architecture& architecture, DType compute) {
  const Scratch scratch;
  Recipe recipe = small_recipe(scratch, "run");
  recipe.model.type = architecture.name;
  recipe.training.compute = info(compute).name;
  recipe.training.batch = 3;
  recipe.evaluation.every = 0;
  recipe.samples.every = 0;
  train(recipe);
  const std::string state = last_state(recipe.training.out);
  EXPECT_FALSE(state.empty());
  BitsHash hash;
  hash.add(state);
  return hash.text();
}

TEST(Bits, OfModelsAndTrainingAreThoseOfTheTableForAnyThreads) {
  const std::string before = kernel::table().name;
  const int threads_before = thread_count();
  Bits bits;
  for (const kernel::Kernels* rung : kernel::rungs()) {
    kernel::use_rung(rung->name);
    for (const Architecture& architecture : architectures) {
      for (const DType compute : {DType::f32, DType::bf16}) {
        const std::string name = std::string(architecture.name) + "." + info(compute).name;
        for (const int threads : {1, 2, 3, 1}) {  // and a second run
          set_thread_count(threads);
          const std::string logits = bits_of_logits(architecture, compute),
                            training = bits_of_training(architecture, compute);
          SCOPED_TRACE(name + " " + rung->name + ", " + std::to_string(threads) + " threads");
          EXPECT_EQ(bits[name + ".logits"].try_emplace(rung->name, logits).first->second, logits);
          EXPECT_EQ(bits[name + ".training"].try_emplace(rung->name, training).first->second, training);
        }
      }
    }
  }
  set_thread_count(threads_before);
  kernel::use_rung(before);
  expect_bits("models.txt", bits);
}

}  // namespace
}  // namespace intarsia::test
