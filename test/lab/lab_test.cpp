#include "lab/lab.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "data/file.h"
#include "intarsia/error.h"
#include "lab/report.h"
#include "scratch_folder.h"

namespace intarsia {
namespace {

// Small enough for a test, with a grid, and without data from outside.
constexpr const char* small = R"(
question = "Which <b>rate</b>?"
how = ["Drawn digits."]
seeds = [1, 2]
[set]
optimizer.clip = 0
schedule.warm_up = 0
[[variant]]
name = "adam + L2"
set.optimizer.kind = "adam"
[[variant]]
name = "adamw"
set.optimizer.kind = "adamw"
[[task]]
name = "digits"
title = "Drawn digits"
set.task.data = "drawn"
set.task.images = 200
set.task.hidden = 16
set.training.steps = 20
set.training.batch = 50
rows = {key = "optimizer.learning_rate", name = "rate", values = [1e-3, 1e-2]}
columns = {key = "optimizer.weight_decay", name = "decay", values = [0, 0.1]}
[[task]]
name = "scales"
run = "two_scales"
set.training.steps = 30
[quick]
seeds = [7]
set.training.steps = 5
grid = 2
)";

class Lab : public testing::Test {
 protected:
  LabOptions options() {
    LabOptions o;
    o.directory = folder_.path() / "lab";
    o.command = "intarsia lab small";
    o.progress = [this](const LabProgress&) { begun_++; };
    return o;
  }
  Folder folder_;
  int begun_ = 0;
};

TEST_F(Lab, RunsEveryVariantTaskPlaceAndSeedOnce) {
  const Comparison comparison = parse_comparison(small, "small", false);
  EXPECT_EQ(places_of(comparison).size(), 2u * (4 + 1) * 2);
  const LabResult result = run_lab(comparison, options());
  EXPECT_EQ(begun_, 20);
  for (const auto& outcome : result.outcomes) {
    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->failed, "");
    EXPECT_EQ(outcome->measures.size(), 3u);
  }
  const LabSummary summary = summarize(comparison, result);
  EXPECT_EQ(summary.done, 20u);
  EXPECT_EQ(summary.tasks[0].variants[1].measures[0].values.size(), 2u);
  EXPECT_NE(answer(comparison, summary).find("is best"), std::string::npos);
}

TEST_F(Lab, AnInterruptedLabGoesOnAndEndsWithTheSameNumbers) {
  const Comparison comparison = parse_comparison(small, "small", false);
  LabOptions stopping = options();
  stopping.cancel = [&] { return begun_ > 6; };
  const LabResult part = run_lab(comparison, stopping);
  EXPECT_TRUE(part.interrupted);
  EXPECT_EQ(
      std::count_if(part.outcomes.begin(), part.outcomes.end(), [](const auto& o) { return o.has_value(); }),
      6);
  // The machine stops in the middle of a line.
  const std::filesystem::path runs = options().directory / "runs.jsonl";
  std::filesystem::resize_file(runs, std::filesystem::file_size(runs) - 5);
  begun_ = 0;
  const LabResult rest = run_lab(comparison, options());
  EXPECT_EQ(begun_, 15);
  LabOptions other = options();
  other.directory = folder_.path() / "other";
  const LabResult whole = run_lab(comparison, other);
  for (size_t i = 0; i < whole.outcomes.size(); i++)
    EXPECT_EQ(whole.outcomes[i]->measures, rest.outcomes[i]->measures);
}

TEST_F(Lab, ARunWhoseGradientIsNotFiniteIsAFindingAndNoEnd) {
  Comparison comparison = parse_comparison(small, "small", false);
  comparison.tasks.erase(comparison.tasks.begin() + 1);
  comparison.tasks[0].grid->rows.values = {1e-3, 1000};
  comparison.seeds = {1};
  const LabResult result = run_lab(comparison, options());
  const LabSummary summary = summarize(comparison, result);
  EXPECT_EQ(summary.done, 8u);
  EXPECT_GT(summary.failed, 0u);
  EXPECT_TRUE(std::isfinite(summary.tasks[0].variants[0].grid[0][0]));
  EXPECT_TRUE(std::isnan(summary.tasks[0].variants[1].grid[1][1]));  // a decay of 100 a step
}

