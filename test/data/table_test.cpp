#include "data/table/table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "data/folder.h"
#include "data/json.h"
#include "data/packed.h"

namespace intarsia {
namespace {

Table csv(std::string_view text, const CsvOptions& options = {}) {
  return parse_csv(MappedFile::of_memory("f", text), options);
}
Table lines(std::string_view text) { return parse_json_lines(MappedFile::of_memory("f", text)); }

std::vector<std::string> texts_of(const Column& column) {
  std::vector<std::string> texts;
  for (const int32_t code : column.values.span<int32_t>())
    texts.push_back(code < 0 ? "(missing)" : column.texts[static_cast<size_t>(code)]);
  return texts;
}
using Texts = std::vector<std::string>;

TEST(Csv, FindsTheNarrowestTypes) {
  const Table table =
      csv("id,share,yes,name,none\n"
          "1,0.5,true,Ann,\n"
          "-2,1e3,FALSE,Bob,\n"
          "9223372036854775807,-7,,Ann,\n");
  ASSERT_EQ(table.rows, 3);
  EXPECT_EQ(table["id"].type, ColumnType::integer);
  EXPECT_EQ(table["id"].values.data<int64_t>()[2], INT64_MAX);
  EXPECT_EQ(table["share"].type, ColumnType::number);
  EXPECT_EQ(table["share"].values.data<double>()[1], 1000.0);
  EXPECT_EQ(table["share"].values.data<double>()[2], -7.0);
  EXPECT_EQ(table["yes"].type, ColumnType::boolean);
  EXPECT_TRUE(table["yes"].values.data<bool>()[0]);
  EXPECT_TRUE(table["yes"].missing.data<bool>()[2]);
  EXPECT_FALSE(table["yes"].missing.data<bool>()[1]);
  EXPECT_EQ(table["name"].type, ColumnType::text);
  EXPECT_EQ(table["name"].texts, (Texts{"Ann", "Bob"}));
  EXPECT_EQ(texts_of(table["name"]), (Texts{"Ann", "Bob", "Ann"}));
  EXPECT_EQ(table["none"].type, ColumnType::number);  // nothing is known: all are NaN
  EXPECT_TRUE(std::isnan(table["none"].values.data<double>()[0]));
  EXPECT_EQ(error_of([&] { table["nmae"]; }),
            "table: has no column \"nmae\", found \"id\", \"share\", \"yes\", \"name\", \"none\"");
}

TEST(Csv, KnowsWhatIsMissing) {
  const Table table = csv("a,b,c\n1,NA,x\n,2.5,\"NA\"\n3,?,\n");
  EXPECT_EQ(table["a"].type, ColumnType::integer);
  EXPECT_TRUE(table["a"].missing.data<bool>()[1]);
  EXPECT_EQ(table["a"].values.data<int64_t>()[1], 0);
  EXPECT_EQ(table["b"].type, ColumnType::number);
  EXPECT_TRUE(std::isnan(table["b"].values.data<double>()[0]));
  EXPECT_EQ(texts_of(table["c"]), (Texts{"x", "NA", "(missing)"}));  // in quotes it is a text
  EXPECT_EQ(csv("a\n-\n5\n", {.missing = {"-"}})["a"].type, ColumnType::integer);
  const Table one = csv("a\n1\n\n3\n");  // of one column a blank line is a value
  EXPECT_EQ(one.rows, 3);
  EXPECT_TRUE(one["a"].missing.data<bool>()[1]);
}

TEST(Csv, ReadsQuotesSeparatorsAndLineEnds) {
  const Table table =
      csv("\xef\xbb\xbf"
          "a;\"b \"\"x\"\"\"; c \r\n\r\n"
          "\"1;2\r\n3\"; \"q\" ;\"\"\"\"\r\n"
          "  spaced out ;\"\";x\"y");
  ASSERT_EQ(table.rows, 2);
  EXPECT_EQ(texts_of(table["a"]), (Texts{"1;2\r\n3", "spaced out"}));
  EXPECT_EQ(texts_of(table["b \"x\""]), (Texts{"q", "(missing)"}));
  EXPECT_EQ(texts_of(table["c"]), (Texts{"\"", "x\"y"}));
  EXPECT_EQ(csv("a\tb\n1\t2\n").columns.size(), 2u);
  EXPECT_EQ(csv("a|b,c\n1|2\n", {.separator = '|'})["b,c"].values.data<int64_t>()[0], 2);
  const Table plain = csv("1,2\n3,4", {.header = false});
  EXPECT_EQ(plain.rows, 2);
  EXPECT_EQ(plain["2"].values.data<int64_t>()[1], 4);
  EXPECT_EQ(csv("a,b\n").rows, 0);
}

TEST(Csv, NamesTheLine) {
  const auto text = [](std::string_view bytes) { return error_of([&] { csv(bytes); }); };
  EXPECT_EQ(text("a,b\n1,2\n\n1,2,3\n"), "f: line 4 has 3 fields, expected 2");
  EXPECT_EQ(text("a,b\n\"x\ny\",2\n1\n"), "f: line 4 has 1 fields, expected 2");
  EXPECT_EQ(text("a,b\n1,\"2\n3"),
            "f: line 2: the quote that is opened in field \"2\\x0a3\" is never closed");
  EXPECT_EQ(text("a,b\n\"1\"2,3"),
            "f: line 2: \"2\" follows a closing quote, expected a separator or the end of the line");
  EXPECT_EQ(text("a,b\n1,caf\xe9\n"), "f: line 2: the field \"caf\\xe9\" is not UTF-8");
  EXPECT_EQ(text("\n\n"), "f: has no line, expected the names of columns");
}

TEST(JsonLines, GivesKeysAsColumns) {
  const Table table = lines(
      "{\"id\": 1, \"text\": \"one\", \"tags\": [1, 2]}\n\n"
      "{\"id\": 2.5, \"yes\": true, \"text\": null}\r\n"
      "{\"mixed\": 1, \"big\": 18446744073709551615}\n"
      "{\"mixed\": \"a\"}");
  ASSERT_EQ(table.rows, 4);
  EXPECT_EQ(table["id"].type, ColumnType::number);
  EXPECT_EQ(table["id"].values.data<double>()[1], 2.5);
  EXPECT_EQ(texts_of(table["text"]), (Texts{"one", "(missing)", "(missing)", "(missing)"}));
  EXPECT_EQ(texts_of(table["tags"])[0], "[1,2]");
  EXPECT_EQ(table["yes"].type, ColumnType::boolean);
  EXPECT_EQ(texts_of(table["mixed"]), (Texts{"(missing)", "(missing)", "1", "a"}));
  EXPECT_EQ(table["big"].type, ColumnType::number);
}

TEST(JsonLines, NamesTheLine) {
  EXPECT_EQ(error_of([] { lines("{\"a\": 1}\n[1]"); }), "f: line 2: is array, expected an object");
  EXPECT_NE(error_of([] { lines("{}\n\n{\"a\": }"); }).find("f: line 3: 1:7: "), std::string::npos);
  // Thousands of keys that each occur once would make a table of mostly nothing.
  std::string sparse;
  for (int i = 0; i < 5000; i++) sparse += "{\"" + std::to_string(i) + "\": 1}\n";
  EXPECT_NE(error_of([&] { lines(sparse); }).find("the table would take more than"), std::string::npos);
}

TEST(Tables, MayTakeWhatTheCallerAllows) {
  const std::string text = "a,b\n" + std::string(1000, '\n') + "1,two\n3,four\n";
  EXPECT_EQ(csv(text, {.limit = 10000}).rows, 2);
  EXPECT_EQ(error_of([&] { csv(text, {.limit = 3000}); }),
            "f: the table would take more than 3000 bytes, the limit for a file of 1017");
  const std::string packed = gzip(text);
  EXPECT_NE(error_of([&] { csv(packed, {.limit = 1000}); }).find("unpacks to more than 1000"),
            std::string::npos);
}

// Lines that lie across the ends of windows, and one that is longer than the first window.
TEST(Tables, PackedOnesAreReadAsPlainOnes) {
  std::string text = "name,\"the \"\"text\"\"\",n\r\n", objects;
  for (int i = 0; i < 30000; i++) {
    const std::string n = std::to_string(i);
    text += "a" + n + ",\"x,\n" + n + "\"\"" + (i == 7 ? std::string(200000, 'y') : "") + "\"," + n + "\r\n";
    objects += "{\"a\": " + n + ", \"b\": \"" + (i == 7 ? std::string(200000, 'y') : n) + "\"}\n";
  }
  const auto expect_same = [](const Table& plain, const Table& packed) {
    ASSERT_EQ(plain.rows, 30000);
    ASSERT_EQ(packed.rows, plain.rows);
    ASSERT_EQ(packed.columns.size(), plain.columns.size());
    for (size_t i = 0; i < plain.columns.size(); i++) {
      EXPECT_EQ(packed.columns[i].name, plain.columns[i].name);
      EXPECT_EQ(packed.columns[i].texts, plain.columns[i].texts);
      const Array &a = plain.columns[i].values, &b = packed.columns[i].values;
      ASSERT_EQ(a.bytes(), b.bytes());
      EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0);
    }
  };
  expect_same(csv(text), csv(gzip(text)));
  expect_same(lines(objects), lines(gzip(objects)));
}

TEST(Csv, BlankLinesOfOneColumnWithoutAName) {
  const Table table = csv("\n1\n\n3\n", {.header = false});
  ASSERT_EQ(table.rows, 3);
  EXPECT_EQ(table["1"].values.data<int64_t>()[2], 3);
  EXPECT_TRUE(table["1"].missing.data<bool>()[1]);
}

TEST(Csv, ReadsRealTables) {
  const std::filesystem::path folder = data_folder() / "tabular";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not here; set INTARSIA_DATA";
  const Table adult = read_csv(folder / "adult/adult.data");
  EXPECT_EQ(adult.rows, 32561);
  EXPECT_EQ(adult["age"].type, ColumnType::integer);
  EXPECT_EQ(adult["classification"].texts, (Texts{"<=50K", ">50K"}));
  EXPECT_TRUE(adult["workclass"].missing.data<bool>()[27]);
  for (const auto& entry : std::filesystem::directory_iterator(folder / "r_uci"))
    EXPECT_GT(read_csv(entry.path()).rows, 0) << entry.path();
  const Table digits = read_csv(folder / "sklearn/digits.csv.gz", {.header = false});
  EXPECT_EQ(digits.rows, 1797);
  EXPECT_EQ(digits.columns.size(), 65u);
}

}  // namespace
}  // namespace intarsia
