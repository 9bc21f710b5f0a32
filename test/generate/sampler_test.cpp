#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "intarsia/error.h"
#include "intarsia/generate.h"

namespace intarsia {
namespace {

using Logits = std::vector<float>;

std::map<int32_t, int> draws(const Sampling& sampling, const Logits& logits, int count,
                             const Ids& context = {}) {
  Sampler sampler(sampling);
  std::map<int32_t, int> found;
  for (int i = 0; i < count; i++) found[sampler(logits, context)]++;
  return found;
}

Logits logs(std::initializer_list<double> probabilities) {
  Logits logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

std::set<int32_t> ids_in(const std::map<int32_t, int>& found) {
  std::set<int32_t> ids;
  for (const auto& [id, count] : found) ids.insert(id);
  return ids;
}

TEST(Sampler, AtTemperatureZeroTheLowestIdAmongTheLikeliestIsTaken) {
  Sampler sampler({.temperature = 0});
  EXPECT_EQ(sampler(Logits{1, 5, 3, 5, 5}, {}), 1);
  EXPECT_EQ(sampler(Logits{-INFINITY, -2, -2}, {}), 1);
}

TEST(Sampler, DrawsFollowTheProbabilities) {
  const Logits logits = logs({0.5, 0.3, 0.15, 0.05});
  const auto found = draws({.temperature = 1, .top_p = 1, .seed = 4}, logits, 20000);
  EXPECT_NEAR(found.at(0), 10000, 300);
  EXPECT_NEAR(found.at(1), 6000, 300);
  EXPECT_NEAR(found.at(2), 3000, 220);
  EXPECT_NEAR(found.at(3), 1000, 130);
}

TEST(Sampler, TemperatureIsThePowerOfProbabilities) {
  // At 0.5 they are squared: 0.25 and 0.0625 (and normalized).
  const auto found = draws({.temperature = 0.5, .top_p = 1, .seed = 5}, logs({0.5, 0.25}), 10000);
  EXPECT_NEAR(found.at(0), 8000, 200);
}

TEST(Sampler, TopKKeepsTheLikeliestAndAmongEqualsTheLowestIds) {
  const Logits logits = logs({0.1, 0.4, 0.1, 0.3, 0.1});
  EXPECT_EQ(ids_in(draws({.temperature = 1, .top_k = 1, .top_p = 1}, logits, 200)), (std::set<int32_t>{1}));
  EXPECT_EQ(ids_in(draws({.temperature = 1, .top_k = 3, .top_p = 1}, logits, 500)),
            (std::set<int32_t>{0, 1, 3}));
  EXPECT_EQ(ids_in(draws({.temperature = 1, .top_k = 100, .top_p = 1}, logits, 500)).size(), 5u);
}

TEST(Sampler, TopPKeepsTheFewestThatReachTheSum) {
  const Logits logits = logs({0.05, 0.5, 0.3, 0.15});
  EXPECT_EQ(ids_in(draws({.temperature = 1, .top_p = 0.45}, logits, 300)), (std::set<int32_t>{1}));
  EXPECT_EQ(ids_in(draws({.temperature = 1, .top_p = 0.79}, logits, 300)), (std::set<int32_t>{1, 2}));
  EXPECT_EQ(ids_in(draws({.temperature = 1, .top_p = 0.9}, logits, 500)), (std::set<int32_t>{1, 2, 3}));
}

TEST(Sampler, TopPSumsOverWhatTopKLeft) {
  // Of 0.5, 0.3: 0.625 and 0.375.
  const Logits logits = logs({0.5, 0.3, 0.2});
  EXPECT_EQ(ids_in(draws({.temperature = 1, .top_k = 2, .top_p = 0.6}, logits, 300)), (std::set<int32_t>{0}));
}

TEST(Sampler, MinPLeavesOutWhatIsTooUnlikely) {
  const Logits logits = logs({0.5, 0.3, 0.15, 0.05});
  EXPECT_EQ(ids_in(draws({.temperature = 1, .top_p = 1, .min_p = 0.25}, logits, 500)),
            (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(ids_in(draws({.temperature = 1, .top_p = 1, .min_p = 1}, logits, 100)), (std::set<int32_t>{0}));
}

TEST(Sampler, ThePenaltyMakesWhatOccurredLessLikelyWhateverTheSign) {
  Sampler sampler({.temperature = 0, .repetition_penalty = 2});
  EXPECT_EQ(sampler(Logits{3, 2}, {}), 0);
  EXPECT_EQ(sampler(Logits{3, 2}, Ids{0, 0, 0}), 1);  // 1.5 and 2: counted once
  EXPECT_EQ(sampler(Logits{-1, -1.5}, Ids{0}), 1);    // -2 and -1.5
  EXPECT_EQ(sampler(Logits{3, 2}, Ids{7}), 0);        // an id that has no logit
}

TEST(Sampler, TheSameSeedDrawsTheSameIds) {
  const Logits logits(1000, 0.5f);
  const auto sequence = [&](uint64_t seed) {
    Sampler sampler({.temperature = 1, .seed = seed});
    Ids ids;
    for (int i = 0; i < 20; i++) ids.push_back(sampler(logits, {}));
    return ids;
  };
  EXPECT_EQ(sequence(1), sequence(1));
  EXPECT_NE(sequence(1), sequence(2));
}

TEST(Sampler, ManyCandidatesAreSortedOnlyAsFarAsNeededWithTheSameResult) {
  // 5000 equal ids and top_p 0.5: the first 2500 by id stay.
  const auto found = draws({.temperature = 1, .top_p = 0.5}, Logits(5000, 1.0f), 3000);
  EXPECT_LT(found.rbegin()->first, 2501);
  EXPECT_GT(found.rbegin()->first, 2300);
}

TEST(Sampler, ValuesOutOfRangeAreErrors) {
  EXPECT_THROW(Sampler({.temperature = -1}), Error);
  EXPECT_THROW(Sampler({.temperature = NAN}), Error);
  EXPECT_THROW(Sampler({.top_k = -1}), Error);
  EXPECT_THROW(Sampler({.top_p = 0}), Error);
  EXPECT_THROW(Sampler({.top_p = 1.5}), Error);
  EXPECT_THROW(Sampler({.min_p = 2}), Error);
  EXPECT_THROW(Sampler({.repetition_penalty = 0}), Error);
  Sampler sampler({});
  EXPECT_THROW(sampler(Logits{1, NAN}, {}), Error);
}

}  // namespace
}  // namespace intarsia
