#include "train/loop.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <cmath>
#include <fstream>

#include "intarsia/model.h"
#include "intarsia/op.h"
#include "small_run.h"
#include "train/dataset.h"
#include "train/report/log.h"
#include "train/run/checkpoint.h"

namespace intarsia {
namespace {

using test::Scratch;
namespace fs = std::filesystem;

TEST(Loop, TheLossFallsAndTheRunDirectoryHoldsWhatIsPromised) {
  const Scratch scratch;
  Recipe recipe = test::small_recipe(scratch, "run");
  recipe.training.steps = 200;
  recipe.training.batch = 8;
  recipe.samples.prompt = "the ";
  recipe.evaluation.every = 50;
  recipe.checkpoints.every = 50;
  recipe.checkpoints.keep = 2;
  recipe.samples.every = 100;
  std::vector<TrainProgress> progress;
  std::vector<TrainSample> samples;
  std::vector<TrainCheckpoint> checkpoints;
  TrainCallbacks callbacks;
  callbacks.command = "intarsia train text.txt";
  callbacks.progress = [&](const TrainProgress& now) { progress.push_back(now); };
  callbacks.sample = [&](const TrainSample& sample) { samples.push_back(sample); };
  callbacks.checkpoint = [&](const TrainCheckpoint& checkpoint) { checkpoints.push_back(checkpoint); };
  const TrainResult result = train(recipe, callbacks);

  EXPECT_EQ(result.step, 200);
  EXPECT_FALSE(result.cancelled);
  ASSERT_EQ(result.losses.size(), 200u);
  EXPECT_NEAR(result.losses[0], std::log(20), 0.5);  // about 20 characters, all alike at first
  EXPECT_LT(result.loss, 0.6 * result.losses[0]);
  ASSERT_TRUE(result.validation.has_value());
  EXPECT_LT(*result.validation, 0.7 * result.losses[0]);

  ASSERT_EQ(progress.size(), 100u);
  EXPECT_EQ(progress.back().step, 200);
  EXPECT_EQ(progress.back().tokens, 200 * 8 * 16);
  EXPECT_EQ(progress.back().loss, result.losses.back());
  EXPECT_GT(progress.back().tokens_per_second, 0);
  EXPECT_GT(progress.back().memory_peak, 0u);
  EXPECT_EQ(progress.back().seconds_left, 0);
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[0].prompt, "the ");
  EXPECT_EQ(samples[0].text.size(), 5u);
  ASSERT_EQ(checkpoints.size(), 4u);

  const fs::path run = recipe.training.out;
  EXPECT_EQ(to_toml(read_recipe(run / "recipe.toml")), to_toml(recipe));
  for (const char* name :
       {"log.jsonl", "report.html", "data", "events", "checkpoints/last", "checkpoints/best"})
    EXPECT_TRUE(fs::exists(run / name)) << name;
  for (const char* name : {"config.json", "model.safetensors", "tokenizer.json", "optimizer.safetensors",
                           "state.json", "manifest.json"})
    EXPECT_TRUE(fs::exists(run / "checkpoints/step-000200" / name)) << name;
  for (const auto& entry : fs::recursive_directory_iterator(run))
    EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();

