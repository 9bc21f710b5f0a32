#include "data/json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/folder.h"

namespace intarsia {
namespace {

std::string error_in(std::string_view text, const JsonLimits& limits = {}) {
  return error_of([&] { parse_json(text, "f.json", limits); });
}

TEST(Json, ParsesEveryKindOfValue) {
  const std::string_view text =
      R"({"a": [1, -2, 3.5, "x", true, null, {}], "b": {"c": []}, "": 18446744073709551615})";
  EXPECT_EQ(parse_json(text, "f"), Json::parse(text));
  EXPECT_EQ(parse_json(" 5 ", "f"), 5);
  EXPECT_EQ(parse_json("\"\\u00e9\\ud83d\\ude00\"", "f"), "\u00e9\U0001F600");
}

TEST(Json, SaysLineAndColumn) {
  EXPECT_EQ(error_in("{\n  \"a\": 1,\n  \"b\": x\n}").substr(0, 12), "f.json: 3:8:");
  EXPECT_EQ(error_in("").substr(0, 12), "f.json: 1:1:");
  EXPECT_EQ(error_in("[1, 2").substr(0, 12), "f.json: 1:6:");
}

TEST(Json, RefusesTheSameKeyTwice) {
  EXPECT_EQ(error_in("{\"a\": 1,\n \"a\": 2}"), "f.json: 2:4: the key \"a\" stands twice in one object");
  EXPECT_EQ(parse_json(R"({"a": {"a": 1}, "b": {"a": 2}})", "f")["b"]["a"], 2);
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const char* text : {"[1,]",          "{\"a\":1,}", "[1] 2", "nul", "'a'",     "\"\t\"", "\"\xff\"",
                           "\"\\ud800\"",   "01",         "1e999", "NaN", "// c\n1", "{1:2}",  "\"abc",
                           "[\"a\" \"b\"]", "-",          "+1",    ".5",  "[1",      "{\"a\"", "{\"a\":"})
    EXPECT_FALSE(error_in(text).empty()) << text;
}

TEST(Json, BoundsDepthSizeAndMemory) {
  const auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']');
  };
  EXPECT_TRUE(parse_json(nested(64), "f").is_array());
  EXPECT_NE(error_in(nested(65)).find("nested deeper than 64"), std::string::npos);
  EXPECT_FALSE(error_in(std::string(1000000, '[')).empty());
  EXPECT_NE(error_in("[1, 2, 3]", {.bytes = 8}).find("expected at most 8"), std::string::npos);
  std::string many = "[[]";
  for (int i = 0; i < 500000; i++) many += ",[]";
  EXPECT_NE(error_in(many + "]").find("too much memory"), std::string::npos);
}

TEST(Json, KeepsErrorsShort) {
  EXPECT_LT(error_in("\"" + std::string(100000, 'x')).size(), 300u);
  EXPECT_LT(error_in("[" + std::string(100000, '9') + "e99999999]").size(), 300u);
  EXPECT_LT(
      error_in("{\"" + std::string(100000, 'k') + "\":1,\"" + std::string(100000, 'k') + "\":2}").size(),
      300u);
}

TEST(Json, ReadsRealTokenizersWithinTheDefaultLimits) {
  // The shape of a real vocabulary: 128 thousand entries and 280 thousand merges.
  std::string text = "{\"vocab\":{\"a\":0";
  for (int i = 1; i < 128000; i++) text += ",\"token" + std::to_string(i) + "\":" + std::to_string(i);
  text += "},\"merges\":[\"a b\"";
  for (int i = 1; i < 280000; i++)
    text += ",\"left" + std::to_string(i) + " right" + std::to_string(i) + "\"";
  EXPECT_EQ(parse_json(text + "]}", "f")["merges"].size(), 280000u);
}

}  // namespace
}  // namespace intarsia
