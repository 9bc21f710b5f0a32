// A hundred steps of every optimizer in f64, against PyTorch and the papers: see test/golden/optimizers.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "data/npy.h"
#include "intarsia/op.h"
#include "train/optimizer/optimizer.h"
#include "train/optimizer/schedule.h"
#include "train/optimizer/weights_only.h"

namespace intarsia {
namespace {

std::vector<double> golden(const std::string& name) {
  const std::filesystem::path folder = std::filesystem::path(INTARSIA_SOURCE_DIR) / "test/golden/optimizers";
  const Array values = read_npy(folder / (name + ".npy"));
  return {values.data<double>(), values.data<double>() + values.size()};
}

constexpr double rate = 0.01, decay = 0.1;
constexpr int steps = 100;
const Shape shapes[] = {{4, 6}, {5, 3}, {6}};

// The parts of a row, one for each weight.
std::vector<Array> split(std::span<const double> row) {
  std::vector<Array> parts;
  size_t at = 0;
  for (const Shape& shape : shapes) {
    const auto count = static_cast<size_t>(shape.count());
    parts.push_back(Array::copy_of(row.subspan(at, count), shape));
    at += count;
  }
  return parts;
}

class ThreeWeights : public WeightsOnly {
 public:
  explicit ThreeWeights(std::span<const double> row) {
    for (const Array& part : split(row)) values.push_back(Tensor(part));
    for (size_t i = 0; i < values.size(); i++)
      weights_.push_back({"w" + std::to_string(i), &values[i], values[i].rank() > 1, 0.5});
  }
  std::vector<Tensor> values;
};

struct Case {
  const char* file;
  const char* kind;
  void (*change)(Recipe::Optimizer&);
  const char* average = "none";
};

const Case cases[] = {
    {"adam", "adam", nullptr},
    {"adamw", "adamw", nullptr},
    {"adamw-clipped", "adamw", [](Recipe::Optimizer& o) { o.clip = 30; }},
    {"adamw-paper", "adamw", [](Recipe::Optimizer& o) { o.decay_scale = "schedule"; }},
    {"sgd", "sgd", nullptr},
    {"sgd-plain", "sgd", [](Recipe::Optimizer& o) { o.momentum = 0; }},
    {"sgd-nesterov", "sgd", [](Recipe::Optimizer& o) { o.nesterov = true; }},
    {"rmsprop", "rmsprop", nullptr},
    {"adagrad", "adagrad", nullptr},
    {"lion", "lion", nullptr},
    {"adafactor", "adafactor", nullptr},
    {"lamb", "lamb", nullptr},
    {"muon", "muon", nullptr},
    {"ema", "adamw", nullptr, "ema"},
    {"swa", "adamw", nullptr, "swa"},
};

class GoldenOptimizers : public testing::TestWithParam<Case> {};

TEST_P(GoldenOptimizers, EndWithTheWeightsOfThePeerAfterAHundredSteps) {
  const std::vector<double> gradients = golden("gradients"), expected = golden(GetParam().file);
  Recipe::Optimizer options;
  options.kind = GetParam().kind;
  options.learning_rate = rate;
  options.weight_decay = decay;
  options.clip = 0;
  if (GetParam().change) GetParam().change(options);
  Recipe::Average average;
  average.kind = GetParam().average;
  average.decay = 0.9;
  ThreeWeights model(golden("start"));
  Optimizer optimizer(model, options, DType::f64, {}, average, steps);
  const size_t row = expected.size();
  for (size_t step = 0; step < steps; step++) {
    const std::vector<Array> parts = split(std::span(gradients).subspan(step * row, row));
    Tensor loss = sum(model.values[0] * Tensor(parts[0]));
    for (size_t i = 1; i < parts.size(); i++) loss = loss + sum(model.values[i] * Tensor(parts[i]));
    backward(loss);
    optimizer.step(rate / (1 + static_cast<double>(step) / 50));
  }
  double largest = 0;
  size_t at = 0;
  optimizer.with_saved(model, [&] {
    for (const Tensor& value : model.values)
      for (const double found : value.array().span<double>()) {
        const double away = std::abs(found - expected[at]) / std::max(1.0, std::abs(expected[at]));
        largest = std::max(largest, away);
        at++;
      }
  });
  EXPECT_EQ(at, expected.size());
  EXPECT_LT(largest, 1e-12);
}

INSTANTIATE_TEST_SUITE_P(Train, GoldenOptimizers, testing::ValuesIn(cases), [](const auto& c) {
  std::string name = c.param.file;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(GoldenOptimizers, EveryKindOfTheRecipeHasACase) {
  std::set<std::string> kinds;
  for (const Case& c : cases) kinds.insert(c.kind);
  std::string_view names = optimizer_names;
  while (!names.empty()) {
    const std::string name(names.substr(0, names.find(' ')));
    EXPECT_TRUE(kinds.contains(name)) << name;
    names.remove_prefix(std::min(names.size(), name.size() + 1));
  }
}

TEST(GoldenSchedules, RestartsEqualPyTorchs) {
  Recipe::Schedule schedule;
  schedule.kind = "restarts";
  schedule.warm_up = 0;
  schedule.cycle = 7;
  const std::vector<double> expected = golden("restarts");
  for (size_t step = 0; step < expected.size(); step++)
    EXPECT_NEAR(schedule_share(schedule, 60, static_cast<int64_t>(step)), expected[step], 1e-12) << step;
}

}  // namespace
}  // namespace intarsia
