// What holds for every file of the tree.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <regex>
#include <set>

#include "tree.h"

namespace {

bool is_source(const std::string& file) {
  return house::has_extension(file, {".h", ".cpp", ".inl", ".py", ".txt", ".cmake", ".toml"}) ||
         file.starts_with("scripts/") || file == "Makefile";
}

bool is_text(const std::string& text) { return text.find('\0') == std::string::npos; }

TEST(Tree, NoSourceFileIsLongerThanTheHardCap) {
  int seen = 0;
  for (const std::string& file : house::files()) {
    if (!is_source(file)) continue;
    const std::string text = house::text_of(file);
    const auto lines = std::count(text.begin(), text.end(), '\n');
    EXPECT_LE(lines, 1200) << file;
    seen++;
  }
  EXPECT_GT(seen, 50);
}

TEST(Tree, NoFileNamesAPlaceOfOneMachine) {
  // Put together here, so that this file does not find itself.
  const std::string slash = "/";
  for (const std::string& file : house::files()) {
    const std::string text = house::text_of(file);
    if (!is_text(text)) continue;
    for (const std::string place : {"work", "root", "home"}) {
      const std::regex path("(^|[^A-Za-z0-9_.}$)-])" + slash + place + slash);
      EXPECT_FALSE(std::regex_search(text, path)) << file << " holds a path below " << slash << place;
    }
  }
}

TEST(Tree, NothingIsLeftForLater) {
  const std::string to = "TO";
  const std::regex left_over("\\b(" + to + "DO|FIX" + "ME|X" + "XX|HA" + "CK)\\b");
  for (const std::string& file : house::files()) {
    if (!is_source(file)) continue;
    EXPECT_FALSE(std::regex_search(house::text_of(file), left_over)) << file;
  }
}

TEST(Tree, NamesSayWhatIsInside) {
  const std::set<std::string> empty_names = {"utils", "util", "common", "misc", "helpers", "helper"};
  for (const std::string& file : house::files()) {
    for (const std::filesystem::path& part : std::filesystem::path(file)) {
      EXPECT_FALSE(empty_names.contains(part.stem().string())) << file;
    }
  }
}

TEST(Tree, TheLicenceIsThere) {
  EXPECT_NE(house::text_of("LICENSE").find("Apache License"), std::string::npos);
}

TEST(Tree, ScriptsAreShellThatParsesAndMayBeRun) {
  int seen = 0;
  for (const std::string& file : house::files()) {
    if (!file.starts_with("scripts/") && file != ".ci/run") continue;
    const std::string text = house::text_of(file);
    const std::string path = (house::root() / file).string();
    EXPECT_EQ(access(path.c_str(), X_OK), 0) << file << " cannot be executed";
    if (text.starts_with("#!/bin/sh") || text.starts_with("#!/bin/bash")) {
      const std::string shell = text.starts_with("#!/bin/sh") ? "sh" : "bash";
      const house::Outcome check = house::run(shell + " -n '" + path + "'");
      EXPECT_EQ(check.status, 0) << check.output;
      seen++;
    }
  }
  EXPECT_GE(seen, 5);
}

}  // namespace
