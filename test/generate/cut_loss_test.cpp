// The exact probability of bytes behind a prompt, and the measure of what healing recovers.
#include "generate/cut_loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "intarsia/error.h"
#include "intarsia/op.h"

namespace intarsia {
namespace {

Loaded tiny() {
  bool given = false;
  const auto text = [&](std::string& chunk) {
    chunk = "the cat sat on the mat, the cat sat on the hat. ";
    return !std::exchange(given, true);
  };
  Loaded loaded;
  const auto tokenizer = train_bpe(text, {.vocabulary = 280, .special = {"<|endoftext|>"}});
  loaded.model = make_model(R"({"model_type": "llama", "vocab_size": )" + std::to_string(tokenizer->size()) +
                                R"(, "hidden_size": 32,
      "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
      "initializer_range": 0.3, "max_position_embeddings": 96})",
                            3);
  loaded.tokenizer = tokenizer;
  return loaded;
}

// By the definition, each sequence of ids computed anew.
double probability(const Loaded& loaded, const Ids& ids, const std::string& bytes) {
  const NoGradient no_gradient;
  const auto count = static_cast<int64_t>(ids.size());
  const Tensor logits = (*loaded.model)(Tensor(Array::copy_of(std::span(ids), {1, count})));
  const Tensor last = contiguous(softmax(slice(logits, 1, count - 1, count)));
  const auto row = last.array().span<float>();
  double sum = 0;
  for (int32_t id = 0; id < loaded.tokenizer->size(); ++id) {
    const std::string_view own = loaded.tokenizer->bytes(id);
    if (own.empty()) continue;
    const double share = row[static_cast<size_t>(id)];
    if (own.starts_with(bytes)) {
      sum += share;
    } else if (bytes.starts_with(own)) {
      Ids longer = ids;
      longer.push_back(id);
      sum += share * probability(loaded, longer, bytes.substr(own.size()));
    }
  }
  return sum;
}

TEST(ByteProbability, IsTheSumOverAllTokenizations) {
  const Loaded loaded = tiny();
  Generator generator(loaded);
  for (const std::string prompt : {"the cat", "on", "the h"}) {
    for (const std::string bytes : {"a", " s", "at", " sat", " the ca", "\xe4"}) {
      const Ids ids = generator.prompt(prompt);
      EXPECT_NEAR(generator.log_probability(ids, bytes, 0), std::log(probability(loaded, ids, bytes)), 1e-4)
          << prompt << bytes;
    }
  }
  const Ids ids = generator.prompt("the");
  EXPECT_NEAR(generator.log_probability(ids, ""), std::log(probability(loaded, ids, "")), 1e-6)
      << "that something comes, and not the end";
}

TEST(ByteProbability, OfAllNextBytesIsThatOfAllPlainTokens) {
  const Loaded loaded = tiny();
  Generator generator(loaded);
  const Ids ids = generator.prompt("the cat s");
  double sum = 0;
  for (int byte = 0; byte < 256; ++byte)
    sum += std::exp(generator.log_probability(ids, std::string(1, static_cast<char>(byte)), 0));
  const double none = probability(loaded, ids, "");
  EXPECT_NEAR(sum, none, 1e-5);
}

TEST(ByteProbability, APromptThatLeavesNoRoomForTheBytesIsAnError) {
  Generator generator(tiny());
  const Ids ids(90, 5);
  EXPECT_THROW(generator.log_probability(ids, "seven by"), Error);
  EXPECT_THROW(generator.log_probability({}, "a"), Error);
}

TEST(CutLoss, EachIsTheProbabilityThatItSays) {
  const Loaded loaded = tiny();
  Generator generator(loaded);
  const std::string text = "the cat sat on the mat, the cat sat on the hat";
  const size_t cut = text.size() - 5;  // "the cat sat on th" + "e ha"
  const CutLoss loss = cut_loss(generator, text, cut, 3);
  const Ids prompt = generator.prompt(text.substr(0, cut));
  EXPECT_NEAR(loss.naive, -std::log(probability(loaded, prompt, "e h")), 2e-2);
  Ids kept = prompt;
  const std::string rest = generator.take_back(kept);
  EXPECT_FALSE(rest.empty());
  EXPECT_NEAR(loss.healed,
              std::log(probability(loaded, kept, rest) / probability(loaded, kept, rest + "e h")), 2e-2);
  EXPECT_GT(loss.exact, 0);
}

TEST(CutLoss, TheMeanIsOverRandomCutsAndTheSameForTheSameSeed) {
  Generator generator(tiny());
  std::string text;
  for (int i = 0; i < 10; ++i) text += "the cat sat on the mat, the cat sat on the hat. ";
  int64_t calls = 0;
  HealingMeasure options;
  options.cuts = 3;
  options.bytes = 2;
  options.context = 40;
  options.on_cut = [&](int64_t done) { calls = done; };
  const CutLoss one = measure_healing(generator, text, options),
                two = measure_healing(generator, text, options);
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(one.naive, two.naive);
  EXPECT_EQ(one.exact, two.exact);
  EXPECT_GT(one.naive, 0);
  options.context = text.size();
  EXPECT_THROW(measure_healing(generator, text, options), Error);
}

TEST(CutLoss, WhatHealingRecoversIsAShareOfTheGap) { EXPECT_DOUBLE_EQ(recovered({3, 1.2, 1}), 0.9); }

}  // namespace
}  // namespace intarsia
