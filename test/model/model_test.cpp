// Models as such: fresh weights, gradients, caches.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>

#include "intarsia/error.h"
#include "intarsia/model.h"
#include "intarsia/op.h"
#include "kernel/kernels.h"

namespace intarsia {
namespace {

constexpr const char* llama =
    R"({"model_type": "llama", "vocab_size": 300, "hidden_size": 48, "intermediate_size": 80,
  "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 700})";
constexpr const char* gpt2 =
    R"({"model_type": "gpt2", "vocab_size": 300, "n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 700})";

class EachModel : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, EachModel, testing::Values(llama, gpt2), [](const auto& test) {
  return std::string(test.param).find("gpt2") == std::string::npos ? "llama" : "gpt2";
});

Tensor ids_of(int64_t batch, int64_t time, uint64_t seed = 5) {
  Random random(seed);
  Array ids = Array::empty({batch, time}, DType::i32);
  int32_t* id = ids.mutable_data<int32_t>();
  for (int64_t i = 0; i < batch * time; i++) id[i] = static_cast<int32_t>(random.below(300));
  return ids;
}

Tensor part_of(const Tensor& ids, int64_t begin, int64_t end) {
  return contiguous(slice(ids, 1, begin, end));
}

bool same_bits(const Array& a, const Array& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

TEST_P(EachModel, FreshWeightsAreAFunctionOfTheSeed) {
  const auto one = make_model(GetParam(), 1), again = make_model(GetParam(), 1),
             other = make_model(GetParam(), 2);
  for (size_t i = 0; i < one->weights().size(); i++) {
    const Weight& weight = one->weights()[i];
    const Array& value = weight.tensor->array();
    EXPECT_TRUE(same_bits(value, again->weights()[i].tensor->array())) << weight.name;
    if (weight.deviation > 0) {
      EXPECT_FALSE(same_bits(value, other->weights()[i].tensor->array())) << weight.name;
    }
  }
}

TEST_P(EachModel, FreshWeightsHaveTheirDeviationAndLayersThatWriteToTheStreamAreScaled) {
  const auto model = make_model(GetParam(), 3);
  int scaled = 0;
  for (const Weight& weight : model->weights()) {
    double squares = 0;
    for (const float x : weight.tensor->array().span<float>()) squares += static_cast<double>(x) * x;
    const double deviation = std::sqrt(squares / static_cast<double>(weight.tensor->array().size()));
    const double expected = weight.deviation < 0 ? 1 : weight.deviation;
    EXPECT_NEAR(deviation, expected, 0.1 * expected) << weight.name;
    EXPECT_EQ(weight.decay, weight.tensor->rank() == 2) << weight.name;
    scaled += std::abs(weight.deviation - 0.01) < 1e-12;  // 0.02 / sqrt(2 * 2 layers)
  }
  EXPECT_EQ(scaled, 4);
}

TEST_P(EachModel, NamesAreUniqueAndTheCountIsTheirSum) {
  const auto model = make_model(GetParam(), 1);
  std::set<std::string> names;
  int64_t total = 0;
  for (const Weight& weight : model->weights()) {
    EXPECT_TRUE(names.insert(weight.name).second) << weight.name;
    total += weight.tensor->array().size();
  }
  EXPECT_EQ(model->parameter_count(), total);
}

TEST_P(EachModel, EveryWeightGetsAGradient) {
  const auto model = make_model(GetParam(), 4);
  for (Weight& weight : model->weights()) *weight.tensor = parameter(weight.tensor->array());
  const Tensor ids = ids_of(2, 9);
  backward(cross_entropy((*model)(part_of(ids, 0, 8)), part_of(ids, 1, 9)));
  for (const Weight& weight : model->weights()) {
    const Array gradient = weight.tensor->gradient();
    ASSERT_TRUE(gradient) << weight.name;
    const std::vector<Array> list = {gradient};
    EXPECT_GT(kernel::sum_of_squares(list), 0) << weight.name;
  }
}

TEST_P(EachModel, CachedEqualsUncachedEqualsAnyChunkingBitForBit) {
  const NoGradient off;
  for (const DType compute : {DType::f32, DType::bf16}) {
    const auto model = make_model(GetParam(), 6, compute);
    model->compute = compute;
    const int64_t time = 600;  // more than two blocks of the cache
    const Tensor ids = ids_of(1, time);
    const Array whole = contiguous((*model)(ids)).array();
    const std::vector<std::vector<int64_t>> chunkings = {
        {time}, {1, 599}, {256, 256, 88}, {255, 2, 343}, {512, 1, 87}};
    for (const auto& chunks : chunkings) {
      const auto cache = model->make_cache();
      int64_t done = 0;
      for (const int64_t chunk : chunks) {
        const Array part = contiguous((*model)(part_of(ids, done, done + chunk), cache.get())).array();
        const Array expected = contiguous(slice(Tensor(whole), 1, done, done + chunk)).array();
        EXPECT_TRUE(same_bits(part, expected))
            << info(compute).name << " positions " << done << " to " << done + chunk;
        done += chunk;
      }
      EXPECT_EQ(cache->length(), time);
    }
  }
}

TEST_P(EachModel, OneByOneEqualsAllAtOnceBitForBit) {
  const NoGradient off;
  const auto model = make_model(GetParam(), 7);
  const int64_t time = 300;
  const Tensor ids = ids_of(1, time);
  const Array whole = contiguous(model->hidden(ids)).array();
  const auto cache = model->make_cache();
  for (int64_t t = 0; t < time; t++) {
    const Array one = contiguous(model->hidden(part_of(ids, t, t + 1), cache.get())).array();
    ASSERT_TRUE(same_bits(one, contiguous(slice(Tensor(whole), 1, t, t + 1)).array())) << "position " << t;
  }
}

TEST_P(EachModel, RowsOfABatchEqualThoseAlone) {
  const NoGradient off;
  const auto model = make_model(GetParam(), 8);
  const Tensor ids = ids_of(3, 20);
  const Array all = contiguous((*model)(ids)).array();
  for (int64_t row = 0; row < 3; row++) {
    const Array alone = contiguous((*model)(contiguous(slice(ids, 0, row, row + 1)))).array();
    EXPECT_TRUE(same_bits(alone, contiguous(slice(Tensor(all), 0, row, row + 1)).array())) << row;
  }
}

TEST_P(EachModel, ThreadsChangeNoBit) {
  const NoGradient off;
  const auto model = make_model(GetParam(), 9);
  const Tensor ids = ids_of(1, 130);
  const int before = thread_count();
  set_thread_count(1);
  const Array one = contiguous((*model)(ids)).array();
  set_thread_count(2);
  const Array two = contiguous((*model)(ids)).array();
  set_thread_count(before);
  EXPECT_TRUE(same_bits(one, two));
}

TEST_P(EachModel, ARewoundCacheGoesOnAsIfNothingHadBeen) {
  const NoGradient off;
  const auto model = make_model(GetParam(), 10);
  const Tensor ids = ids_of(1, 280), other = ids_of(1, 280, 77);
  const auto cache = model->make_cache(), fresh = model->make_cache();
  model->hidden(part_of(ids, 0, 100), cache.get());
  model->hidden(part_of(other, 100, 280), cache.get());
  cache->rewind(100);
  model->hidden(part_of(ids, 0, 100), fresh.get());
  const Array rewound = contiguous(model->hidden(part_of(ids, 100, 280), cache.get())).array();
  const Array expected = contiguous(model->hidden(part_of(ids, 100, 280), fresh.get())).array();
  EXPECT_TRUE(same_bits(rewound, expected));
  EXPECT_THROW(cache->rewind(281), Error);
  EXPECT_THROW(cache->rewind(-1), Error);
}

TEST_P(EachModel, WrongIdsAndTooManyPositionsAreErrors) {
  const NoGradient off;
  const auto model = make_model(GetParam(), 11);
  const auto cache = model->make_cache();
  EXPECT_THROW(model->hidden(ids_of(1, 701)), Error);
  EXPECT_THROW(model->hidden(ids_of(2, 3), cache.get()), Error);
  EXPECT_THROW(model->hidden(Array::of({1, 2, 3})), Error);
  EXPECT_THROW(model->hidden(Array::copy_of(std::span<const int32_t>(std::vector<int32_t>{1, 300}), {1, 2})),
               Error);
  EXPECT_THROW(model->hidden(Array::copy_of(std::span<const int32_t>(std::vector<int32_t>{-1}), {1, 1})),
               Error);
  model->hidden(ids_of(1, 700), cache.get());
  try {
    model->hidden(ids_of(1, 1), cache.get());
    FAIL() << "701 positions";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("701 positions are asked for, the model's context is 700"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace intarsia
