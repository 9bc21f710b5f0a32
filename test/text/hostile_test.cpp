#include <random>

#include "golden.h"

namespace intarsia {
namespace {

std::string error_with(const Json& changes) {
  return error_of([&] { parsed(changed(base_file(), changes)); });
}

TEST(HostileTokenizer, UnknownComponentsAreNamed) {
  expect_contains(error_with({{"normalizer", {{"type", "Uppercase"}}}}),
                  "test.json: normalizer: has the type \"Uppercase\"");
  expect_contains(error_with({{"pre_tokenizer", {{"type", "Scripts"}}}}),
                  "pre_tokenizer: has the type \"Scripts\"");
  expect_contains(error_with({{"post_processor", {{"type", "Other"}}}}),
                  "post_processor: has the type \"Other\"");
  expect_contains(error_with({{"decoder", {{"type", "CTCx"}}}}), "decoder: has the type \"CTCx\"");
  expect_contains(error_with({{"decoder", {{"type", "CTC"}, {"pad_token", ""}}}}), "\"pad_token\" is empty");
  expect_contains(error_with({{"model", {{"type", "Trigram"}}}}), "model: has the type \"Trigram\"");
  expect_contains(error_with({{"model", {{"dropout", 1.1}}}}), "dropout");
  const Json nested = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}, {{"type", "NFX"}}}}};
  expect_contains(error_with({{"normalizer", nested}}), "normalizer.normalizers[1]: has the type \"NFX\"");
  const Json behind = {{"type", "Sequence"},
                       {"pretokenizers", {{{"type", "ByteLevel"}}, {{"type", "ByteLevel"}}}}};
  expect_contains(error_with({{"pre_tokenizer", behind}}), "behind ByteLevel");
}

TEST(HostileTokenizer, WrongShapesAreOneError) {
  for (const char* key : {"normalizer", "pre_tokenizer", "post_processor", "decoder", "model"}) {
    SCOPED_TRACE(key);
    Json file = base_file();
    for (const Json& wrong : {Json(1), Json("x"), Json::array(), Json::object(), Json({{"type", 3}})}) {
      file[key] = wrong;
      error_of([&] { parsed(file); });
    }
  }
  for (const Json& wrong :
       {Json(1), Json::object(), Json({1}), Json({{{"id", 1}}}), Json({{{"content", "x"}}}),
        Json({{{"content", "x"}, {"id", -1}}}), Json({{{"content", "x"}, {"id", 1.5}}}),
        Json({{{"content", ""}, {"id", 1}}}), Json({{{"content", "x"}, {"id", 5000000000}}}),
        Json({{{"content", "x"}, {"id", 400}, {"special", 1}}})})
    error_with({{"added_tokens", wrong}});
  error_of([] { parse_tokenizer_json("[]", "t.json"); });
  error_of([] { parse_tokenizer_json("", "t.json"); });
  error_of([] { parse_tokenizer_json("{}", "t.json"); });
  error_of([] { parse_tokenizer_json(std::string(100000, '['), "t.json"); });
  expect_contains(error_of([] { parse_tokenizer_json("{\"a\":1,\"a\":2}", "t.json"); }), "stands twice");
}

TEST(HostileTokenizer, IdsThatLieAreRefused) {
  const auto vocabulary = [](const char* piece, const Json& id) {
    Json file = base_file();
    file["model"]["vocab"][piece] = id;
    return error_of([&] { parsed(file); });
  };
  expect_contains(vocabulary("huge", 4294967295u), "\"huge\" has id 4294967295");
  expect_contains(vocabulary("twice", 5), "id 5 belongs to ");
  expect_contains(vocabulary("float", 1.5), "not a whole number");
  expect_contains(vocabulary("negative", -1), "not a whole number");
  expect_contains(vocabulary("array", Json::array()), "not a whole number");
  expect_contains(error_with({{"added_tokens", {{{"id", 3}, {"content", "other"}}}}}), "id 3 belongs to ");
  expect_contains(error_with({{"added_tokens", {{{"id", 900}, {"content", "!"}}}}}),
                  "\"!\" has the ids 0 and 900");
  expect_contains(error_of([] {
                    parse_tokenizer_json(
                        R"({"model": {"type": "BPE", "vocab": {"a": 0, "a": 1}, "merges": []}})", "t");
                  }),
                  "\"a\" has the ids 0 and 1");
}

