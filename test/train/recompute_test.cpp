// training.recompute: the same training with less memory, and budgets that are kept.
#include "train/recompute.h"

#include <gtest/gtest.h>

#include "intarsia/op.h"
#include "small_run.h"

namespace intarsia {
namespace {

using test::Scratch;

TEST(Recompute, EveryChoiceTrainsToTheSameBits) {
  const Scratch scratch;
  std::string expected;
  for (const char* choice : {"none", "all", "sqrt", "attention", "binomial:2", "budget:0.004G"}) {
    for (const char* type : {"llama", "gpt2"}) {
      Recipe recipe = test::small_recipe(scratch, std::string("run-") + type);
      recipe.model.type = type;
      recipe.model.layers = 5;
      recipe.training.recompute = choice;
      recipe.training.accumulation = 2;
      recipe.samples.every = 0;
      std::filesystem::remove_all(recipe.training.out);
      train(recipe, {});
      const std::string state = test::last_state(recipe.training.out);
      ASSERT_FALSE(state.empty());
      static std::map<std::string, std::string> first;
      EXPECT_TRUE(first.emplace(type, state).first->second == state) << type << ", " << choice;
    }
  }
}

TEST(Recompute, AWrongChoiceIsNamedWithTheKnownOnes) {
  for (const char* wrong : {"some", "binomial", "binomial:0", "binomial:x", "budget", "budget:1", "all:2"}) {
    try {
      parse_recompute(wrong);
      ADD_FAILURE() << wrong;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(wrong), std::string::npos);
      EXPECT_NE(error.hint().find("binomial:4"), std::string::npos);
    }
  }
}

constexpr const char* config = R"({"model_type": "llama", "vocab_size": 300, "hidden_size": 64,
  "intermediate_size": 176, "num_hidden_layers": 12, "num_attention_heads": 4, "max_position_embeddings": 256,
  "tie_word_embeddings": true})";

// The peak of a forward and backward, everything included.
size_t measured_peak(const Model& model, const Batch& batch) {
  for (const Weight& weight : model.weights()) weight.tensor->clear_gradient();
  reset_peak_memory();
  const Tensor loss = cross_entropy(model(batch.ids), batch.targets);
  backward(loss);
  const size_t peak = memory_use().peak;
  for (const Weight& weight : model.weights()) weight.tensor->clear_gradient();
  return peak;
}

TEST(Recompute, ABudgetIsKeptAndTheForecastIsWithinFivePercent) {
  const auto model = make_model(config, 1);
  for (Weight& weight : model->weights()) *weight.tensor = parameter(weight.tensor->array());
  Batch batch;
  Array ids = Array::zeros({4, 256}, DType::i32), targets = Array::zeros({4, 256}, DType::i32);
  for (int64_t i = 0; i < ids.size(); i++) {
    ids.mutable_data<int32_t>()[i] = static_cast<int32_t>(i * 7 % 300);
    targets.mutable_data<int32_t>()[i] = static_cast<int32_t>(i * 11 % 300);
  }
  batch = {Tensor(ids), Tensor(targets)};
  const size_t whole = measured_peak(*model, batch);
  for (double share : {0.8, 0.5, 0.35}) {
    const auto bytes = static_cast<size_t>(static_cast<double>(whole) * share);
    const Recomputing found = plan_recompute(*model, {RecomputeChoice::budget, 0, bytes}, batch, false);
    EXPECT_FALSE(found.plan.empty());
    EXPECT_LE(found.forecast, bytes);
    EXPECT_GT(found.extra, 0);
    model->recompute = found.plan;
    const size_t peak = measured_peak(*model, batch);
    EXPECT_NEAR(static_cast<double>(found.forecast) / static_cast<double>(peak), 1, 0.05) << share;
    model->recompute.clear();
  }
  EXPECT_THROW(plan_recompute(*model, {RecomputeChoice::budget, 0, 1 << 20}, batch, false), Error);
}

}  // namespace
}  // namespace intarsia
