#include "data/llama2c.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "data/folder.h"

namespace intarsia {
namespace {

// Whether the array holds the golden file's values from element `first` on.
void expect_from(const Array& array, int64_t first, const Shape& shape) {
  ASSERT_EQ(array.shape(), shape) << array.shape().text();
  for (int64_t i = 0; i < array.size(); i++)
    ASSERT_EQ(array.data<float>()[i], static_cast<float>(pattern(first + i, DType::f32))) << "element " << i;
}

TEST(Llama2c, FindsEveryWeightInItsPlace) {
  const Llama2c model = read_llama2c(golden("llama2c.bin"));
  EXPECT_EQ(model.dim, 8);
  EXPECT_EQ(model.hidden_dim, 12);
  EXPECT_EQ(model.layers, 2);
  EXPECT_EQ(model.heads, 2);
  EXPECT_EQ(model.kv_heads, 1);
  EXPECT_EQ(model.vocabulary, 11);
  EXPECT_EQ(model.context, 4);
  EXPECT_FALSE(model.shared_classifier);
  EXPECT_TRUE(model.rope_interleaved);
  EXPECT_EQ(model.tensors.size(), 3u + 2 * 9);
  // The order of llama2.c's legacy export, D = 8, F = 12, K = 4.
  const auto layer = [&](int n, const char* part) -> const Array& {
    return model.tensors.at("model.layers." + std::to_string(n) + "." + part + ".weight");
  };
  expect_from(model.tensors.at("model.embed_tokens.weight"), 0, {11, 8});
  expect_from(layer(0, "input_layernorm"), 88, {8});
  expect_from(layer(1, "input_layernorm"), 96, {8});
  expect_from(layer(0, "self_attn.q_proj"), 104, {8, 8});
  expect_from(layer(1, "self_attn.q_proj"), 168, {8, 8});
  expect_from(layer(0, "self_attn.k_proj"), 232, {4, 8});
  expect_from(layer(1, "self_attn.k_proj"), 264, {4, 8});
  expect_from(layer(1, "self_attn.v_proj"), 328, {4, 8});
  expect_from(layer(1, "self_attn.o_proj"), 424, {8, 8});
  expect_from(layer(1, "post_attention_layernorm"), 496, {8});
  expect_from(layer(0, "mlp.gate_proj"), 504, {12, 8});
  expect_from(layer(1, "mlp.down_proj"), 792, {8, 12});
  expect_from(layer(1, "mlp.up_proj"), 984, {12, 8});
  expect_from(model.tensors.at("model.norm.weight"), 1080, {8});
  expect_from(model.tensors.at("lm_head.weight"), 1104, {11, 8});  // after two tables of 4 x 2
}

TEST(Llama2c, ReadsTheStoriesModel) {
  const std::filesystem::path path = data_folder() / "stories260K/stories260K.bin";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not here; set INTARSIA_DATA";
  const Llama2c model = read_llama2c(path);
  EXPECT_EQ(model.dim, 64);
  EXPECT_EQ(model.layers, 5);
  EXPECT_EQ(model.kv_heads, 4);
  EXPECT_TRUE(model.shared_classifier);
  EXPECT_EQ(model.tensors.at("model.embed_tokens.weight").shape(), (Shape{512, 64}));
  EXPECT_FALSE(model.tensors.contains("lm_head.weight"));
}

TEST(Llama2c, RefusesHeadersThatDoNotFitTheFile) {
  const std::string good = read_file(golden("llama2c.bin"));
  const auto with = [&](int number, int32_t value) {
    std::string bytes = good;
    std::memcpy(bytes.data() + 4 * number, &value, 4);
    return error_of([&] { parse_llama2c(MappedFile::of_memory("f", bytes)); });
  };
  EXPECT_EQ(with(0, 0), "f: dim is 0, expected 1 to 16777216");
  EXPECT_EQ(with(3, 3), "f: dim 8 is not n_heads 3 times an even head size");
  EXPECT_EQ(with(5, 11), "f: the header describes 4444 bytes, but the file has 4796");
  for (int number = 0; number < 7; number++)
    for (int32_t value : {0, -1, 1, 5, INT32_MAX, INT32_MIN, 1 << 24})
      if (std::memcmp(good.data() + 4 * number, &value, 4) != 0) {
        EXPECT_FALSE(with(number, value).empty()) << number << " " << value;
      }
  EXPECT_NE(with(0, 0x616b3432).find("versioned"), std::string::npos);
  EXPECT_THROW(parse_llama2c(MappedFile::of_memory("f", good + "x")), Error);
}

}  // namespace
}  // namespace intarsia
