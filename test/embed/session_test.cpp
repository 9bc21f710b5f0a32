// Several models, several sessions, callbacks that throw or cancel.
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "intarsia/intarsia.h"
#include "scratch_folder.h"

namespace intarsia {
namespace {

Loaded tiny(uint64_t seed) {
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

GenerateOptions options(uint64_t seed = 5) {
  GenerateOptions o;
  o.max_tokens = 60;
  o.ignore_stop_ids = true;
  o.sampling.seed = seed;
  return o;
}

std::string text_of(const Loaded& loaded, uint64_t seed = 5) {
  return Generator(loaded).generate("the cat", options(seed)).text;
}

TEST(Embedded, TwoThreadsWithTwoModels) {
  const Loaded one = tiny(1), two = tiny(2);
  const std::string first = text_of(one), second = text_of(two);
  ASSERT_NE(first, second);
  std::thread other([&] {
    for (int i = 0; i < 10; i++) EXPECT_EQ(text_of(one), first);
  });
  for (int i = 0; i < 10; i++) EXPECT_EQ(text_of(two), second);
  other.join();
}

TEST(Embedded, OneModelWithTwoSessions) {
  const Loaded loaded = tiny(1);
  const std::string first = text_of(loaded, 1), second = text_of(loaded, 2);
  ASSERT_NE(first, second);
  // At once, and one inside the other's callback.
  std::thread other([&] {
    for (int i = 0; i < 10; i++) EXPECT_EQ(text_of(loaded, 1), first);
  });
  for (int i = 0; i < 10; i++) EXPECT_EQ(text_of(loaded, 2), second);
  other.join();
  GenerateOptions outer = options(1);
  outer.on_text = [&](std::string_view) {
    EXPECT_EQ(text_of(loaded, 2), second);
    return true;
  };
  EXPECT_EQ(Generator(loaded).generate("the cat", outer).text, first);
}

struct Stop {
  int code;
};

TEST(Embedded, WhatACallbackThrowsArrivesAndTheSessionGoesOn) {
  const Loaded loaded = tiny(1);
  const std::string expected = text_of(loaded);
  Generator session(loaded);
  GenerateOptions throwing = options();
  int calls = 0;
  throwing.on_text = [&](std::string_view) -> bool {
    if (++calls == 3) throw Stop{42};
    return true;
  };
  try {
    session.generate("the cat", throwing);
    FAIL() << "the exception got lost";
  } catch (const Stop& stop) { EXPECT_EQ(stop.code, 42); }
  EXPECT_EQ(session.generate("the cat", options()).text, expected);
  throwing = options();
  throwing.on_prompt = [](int64_t, int64_t) -> bool { throw Stop{7}; };
  session.reset();
  EXPECT_THROW(session.generate("the cat", throwing), Stop);
  EXPECT_EQ(session.generate("the cat", options()).text, expected);
}

TEST(Embedded, CancelledSessionsGoOn) {
  const Loaded loaded = tiny(1);
  const std::string expected = text_of(loaded);
  Generator session(loaded);
  GenerateOptions cancelling = options();
  cancelling.on_text = [](std::string_view) { return false; };
  EXPECT_EQ(session.generate("the cat", cancelling).ending, Ending::cancelled);
  cancelling = options();
  cancelling.on_prompt = [](int64_t, int64_t) { return false; };
  session.reset();
  EXPECT_EQ(session.generate("the cat", cancelling).ending, Ending::cancelled);
  EXPECT_EQ(session.generate("the cat", options()).text, expected);
}

TEST(Embedded, TrainingEndedByAnExceptionLeavesARunThatResumes) {
  const Folder folder;
  const auto path = [&](const char* name) { return (folder / name).string(); };
  std::string text;
  for (int i = 0; i < 200; i++) text += "the cat sat on mat " + std::to_string(i * i % 97) + ". ";
  FILE* file = fopen(path("text").c_str(), "w");
  ASSERT_NE(file, nullptr);
  fputs(text.c_str(), file);
  fclose(file);
  Recipe recipe = parse_recipe("", "r");
  recipe.data.path = path("text");
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
  recipe.training.out = path("whole");
  const double expected = train(recipe).losses.back();

  recipe.training.out = path("run");
  TrainCallbacks callbacks;
  callbacks.progress = [](const TrainProgress& now) {
    if (now.step == 5) throw Stop{1};
  };
  EXPECT_THROW(train(recipe, callbacks), Stop);
  const TrainResult result = resume(path("run"));  // the lock is free, the last checkpoint is step 4
  EXPECT_EQ(result.losses.size(), 2u);
  EXPECT_EQ(result.losses.back(), expected);

  recipe.training.out = path("cancelled");
  callbacks = {};
  int asked = 0;
  callbacks.cancel = [&] { return ++asked > 3; };
  EXPECT_TRUE(train(recipe, callbacks).cancelled);
  EXPECT_EQ(resume(path("cancelled")).losses.back(), expected);
}

}  // namespace
}  // namespace intarsia