TEST(HostileTokenizer, IdsMayHaveGaps) {
  Json file = base_file();
  file["added_tokens"][0]["id"] = 500;
  const auto tokenizer = parsed(file);
  EXPECT_EQ(tokenizer->size(), 501);
  EXPECT_EQ(tokenizer->bytes(450), "");
  EXPECT_EQ(tokenizer->piece(450), "");
  EXPECT_EQ(tokenizer->id_of(""), std::nullopt);
  EXPECT_EQ(tokenizer->decode(Ids{450, 500}, true), "<|end|>");
  expect_contains(error_of([&] { tokenizer->decode(Ids{501}); }),
                  "id 501 is not in the vocabulary, expected 0 to 500");
  error_of([&] { tokenizer->decode(Ids{-1}); });
}

TEST(HostileTokenizer, MergesThatLieAreRefused) {
  const auto merge = [](const Json& value) {
    Json file = base_file();
    file["model"]["merges"][3] = value;
    return error_of([&] { parsed(file); });
  };
  for (const Json& wrong : {Json(1), Json("ab"), Json("a b c"), Json({"a"}), Json({"a", "b", "c"}),
                            Json({"a", 1}), Json::object()})
    expect_contains(merge(wrong), "model.merges[3] is not");
  expect_contains(merge("zzz a"), "model.merges[3] names \"zzz\"");
  expect_contains(merge("! !"), "names \"!!\"");
  error_with({{"model", {{"merges", "a b"}}}});
  error_with({{"model", {{"vocab", {"a"}}}}});
}

TEST(HostileTokenizer, MergesThatMakeTheirOwnPartsEnd) {
  // The result of a merge is longer than its parts, whatever the ranks say, so merging ends.
  const auto tokenizer = parse_tokenizer_json(
      R"({"model": {"type": "BPE", "vocab": {"a": 0, "aa": 1, "aaa": 2},
          "merges": ["aa a", "a aa", "a a", "a a"]}})",
      "t");
  const Ids ids = tokenizer->encode("aaaaaaa");
  std::string text;
  for (const int32_t id : ids) text += tokenizer->piece(id);
  EXPECT_EQ(text, "aaaaaaa");
}

TEST(HostileTokenizer, BadPatternsAreOneError) {
  const auto pattern = [](const Json& value) {
    const Json split = {{"type", "Split"}, {"pattern", value}, {"behavior", "Isolated"}};
    return error_with({{"pre_tokenizer", split}});
  };
  expect_contains(pattern({{"Regex", "(a"}}), "pattern \"(a\"");
  expect_contains(pattern({{"Regex", "\\h"}}), "is not supported");
  expect_contains(pattern({{"Regex", 1}}), "expected \"pattern\"");
  expect_contains(pattern({{"Regex", std::string(100000, 'a')}}), "100000 bytes");
  expect_contains(pattern({{"String", ""}}), "is empty");
}

TEST(HostileTokenizer, TruncatedOrFlippedFilesAreAnErrorOrATokenizer) {
  const std::string good = base_file().dump();
  std::mt19937 random(12);
  int accepted = 0;
  for (int round = 0; round < 1500; ++round) {
    std::string bad = good;
    if (round % 3 == 0) {
      bad.resize(random() % good.size());
    } else {
      bad[random() % bad.size()] ^= static_cast<char>(1 << random() % 8);
    }
    try {
      const auto tokenizer = parse_tokenizer_json(bad, "t.json");
      tokenizer->decode(tokenizer->encode("The water <|end|> was naïve 日本\xff", true), true);
      ++accepted;
    } catch (const Error& error) {
      EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << error.what();
    }
  }
  EXPECT_GT(accepted, 0);
  EXPECT_LT(accepted, 1000);
}

TEST(HostileTokenizer, FilesThatAreNoTokenizersAreOneError) {
  const Folder folder;
  expect_contains(error_of([&] { load_tokenizer(folder.path()); }), "holds no tokenizer.json");
  error_of([&] { load_tokenizer(folder.path() / "absent.json"); });
  write_file(folder.path() / "empty.json", "");
  error_of([&] { load_tokenizer(folder.path() / "empty.json"); });
  write_file(folder.path() / "text.txt", "hello there, I am not a tokenizer");
  error_of([&] { load_tokenizer(folder.path() / "text.txt"); });
  write_file(folder.path() / "tokenizer.json", base_file().dump());
  write_file(folder.path() / "tokenizer_config.json", "[1]");
  expect_contains(error_of([&] { load_tokenizer(folder.path()); }), "tokenizer_config.json: is array");
}

}  // namespace
}  // namespace intarsia
