// The command as somebody types it: outputs, exit codes, error lines.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/npy.h"
#include "intarsia/model.h"
#include "program.h"

namespace intarsia {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using test::Folder;
using test::Outcome;
using test::run;

const std::string models = std::string(INTARSIA_SOURCE_DIR) + "/test/golden/models/";

// One line on stderr, nothing on stdout, the exit code of its kind.
void expect_error(const Outcome& outcome, int exit, const std::string& part) {
  EXPECT_EQ(outcome.exit, exit) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_TRUE(outcome.err.starts_with("error: ")) << outcome.err;
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_TRUE(outcome.err.ends_with("\n"));
  EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
}

// A tiny model with a tokenizer of bytes, and a folder to put it in.
class Verbs : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new Folder;
    int calls = 0;
    const auto text = [&](std::string& chunk) {
      chunk = "the cat sat on the mat, the cat sat on the hat. ";
      return calls++ == 0;
    };
    const auto tokenizer = train_bpe(text, {.vocabulary = 270, .special = {"<|endoftext|>"}});
    const std::string config = R"({"model_type": "llama", "hidden_size": 32, "intermediate_size": 48,
      "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3,
      "max_position_embeddings": 64, "vocab_size": )" +
                               std::to_string(tokenizer->size()) + "}";
    save(*make_model(config, 3), tokenizer.get(), model());
  }
  static void TearDownTestSuite() { delete folder_; }
  static std::string model() { return folder_->path("tiny"); }

  Folder scratch;

 private:
  static inline Folder* folder_ = nullptr;
};

TEST_F(Verbs, VersionAndHelp) {
  EXPECT_TRUE(run({"--version"}).out.starts_with("intarsia "));
  EXPECT_EQ(run({"--version"}).exit, 0);
  const Outcome help = run({"--help"});
  EXPECT_EQ(help.exit, 0);
  for (const char* verb : {"train", "generate", "chat", "template", "tokenizer", "eval", "inspect", "convert",
                           "doctor", "bench"}) {
    EXPECT_NE(help.out.find(verb), std::string::npos) << verb;
    const Outcome of_verb = run({verb, "--help"});
    EXPECT_EQ(of_verb.exit, 0) << verb;
    EXPECT_NE(of_verb.out.find("Example"), std::string::npos) << verb << " --help shows no example";
    EXPECT_NE(of_verb.out.find(std::string("Usage: intarsia ") + verb), std::string::npos) << of_verb.out;
  }
}

TEST_F(Verbs, WrongUsageIsOneLineAndExitTwo) {
  expect_error(run({"trian", "book.txt"}), 2, "did you mean train?");
  expect_error(run({"--threads", "1", "geneate", "x"}), 2, "did you mean generate?");
  expect_error(run({"xyzzy"}), 2, "intarsia --help");
  expect_error(run({}), 2, "a verb is missing");
  expect_error(run({"generate"}), 2, "intarsia generate --help");
  expect_error(run({"generate", model(), "a", "--temprature", "1"}), 2, "--temprature");
  expect_error(run({"generate", model(), "a", "--temperature", "warm"}), 2, "temperature");
  expect_error(run({"generate", model()}), 2, "prompt");
  expect_error(run({"generate", model(), "a", "--compute", "f8"}), 2, "compute");
  expect_error(run({"eval"}), 2, "intarsia eval --help");
  expect_error(run({"eval", "perplexity"}), 2, "intarsia eval perplexity --help");
  expect_error(run({"--threads", "0", "doctor"}), 2, "threads");
  expect_error(run({"completion", "tcsh"}), 2, "SHELL");
}

TEST_F(Verbs, WhatCannotBeDoneIsOneLineAndExitOne) {
  expect_error(run({"generate", "/nowhere/model.gguf", "a"}), 1, "/nowhere/model.gguf");
  expect_error(run({"inspect", scratch.write("empty.gguf", "")}), 1, "empty.gguf");
  expect_error(run({"inspect", scratch.write("short.bin", "1234")}), 1, "short.bin");
  expect_error(run({"inspect", fs::temp_directory_path().string()}), 1, "config.json");
  expect_error(run({"generate", models + "mistral", "a"}), 1, "no tokenizer");
  expect_error(run({"generate", model(), "a", "--tokenizer", scratch.write("bad.json", "{")}), 1, "bad.json");
  expect_error(run({"generate", model(), "a", "--top-p", "0"}), 1, "top_p is 0");
  expect_error(run({"generate", model(), "a", "--prompt-file", "/nowhere/prompt"}), 2, "prompt");
  expect_error(run({"generate", model(), "--prompt-file", "/nowhere/prompt"}), 1, "/nowhere/prompt");
  expect_error(run({"generate", model(), std::string(500, 'x')}), 1, "context is 64");
  expect_error(run({"eval", "perplexity", model(), scratch.write("short.txt", "the cat")}), 1, "short.txt");
  expect_error(run({"eval", "perplexity", model(), scratch.write("short.txt", "the cat"), "--context", "65"}),
               1, "65");
  expect_error(run({"eval", "logits", model(), "[1, 9999]", "--out", scratch.path("x.npy")}), 1, "9999");
  expect_error(run({"eval", "logits", model(), "[1, ", "--out", scratch.path("x.npy")}), 1, "ids");
  expect_error(run({"convert", model(), model()}), 1, "exists already");
  expect_error(run({"doctor"}, "", {"INTARSIA_ISA=avx3"}), 1, "avx3");
}