  const RunHistory history = read_log(run / "log.jsonl");
  EXPECT_EQ(history.damaged_lines, 0);
  ASSERT_TRUE(history.start.has_value());
  EXPECT_EQ(history.start->command, "intarsia train text.txt");
  EXPECT_EQ(history.start->data, "text.txt");
  EXPECT_EQ(history.start->train_tokens, 3600);
  EXPECT_EQ(history.steps.size(), 100u);
  EXPECT_EQ(history.validations.size(), 4u);
  EXPECT_EQ(history.samples.size(), 2u);
  EXPECT_EQ(history.checkpoints.size(), 4u);
  ASSERT_TRUE(history.end.has_value());
  ASSERT_TRUE(history.time.has_value());
  EXPECT_GT(history.time->backward, 0);
}

TEST(Loop, TheRunIsLoadedAsAModelAndItsValidationLossIsTheOneReported) {
  const Scratch scratch;
  Recipe recipe = test::small_recipe(scratch, "run");
  recipe.data.validation = 0.3;
  const TrainResult result = train(recipe);
  const Loaded loaded = load(recipe.training.out);
  ASSERT_TRUE(loaded.tokenizer);
  // Once more by hand: windows of 16 over the last 30 % of the characters, a shorter rest dropped.
  const std::string text = test::read_all(recipe.data.path);
  const Ids ids = loaded.tokenizer->encode(text);
  ASSERT_EQ(ids.size(), 4000u);
  const NoGradient no_gradient;
  double sum = 0;
  int windows = 0;
  for (size_t at = 2800; at + 17 <= ids.size(); at += 16) {
    const Array row = Array::copy_of(std::span<const int32_t>(&ids[at], 16), {1, 16});
    const Array next = Array::copy_of(std::span<const int32_t>(&ids[at + 1], 16), {1, 16});
    sum += cross_entropy((*loaded.model)(Tensor(row)), Tensor(next)).item();
    windows++;
  }
  EXPECT_EQ(windows, 74);
  EXPECT_NEAR(sum / windows, *result.validation, 1e-5);
}

TEST(Loop, KeepsTheNewestCheckpointsAndTheBest) {
  const Scratch scratch;
  Recipe recipe = test::small_recipe(scratch, "run");
  recipe.training.steps = 12;
  // Rates that rise from good ones to far too high ones: the best validation comes early.
  recipe.optimizer.learning_rate = 20;
  recipe.schedule.kind = "constant";
  recipe.schedule.warm_up = 11;
  recipe.optimizer.kind = "sgd";
  recipe.optimizer.momentum = 0;
  recipe.checkpoints.keep = 2;
  train(recipe);
  const fs::path checkpoints = fs::path(recipe.training.out) / "checkpoints";
  std::string best = test::read_all(checkpoints / "best");
  best.pop_back();
  EXPECT_EQ(test::read_all(checkpoints / "last"), "step-000012\n");
  EXPECT_TRUE(fs::exists(checkpoints / best / "manifest.json"));
  EXPECT_TRUE(fs::exists(checkpoints / "step-000010"));
  int directories = 0;
  for (const auto& entry : fs::directory_iterator(checkpoints)) directories += entry.is_directory();
  EXPECT_EQ(directories, best == "step-000012" || best == "step-000010" ? 2 : 3);
  const TrainState state = Checkpoints::read_state(checkpoints / "step-000012");
  EXPECT_EQ(fmt::format("step-{:06}", state.best_step), best);
  EXPECT_LT(state.best_step, 10) << "the test wants an early best";
}

TEST(Loop, AccumulatedBatchesGiveTheLossesOfOneLargeBatch) {
  const Scratch scratch;
  Recipe recipe = test::small_recipe(scratch, "large");
  recipe.training.batch = 8;
  const std::vector<double> large = train(recipe).losses;
  recipe.training.out = (scratch / "parts").string();
  recipe.training.batch = 2;
  recipe.training.accumulation = 4;
  const std::vector<double> parts = train(recipe).losses;
  ASSERT_EQ(large.size(), parts.size());
  for (size_t i = 0; i < large.size(); i++) EXPECT_NEAR(large[i], parts[i], 2e-5) << "step " << i;
}

TEST(Loop, Bf16ComputeFollowsF32) {
  const Scratch scratch;
  Recipe recipe = test::small_recipe(scratch, "f32");
  recipe.training.steps = 40;
  recipe.training.batch = 8;
  const TrainResult exact = train(recipe);
  recipe.training.out = (scratch / "bf16").string();
  recipe.training.compute = "bf16";
  const TrainResult rounded = train(recipe);
  EXPECT_NEAR(exact.loss, rounded.loss, 0.05);
  EXPECT_NEAR(*exact.validation, *rounded.validation, 0.05);
}

TEST(Loop, OperationsOfTheNarrowListComputeInBf16AndWeightsStayF32) {
  const Scratch scratch;
  Recipe recipe = test::small_recipe(scratch, "f32");
  const std::vector<double> wide = train(recipe).losses;
  recipe.training.out = (scratch.path() / "autocast").string();
  recipe.precision.narrow = "linear matmul attention";
  recipe.precision.wide = "rms_norm cross_entropy";
  const std::vector<double> mixed = train(recipe).losses;
  ASSERT_EQ(mixed.size(), wide.size());
  EXPECT_NE(mixed[0], wide[0]);
  for (size_t i = 0; i < mixed.size(); i++) EXPECT_NEAR(mixed[i], wide[i], 0.03 * wide[i]) << i;
  const Loaded loaded = load(recipe.training.out);
  for (const Weight& weight : loaded.model->weights()) EXPECT_EQ(weight.tensor->dtype(), DType::f32);
  recipe.precision.narrow = "linaer";
  EXPECT_THROW(train(recipe), Error);
}

TEST(Loop, InitGoesOnFromAModelWithItsTokenizer) {
  const Scratch scratch;
  Recipe recipe = test::small_recipe(scratch, "first");
  recipe.training.steps = 60;
  recipe.training.batch = 8;
  const TrainResult first = train(recipe);
  recipe.model.init = recipe.training.out;
  recipe.training.out = (scratch / "second").string();
  const TrainResult second = train(recipe);
  EXPECT_LT(second.losses[0], 0.8 * first.losses[0]);
  EXPECT_NEAR(second.losses[0], first.losses.back(), 0.4);
}

TEST(Loop, EveryArchitectureOfTheTableTrains) {
  for (const char* type : {"llama", "gpt2", "mistral"}) {
    const Scratch scratch;
    Recipe recipe = test::small_recipe(scratch, "run");
    recipe.model.type = type;
    recipe.training.steps = 60;
    recipe.training.batch = 8;
    const TrainResult result = train(recipe);
    EXPECT_LT(result.loss, 0.85 * result.losses[0]) << type;
  }
}

TEST(Loop, ByteLevelBpeAndDirectoriesAndJsonLinesAreRead) {
  const Scratch scratch;
  fs::create_directories(scratch / "texts");
  test::write_all(scratch / "texts/a.txt", test::small_text(3000));
  std::string lines;
  for (int i = 0; i < 20; i++)
    lines += "{\"body\": \"the mat and the birds sat on a cat " + std::to_string(i) + "\"}\n";
  test::write_all(scratch / "texts/b.jsonl", lines);
  Recipe recipe = test::small_recipe(scratch, "run");
  recipe.data.path = (scratch / "texts").string();
  recipe.data.field = "body";
  recipe.tokenizer.kind = "bpe";
  recipe.tokenizer.vocabulary = 280;
  const TrainResult result = train(recipe);
  EXPECT_TRUE(std::isfinite(result.loss));
  EXPECT_GT(load(recipe.training.out).tokenizer->size(), 257);
}

TEST(Loop, ALossThatExplodesIsOneErrorAndTheEarlierCheckpointStays) {
  const Scratch scratch;
  Recipe recipe = test::small_recipe(scratch, "run");
  recipe.training.steps = 400;
  recipe.optimizer.kind = "sgd";
  recipe.optimizer.clip = 0;
  recipe.schedule.warm_up = 8;
  recipe.optimizer.learning_rate = 1000;
  try {
    train(recipe);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("not finite"), std::string::npos) << error.what();
    EXPECT_FALSE(error.hint().empty());
  }
  EXPECT_NE(test::read_all(fs::path(recipe.training.out) / "log.jsonl").find("failed: "), std::string::npos);
}

