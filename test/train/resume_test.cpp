// A run that was stopped, killed or hit by a full disk, and then resumed, ends with the bits of an
// undisturbed one.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "small_run.h"
#include "train/report/log.h"
#include "train/run/checkpoint.h"

namespace intarsia {
namespace {

using test::Fault;
using test::FaultyFiles;
using test::InPlaceOfTheSystem;
using test::Scratch;
namespace fs = std::filesystem;

// Two checkpoints, of which the second replaces the first: all that can be interrupted, in as few operations
// as possible.
Recipe brief_recipe(const Scratch& scratch, const std::string& run) {
  Recipe recipe = test::small_recipe(scratch, run);
  recipe.training.steps = 4;
  return recipe;
}

// The state that an undisturbed run ends with.
std::string undisturbed(const Scratch& scratch,
                        Recipe (*recipe_for)(const Scratch&, const std::string&) = test::small_recipe) {
  train(recipe_for(scratch, "undisturbed"));
  const std::string state = test::last_state(scratch / "undisturbed");
  EXPECT_GT(state.size(), 1000u);
  return state;
}

// The step of the newest whole checkpoint, -1 if there is none.
int64_t newest_step(const fs::path& run) {
  const auto found = Checkpoints(run, 1).newest([](const std::string&) {});
  return found ? Checkpoints::read_state(*found).step : -1;
}

// Goes on after a kill, as a user would: if there is no run yet, from the beginning.
void go_on(const Recipe& recipe) {
  const fs::path run = recipe.training.out;
  if (fs::exists(run / "recipe.toml"))
    resume(run);
  else
    train(recipe);
}

// Trains with a fault at one file operation. Returns the number of operations.
int train_with(Fault fault, int at, const Recipe& recipe) {
  FaultyFiles files(fault, at);
  const InPlaceOfTheSystem placed(files);
  train(recipe);
  return files.count();
}

class KilledAtEveryFileOperation : public testing::TestWithParam<Fault> {};

TEST_P(KilledAtEveryFileOperation, ItResumesToTheSameBitsAndNeverLosesACheckpoint) {
  const Scratch scratch;
  const std::string expected = undisturbed(scratch, brief_recipe);
  const int count = train_with(Fault::none, 0, brief_recipe(scratch, "counted"));
  ASSERT_EQ(test::last_state(scratch / "counted"), expected);
  ASSERT_GT(count, 100);

  int64_t newest = -1;
  for (int at = 0; at < count; at++) {
    const Recipe recipe = brief_recipe(scratch, "killed");
    fs::remove_all(recipe.training.out);
    const int status = test::in_child([&] { train_with(GetParam(), at, recipe); });
    ASSERT_EQ(status, 9) << "operation " << at;
    const int64_t now = newest_step(recipe.training.out);
    ASSERT_GE(now, newest) << "a checkpoint was lost at operation " << at;
    newest = now;
    const int resumed = test::in_child([&] { go_on(recipe); });
    ASSERT_EQ(resumed, 0) << "operation " << at;
    ASSERT_TRUE(test::last_state(recipe.training.out) == expected) << "operation " << at;
  }
  EXPECT_GE(newest, 4);
}

INSTANTIATE_TEST_SUITE_P(Resume, KilledAtEveryFileOperation,
                         testing::Values(Fault::die_before, Fault::die_after), [](const auto& fault) {
                           return fault.param == Fault::die_before ? "Before" : "After";
                         });

class FailingFileOperation : public testing::TestWithParam<Fault> {};

TEST_P(FailingFileOperation, GivesOneErrorKeepsTheEarlierCheckpointAndResumesToTheSameBits) {
  const Scratch scratch;
  const std::string expected = undisturbed(scratch, brief_recipe);
  const int count = train_with(Fault::none, 0, brief_recipe(scratch, "counted"));

  int64_t newest = -1;
  int errors = 0;
  for (int at = 0; at < count; at++) {
    const Recipe recipe = brief_recipe(scratch, "failing");
    fs::remove_all(recipe.training.out);
    try {
      train_with(GetParam(), at, recipe);
    } catch (const Error& error) {
      errors++;
      const std::string text = error.what();
      ASSERT_EQ(text.find('\n'), std::string::npos);
      const char* reason = GetParam() == Fault::no_space ? "No space left on device" : "Input/output error";
      ASSERT_NE(text.find(reason), std::string::npos) << text;
    }
    const int64_t now = newest_step(recipe.training.out);
    ASSERT_GE(now, newest) << "a checkpoint was lost at operation " << at;
    newest = std::max(newest, now == 4 ? newest : now);  // a failure that harms nothing lets the run end
    go_on(recipe);
    ASSERT_TRUE(test::last_state(recipe.training.out) == expected) << "operation " << at;
  }
  EXPECT_GT(errors, count / 2);
}

INSTANTIATE_TEST_SUITE_P(Resume, FailingFileOperation, testing::Values(Fault::no_space, Fault::io_error),
                         [](const auto& fault) {
                           return fault.param == Fault::no_space ? "NoSpace" : "IoError";
                         });

TEST(Resume, KilledAtFiftyRandomInstantsItEndsWithTheSameBits) {
  const Scratch scratch;
  const auto start = std::chrono::steady_clock::now();
  const std::string expected = undisturbed(scratch);
  int64_t latest =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start).count();
  Random random(11);
  int killed = 0;
  for (int turn = 0; killed < 50; turn++) {
    ASSERT_LT(turn, 500) << killed << " were killed";
    const int before = killed;
    const Recipe recipe = test::small_recipe(scratch, "killed");
    fs::remove_all(recipe.training.out);
    // Killed again and again at random instants, until it has come to its end.
    for (bool ended = false; !ended;) {
      const pid_t child = fork();
      if (child == 0) {
        try {
          go_on(recipe);
        } catch (const Error& error) {
          std::fprintf(stderr, "child: %s\n", error.what());
          _exit(1);
        }
        _exit(0);
      }
      std::this_thread::sleep_for(std::chrono::microseconds(random.below(static_cast<uint64_t>(latest))));
      kill(child, SIGKILL);
      int status = 0;
      waitpid(child, &status, 0);
      ended = WIFEXITED(status);
      killed += !ended;
      if (ended) { ASSERT_EQ(WEXITSTATUS(status), 0); }
    }
    ASSERT_TRUE(test::last_state(recipe.training.out) == expected) << "turn " << turn;
    if (killed == before)
      latest = std::max<int64_t>(1000, latest * 3 / 4);  // the machine was slow when it was measured
  }
}

TEST(Resume, CancelledAfterAnyStepItEndsWithTheSameBits) {
  const Scratch scratch;
  const std::string expected = undisturbed(scratch);
  for (int polls = 1; polls < 40; polls += 2) {
    const Recipe recipe = test::small_recipe(scratch, "cancelled");
    fs::remove_all(recipe.training.out);
    int left = polls;
    TrainCallbacks callbacks;
    callbacks.cancel = [&] { return --left == 0; };
    const TrainResult stopped = train(recipe, callbacks);
    if (!stopped.cancelled) {
      EXPECT_EQ(stopped.step, 6);
      continue;
    }
    EXPECT_EQ(newest_step(recipe.training.out),
              stopped.step > 0 ? stopped.step : newest_step(recipe.training.out));
    const TrainResult ended = resume(recipe.training.out);
    EXPECT_EQ(ended.step, 6);
    EXPECT_FALSE(ended.cancelled);
    ASSERT_TRUE(test::last_state(recipe.training.out) == expected) << "poll " << polls;
  }
}

TEST(Resume, OneAndTwoThreadsGiveTheSameBits) {
  const Scratch scratch;
  const int threads = thread_count();
  std::vector<std::string> states;
  for (const int count : {1, 2, 3}) {
    set_thread_count(count);
    Recipe recipe = test::small_recipe(scratch, "threads" + std::to_string(count));
    recipe.model.width = 64;
    recipe.model.context = 48;
    recipe.training.batch = 5;
    train(recipe);
    states.push_back(test::last_state(recipe.training.out));
  }
  set_thread_count(threads);
  EXPECT_GT(states[0].size(), 1000u);
  EXPECT_TRUE(states[0] == states[1]);
  EXPECT_TRUE(states[0] == states[2]);
}

// What is kept beside the weights: states of every shape, averages, loss scales, bf16 weights without
// masters.
struct Setting {
  const char* name;
  void (*change)(Recipe&);
};
class ResumeOf : public testing::TestWithParam<Setting> {};

TEST_P(ResumeOf, EndsWithTheSameBits) {
  const Scratch scratch;
  const auto recipe_for = [&](const char* run) {
    Recipe recipe = test::small_recipe(scratch, run);
    recipe.training.compute = "bf16";
    GetParam().change(recipe);
    return recipe;
  };
  train(recipe_for("whole"));
  const Recipe recipe = recipe_for("parts");
  TrainCallbacks callbacks;
  int64_t step = 0;
  callbacks.progress = [&](const TrainProgress& now) { step = now.step; };
  callbacks.cancel = [&] { return step >= 4; };
  EXPECT_TRUE(train(recipe, callbacks).cancelled);
  resume(recipe.training.out);
  EXPECT_FALSE(test::last_state(scratch / "whole").empty());
  EXPECT_TRUE(test::last_state(scratch / "whole") == test::last_state(scratch / "parts"));
}

INSTANTIATE_TEST_SUITE_P(
    Train, ResumeOf,
    testing::Values(Setting{"adamw_accumulating", [](Recipe& r) { r.training.accumulation = 2; }},
                    Setting{"sgd_accumulating",
                            [](Recipe& r) {
                              r.training.accumulation = 2;
                              r.optimizer.kind = "sgd";
                            }},
                    Setting{"adafactor", [](Recipe& r) { r.optimizer.kind = "adafactor"; }},
                    Setting{"muon", [](Recipe& r) { r.optimizer.kind = "muon"; }},
                    Setting{"lamb", [](Recipe& r) { r.optimizer.kind = "lamb"; }},
                    Setting{"ema", [](Recipe& r) { r.average.kind = "ema"; }},
                    Setting{"swa", [](Recipe& r) { r.average.kind = "swa", r.average.start_share = 0.3; }},
                    Setting{
                        "without_masters",
                        [](Recipe& r) { r.precision.masters = false, r.precision.rounding = "stochastic"; }},
                    Setting{"f16_with_steps_left_out",
                            [](Recipe& r) {
                              r.training.compute = "f16";
                              r.precision.loss_scale = 0x1p40;  // overflows at first
                              r.precision.growth_interval = 2;
                            }}),
    [](const auto& s) { return std::string(s.param.name); });

TEST(Resume, TheTextIsNotNeededAnyMore) {
  const Scratch scratch;
  const std::string expected = undisturbed(scratch);
  const Recipe recipe = test::small_recipe(scratch, "cancelled");
  TrainCallbacks callbacks;
  int64_t step = 0;
  callbacks.progress = [&](const TrainProgress& now) { step = now.step; };
  callbacks.cancel = [&] { return step >= 2; };
  EXPECT_TRUE(train(recipe, callbacks).cancelled);
  fs::remove(recipe.data.path);
  resume(recipe.training.out);
  EXPECT_TRUE(test::last_state(recipe.training.out) == expected);
}

// A run with checkpoints of steps 2, 4 and 6.
Recipe finished_run(const Scratch& scratch) {
  Recipe recipe = test::small_recipe(scratch, "damaged");
  recipe.checkpoints.keep = 5;
  train(recipe);
  return recipe;
}

void flip_a_bit(const fs::path& path) {
  std::string bytes = test::read_all(path);
  ASSERT_FALSE(bytes.empty());
  bytes[bytes.size() / 2] ^= 4;
  test::write_all(path, bytes);
}

TEST(Resume, ADamagedCheckpointIsPassedOverWithAWarning) {
  for (const char* file :
       {"model.safetensors", "optimizer.safetensors", "state.json", "manifest.json", "config.json"}) {
    const Scratch scratch;
    const Recipe recipe = finished_run(scratch);
    const fs::path run = recipe.training.out;
    const std::string expected = test::last_state(run);
    flip_a_bit(run / "checkpoints/step-000006" / file);
    std::string notes;
    TrainCallbacks callbacks;
    callbacks.note = [&](const std::string& text) { notes += text + "\n"; };
    const TrainResult result = resume(run, callbacks);
    EXPECT_EQ(result.losses.size(), 2u) << file << ": two steps had to be taken again";
    EXPECT_NE(notes.find("step-000006 is damaged"), std::string::npos) << notes;
    EXPECT_NE(test::read_all(run / "log.jsonl").find("step-000006 is damaged"), std::string::npos);
    EXPECT_TRUE(test::last_state(run) == expected) << file;
  }
}

TEST(Resume, AMissingFileOfACheckpointIsDamageToo) {
  const Scratch scratch;
  const Recipe recipe = finished_run(scratch);
  const fs::path run = recipe.training.out;
  const std::string expected = test::last_state(run);
  fs::remove(run / "checkpoints/step-000006/optimizer.safetensors");
  fs::remove(run / "checkpoints/step-000004/manifest.json");
  EXPECT_EQ(resume(run).losses.size(), 4u);
  EXPECT_TRUE(test::last_state(run) == expected);
}

TEST(Resume, WithoutAnyWholeCheckpointItRefusesAndRemovesNothing) {
  const Scratch scratch;
  const Recipe recipe = finished_run(scratch);
  const fs::path run = recipe.training.out;
  for (const char* name : {"step-000002", "step-000004", "step-000006"})
    flip_a_bit(run / "checkpoints" / name / "model.safetensors");
  EXPECT_THROW(resume(run), Error);
  EXPECT_TRUE(fs::exists(run / "checkpoints/step-000006/model.safetensors"));
}

TEST(Resume, AFinishedRunStaysAsItIs) {
  const Scratch scratch;
  const Recipe recipe = finished_run(scratch);
  const std::string expected = test::last_state(recipe.training.out);
  const TrainResult result = resume(recipe.training.out);
  EXPECT_EQ(result.step, 6);
  EXPECT_TRUE(result.losses.empty());
  EXPECT_FALSE(result.cancelled);
  EXPECT_TRUE(test::last_state(recipe.training.out) == expected);
}

TEST(Resume, ADirectoryThatIsNoRunIsAnError) {
  const Scratch scratch;
  EXPECT_THROW(resume(scratch / "nothing"), Error);
  fs::create_directory(scratch / "empty");
  EXPECT_THROW(resume(scratch / "empty"), Error);
}

TEST(Resume, ARunIsTrainedByOneProcessAtATime) {
  const Scratch scratch;
  const Recipe recipe = test::small_recipe(scratch, "locked");
  TrainCallbacks callbacks;
  int refused = 0;
  callbacks.progress = [&](const TrainProgress&) {
    try {
      resume(recipe.training.out);
    } catch (const Error& error) {
      refused += std::string(error.what()).find("another process") != std::string::npos;
    }
  };
  train(recipe, callbacks);
  EXPECT_EQ(refused, 3);
}

TEST(Resume, ASecondRunInTheSamePlaceIsRefusedWithAHint) {
  const Scratch scratch;
  const Recipe recipe = test::small_recipe(scratch, "twice");
  train(recipe);
  const std::string before = test::last_state(recipe.training.out);
  try {
    train(recipe);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) { EXPECT_NE(error.hint().find("--resume"), std::string::npos); }
  EXPECT_TRUE(test::last_state(recipe.training.out) == before);
}

}  // namespace
}  // namespace intarsia
