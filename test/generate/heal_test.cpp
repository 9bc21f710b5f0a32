// Token healing against the exact probability of text, summed over all its tokenizations.
#include "generate/heal.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/fail.h"
#include "intarsia/generate.h"

namespace intarsia {
namespace {

// Tokens of two letters and some of their strings.
class Pieces final : public Tokenizer {
 public:
  Ids encode(std::string_view, bool) const override { return {}; }
  std::string_view bytes(int32_t id, bool) const override { return is_special(id) ? "" : piece(id); }
  int32_t size() const override { return static_cast<int32_t>(pieces_.size()); }
  std::optional<int32_t> id_of(std::string_view) const override { return std::nullopt; }
  std::string_view piece(int32_t id) const override { return pieces_[static_cast<size_t>(id)]; }
  bool is_special(int32_t id) const override { return id == 0; }
  void save(const std::filesystem::path&) const override {}

 private:
  std::vector<std::string> pieces_ = {"<end>", "a", "b", "ab", "ba", "aba", "bb", "abab"};
};

// A model whose logits depend on all ids so far.
std::vector<float> logits_behind(const Ids& ids) {
  std::vector<float> logits(8);
  uint64_t state = 7;
  for (const int32_t id : ids) state = (state + static_cast<uint64_t>(id) + 1) * 0x9e3779b97f4a7c15;
  for (float& logit : logits) {
    state = (state ^ (state >> 29)) * 0xbf58476d1ce4e5b9;
    logit = static_cast<float>(state >> 40) / static_cast<float>(1 << 22);
  }
  return logits;
}

std::vector<double> probabilities(const std::vector<float>& logits) {
  double sum = 0;
  std::vector<double> all;
  for (const float logit : logits) sum += all.emplace_back(std::exp(static_cast<double>(logit)));
  for (double& p : all) p /= sum;
  return all;
}

// For each first id, the probability of all sequences of so many ids whose bytes begin with `rest`.
std::vector<double> enumerated(const Tokenizer& tokenizer, const std::string& rest) {
  std::vector<double> by_first(static_cast<size_t>(tokenizer.size()));
  const std::function<void(Ids&, std::string, double)> walk = [&](Ids& ids, const std::string& text,
                                                                  double weight) {
    if (ids.size() == rest.size()) {
      if (text.starts_with(rest)) by_first[static_cast<size_t>(ids[0])] += weight;
      return;
    }
    const std::vector<double> next = probabilities(logits_behind(ids));
    for (int32_t id = 0; id < tokenizer.size(); ++id) {
      ids.push_back(id);
      walk(ids, text + (tokenizer.is_special(id) ? "|" : std::string(tokenizer.piece(id))),
           weight * next[static_cast<size_t>(id)]);
      ids.pop_back();
    }
  };
  Ids ids;
  walk(ids, "", 1);
  return by_first;
}

TEST(Healing, IsTheExactProbabilityOfTheBytesSummedOverAllTokenizations) {
  const Pieces tokenizer;
  const Healer healer(tokenizer);
  for (const std::string rest : {"a", "b", "ab", "ba", "aba", "bab", "abab", "bbab", "abaab"}) {
    Ids behind;
    const Lookahead model = {[&](int32_t id) {
                               behind.push_back(id);
                               return logits_behind(behind);
                             },
                             [&] { behind.pop_back(); }};
    const std::vector<float> logits = logits_behind({});
    const std::vector<float> healed = healer.heal(logits, rest, model, {0});
    EXPECT_TRUE(behind.empty()) << "the model is back where it was";
    const std::vector<double> expected = enumerated(tokenizer, rest);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
    for (size_t id = 0; id < expected.size(); ++id)
      EXPECT_NEAR(std::exp(static_cast<double>(healed[id])) / sum, expected[id], 1e-6)
          << rest << ", id " << id;
    EXPECT_EQ(std::exp(healed[0]), 0) << "a special token has no bytes";
  }
}

TEST(Healing, WhatIsLeftOutIsNegligible) {
  const Pieces tokenizer;
  const Healer healer(tokenizer);
  Ids behind;
  int steps = 0;
  const Lookahead model = {[&](int32_t id) {
                             ++steps;
                             behind.push_back(id);
                             return logits_behind(behind);
                           },
                           [&] { behind.pop_back(); }};
  const std::string rest = "abababba";
  const std::vector<double> exact = probabilities(healer.heal(logits_behind({}), rest, model, {0}));
  const int all_steps = std::exchange(steps, 0);
  const std::vector<double> near = probabilities(healer.heal(logits_behind({}), rest, model, {0.01}));
  EXPECT_LT(steps, all_steps);
  for (size_t id = 0; id < exact.size(); ++id) EXPECT_NEAR(near[id], exact[id], 0.05) << id;
}

TEST(Healing, TokensThatALongerOneCouldReplaceAreTakenBack) {
  const Pieces tokenizer;
  const Healer healer(tokenizer);
  const auto taken = [&](Ids ids, const Ids& left) {
    const std::string rest = healer.take_back(ids);
    EXPECT_EQ(ids, left);
    return rest;
  };
  EXPECT_EQ(taken({0, 1}, {0}), "a");          // ab, aba, abab begin with it
  EXPECT_EQ(taken({0, 6}, {0, 6}), "");        // no token is longer than bb
  EXPECT_EQ(taken({0, 3, 1}, {0}), "aba");     // abab
  EXPECT_EQ(taken({0, 1, 2, 1}, {0}), "aba");  // three tokens deep
  EXPECT_EQ(taken({0, 6, 2}, {0, 6}), "b");    // ba, bb; not bbb
  EXPECT_EQ(taken({1, 0, 1}, {1, 0}), "a");    // a special token stays
  EXPECT_EQ(taken({1}, {1}), "");              // so does the first
}

// A model that has learned nothing and a tokenizer of a few merges.
Loaded tiny() {
  bool given = false;
  const auto text = [&](std::string& chunk) {
    chunk = "the cat sat on the mat, the cat sat on the hat. ";
    return !std::exchange(given, true);
  };
  Loaded loaded;
  const auto tokenizer = train_bpe(text, {.vocabulary = 280, .special = {"<|endoftext|>"}});
  loaded.model = make_model(fmt::format(R"({{"model_type": "llama", "vocab_size": {}, "hidden_size": 32,
      "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
      "initializer_range": 0.3, "max_position_embeddings": 64}})",
                                        tokenizer->size()),
                            3);
  loaded.tokenizer = tokenizer;
  return loaded;
}

