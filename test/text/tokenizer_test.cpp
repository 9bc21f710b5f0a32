#include <array>
#include <random>

#include "data/gguf.h"
#include "data/text.h"
#include "golden.h"
#include "text/format/tokenizer_gguf.h"

namespace intarsia {
namespace {

TEST(Tokenizer, EveryGoldenCaseGivesTheIdsOfHuggingFace) {
  const Json golden_cases = read_json(golden("cases.json"));
  const auto texts = golden_cases["texts"].get<std::vector<std::string>>();
  for (const Json& one : golden_cases["cases"]) {
    SCOPED_TRACE(one["name"].get<std::string>());
    const Json base = read_json(golden(one["base"].get<std::string>() + ".json"));
    const auto tokenizer = parsed(changed(base, one["replace"]));
    for (size_t i = 0; i < texts.size(); ++i) {
      const auto expected = one["ids"][i].get<Ids>();
      EXPECT_EQ(tokenizer->encode(texts[i], true), expected) << "text " << i << ": " << texts[i];
      if (one.contains("text")) {
        EXPECT_EQ(tokenizer->decode(expected, true), one["text"][i].get<std::string>()) << "text " << i;
      }
    }
  }
}

TEST(Tokenizer, WikiText2GivesTheIdsOfHuggingFaceWithRealVocabularies) {
  const auto wikitext = data_folder() / "text/wikitext2.test.txt";
  if (!std::filesystem::exists(wikitext)) GTEST_SKIP() << wikitext << " is not here; set INTARSIA_DATA";
  const std::string text = read_file(wikitext);
  const Json expected = read_json(golden("wikitext.json"));
  const auto compare = [&](const std::string& name, const Tokenizer& tokenizer) {
    const Ids ids = tokenizer.encode(text);
    EXPECT_EQ(ids.size(), expected[name]["count"].get<size_t>()) << name;
    const std::string_view bytes(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int32_t));
    EXPECT_EQ(sha256(bytes), expected[name]["sha256"].get<std::string>()) << name;
    EXPECT_EQ(tokenizer.decode(ids), text) << name;
  };
  for (const std::string name : {"llama3", "qwen3"}) {
    TextSource source(data_folder() / "tokenizers" / name / "tokenizer.json.gz");
    std::string json;
    for (std::string chunk; source.next(chunk);) json += chunk;
    compare(name, *parse_tokenizer_json(json, name));
  }
  const auto smollm2 = std::filesystem::path(INTARSIA_SOURCE_DIR) / "models/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (std::filesystem::exists(smollm2)) compare("smollm2", *load_tokenizer(smollm2));
}

TEST(Tokenizer, BytesThatAreNotUtf8ComeBackAsTheyWere) {
  std::mt19937 random(5);
  const auto tokenizer = parsed(base_file());
  const auto with_llama_pattern =
      parsed(changed(base_file(), Json::parse(R"({"pre_tokenizer": {"type": "Sequence",
    "pretokenizers": [{"type": "Split", "pattern": {"Regex": "\\p{L}+|\\s+|."}, "behavior": "Isolated"},
    {"type": "ByteLevel", "use_regex": false, "add_prefix_space": false}]}})")));
  for (int round = 0; round < 300; ++round) {
    std::string bytes(random() % 60, '\0');
    for (char& c : bytes) c = static_cast<char>(random() % 3 ? random() % 256 : 'a' + random() % 3);
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(bytes)), bytes);
    EXPECT_EQ(with_llama_pattern->decode(with_llama_pattern->encode(bytes)), bytes);
  }
}

TEST(Tokenizer, SpecialTextIsPlainUnlessAskedFor) {
  const auto tokenizer = parsed(base_file());
  const int32_t end = tokenizer->id_of("<|end|>").value();
  EXPECT_TRUE(tokenizer->is_special(end));
  const Ids special = tokenizer->encode("the<|end|>", true), plain = tokenizer->encode("the<|end|>");
  EXPECT_EQ(special.back(), end);
  EXPECT_EQ(std::count(plain.begin(), plain.end(), end), 0);
  EXPECT_EQ(tokenizer->decode(special), "the");
  EXPECT_EQ(tokenizer->decode(special, true), "the<|end|>");
  EXPECT_EQ(tokenizer->decode(plain), "the<|end|>");
}

TEST(Tokenizer, NoMergeMakesASpecialTokenFromPlainText) {
  Json file = base_file();
  const int next = static_cast<int>(file["model"]["vocab"].size());
  file["model"]["vocab"]["<s"] = next + 1;
  file["model"]["vocab"]["<s>"] = next + 2;
  file["pre_tokenizer"]["use_regex"] = false;
  file["model"]["merges"].push_back({"<", "s"});
  file["model"]["merges"].push_back({"<s", ">"});
  file["added_tokens"].push_back({{"id", next + 2}, {"content", "<s>"}, {"special", true}});
  const auto tokenizer = parsed(file);
  EXPECT_EQ(tokenizer->encode("<s>"), (Ids{next + 1, tokenizer->id_of(">").value()}));
  EXPECT_EQ(tokenizer->encode("<s>", true), (Ids{next + 2}));
}

