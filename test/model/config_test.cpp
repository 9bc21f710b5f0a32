// Configs from outside: what is wrong is named, and nothing large is made first.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/json.h"
#include "intarsia/error.h"
#include "intarsia/model.h"

namespace intarsia {
namespace {

Json tiny(const char* model_type = "llama") {
  if (std::string_view(model_type) == "gpt2")
    return {{"model_type", "gpt2"}, {"vocab_size", 50}, {"n_embd", 16},
            {"n_layer", 2},         {"n_head", 2},      {"n_positions", 32}};
  return {{"model_type", model_type}, {"vocab_size", 50},
          {"hidden_size", 16},        {"intermediate_size", 24},
          {"num_hidden_layers", 2},   {"num_attention_heads", 4},
          {"num_key_value_heads", 2}, {"max_position_embeddings", 64}};
}

std::string error_of(const Json& config) {
  try {
    make_model(config.dump(), 1);
  } catch (const Error& error) { return error.what(); }
  return "no error";
}

TEST(Config, ErrorsNameTheKeyWhatWasFoundAndWhatWasExpected) {
  const auto with = [](const char* key, const Json& value) {
    Json config = tiny();
    config[key] = value;
    return error_of(config);
  };
  const auto without = [](const char* key) {
    Json config = tiny();
    config.erase(key);
    return error_of(config);
  };
  EXPECT_EQ(error_of(tiny()), "no error");
  EXPECT_EQ(error_of(Json::array()), "model config: has no \"model_type\"");
  EXPECT_EQ(with("model_type", "bert"),
            "model config: model_type \"bert\" is not known, expected llama, mistral, gpt2");
  EXPECT_EQ(with("model_type", 3), "model config: has no \"model_type\"");
  EXPECT_EQ(without("hidden_size"), "model config: has no \"hidden_size\"");
  EXPECT_EQ(with("hidden_size", "16"),
            "model config: hidden_size is \"\\\"16\\\"\", expected a whole number");
  EXPECT_EQ(with("hidden_size", 0), "model config: hidden_size is 0, expected 1 to 1048576");
  EXPECT_EQ(with("hidden_size", -16), "model config: hidden_size is -16, expected 1 to 1048576");
  EXPECT_EQ(with("vocab_size", uint64_t{18446744073709551615u}),
            "model config: vocab_size is 18446744073709551615, expected 1 to 16777216");
  EXPECT_EQ(with("num_hidden_layers", 1000000),
            "model config: num_hidden_layers is 1000000, expected 1 to 4096");
  EXPECT_EQ(with("num_key_value_heads", 3),
            "model config: num_attention_heads is not a multiple of num_key_value_heads");
  EXPECT_EQ(with("num_key_value_heads", 8), "model config: num_key_value_heads is 8, expected 1 to 4");
  EXPECT_EQ(with("head_dim", 7),
            "model config: head_dim (by default hidden_size / num_attention_heads) is 7, expected an even "
            "number, because rotary positions turn pairs");
  EXPECT_EQ(with("hidden_size", 18), "model config: has no \"head_dim\"");
  EXPECT_EQ(with("rms_norm_eps", -1), "model config: rms_norm_eps is -1, expected 0 to 1");
  EXPECT_EQ(with("hidden_act", "gelu"), "model config: hidden_act is \"gelu\", expected silu");
  EXPECT_EQ(with("tie_word_embeddings", 1),
            "model config: tie_word_embeddings is \"1\", expected true or false");
  EXPECT_EQ(with("rope_theta", 0), "model config: rope_theta is 0, expected 1 to 1000000000000000");
  EXPECT_EQ(with("rope_scaling", "linear"), "model config: rope_scaling is string, expected an object");
  EXPECT_EQ(with("rope_scaling", {{"type", "yarn"}, {"factor", 2}}),
            "model config: rope_scaling: type is \"yarn\", expected default, linear, llama3, factors");
  EXPECT_EQ(with("rope_scaling", {{"type", "linear"}}), "model config: rope_scaling: has no \"factor\"");
  EXPECT_EQ(with("rope_scaling", {{"rope_type", "factors"}, {"factors", {1, 2, 3}}}),
            "rope: 3 factors are given, expected 2, half of the rotated features");
}

TEST(Config, TextThatIsNoConfigIsAnError) {
  for (const char* text : {"", "{", "[1, 2", "\"llama\"", "null", "{\"model_type\": \"llama\"} x"})
    EXPECT_THROW(make_model(text, 1), Error) << text;
}

TEST(Config, GptErrorsNameWhatIsNotKnown) {
  Json config = tiny("gpt2");
  EXPECT_EQ(error_of(config), "no error");
  config["n_head"] = 3;
  EXPECT_EQ(error_of(config), "model config: n_embd is not a multiple of n_head");
  config = tiny("gpt2");
  config["activation_function"] = "swish";
  EXPECT_EQ(error_of(config),
            "model config: activation_function is \"swish\", expected gelu, gelu_new, gelu_pytorch_tanh, "
            "relu, silu");
}

TEST(Config, EveryKeyIsWrittenAsItWasResolved) {
  Json config = tiny();
  config["eos_token_id"] = {2, 7, 1000};
  config["something_else"] = true;
  const Json written = Json::parse(make_model(config.dump(), 1)->config_json());
  EXPECT_EQ(written["architectures"], Json({"LlamaForCausalLM"}));
  EXPECT_EQ(written["head_dim"], 4);
  EXPECT_EQ(written["rope_theta"], 10000.0);
  EXPECT_EQ(written["rope_scaling"], nullptr);
  EXPECT_EQ(written["bos_token_id"], nullptr);
  EXPECT_EQ(written["eos_token_id"], Json({2, 7}));  // the vocabulary has no 1000
  EXPECT_FALSE(written.contains("something_else"));
  EXPECT_EQ(make_model(written.dump(), 1)->config_json(), written.dump(2));
}

TEST(Config, SlidingWindowBoundsTheContextOfMistral) {
  Json config = tiny("mistral");
  EXPECT_EQ(make_model(config.dump(), 1)->context(), 64);
  config["sliding_window"] = nullptr;
  EXPECT_EQ(make_model(config.dump(), 1)->context(), 64);
  config["sliding_window"] = 16;
  EXPECT_EQ(make_model(config.dump(), 1)->context(), 16);
  config["sliding_window"] = 4096;
  EXPECT_EQ(make_model(config.dump(), 1)->context(), 64);
}

}  // namespace
}  // namespace intarsia