TEST(Healing, TheTextGoesOnBehindThePromptsBytes) {
  Generator generator(tiny());
  const Tokenizer& tokenizer = generator.tokenizer();
  GenerateOptions options;
  options.max_tokens = 12;
  options.ignore_stop_ids = true;
  options.heal = true;
  bool taken_back = false;
  for (const std::string prompt :
       {"the c", "the ca", "the cat s", "the cat sat on th", "on the h", "the cat "}) {
    for (uint64_t seed = 0; seed < 5; ++seed) {
      options.sampling.seed = seed;
      const Generated made = generator.generate(prompt, options);
      Ids all = made.prompt_ids;
      all.insert(all.end(), made.ids.begin(), made.ids.end());
      std::string bytes;
      for (const int32_t id : all) bytes += tokenizer.bytes(id);
      EXPECT_TRUE(bytes.starts_with(prompt)) << prompt << ": " << bytes;
      EXPECT_EQ(prompt + made.text, bytes);
      taken_back |= made.prompt_ids.size() < generator.prompt(prompt).size();
    }
  }
  EXPECT_TRUE(taken_back);
}

TEST(Healing, APromptThatFillsTheContextIsHealedWithoutLookingAhead) {
  Generator generator(tiny());
  GenerateOptions options;
  options.heal = true;
  options.ignore_stop_ids = true;
  std::string prompt;
  while (generator.prompt(prompt + "the cat sat").size() <= 64) prompt += "the cat sat ";
  EXPECT_NO_THROW(generator.generate(prompt + "t", options));
}

}  // namespace
}  // namespace intarsia