TEST(Tokenizer, ADirectoryTellsSpecialIdsTemplateAndStops) {
  const Folder folder;
  write_file(folder.path() / "tokenizer.json", base_file().dump());
  write_file(folder.path() / "tokenizer_config.json",
             R"({"bos_token": {"content": "<|end|>"}, "eos_token": "<|end|>", "add_bos_token": true,
                 "chat_template": [{"name": "tool", "template": "t"}, {"name": "default", "template": "d"}]})");
  write_file(folder.path() / "generation_config.json", R"({"eos_token_id": [7, 9, 70000]})");
  const auto tokenizer = load_tokenizer(folder.path());
  const int32_t end = tokenizer->id_of("<|end|>").value();
  EXPECT_EQ(tokenizer->bos, end);
  EXPECT_EQ(tokenizer->eos, end);
  EXPECT_TRUE(tokenizer->add_bos);
  EXPECT_EQ(tokenizer->stop, (std::vector<int32_t>{end, 7, 9}));
  EXPECT_EQ(tokenizer->chat_template, "d");
  write_file(folder.path() / "chat_template.jinja", "from its own file");
  EXPECT_EQ(load_tokenizer(folder.path() / "tokenizer.json")->chat_template, "from its own file");
}

TEST(Tokenizer, ATemplateThatPutsATokenFirstAsksForBos) {
  const auto tokenizer =
      parsed(changed(base_file(), Json::parse(R"({"post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<|end|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}})")));
  EXPECT_EQ(tokenizer->bos, tokenizer->id_of("<|end|>"));
  EXPECT_TRUE(tokenizer->add_bos);
}

TEST(Tokenizer, WhatIsSavedLoadsEqual) {
  const Json golden_cases = read_json(golden("cases.json"));
  for (const Json& one : golden_cases["cases"]) {
    SCOPED_TRACE(one["name"].get<std::string>());
    const Json base = read_json(golden(one["base"].get<std::string>() + ".json"));
    const auto tokenizer = parsed(changed(base, one["replace"]));
    tokenizer->eos = 3;
    tokenizer->chat_template = "{{ \"quoted\\n\" }}";
    const Folder folder;
    tokenizer->save(folder.path());
    const auto again = load_tokenizer(folder.path());
    EXPECT_EQ(again->eos, 3);
    EXPECT_EQ(again->chat_template, tokenizer->chat_template);
    ASSERT_EQ(again->size(), tokenizer->size());
    for (int32_t id = 0; id < again->size(); ++id) EXPECT_EQ(again->piece(id), tokenizer->piece(id));
    for (size_t i = 0; i < one["ids"].size(); ++i)
      EXPECT_EQ(again->encode(golden_cases["texts"][i].get<std::string>(), true), one["ids"][i].get<Ids>());
  }
}

// A GGUF file with the vocabulary of a golden file.
std::shared_ptr<const Tokenizer> through_gguf(const Json& file, const std::string& model,
                                              const std::string& pre) {
  std::vector<std::string> pieces(file["model"]["vocab"].size());
  for (const auto& [piece, id] : file["model"]["vocab"].items()) pieces.at(id.get<size_t>()) = piece;
  std::vector<int32_t> kinds(pieces.size(), 1);
  for (const Json& token : file["added_tokens"]) {
    const auto id = token["id"].get<size_t>();
    if (id >= pieces.size()) {
      pieces.resize(id + 1);
      kinds.resize(id + 1, 1);
    }
    pieces[id] = token["content"].get<std::string>();
    kinds[id] = token["special"].get<bool>() ? 3 : 4;
  }
  std::vector<std::string> merges;
  std::vector<float> scores(pieces.size(), 0);
  for (const Json& merge : file["model"]["merges"]) {
    const auto left = merge[0].get<std::string>(), right = merge[1].get<std::string>();
    scores[file["model"]["vocab"][left + right].get<size_t>()] = -static_cast<float>(merges.size());
    merges.push_back(left + " " + right);
  }
  const std::vector<std::string_view> token_views(pieces.begin(), pieces.end());
  const std::vector<std::string_view> merge_views(merges.begin(), merges.end());
  GgufWriter writer;
  writer.set("tokenizer.ggml.model", std::string_view(model));
  writer.set("tokenizer.ggml.tokens", std::span(token_views));
  writer.set("tokenizer.ggml.token_type", std::span<const int32_t>(kinds));
  writer.set("tokenizer.ggml.eos_token_id", uint32_t{1});
  if (model == "gpt2") {
    writer.set("tokenizer.ggml.pre", std::string_view(pre));
    writer.set("tokenizer.ggml.merges", std::span(merge_views));
  } else {
    writer.set("tokenizer.ggml.bos_token_id", uint32_t{1});
    writer.set("tokenizer.ggml.scores", std::span<const float>(scores));
  }
  const Folder folder;
  writer.write(folder.path() / "model.gguf");
  return load_tokenizer(folder.path() / "model.gguf");
}