TEST_F(Verbs, TokenizerTrainsEveryKindAndShowsPieces) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "the cat sat on the mat, and the dog saw it\nsome cats ran\n";
  const std::string file = scratch.write("kinds.txt", text);
  for (const char* kind : {"bpe", "wordpiece", "unigram", "bytepiece"}) {
    const std::string out = scratch.write("tokenizer", "") + "-" + kind;
    const Outcome trained = run({"tokenizer", "train", "--kind", kind, "--vocab", "280", file, "--out", out});
    ASSERT_EQ(trained.exit, 0) << trained.err;
    const Json tokens = Json::parse(run({"tokenizer", "encode", out, "the cat", "--pieces", "--json"}).out);
    const Json ids = Json::parse(run({"tokenizer", "encode", out, "the cat"}).out);
    ASSERT_EQ(tokens.size(), ids.size());
    for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(tokens[i]["id"], ids[i]);
    EXPECT_EQ(tokens.back()["end"], 7);
    EXPECT_EQ(run({"tokenizer", "decode", out, ids.dump()}).out, "the cat\n");
    const Outcome page = run({"tokenizer", "compare", out, model(), file, "--html"});
    EXPECT_EQ(page.exit, 0) << page.err;
    EXPECT_NE(page.out.find("<!doctype html>"), std::string::npos);
  }
  expect_error(run({"tokenizer", "train", "--kind", "bytepiece", "--vocab", "20", file, "--out", "x"}), 1,
               "expected at least 259");
}

TEST_F(Verbs, GeneratePrintsTheContinuationAndOneNewline) {
  const std::vector<std::string> command = {"generate", model(),         "the cat", "--max-tokens",
                                            "12",       "--temperature", "0",       "--ignore-eos"};
  const Outcome plain = run(command);
  EXPECT_EQ(plain.exit, 0) << plain.err;
  EXPECT_EQ(plain.err, "");
  std::vector<std::string> with_json = command;
  with_json.push_back("--json");
  const Json json = Json::parse(run(with_json).out);
  EXPECT_EQ(json["ids"].size(), 12u);
  EXPECT_EQ(json["prompt_ids"], Json::parse(run({"tokenizer", "encode", model(), "the cat"}).out));
  for (const char* key : {"load", "prompt", "decode"})
    EXPECT_GE(json["seconds"][key].get<double>(), 0) << key;
  const std::string ids = json["ids"].dump();
  EXPECT_EQ(run({"tokenizer", "decode", model(), ids}).out, plain.out);
  EXPECT_EQ(run({"generate", model(), "--prompt-file", scratch.write("prompt", "the cat"), "--max-tokens",
                 "12", "--temperature", "0", "--ignore-eos"})
                .out,
            plain.out);
}

TEST_F(Verbs, TheSeedDecidesAndThreadsDoNot) {
  const auto text = [&](const std::string& seed, const std::string& threads) {
    return run({"generate", model(), "the cat", "--max-tokens", "20", "--ignore-eos", "--seed", seed,
                "--threads", threads})
        .out;
  };
  EXPECT_EQ(text("1", "1"), text("1", "2"));
  EXPECT_NE(text("1", "1"), text("2", "1"));
}

TEST_F(Verbs, EmptyPromptsAreAllowed) {
  const Outcome outcome = run({"generate", model(), "", "--max-tokens", "3"});
  EXPECT_EQ(outcome.exit, 0) << outcome.err;
}

