// Several models, several sessions, callbacks that throw or cancel.
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "embed/tiny_model.h"
#include "scratch_folder.h"

namespace intarsia {
namespace {

std::string text_of(const Loaded& loaded, uint64_t seed = 5) {
  return Generator(loaded).generate("the cat", short_text(seed)).text;
}

TEST(Embedded, TwoThreadsWithTwoModels) {
  const Loaded one = tiny_model(1), two = tiny_model(2);
  const std::string first = text_of(one), second = text_of(two);
  ASSERT_NE(first, second);
  std::thread other([&] {
    for (int i = 0; i < 10; i++) EXPECT_EQ(text_of(one), first);
  });
  for (int i = 0; i < 10; i++) EXPECT_EQ(text_of(two), second);
  other.join();
}

TEST(Embedded, OneModelWithTwoSessions) {
  const Loaded loaded = tiny_model(1);
  const std::string first = text_of(loaded, 1), second = text_of(loaded, 2);
  ASSERT_NE(first, second);
  // At once, and one inside the other's callback.
  std::thread other([&] {
    for (int i = 0; i < 10; i++) EXPECT_EQ(text_of(loaded, 1), first);
  });
  for (int i = 0; i < 10; i++) EXPECT_EQ(text_of(loaded, 2), second);
  other.join();
  GenerateOptions outer = short_text(1);
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
  const Loaded loaded = tiny_model(1);
  const std::string expected = text_of(loaded);
  Generator session(loaded);
  GenerateOptions throwing = short_text();
  int calls = 0;
  throwing.on_text = [&](std::string_view) -> bool {
    if (++calls == 3) throw Stop{42};
    return true;
  };
  try {
    session.generate("the cat", throwing);
    FAIL() << "the exception got lost";
  } catch (const Stop& stop) { EXPECT_EQ(stop.code, 42); }
  EXPECT_EQ(session.generate("the cat", short_text()).text, expected);
  throwing = short_text();
  throwing.on_prompt = [](int64_t, int64_t) -> bool { throw Stop{7}; };
  session.reset();
  EXPECT_THROW(session.generate("the cat", throwing), Stop);
  EXPECT_EQ(session.generate("the cat", short_text()).text, expected);
}

TEST(Embedded, CancelledSessionsGoOn) {
  const Loaded loaded = tiny_model(1);
  const std::string expected = text_of(loaded);
  Generator session(loaded);
  GenerateOptions cancelling = short_text();
  cancelling.on_text = [](std::string_view) { return false; };
  EXPECT_EQ(session.generate("the cat", cancelling).ending, Ending::cancelled);
  cancelling = short_text();
  cancelling.on_prompt = [](int64_t, int64_t) { return false; };
  session.reset();
  EXPECT_EQ(session.generate("the cat", cancelling).ending, Ending::cancelled);
  EXPECT_EQ(session.generate("the cat", short_text()).text, expected);
}

TEST(Embedded, TrainingEndedByAnExceptionLeavesARunThatResumes) {
  const Folder folder;
  const auto path = [&](const char* name) { return (folder / name).string(); };
  Recipe recipe = small_recipe(folder);
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
