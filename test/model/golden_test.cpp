// Tiny models saved by transformers, each with what transformers computed from it: see test/golden/models.py.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "data/npy.h"
#include "intarsia/model.h"
#include "intarsia/op.h"
#include "kernel/table.h"

namespace intarsia {
namespace {

namespace fs = std::filesystem;

const fs::path golden = fs::path(INTARSIA_SOURCE_DIR) / "test/golden/models";

std::vector<std::string> names() {
  std::vector<std::string> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(golden)) {
    if (entry.is_directory()) found.push_back(entry.path().filename().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

// The measure: the largest error against the largest value.
double difference(const Array& found, const Array& expected) {
  EXPECT_EQ(found.shape(), expected.shape());
  if (!(found.shape() == expected.shape())) return INFINITY;
  const std::span<const float> a = found.span<float>();
  const std::span<const float> b = expected.span<float>();
  double error = 0;
  double largest = 0;
  for (size_t i = 0; i < a.size(); i++) {
    if (std::isnan(a[i])) return INFINITY;
    error = std::max(error, std::abs(double(a[i]) - double(b[i])));
    largest = std::max(largest, std::abs(double(b[i])));
  }
  return error / largest;
}

Array logits_of(const Model& model, const Array& ids) {
  NoGradient off;
  return contiguous(model(Tensor(ids))).array();
}

Array row_of_ids(std::span<const int32_t> ids) {
  return Array::copy_of(ids, {1, static_cast<int64_t>(ids.size())});
}

// The first of the largest logits of the last position.
int32_t likeliest(const Model& model, const Array& ids, Cache* cache) {
  NoGradient off;
  const Tensor hidden = model.hidden(Tensor(ids), cache);
  const Tensor last = slice(hidden, 1, hidden.dim(1) - 1, hidden.dim(1));
  const Tensor best = argmax(model.logits(last));
  return static_cast<int32_t>(best.item());
}

Ids continue_greedily(const Model& model, Ids ids, size_t count, bool cached) {
  std::unique_ptr<Cache> cache = cached ? model.make_cache() : nullptr;
  Ids made;
  Array next = row_of_ids(ids);
  while (made.size() < count) {
    const int32_t id = likeliest(model, next, cache.get());
    made.push_back(id);
    ids.push_back(id);
    next = cached ? row_of_ids({&id, 1}) : row_of_ids(ids);
  }
  return made;
}

class Golden : public testing::TestWithParam<std::string> {
 protected:
  fs::path folder() const { return golden / GetParam(); }
  Array file(const char* name) const { return read_npy(folder() / name); }
  fs::path scratch(const std::string& name) const {
    const fs::path path =
        fs::temp_directory_path() / ("intarsia-golden-" + std::to_string(getpid()) + "-" + name);
    fs::remove_all(path);
    return path;
  }
};

TEST_P(Golden, LogitsEqualTransformersOnEveryRung) {
  const std::string before = kernel::table().name;
  for (const kernel::Kernels* rung : kernel::rungs()) {
    kernel::use_rung(rung->name);
    const Loaded loaded = load(folder());
    EXPECT_EQ(loaded.source, "hugging face");
    EXPECT_LE(difference(logits_of(*loaded.model, file("prompt.npy")), file("logits.npy")), 1e-5)
        << rung->name;
  }
  kernel::use_rung(before);
}

TEST_P(Golden, GreedyIdsEqualTransformersCachedAndUncached) {
  const Loaded loaded = load(folder());
  const Array prompt = file("prompt.npy");
  const Array greedy = file("greedy.npy");
  const Ids start(prompt.data<int32_t>(), prompt.data<int32_t>() + 8);
  const Ids expected(greedy.data<int32_t>(), greedy.data<int32_t>() + greedy.size());
  ASSERT_EQ(expected.size(), 40u);
  EXPECT_EQ(continue_greedily(*loaded.model, start, expected.size(), true), expected);
  EXPECT_EQ(continue_greedily(*loaded.model, start, expected.size(), false), expected);
}

TEST_P(Golden, SavedAndLoadedAgainGivesTheSameBits) {
  const Loaded loaded = load(folder());
  const Array prompt = file("prompt.npy");
  const Array before = logits_of(*loaded.model, prompt);
  for (const std::string target : {"directory", "file.gguf"}) {
    const fs::path path = scratch(GetParam() + "-" + target);
    save(*loaded.model, loaded.tokenizer.get(), path);
    const Loaded again = load(path);
    EXPECT_EQ(again.model->parameter_count(), loaded.model->parameter_count());
    EXPECT_EQ(difference(logits_of(*again.model, prompt), before), 0) << target;
    fs::remove_all(path);
  }
}

TEST_P(Golden, HalfPrecisionCopiesStayClose) {
  const Loaded loaded = load(folder());
  const Array prompt = file("prompt.npy");
  for (const DType dtype : {DType::bf16, DType::f16}) {
    const fs::path path = scratch(GetParam() + "-" + info(dtype).name);
    save(*loaded.model, nullptr, path, dtype);
    // Weights rounded to 8 or 11 bits: far from 1e-5, near enough that no matrix was mixed up.
    EXPECT_LE(difference(logits_of(*load(path).model, prompt), file("logits.npy")), 5e-2) << info(dtype).name;
    fs::remove_all(path);
  }
}

INSTANTIATE_TEST_SUITE_P(Transformers, Golden, testing::ValuesIn(names()), [](const auto& test) {
  std::string name = test.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(GoldenFiles, CoverEveryOptionOfTheModels) {
  // A folder that vanished would otherwise only make fewer tests.
  const std::vector<std::string> expected = {
      "gpt2",
      "gpt2-inner",
      "llama-grouped-tied",
      "llama-head-size",
      "llama-rope-linear",
      "llama-rope-llama3",
      "llama-rope-llama3-classic",
      "llama-untied-biases",
      "mistral",
  };
  EXPECT_EQ(names(), expected);
}

}  // namespace
}  // namespace intarsia
