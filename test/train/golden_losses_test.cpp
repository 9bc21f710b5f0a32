// The first ten steps of training against PyTorch's with equal data: see test/golden/train.py.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "data/npy.h"
#include "intarsia/model.h"
#include "intarsia/op.h"
#include "train/optimizer/optimizer.h"

namespace intarsia {
namespace {

namespace fs = std::filesystem;

struct Case {
  const char* model;
  const char* schedule;
};

class GoldenLosses : public testing::TestWithParam<Case> {
 protected:
  fs::path folder() const { return fs::path(INTARSIA_SOURCE_DIR) / "test/golden/models" / GetParam().model; }
  std::vector<double> expected(const char* name) const {
    const Array values = read_npy(folder() / "train" / name);
    return {values.data<double>(), values.data<double>() + values.size()};
  }
  // What train.py uses.
  Recipe recipe() const {
    Recipe r;
    r.training.steps = 10;
    r.optimizer.learning_rate = 4e-3;
    r.optimizer.beta1 = 0.9;
    r.optimizer.beta2 = 0.95;
    r.optimizer.eps = 1e-8;
    r.optimizer.weight_decay = 0.1;
    r.optimizer.clip = 2.55;
    r.schedule.kind = GetParam().schedule;
    r.schedule.warm_up = 3;
    r.schedule.final_share = 0.1;
    return r;
  }
};

TEST_P(GoldenLosses, FirstTenStepsEqualPyTorchs) {
  const std::vector<double> losses = expected("losses.npy");
  const std::vector<double> norms = expected("gradient_norms.npy");
  const std::vector<double> rates = expected("learning_rates.npy");
  const Tensor batches(read_npy(folder() / "train/tokens.npy"));
  const int64_t tokens = batches.dim(2) - 1;
  ASSERT_EQ(losses.size(), 10u);

  const Loaded loaded = load(folder(), {.compute = DType::f32, .tokenizer = {}, .trainable = true});
  Model& model = *loaded.model;
  Optimizer optimizer(model, recipe().optimizer, DType::f32);
  for (int64_t step = 0; step < 10; step++) {
    const size_t i = static_cast<size_t>(step);
    const Tensor batch = reshape(slice(batches, 0, step, step + 1), {batches.dim(1), tokens + 1});
    const Tensor loss = cross_entropy(model(slice(batch, 1, 0, tokens)), slice(batch, 1, 1, tokens + 1));
    EXPECT_NEAR(loss.item() / losses[i], 1, 1e-5) << "step " << step;
    backward(loss);
    const double rate = learning_rate_at(recipe(), step);
    EXPECT_NEAR(rate / rates[i], 1, 1e-12) << "step " << step;
    const double norm = optimizer.step(rate);
    EXPECT_NEAR(norm / norms[i], 1, 1e-4) << "step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(PyTorch, GoldenLosses,
                         testing::Values(Case{"llama-grouped-tied", "cosine"}, Case{"gpt2", "linear"}),
                         [](const auto& test) { return std::string(test.index == 0 ? "llama" : "gpt2"); });

}  // namespace
}  // namespace intarsia