TEST_F(Lab, ThePageEscapesTextAndFetchesNothing) {
  const Comparison comparison = parse_comparison(small, "small", true);
  run_lab(comparison, options());
  const std::string page = read_file(options().directory / "report.html");
  EXPECT_NE(page.find("Which &lt;b&gt;rate&lt;/b&gt;?"), std::string::npos);
  EXPECT_EQ(page.find("<b>rate"), std::string::npos);
  for (const char* word : {"src=", "@import", "url(", "https://"})
    EXPECT_EQ(page.find(word), std::string::npos) << word;
  EXPECT_LT(page.size(), 100'000u);
  EXPECT_NE(page.find("intarsia lab small"), std::string::npos);
}

TEST_F(Lab, QuickTakesItsOwnSeedsStepsAndAThinnerGrid) {
  const Comparison comparison = parse_comparison(small, "small", true);
  EXPECT_EQ(comparison.seeds, std::vector<int64_t>{7});
  const std::vector<Place> places = places_of(comparison);
  EXPECT_EQ(places[0].settings.at("training.steps"), "5");
}

TEST_F(Lab, SettingsOfACommandLineWinAndWrongOnesAreRefused) {
  Comparison comparison = parse_comparison(small, "small", false);
  override_comparison(comparison, "training.steps=3");
  override_comparison(comparison, "seeds=4");
  EXPECT_EQ(places_of(comparison)[0].settings.at("training.steps"), "3");
  EXPECT_EQ(comparison.seeds.size(), 4u);
  EXPECT_THROW(override_comparison(comparison, "training.stepps=3"), Error);
  EXPECT_THROW(override_comparison(comparison, "seeds=none"), Error);
  override_comparison(comparison, "task.imagess=3");
  EXPECT_THROW(run_lab(comparison, options()), Error);
}

TEST(Comparison, ATaskMayHaveVariantsOfItsOwnAndTheQuickFormLeavesSomeOut) {
  const std::string text = R"(
question = "a"
seeds = [1]
[[variant]]
name = "one"
[[variant]]
name = "two"
[[task]]
name = "digits"
[[task]]
name = "two_scales"
[[task.variant]]
name = "three"
set.optimizer.kind = "sgd"
[quick]
without = ["two"]
)";
  const auto names = [&](bool quick) {
    const Comparison comparison = parse_comparison(text, "name", quick);
    std::string all;
    for (const Place& place : places_of(comparison))
      all += comparison.tasks[place.task].variants[place.variant].name + " ";
    return all;
  };
  EXPECT_EQ(names(false), "one two three ");
  EXPECT_EQ(names(true), "one three ");
}

// Outcomes made up: the error is least where decay is rate^power / 10, and nowhere where depth is 0.
VariantSummary valley(double power, double depth) {
  const Comparison comparison = parse_comparison(R"(
question = "a"
seeds = [1, 2]
[[variant]]
name = "one"
columns = [0, 1e-4, 1e-3, 1e-2, 1e-1]
[[task]]
name = "digits"
rows = {key = "optimizer.learning_rate", name = "rate", values = [1e-2, 1e-1, 1]}
columns = {key = "optimizer.weight_decay", name = "decay", values = [0, 1]}
)",
                                                 "name", false);
  LabResult result;
  for (const Place& place : places_of(comparison)) {
    const double rate = comparison.tasks[0].grid->rows.values[place.row];
    const double decay = comparison.tasks[0].columns(0).values[place.column];
    const double away =
        decay > 0 ? std::min(4.0, std::abs(std::log10(decay / std::pow(rate, power) * 10))) : 4;
    const double error = 2 + depth * away + (place.seed == 1 ? .01 : -.01);
    result.outcomes.push_back(Outcome{{error, 0, 0}, {}, {}, 1, ""});
  }
  return summarize(comparison, result).tasks[0].variants[0];
}

TEST(Summary, FindsHowTheBestColumnGoesWithTheRow) {
  const VariantSummary falling = valley(1, 1);
  EXPECT_TRUE(falling.valley.found());
  EXPECT_NEAR(falling.valley.slope, 1, 1e-9);
  EXPECT_NEAR(falling.valley.gain, 4 / 6., 1e-9);  // from 6 to 2 at every rate
  EXPECT_EQ(falling.valley.shared, 3);             // one step off at most
  EXPECT_NEAR(falling.valley.cost, .5, 1e-9);
  const VariantSummary level = valley(0, 1);
  EXPECT_TRUE(level.valley.found());
  EXPECT_NEAR(level.valley.slope, 0, 1e-9);
  EXPECT_EQ(level.valley.shared, 4);
  EXPECT_NEAR(level.valley.cost, 0, 1e-9);
  EXPECT_FALSE(valley(1, .001).valley.found());
}

// Decay shrinks the weights at a rate too small to teach them anything: behind norms the network is the same.
TEST(DigitsTask, BehindNormsTheScaleOfWeightsDoesNotMatter) {
  const auto loss = [](const char* norm, const char* decay) {
    const Settings settings = {{"task.data", "drawn"},
                               {"task.images", "200"},
                               {"task.hidden", "16"},
                               {"task.norm", norm},
                               {"training.steps", "20"},
                               {"training.batch", "50"},
                               {"schedule.warm_up", "0"},
                               {"optimizer.learning_rate", "1e-10"},
                               {"optimizer.decay_scale", "schedule"},
                               {"optimizer.weight_decay", decay}};
    return task_named("digits").run(Cell(settings, 1, {}, {})).measures[1];
  };
  EXPECT_NEAR(loss("rms", "0.2"), loss("rms", "0"), 1e-5);
  EXPECT_GT(std::abs(loss("none", "0.2") - loss("none", "0")), 1e-2);
  EXPECT_THROW(loss("layer", "0"), Error);
}