TEST(Tokenizer, GgufMetadataGivesTheIdsOfTokenizerJson) {
  const Json golden_cases = read_json(golden("cases.json"));
  const std::pair<std::string, std::string> names[] = {
      {"gpt2", "gpt-2"}, {"digits one by one", "smollm"}, {"llama3", "llama-bpe"}, {"llama", ""}};
  for (const auto& [name, pre] : names) {
    SCOPED_TRACE(name);
    const auto one = std::find_if(golden_cases["cases"].begin(), golden_cases["cases"].end(),
                                  [&](const Json& item) { return item["name"] == name; });
    const Json file = read_json(golden((*one)["base"].get<std::string>() + ".json"));
    const auto tokenizer = through_gguf(file, name == "llama" ? "llama" : "gpt2", pre);
    EXPECT_EQ(tokenizer->eos, 1);
    EXPECT_EQ(tokenizer->add_bos, name == "llama");
    for (size_t i = 0; i < (*one)["ids"].size(); ++i) {
      const auto text = golden_cases["texts"][i].get<std::string>();
      EXPECT_EQ(tokenizer->encode(text, true), (*one)["ids"][i].get<Ids>()) << text;
    }
  }
}

// Their ids against llama.cpp's: test/golden/gguf_tokenizers.py.
TEST(Tokenizer, EachNamedPreTokenizerOfGgufCutsAndJoinsAgain) {
  const std::string text = "It's 2024: 1234567 ΑΩ ώ ΐ 日本語 한국 \n\n  K=K Ω—x!!  ";
  for (const char* pre : {"gpt-2",         "phi-2",  "mpt",       "olmo",        "jais",
                          "default",       "smollm", "starcoder", "refact",      "command-r",
                          "codeshell",     "exaone", "llama-bpe", "llama3",      "llama-v3",
                          "chatglm-bpe",   "glm4",   "chatglm",   "qwen2",       "deepseek-r1-qwen",
                          "gpt-4o",        "llama4", "falcon",    "deepseek-v3", "deepseek-llm",
                          "deepseek-coder"}) {
    SCOPED_TRACE(pre);
    const auto tokenizer = through_gguf(base_file(), "gpt2", pre);
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  }
}

TEST(Tokenizer, GgufErrorsNameTheKey) {
  expect_contains(error_of([] { through_gguf(base_file(), "gpt2", "dbrx"); }),
                  "tokenizer.ggml.pre is \"dbrx\"");
  expect_contains(error_of([] { through_gguf(base_file(), "other", ""); }),
                  "known are bert, gpt2, llama, rwkv and t5");
}

TEST(Tokenizer, AStreamNeverBreaksACharacter) {
  const auto tokenizer = parsed(base_file());
  const std::string text = "naïve 日本語 😀👩‍👩‍👧‍👦 \xff\xe2\x82 end \xf0\x9f";
  StreamDecoder stream(tokenizer);
  std::string all;
  for (const int32_t id : tokenizer->encode(text)) {
    const std::string part = stream.feed(id);
    // What is shown ends with a whole character, or with bytes that can never be part of one.
    if (!part.empty() && static_cast<unsigned char>(part.back()) >= 0xc0) { EXPECT_EQ(part.back(), '\xff'); }
    all += part;
  }
  EXPECT_EQ(all, text.substr(0, text.size() - 2));
  EXPECT_EQ(stream.flush(), "\xf0\x9f");
  EXPECT_EQ(stream.flush(), "");
}

TEST(Tokenizer, AStreamGivesEachCharacterAsSoonAsItIsWhole) {
  const auto tokenizer = parsed(changed(base_file(), {{"model", {{"merges", Json::array()}}}}));
  StreamDecoder stream(tokenizer);
  std::vector<std::string> parts;
  for (const int32_t id : tokenizer->encode("é€😀\xe2z")) parts.push_back(stream.feed(id));
  const std::vector<std::string> expected = {"", "é", "", "", "€", "", "", "", "😀", "", "\xe2z"};
  EXPECT_EQ(parts, expected);
}

}  // namespace
}  // namespace intarsia
