#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "intarsia/error.h"
#include "intarsia/generate.h"

namespace intarsia {
namespace {

// A small model with random weights and a tokenizer of bytes: what it says means nothing, how it says it
// does.
Loaded tiny(int64_t context = 600) {
  int calls = 0;
  const auto text = [&](std::string& chunk) {
    chunk = "the cat sat on the mat, the cat sat on the hat. ";
    return calls++ == 0;
  };
  Loaded loaded;
  const auto tokenizer = train_bpe(text, {.vocabulary = 270, .special = {"<|endoftext|>"}});
  const std::string config = R"({"model_type": "llama", "vocab_size": )" +
                             std::to_string(tokenizer->size() + 3) +
                             R"(, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
      "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3, "max_position_embeddings": )" +
                             std::to_string(context) + "}";
  loaded.model = make_model(config, 3);
  loaded.tokenizer = tokenizer;
  return loaded;
}

// Always ends at the token limit.
GenerateOptions plain(int64_t tokens, double temperature = 1) {
  GenerateOptions options;
  options.sampling.temperature = temperature;
  options.max_tokens = tokens;
  options.ignore_stop_ids = true;
  return options;
}

std::string long_prompt() {
  std::string text;
  for (int i = 0; i < 20; i++) text += "the dog and the cat number " + std::to_string(i) + ", ";
  return text;
}

TEST(Generator, ThePromptsChunksChangeNothing) {
  Ids expected;
  for (const int64_t chunk : {1000, 1, 7, 256}) {
    Generator generator(tiny());
    GenerateOptions options = plain(30);
    options.chunk = chunk;
    const Generated made = generator.generate(long_prompt(), options);
    ASSERT_GT(made.prompt_ids.size(), 256u);
    if (expected.empty()) expected = made.ids;
    EXPECT_EQ(made.ids, expected) << "chunks of " << chunk;
  }
}

TEST(Generator, WhatIsInTheCacheAlreadyChangesNothing) {
  Generator warm(tiny());
  warm.generate("the cat sat on the hat and thought", plain(20));
  const Generated again = warm.generate("the cat sat on the mat", plain(20));
  Generator fresh(tiny());
  EXPECT_EQ(again.ids, fresh.generate("the cat sat on the mat", plain(20)).ids);
  EXPECT_EQ(warm.generate("the cat sat on the mat", plain(20)).ids, again.ids);
}

TEST(Generator, TheSeedDecidesTheTextAndGreedyNeedsNone) {
  Generator generator(tiny());
  GenerateOptions one = plain(20), two = plain(20);
  two.sampling.seed = 1;
  EXPECT_EQ(generator.generate("the", one).ids, generator.generate("the", one).ids);
  EXPECT_NE(generator.generate("the", one).ids, generator.generate("the", two).ids);
  one.sampling.temperature = two.sampling.temperature = 0;
  EXPECT_EQ(generator.generate("the", one).ids, generator.generate("the", two).ids);
}

TEST(Generator, TheStreamIsTheTextInWholeCharacters) {
  Generator generator(tiny());
  for (uint64_t seed = 0; seed < 8; seed++) {
    GenerateOptions options = plain(60, 3);
    options.sampling.seed = seed;
    std::string streamed;
    options.on_text = [&](std::string_view text) {
      EXPECT_FALSE(text.empty());
      streamed += text;
      return true;
    };
    const Generated made = generator.generate("the", options);
    EXPECT_EQ(streamed, made.text);
    EXPECT_EQ(made.text, generator.tokenizer().decode(made.ids));
    EXPECT_EQ(made.ending, Ending::max_tokens);
    EXPECT_EQ(made.ids.size(), 60u);
  }
}

TEST(Generator, NoIdBeyondTheTokenizersIsDrawn) {
  Generator generator(tiny());
  const Generated made = generator.generate("the", plain(300, 100));
  for (const int32_t id : made.ids) EXPECT_LT(id, generator.tokenizer().size());
}

TEST(Generator, AStopTextEndsItAndIsNotShown) {
  Generator generator(tiny());
  const Generated whole = generator.generate("the cat", plain(60));
  const std::string stop = whole.text.substr(whole.text.size() / 2, 3);
  GenerateOptions options = plain(60);
  options.stop = {stop};
  const Generated cut = generator.generate("the cat", options);
  EXPECT_EQ(cut.ending, Ending::stop_text);
  EXPECT_EQ(cut.text, whole.text.substr(0, whole.text.find(stop)));
}

TEST(Generator, AStopIdEndsItUnlessIgnored) {
  Loaded loaded = tiny();
  Generator first(loaded);
  const Ids ids = first.generate("the cat", plain(20, 0)).ids;
  auto tokenizer = std::const_pointer_cast<Tokenizer>(loaded.tokenizer);
  tokenizer->stop = {ids[5]};
  const size_t expected = static_cast<size_t>(std::find(ids.begin(), ids.end(), ids[5]) - ids.begin());
  GenerateOptions options = plain(20, 0);
  options.ignore_stop_ids = false;
  const Generated made = Generator(loaded).generate("the cat", options);
  EXPECT_EQ(made.ending, Ending::stop_id);
  EXPECT_EQ(made.ids, Ids(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(expected)));
  EXPECT_EQ(Generator(loaded).generate("the cat", plain(20, 0)).ids, ids);
}

TEST(Generator, CallbacksCanCancel) {
  Generator generator(tiny());
  GenerateOptions options = plain(50);
  int calls = 0;
  options.on_text = [&](std::string_view) { return ++calls < 3; };
  const Generated made = generator.generate("the", options);
  EXPECT_EQ(made.ending, Ending::cancelled);
  EXPECT_EQ(calls, 3);
  EXPECT_LT(made.ids.size(), 50u);

  GenerateOptions early = plain(50);
  early.chunk = 4;
  std::vector<int64_t> seen;
  early.on_prompt = [&](int64_t done, int64_t total) {
    EXPECT_LE(done, total);
    seen.push_back(done);
    return done < 12;
  };
  const Generated none = Generator(tiny()).generate(long_prompt(), early);
  EXPECT_EQ(none.ending, Ending::cancelled);
  EXPECT_EQ(seen, (std::vector<int64_t>{4, 8, 12}));
  EXPECT_TRUE(none.ids.empty());
  // A generator that was stopped goes on like a new one.
  EXPECT_EQ(generator.generate("the cat", plain(9)).ids, Generator(tiny()).generate("the cat", plain(9)).ids);
}

TEST(Generator, TheContextIsFilledToTheLastPositionAndNotBeyond) {
  Generator generator(tiny(16));
  const Ids prompt = {1, 2, 3, 4, 5, 6};
  const Generated made = generator.generate(prompt, plain(100));
  EXPECT_EQ(made.ending, Ending::context);
  EXPECT_EQ(made.ids.size(), 11u);  // the last one needs no position of its own
  EXPECT_THROW(generator.generate(Ids(17, 1), plain(1)), Error);
  EXPECT_EQ(generator.generate(Ids(16, 1), plain(5)).ids.size(), 1u);
}

TEST(Generator, NothingAsNothingIsAnErrorAndZeroTokensIsAnEmptyText) {
  Loaded loaded = tiny();
  EXPECT_EQ(Generator(loaded).generate("the", plain(0)).text, "");
  EXPECT_EQ(Generator(loaded).prompt(""), Ids{*loaded.tokenizer->eos});
  auto tokenizer = std::const_pointer_cast<Tokenizer>(loaded.tokenizer);
  tokenizer->eos.reset();
  tokenizer->bos = 5;
  tokenizer->add_bos = true;
  EXPECT_EQ(Generator(loaded).prompt("a").front(), 5);
  loaded.tokenizer = nullptr;
  EXPECT_THROW(Generator{loaded}, Error);
}

TEST(Generator, NamesOfSpecialTokensInAPromptArePlainText) {
  Generator generator(tiny());
  const Ids ids = generator.prompt("a<|endoftext|>b");
  for (const int32_t id : ids) EXPECT_FALSE(generator.tokenizer().is_special(id));
  EXPECT_EQ(generator.tokenizer().decode(ids), "a<|endoftext|>b");
}

TEST(Chat, WithoutATemplateItContinuesWhatWasSaid) {
  Chat chat(tiny(), plain(8, 0));
  EXPECT_FALSE(chat.has_template());
  const std::string first = chat.say("the cat");
  Generator generator(tiny());
  EXPECT_EQ(first, generator.generate("the cat", plain(8, 0)).text);
  const std::string second = chat.say(" and");
  EXPECT_EQ(second, generator.generate("the cat" + first + " and", plain(8, 0)).text);
  ASSERT_EQ(chat.history().size(), 4u);
  EXPECT_EQ(chat.history()[3].role, "assistant");
  EXPECT_EQ(chat.history()[3].content, second);
  chat.reset();
  EXPECT_TRUE(chat.history().empty());
  EXPECT_EQ(chat.say("the cat"), first);
}

TEST(Chat, ATemplateThatIsNotSupportedIsRefusedAtOnce) {
  Loaded loaded = tiny();
  std::const_pointer_cast<Tokenizer>(loaded.tokenizer)->chat_template = "{% include 'x' %}";
  EXPECT_THROW(Chat{loaded}, Error);
}

TEST(Chat, AConversationThatFillsTheContextSaysSoAndStaysAsItWas) {
  Chat chat(tiny(24), plain(4, 0));
  chat.say("the cat");
  const size_t before = chat.history().size();
  EXPECT_THROW(chat.say(std::string(200, 'x')), Error);
  EXPECT_EQ(chat.history().size(), before);
  EXPECT_NO_THROW(chat.say(" a"));
}

TEST(Chat, ACancelledAnswerStaysInTheHistory) {
  Chat chat(tiny(), plain(40, 0));
  std::string shown;
  chat.say("the cat", [&](std::string_view text) {
    shown += text;
    return shown.size() < 5;
  });
  EXPECT_EQ(chat.last().ending, Ending::cancelled);
  EXPECT_EQ(chat.history().back().content, shown);
}

TEST(Chat, TheHistoryIsSavedAsJson) {
  Chat chat(tiny(), plain(0));
  chat.say("a \"quoted\"\nline \\ \x01 caf\xc3\xa9 \xff");
  const auto path =
      std::filesystem::temp_directory_path() / ("intarsia-chat-" + std::to_string(getpid()) + ".json");
  chat.save(path);
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::filesystem::remove(path);
  EXPECT_EQ(text,
            "[\n  {\"role\": \"user\", \"content\": \"a \\\"quoted\\\"\\u000aline \\\\ \\u0001 caf\xc3\xa9 "
            "\\ufffd\"},"
            "\n  {\"role\": \"assistant\", \"content\": \"\"}\n]\n");
}

}  // namespace
}  // namespace intarsia