// Exact counts: three passes write a score once and read it twice, two passes read it once; keys and values
// are 2 x 16 numbers for 8 queries.
TEST(OnlineSoftmax, EachFormMovesWhatItsDerivationSays) {
  const Task& task = task_named("online_softmax");
  const double keys_and_values = 2.0 * 16 * 4 / 8;
  for (const auto& [form, scores] : {std::pair{"three", 12.0}, {"two", 8.0}, {"one", 0.0}}) {
    const Settings settings = {
        {"task.form", form}, {"task.longest", "37"}, {"task.queries", "8"}, {"task.width", "16"}};
    const Outcome outcome = task.run(Cell(settings, 3, {}, {}));
    EXPECT_EQ(outcome.measures[1], scores) << form;
    EXPECT_EQ(outcome.measures[0], scores + keys_and_values) << form;
    EXPECT_GT(outcome.measures[3], 0) << form;
    EXPECT_LT(outcome.measures[3], 10) << form;  // 1e-6
  }
}

TEST(AttentionLengths, TiledMemoryGrowsWithTheLengthAndStoredWithItsSquare) {
  const auto growth = [](const char* form) {
    const Settings settings = {{"task.form", form}, {"task.longest", "1024"}, {"task.turns", "1"}};
    return task_named("attention_memory").run(Cell(settings, 1, {}, {})).measures[1];
  };
  EXPECT_GT(growth("stored"), 3.5);
  EXPECT_LT(growth("tiled"), 2.2);
}

TEST(LanguageModel, FollowsThePolicyOfItsRecipe) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "intarsia-policy";
  std::filesystem::create_directories(folder);
  std::string text;
  for (int i = 0; i < 400; i++) text += "the quick brown fox number " + std::to_string(i * 37 % 101) + "\n";
  write_file(folder / "text.txt", text);
  const auto loss = [&](const char* narrow) {
    const Settings settings = {{"data.path", (folder / "text.txt").string()},
                               {"training.steps", "3"},
                               {"schedule.warm_up", "0"},
                               {"evaluation.batches", "1"},
                               {"precision.narrow", narrow}};
    return task_named("language_model").run(Cell(settings, 1, folder, {})).measures[1];
  };
  const double wide = loss(""), narrow = loss("linear");
  EXPECT_NE(wide, narrow);
  EXPECT_NEAR(wide, narrow, 0.05 * wide);
  std::filesystem::remove_all(folder);
}

TEST(AttentionLengths, WithoutPyTorchSayHowToGetIt) {
  const Settings settings = {{"task.form", "math"},
                             {"task.python", "/nowhere/python"},
                             {"task.script", INTARSIA_SOURCE_DIR "/bench/flash_peer.py"}};
  try {
    task_named("attention_time").run(Cell(settings, 1, {}, {}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("PyTorch did not answer"), std::string::npos) << error.what();
  }
}

TEST(Comparison, MistakesNameTheFileAndTheKey) {
  const auto error_of = [](const std::string& toml) -> std::string {
    try {
      parse_comparison(toml, "name", false);
    } catch (const Error& error) { return error.what(); }
    return "no error";
  };
  EXPECT_EQ(error_of("seeds = [1]"), "name.toml: the file has no question");
  EXPECT_EQ(error_of("question = 'a'\nseedz = 1"), "name.toml:2: the file has the unknown key \"seedz\"");
  const std::string head = "question = 'a'\nseeds = [1]\nvariant = [{name = 'v'}]\n";
  EXPECT_EQ(error_of(head + "task = [{name = 'digit'}]"), "lab: unknown task \"digit\"");
  EXPECT_NE(error_of(head + "task = [{name = 'digits', rows = {key = 'a', name = 'b', values = [1]}}]")
                .find("both or none"),
            std::string::npos);
  EXPECT_EQ(error_of(head + "task = [{name = 'digits'}]"), "no error");
}

TEST(Comparison, EveryFileOfTheRecipesCanBeReadInBothForms) {
  int seen = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(INTARSIA_SOURCE_DIR) / "recipes/lab"))
    for (const bool quick : {false, true}) {
      seen++;
      EXPECT_GT(places_of(read_comparison(entry.path(), quick)).size(), 0u);
    }
  EXPECT_GE(seen, 2);
}

}  // namespace
}  // namespace intarsia