TEST_F(Verbs, LogitsAreWrittenForNumpy) {
  for (const char* name : {"llama-grouped-tied", "gpt2"}) {
    const std::string folder = models + name;
    const Array prompt = read_npy(folder + "/prompt.npy"), expected = read_npy(folder + "/logits.npy");
    Json ids = Json::array();
    for (int64_t t = 0; t < prompt.dim(1); t++) ids.push_back(prompt.data<int32_t>()[t]);
    const std::string out = scratch.path("logits.npy");
    const Outcome outcome = run({"eval", "logits", folder, ids.dump(), "--out", out});
    ASSERT_EQ(outcome.exit, 0) << outcome.err;
    const Array found = read_npy(out);
    ASSERT_EQ(found.shape(), (Shape{prompt.dim(1), expected.dim(2)}));
    for (int64_t i = 0; i < found.size(); i++)
      ASSERT_NEAR(found.data<float>()[i], expected.data<float>()[i], 1e-4) << name << " " << i;
  }
}

TEST_F(Verbs, PerplexityIsTheMeanOverWholeWindows) {
  std::string text;
  for (int i = 0; i < 40; i++) text += "the cat sat on mat " + std::to_string(i) + ". ";
  const std::string file = scratch.write("text", text);
  const size_t ids = Json::parse(run({"tokenizer", "encode", model(), text}).out).size();
  const Json json = Json::parse(run({"eval", "perplexity", model(), file, "--context", "16", "--json"}).out);
  EXPECT_EQ(json["tokens"], ids / 16 * 15);
  EXPECT_GT(json["perplexity"].get<double>(), 1);
  const Outcome plain = run({"eval", "perplexity", model(), file, "--context", "16"});
  EXPECT_TRUE(plain.out.starts_with("perplexity ")) << plain.out;
}

TEST_F(Verbs, InspectTellsWhatThereIs) {
  const Json json = Json::parse(run({"inspect", model(), "--json"}).out);
  EXPECT_EQ(json["model_type"], "llama");
  EXPECT_EQ(json["source"], "hugging face");
  EXPECT_EQ(json["weights"][0]["name"], "model.embed_tokens.weight");
  EXPECT_EQ(json["tokenizer"]["size"], 270);
  int64_t total = 0;
  for (const Json& weight : json["weights"]) {
    int64_t count = 1;
    for (const Json& axis : weight["shape"]) count *= axis.get<int64_t>();
    total += count;
  }
  EXPECT_EQ(json["parameters"], total);
  const Outcome table = run({"inspect", models + "llama-rope-llama3-classic"});
  EXPECT_NE(table.out.find("bf16"), std::string::npos);
  EXPECT_EQ(table.out.find('\x1b'), std::string::npos);
}

TEST_F(Verbs, ConvertThereAndBackGivesTheSameText) {
  const auto told = [](const std::string& path) {
    return run({"generate", path, "the cat", "--max-tokens", "20", "--temperature", "0", "--ignore-eos"}).out;
  };
  const std::string gguf = scratch.path("tiny.gguf"), back = scratch.path("back");
  EXPECT_EQ(run({"convert", model(), gguf}).exit, 0);
  EXPECT_EQ(run({"convert", gguf, back}).exit, 0);
  EXPECT_EQ(told(gguf), told(model()));
  EXPECT_EQ(told(back), told(model()));
  EXPECT_EQ(run({"convert", model(), scratch.path("half"), "--dtype", "bf16"}).exit, 0);
  const Json half = Json::parse(run({"inspect", scratch.path("half"), "--json"}).out);
  EXPECT_EQ(half["types"].size(), 1u);
  EXPECT_TRUE(half["types"].contains("bf16"));
}

TEST_F(Verbs, TemplateRenderPrintsTheTextAndNothingElse) {
  const std::string source =
      scratch.write("chat.jinja",
                    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
                    "{{ tools | length if tools }}{% if add_generation_prompt %}<assistant>{% endif %}\n\n");
  const std::string talk = scratch.write("talk.json", R"([{"role": "user", "content": "Grüße"}])");
  const std::string tools = scratch.write("tools.json", R"([{"type": "function"}, {}])");
  const std::string more = scratch.write("more.json", R"({"bos_token": "<s>"})");
  const Outcome plain = run({"template", "render", source, "--messages", talk});
  EXPECT_EQ(plain.exit, 0) << plain.err;
  EXPECT_EQ(plain.out, "<user>Grüße<assistant>");
  EXPECT_EQ(run({"template", "render", source, "--messages", talk, "--tools", tools, "--variables", more,
                 "--no-generation-prompt"})
                .out,
            "<s><user>Grüße2");
  const Json json = Json::parse(run({"template", "render", source, "--messages", talk, "--json"}).out);
  EXPECT_EQ(json["from_messages"], Json::parse("[[6, 13]]"));
  expect_error(run({"template", "render", scratch.write("bad.jinja", "\n{% block x %}"), "--messages", talk}),
               1, "bad.jinja:2: the tag \"block\" is not supported");
}

