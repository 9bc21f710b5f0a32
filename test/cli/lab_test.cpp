// The quick form of every comparison, as a user starts it.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "program.h"

namespace intarsia::test {
namespace {

TEST(Lab, EveryComparisonHasAQuickForm) {
  if (!std::filesystem::exists(data("mnist")) || !std::filesystem::exists(data("text/tinyshakespeare.txt")))
    GTEST_SKIP() << data("") << " holds no mnist/ and text/tinyshakespeare.txt; set INTARSIA_DATA";
  const std::filesystem::path recipes = std::filesystem::path(INTARSIA_SOURCE_DIR) / "recipes/lab";
  const std::string environment = "INTARSIA_DATA=" + data("").string();
  int seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(recipes)) {
    SCOPED_TRACE(entry.path().filename().string());
    const Folder folder;
    const Outcome outcome = run(
        {"lab", entry.path().string(), "--quick", "--json", "--out", folder.path("lab")}, {}, {environment});
    ASSERT_EQ(outcome.exit, 0) << outcome.err;
    const auto result = nlohmann::json::parse(outcome.out);
    EXPECT_FALSE(result["interrupted"]);
    EXPECT_GT(result["runs"].get<int>(), 0);
    EXPECT_LT(result["failed"].get<int>(), result["runs"].get<int>());
    EXPECT_TRUE(std::filesystem::exists(folder.path("lab/report.html")));
    seen++;
  }
  EXPECT_GE(seen, 2);
}

TEST(Lab, WithoutANameItListsAndANameThatIsNearlyRightGetsAHint) {
  const Outcome list = run({"lab"}, {}, {});
  EXPECT_EQ(list.exit, 0) << list.err;
  EXPECT_NE(list.out.find("adamw"), std::string::npos);
  const Outcome wrong = run({"lab", "adamv"}, {}, {});
  EXPECT_EQ(wrong.exit, 1);
  EXPECT_NE(wrong.err.find("did you mean adamw?"), std::string::npos) << wrong.err;
}

}  // namespace
}  // namespace intarsia::test
