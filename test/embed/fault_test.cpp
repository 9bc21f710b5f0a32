// What goes wrong while a model is used: its file shrinks, memory ends. One error, all else as it was.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "embed/tiny_model.h"
#include "embed/work.h"
#include "scratch_folder.h"

namespace intarsia {
namespace {

namespace fs = std::filesystem;

template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) { return error.what(); }
  ADD_FAILURE() << "no Error was thrown";
  return {};
}

TEST(Faults, AModelWhoseFileShrinksGivesAnErrorAndOthersGoOn) {
  const Folder folder;
  const Loaded made = tiny_model(1);
  for (const char* name : {"one", "two"}) save(*made.model, made.tokenizer.get(), folder / name);
  const std::string weights = (folder / "one/model.safetensors").string();
  ASSERT_GT(fs::file_size(weights), 20000u);
  Generator one(load(folder / "one")), two(load(folder / "two"));
  const std::string expected = two.generate("the cat", short_text()).text;
  fs::resize_file(weights, 4096);
  const std::string error = error_of([&] { one.generate("the cat", short_text()); });
  EXPECT_NE(error.find(weights + ": was shortened"), std::string::npos) << error;
  EXPECT_EQ(two.generate("the cat", short_text()).text, expected);
  EXPECT_THROW(one.generate("the cat", short_text()), Error);  // it stays lost
  const std::string unsaved = error_of([&] { save(one.model(), nullptr, folder / "three"); });
  EXPECT_FALSE(fs::exists(folder / "three")) << "half a model was written";
}

TEST(Faults, MemoryThatEndsInTheMiddleOfAStepIsOneError) {
  const double expected = some_work();
  const size_t enough = memory_use().reserved;
  struct NoLimit {
    ~NoLimit() { set_memory_limit(0); }
  } no_limit;
  set_memory_limit(enough + 1);
  const Tensor kept = uniform({100}, -1, 1, 3);
  const double first = mean(kept).item();
  EXPECT_NE(error_of([&] {
              const Tensor w = parameter(uniform({512, 512}, -1, 1, 7));
              Tensor y = w;
              for (int i = 0; i < 1000; i++) y = tanh(matmul(y, w) * 0.1);
            }).find("out of memory"),
            std::string::npos);
  EXPECT_EQ(mean(kept).item(), first);
  EXPECT_EQ(some_work(), expected) << "the process is not usable after";
  set_memory_limit(0);
  EXPECT_EQ(some_work(), expected);
}

TEST(Faults, TrainingThatRunsOutOfMemoryKeepsItsCheckpoint) {
  const Folder folder;
  Recipe recipe = small_recipe(folder);
  recipe.training.out = (folder / "run").string();
  TrainCallbacks callbacks;
  callbacks.checkpoint = [](const TrainCheckpoint& now) {
    if (now.step == 4) set_memory_limit(1 << 20);
  };
  // Nothing fresh may be taken, and what is kept goes into these.
  std::vector<Array> hoard;
  callbacks.progress = [&](const TrainProgress& now) {
    while (now.step == 5) hoard.push_back(Array::empty({1 << 10}));
  };
  EXPECT_NE(error_of([&] { train(recipe, callbacks); }).find("out of memory"), std::string::npos);
  set_memory_limit(0);
  hoard.clear();
  EXPECT_EQ(resume(recipe.training.out).losses.size(), 2u);
}

}  // namespace
}  // namespace intarsia