TEST(Loop, WrongRecipesAndDataAreErrorsBeforeAnythingIsWritten) {
  const Scratch scratch;
  Recipe recipe = test::small_recipe(scratch, "run");
  recipe.model.heads = 3;
  EXPECT_THROW(train(recipe), Error);
  EXPECT_FALSE(fs::exists(recipe.training.out));
  recipe = test::small_recipe(scratch, "run");
  recipe.training.compute = "f64";  // set by a program, past the checks of the file
  EXPECT_THROW(train(recipe), Error);
  EXPECT_FALSE(fs::exists(recipe.training.out));
  recipe = test::small_recipe(scratch, "run2");
  recipe.data.path = (scratch / "missing.txt").string();
  EXPECT_THROW(train(recipe), Error);
  recipe = test::small_recipe(scratch, "run3");
  recipe.model.type = "no such architecture";
  EXPECT_THROW(train(recipe), Error);
}

int64_t mapped_areas() {
  std::ifstream maps("/proc/self/maps");
  int64_t count = 0;
  for (std::string line; std::getline(maps, line);) count++;
  return count;
}

TEST(Loop, AStepTouchesNoSystemMemoryAfterWarmUp) {
  const Scratch scratch;
  Recipe recipe = test::small_recipe(scratch, "run");
  recipe.model.layers = 2;
  recipe.model.width = 64;
  recipe.training.batch = 8;
  recipe.training.steps = 60;
  recipe.training.log_every = 1;
  recipe.evaluation.every = recipe.checkpoints.every = recipe.samples.every = 0;
  struct Memory {
    size_t pool, heap, mapped_by_heap;
    int64_t areas;
    bool operator==(const Memory&) const = default;
  };
  std::vector<Memory> memory;
  memory.reserve(100);
  TrainCallbacks callbacks;
  callbacks.progress = [&](const TrainProgress&) {
    const int64_t areas = mapped_areas();
    const struct mallinfo2 heap = mallinfo2();
    memory.push_back({memory_use().reserved, heap.arena, heap.hblkhd, areas});
  };
  train(recipe, callbacks);
  ASSERT_EQ(memory.size(), 60u);
  for (size_t i = 6; i < memory.size(); i++) {
    EXPECT_EQ(memory[i].pool, memory[5].pool) << "step " << i + 1;
    EXPECT_EQ(memory[i].heap, memory[5].heap) << "step " << i + 1;
    EXPECT_EQ(memory[i].mapped_by_heap, memory[5].mapped_by_heap) << "step " << i + 1;
    EXPECT_EQ(memory[i].areas, memory[5].areas) << "step " << i + 1;
  }
}

