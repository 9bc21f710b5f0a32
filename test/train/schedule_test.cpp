#include "train/optimizer/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "intarsia/error.h"

namespace intarsia {
namespace {

Recipe::Schedule schedule(const char* kind, int64_t warm_up, double final_share) {
  Recipe::Schedule s;
  s.kind = kind;
  s.warm_up = warm_up;
  s.final_share = final_share;
  return s;
}

TEST(Schedule, WarmUpRisesByEqualStepsToThePeak) {
  const Recipe::Schedule s = schedule("cosine", 4, 0.1);
  EXPECT_DOUBLE_EQ(schedule_share(s, 100, 0), 0.25);
  EXPECT_DOUBLE_EQ(schedule_share(s, 100, 1), 0.5);
  EXPECT_DOUBLE_EQ(schedule_share(s, 100, 3), 1.0);
  EXPECT_DOUBLE_EQ(schedule_share(s, 100, 4), 1.0);
}

TEST(Schedule, CosineFallsToTheFinalShareAtTheStepThatIsNotTaken) {
  const Recipe::Schedule s = schedule("cosine", 10, 0.1);
  EXPECT_DOUBLE_EQ(schedule_share(s, 110, 60), 0.1 + 0.9 * 0.5);
  EXPECT_DOUBLE_EQ(schedule_share(s, 110, 35), 0.1 + 0.9 * 0.5 * (1 + std::cos(std::numbers::pi / 4)));
  EXPECT_NEAR(schedule_share(s, 110, 110), 0.1, 1e-15);
  EXPECT_GT(schedule_share(s, 110, 109), 0.1);
}

TEST(Schedule, LinearIsALine) {
  const Recipe::Schedule s = schedule("linear", 0, 0.5);
  EXPECT_DOUBLE_EQ(schedule_share(s, 100, 0), 1);
  EXPECT_DOUBLE_EQ(schedule_share(s, 100, 50), 0.75);
  EXPECT_DOUBLE_EQ(schedule_share(s, 100, 100), 0.5);
}

TEST(Schedule, WsdStaysAtThePeakAndDecaysInItsLastPart) {
  Recipe::Schedule s = schedule("wsd", 10, 0);
  s.decay_share = 0.2;
  EXPECT_DOUBLE_EQ(schedule_share(s, 100, 10), 1);
  EXPECT_DOUBLE_EQ(schedule_share(s, 100, 80), 1);
  EXPECT_DOUBLE_EQ(schedule_share(s, 100, 90), 0.5);
  EXPECT_DOUBLE_EQ(schedule_share(s, 100, 100), 0);
}

TEST(Schedule, ConstantStays) {
  const Recipe::Schedule s = schedule("constant", 2, 0.1);
  EXPECT_DOUBLE_EQ(schedule_share(s, 100, 0), 0.5);
  EXPECT_DOUBLE_EQ(schedule_share(s, 100, 99), 1);
}

TEST(Schedule, InverseRootFallsWithTheRootOfTheStep) {
  const Recipe::Schedule s = schedule("inverse_sqrt", 25, 0.1);
  EXPECT_DOUBLE_EQ(schedule_share(s, 1000, 24), 1);
  EXPECT_DOUBLE_EQ(schedule_share(s, 1000, 99), 0.5);
  EXPECT_DOUBLE_EQ(schedule_share(schedule("inverse_sqrt", 0, 0.1), 1000, 3), 0.5);
}

TEST(Schedule, OneStepAndDegenerateSharesStayFinite) {
  for (const char* kind : {"cosine", "linear", "wsd", "constant", "inverse_sqrt", "restarts"}) {
    for (const int64_t warm_up : {0, 1, 5}) {
      Recipe::Schedule s = schedule(kind, warm_up, 0);
      for (const double decay : {0.0, 1.0}) {
        s.decay_share = decay;
        for (const int64_t step : {0, 1, 5}) {
          const double share = schedule_share(s, 1, step);
          EXPECT_TRUE(share >= 0 && share <= 1 + 1e-12) << kind << " " << share;
        }
      }
    }
  }
}

TEST(Schedule, AnUnknownKindIsAnError) { EXPECT_THROW(schedule_share(schedule("step", 0, 0), 10, 1), Error); }

TEST(Schedule, TheRateOfARecipeIsThePeakTimesTheShare) {
  Recipe recipe;
  recipe.training.steps = 100;
  recipe.schedule = schedule("linear", 10, 0);
  recipe.optimizer.learning_rate = 0.5;
  EXPECT_DOUBLE_EQ(learning_rate_at(recipe, 0), 0.05);
  EXPECT_DOUBLE_EQ(learning_rate_at(recipe, 55), 0.25);
}

}  // namespace
}  // namespace intarsia
