#include "train/dataset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "small_run.h"

namespace intarsia {
namespace {

class TrainData : public testing::Test {
 protected:
  // Shards whose token i is i mod 1000.
  TokenShards shards(int64_t tokens, double validation) {
    test::write_all(scratch_ / "text", std::string(static_cast<size_t>(tokens), 'x'));
    TextSource text(scratch_ / "text");
    TokenOptions options;
    options.vocabulary = 1000;
    options.validation = validation;
    options.shard = 700;
    int32_t next = 0;
    set_thread_count(1);  // so that the counter below is enough
    const Encode encode = [&](std::string_view part) {
      std::vector<int32_t> ids(part.size());
      for (int32_t& id : ids) id = next++ % 1000;
      return ids;
    };
    TokenShards made = TokenShards::prepare(scratch_ / "data", text, encode, options);
    set_thread_count(2);
    return made;
  }
  test::Scratch scratch_;
};

TEST_F(TrainData, TargetsAreTheIdsThatFollow) {
  const Dataset data(shards(2000, 0.1), 8, 1);
  const Batch batch = data.training(5, 3);
  ASSERT_EQ(batch.ids.shape(), (Shape{3, 8}));
  const int32_t* ids = batch.ids.array().data<int32_t>();
  const int32_t* targets = batch.targets.array().data<int32_t>();
  for (int i = 0; i < 24; i++) EXPECT_EQ(targets[i], (ids[i] + 1) % 1000);
  for (int64_t row = 0; row < 3; row++) EXPECT_EQ(ids[row * 8], data.position(5 + row) % 1000);
}

TEST_F(TrainData, AnEpochVisitsEachWindowOnceAndStaysInTheTrainingPart) {
  const Dataset data(shards(2000, 0.1), 8, 1);
  EXPECT_EQ(data.windows(), (1800 - 8) / 8);
  std::set<int64_t> starts;
  for (int64_t epoch = 0; epoch < 5; epoch++) {
    std::set<int64_t> met;
    for (int64_t i = 0; i < data.windows(); i++) {
      const int64_t position = data.position(epoch * data.windows() + i);
      EXPECT_GE(position, 0);
      EXPECT_LE(position + 8 + 1, 1800);
      met.insert(position);
    }
    EXPECT_EQ(static_cast<int64_t>(met.size()), data.windows());
    EXPECT_EQ((*met.rbegin() - *met.begin()) % 8, 0);
    starts.insert(*met.begin());
  }
  EXPECT_GT(starts.size(), 1u) << "the cuts must move from epoch to epoch";
}

TEST_F(TrainData, ASampleDependsOnItsNumberOnly) {
  const Dataset data(shards(2000, 0.1), 8, 1);
  const Batch together = data.training(220, 8);  // over the end of an epoch
  for (int64_t row = 0; row < 8; row++) {
    const Batch alone = data.training(220 + row, 1);
    EXPECT_TRUE(std::equal(alone.ids.array().data<int32_t>(), alone.ids.array().data<int32_t>() + 8,
                           together.ids.array().data<int32_t>() + row * 8));
  }
}

TEST_F(TrainData, ValidationWindowsFollowEachOtherInTheLastPart) {
  const Dataset data(shards(2000, 0.1), 64, 1);
  EXPECT_EQ(data.validation_windows(), 3);  // of 200 tokens, 199 of which can be predicted
  const Batch batch = data.validation(0, 3);
  EXPECT_EQ(batch.ids.array().data<int32_t>()[0], 800);
  EXPECT_EQ(batch.ids.array().data<int32_t>()[64], 864);
  EXPECT_EQ(batch.targets.array().data<int32_t>()[191], 992);
}

// The text that ids stand for.
std::string text_of(const Tokenizer& tokenizer, const Batch& batch, int64_t row) {
  const int64_t context = batch.ids.shape()[1];
  const int32_t* ids = batch.ids.array().data<int32_t>() + row * context;
  return tokenizer.decode({ids, static_cast<size_t>(context)}, true);
}

TEST_F(TrainData, SampledWindowsAreOtherSegmentationsOfTheSameText) {
  test::write_all(scratch_ / "text", test::small_text(20000));
  Recipe recipe;
  recipe.data.path = (scratch_ / "text").string();
  recipe.tokenizer.vocabulary = 300;
  const auto tokenizer = make_tokenizer(recipe);
  const auto make = [&](double sampling) {
    return Dataset(tokenize(recipe, *tokenizer, scratch_ / "data", {}), 32, 1, tokenizer, sampling);
  };
  const Dataset best = make(0), drawn = make(0.3);
  constexpr int64_t rows = 4;
  const Batch plain = best.training(0, rows), one = drawn.training(0, rows), again = drawn.training(2, 1),
              epoch = drawn.training(drawn.windows(), rows);
  for (int64_t row = 0; row < rows; row++) {
    const std::string text = text_of(*tokenizer, one, row), whole = text_of(*tokenizer, plain, row);
    EXPECT_LT(text.size(), whole.size()) << "more tokens for the same text";
    EXPECT_EQ(text, whole.substr(0, text.size()));
    const int32_t *ids = one.ids.array().data<int32_t>() + row * 32,
                  *targets = one.targets.array().data<int32_t>() + row * 32;
    EXPECT_TRUE(std::equal(ids + 1, ids + 32, targets)) << "targets are the ids that follow";
    if (row == 2) { EXPECT_TRUE(std::equal(ids, ids + 32, again.ids.array().data<int32_t>())); }
  }
  // The start of an epoch moves, so another reading of a place is looked for by what it says.
  EXPECT_NE(text_of(*tokenizer, epoch, 0), text_of(*tokenizer, one, 0));
  const Batch validated = best.validation(0, 1), also = drawn.validation(0, 1);
  EXPECT_EQ(text_of(*tokenizer, validated, 0), text_of(*tokenizer, also, 0)) << "validation is not sampled";

  recipe.tokenizer.kind = "characters";
  recipe.tokenizer.sampling = 0.1;
  EXPECT_THROW(check_recipe(recipe), Error) << "characters have one segmentation only";
}

TEST_F(TrainData, TooLittleTextIsAnErrorWithAHint) {
  try {
    Dataset(shards(100, 0.1), 64, 1);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "data: the text has 90 training tokens, expected at least 128, twice the context");
    EXPECT_STREQ(error.hint().c_str(), "give more text, or lower model.context");
  }
}

TEST_F(TrainData, WithoutAValidationPartThereAreNoWindows) {
  EXPECT_EQ(Dataset(shards(1000, 0), 8, 1).validation_windows(), 0);
  EXPECT_EQ(Dataset(shards(1000, 0.005), 8, 1).validation_windows(), 0);
}

}  // namespace
}  // namespace intarsia