TEST(Choice, TakesTheTimeGivenAndWhatIsGivenAsGiven) {
  const Scratch scratch;
  test::write_all(scratch / "book.txt", test::small_text(20'000));
  const Choice choice = choose_recipe(scratch / "book.txt", 0.02);
  check_recipe(choice.recipe);
  EXPECT_EQ(choice.recipe.tokenizer.kind, "characters");
  EXPECT_GE(choice.lines.size(), 3u);
  EXPECT_LE(choice.lines.size(), 4u);
  const std::vector<std::string> given = {"model.layers=1", "training.steps=7", "evaluation.every=3"};
  const Choice other = choose_recipe(scratch / "book.txt", 0.02, given);
  EXPECT_EQ(other.recipe.model.layers, 1);
  EXPECT_EQ(other.recipe.training.steps, 7);
  EXPECT_EQ(other.recipe.evaluation.every, 3);
}

TEST(Choice, TrainsOnAnyTextFromTheShortestOn) {
  for (const size_t bytes : {2000, 5000, 70'000}) {
    const Scratch scratch;
    test::write_all(scratch / "book.txt", test::small_text(bytes));
    const std::vector<std::string> given = {"training.steps=3", "training.out=" + (scratch / "run").string()};
    const Choice choice = choose_recipe(scratch / "book.txt", 0.02, given);
    const TrainResult result = train(choice.recipe);
    EXPECT_EQ(result.step, 3) << bytes;
    EXPECT_TRUE(result.validation.has_value()) << bytes;
  }
}

TEST(Choice, TooShortATextIsAnErrorWithAHint) {
  const Scratch scratch;
  test::write_all(scratch / "note.txt", "hello");
  try {
    choose_recipe(scratch / "note.txt", 1);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("has 5 bytes of text, expected at least 2000"),
              std::string::npos)
        << error.what();
    EXPECT_FALSE(error.hint().empty());
  }
  EXPECT_THROW(choose_recipe(scratch / "missing.txt", 1), Error);
  EXPECT_THROW(choose_recipe(scratch / "note.txt", 0), Error);
}

}  // namespace
}  // namespace intarsia