TEST_F(Verbs, GenerateAsksInTheWordsOfTheChatTemplate) {
  expect_error(run({"generate", model(), "the cat", "--chat"}), 1, "the model has no chat template");
}

TEST_F(Verbs, ChatAnswersEachLineAndObeysCommands) {
  const std::string saved = scratch.path("talk.json");
  const Outcome outcome =
      run({"chat", model(), "--temperature", "0", "--max-tokens", "5", "--ignore-eos"},
          "the cat\n/help\n/nonsense\n/save " + saved + "\n/reset\nthe cat\n/quit\nnot read\n");
  EXPECT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("no chat template"), std::string::npos);
  EXPECT_NE(outcome.err.find("error: unknown command /nonsense; hint: /help lists the commands"),
            std::string::npos);
  EXPECT_NE(outcome.out.find("/reset"), std::string::npos);
  std::ifstream file(saved);
  const Json history = Json::parse(file);
  ASSERT_EQ(history.size(), 2u);
  EXPECT_EQ(history[0], (Json{{"role", "user"}, {"content", "the cat"}}));
  EXPECT_EQ(history[1]["role"], "assistant");
  // After /reset the same question gets the same answer, so the first line occurs twice.
  const std::string first = outcome.out.substr(0, outcome.out.find('\n'));
  EXPECT_NE(outcome.out.find(first, first.size()), std::string::npos);
}

TEST_F(Verbs, CompletionScriptsNameVerbsAndOptions) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Outcome outcome = run({"completion", shell});
    EXPECT_EQ(outcome.exit, 0);
    for (const char* word : {"generate", "perplexity", "max-tokens"})
      EXPECT_NE(outcome.out.find(word), std::string::npos) << shell << " " << word;
  }
  const std::string script = scratch.write("completion.bash", run({"completion", "bash"}).out);
  const std::string ask = "source " + script +
                          "; COMP_WORDS=(intarsia generate --max); COMP_CWORD=2; _intarsia; "
                          "test \"${COMPREPLY[0]}\" = --max-tokens";
  EXPECT_EQ(std::system(("bash -c '" + ask + "'").c_str()), 0);
}

TEST_F(Verbs, TruncatedModelsAreOneErrorLine) {
  const std::string gguf = scratch.path("whole.gguf");
  ASSERT_EQ(run({"convert", model(), gguf}).exit, 0);
  std::ifstream in(gguf, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  for (const size_t length : {size_t{3}, size_t{24}, size_t{1000}, bytes.size() / 2, bytes.size() - 1})
    expect_error(run({"generate", scratch.write("cut.gguf", bytes.substr(0, length)), "a"}), 1, "cut.gguf");
  const std::string folder = scratch.path("cut");
  fs::copy(model(), folder);
  fs::resize_file(folder + "/model.safetensors", fs::file_size(folder + "/model.safetensors") - 4);
  expect_error(run({"generate", folder, "a"}), 1, "model.safetensors");
  const std::string other = scratch.path("cut-config");
  fs::copy(model(), other);
  std::ofstream(other + "/config.json") << "{\"model_type\": \"llama\", ";
  expect_error(run({"generate", other, "a"}), 1, "config.json");
}

TEST(Stories, GreedyTextIsThePublishedOneOnEveryRung) {
  const fs::path folder = test::data("stories260K");
  if (!fs::exists(folder)) GTEST_SKIP() << folder << " is not here; set INTARSIA_DATA";
  std::ifstream file(folder / "golden_greedy_256.txt");
  const std::string golden{std::istreambuf_iterator<char>(file), {}};
  for (const char* rung : {"base", "avx2", "avx512", "avx512bf16"}) {
    if (run({"tokenizer", "--help"}, "", {std::string("INTARSIA_ISA=") + rung}).exit != 0) continue;
    const Outcome outcome = run(
        {"generate", (folder / "stories260K.bin").string(), "", "--tokenizer",
         (folder / "tok512.bin").string(), "--temperature", "0", "--max-tokens", "256", "--compute", "f32"},
        "", {std::string("INTARSIA_ISA=") + rung});
    if (outcome.err.find("INTARSIA_ISA") != std::string::npos) continue;  // this cpu lacks the rung
    EXPECT_EQ(outcome.exit, 0) << rung << outcome.err;
    EXPECT_EQ(outcome.out, golden) << rung;
  }
}

}  // namespace
}  // namespace intarsia
