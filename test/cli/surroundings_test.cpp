// What people notice: where output goes, which letters it has, where files lie, how much memory there is.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "core/format.h"
#include "program.h"

namespace intarsia {
namespace {

namespace fs = std::filesystem;
using test::Folder;
using test::Outcome;
using test::run;
using test::run_in_terminal;

const std::string llama = std::string(INTARSIA_SOURCE_DIR) + "/test/golden/models/llama-grouped-tied";

void expect_one_error_line(const Outcome& outcome, const std::string& part) {
  EXPECT_EQ(outcome.exit, 1) << outcome.err;
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
}

TEST(Surroundings, AReaderThatLeavesEarlyMakesNoNoise) {
  const Folder folder;
  const std::string errors = folder.path("errors");
  const std::string command =
      std::string(INTARSIA_BINARY) + " train --keys 2>" + errors + " | head -n 1 >/dev/null";
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(fs::file_size(errors), 0u);
}

TEST(Surroundings, PathsMayHaveSpacesAndAnyLettersInAnyLocale) {
  const Folder folder;
  const std::string path = folder.path("ein Modell \u6a21\u578b");
  fs::copy(llama, path, fs::copy_options::recursive);
  for (const char* locale : {"LC_ALL=C", "LC_ALL=C.UTF-8"}) {
    const Outcome outcome =
        run({"eval", "logits", path, "[1, 2]", "--out", path + "/out \u00e9.npy"}, "", {locale});
    EXPECT_EQ(outcome.exit, 0) << locale << outcome.err;
    EXPECT_TRUE(fs::exists(path + "/out \u00e9.npy"));
  }
}

TEST(Surroundings, NeitherColourNorHomeNorWidthIsNeeded) {
  const Outcome outcome = run({"doctor"}, "", {"NO_COLOR=1", "HOME=/proc", "COLUMNS=20"});
  EXPECT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_EQ(outcome.out.find('\x1b'), std::string::npos);
}

// Lines that are written over each other: one that wraps would fill the screen.
TEST(Surroundings, WhatIsRewrittenFitsNarrowTerminals) {
  const Folder folder;
  std::string text;
  for (int i = 0; i < 2000; i++) text += "the cat sat on mat " + std::to_string(i % 7) + ". ";
  const std::string book = folder.write("book.txt", text);
  for (const unsigned short columns : {20, 40}) {
    const std::string out = folder.path("run" + std::to_string(columns));
    const std::vector<std::string> train = {"train",
                                            book,
                                            "--out",
                                            out,
                                            "training.steps=30",
                                            "training.log_every=1",
                                            "model.width=16",
                                            "model.heads=2",
                                            "model.layers=1",
                                            "model.context=16",
                                            "schedule.warm_up=1"};
    const std::vector<std::string> eval = {"eval", "perplexity", out, book, "--context", "16"};
    for (const auto& arguments : {train, eval}) {
      const std::string written = run_in_terminal(arguments, columns);
      int rewritten = 0;
      for (size_t end, at = 0; (end = written.find("\x1b[K", at)) != std::string::npos; at = end + 3) {
        const size_t start = written.rfind('\r', end) + 1;
        static const std::regex style("\x1b\\[[0-9;]*m");
        const std::string shown = std::regex_replace(written.substr(start, end - start), style, "");
        EXPECT_LT(display_width(shown), columns) << shown;
        rewritten++;
      }
      EXPECT_GT(rewritten, 2) << written;
    }
  }
}

TEST(Surroundings, EmptyAndHugeSparseFilesAreOneErrorLine) {
  const Folder folder;
  folder.write("empty.gguf", "");
  folder.write("huge.gguf", "GGUF");
  std::error_code error;
  fs::resize_file(folder.path("huge.gguf"), uint64_t{100} << 30, error);
  if (error) GTEST_SKIP() << "no sparse files here: " << error.message();
  for (const char* name : {"empty.gguf", "huge.gguf"})
    expect_one_error_line(run({"inspect", folder.path(name)}), name);
}

TEST(Surroundings, TwoTrainingsInOneRunDirectoryAreRefused) {
  const Folder folder;
  const std::string text = folder.write("book.txt", std::string(4000, 'a') + std::string(4000, 'b'));
  const std::string out = folder.path("run");
  const std::vector<std::string> train = {"train",
                                          text,
                                          "--out",
                                          out,
                                          "training.steps=2",
                                          "model.width=16",
                                          "model.heads=2",
                                          "model.layers=1",
                                          "model.context=16"};
  ASSERT_EQ(run(train).exit, 0);
  // A process that trains there holds the lock, which is on the directory itself.
  const int descriptor = ::open(out.c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_GE(descriptor, 0);
  ASSERT_EQ(::flock(descriptor, LOCK_EX | LOCK_NB), 0);
  expect_one_error_line(run({"train", "--resume", out}), out);
  ::close(descriptor);
  EXPECT_EQ(run({"train", "--resume", out}).exit, 0);
}

TEST(Surroundings, BenchNeedsNoPython) {
  const Outcome outcome = run({"bench", "tape"}, "", {"PATH=/nowhere"});
  EXPECT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("ns"), std::string::npos) << outcome.out;
}

TEST(Surroundings, AProfileAccountsForTheWholeStep) {
  const Folder folder;
  const std::string trace = folder.path("trace.json");
  const Outcome outcome = run({"bench", "small-models", "--profile", "--only", "nanogpt", "--rounds", "1",
                               "--trace", trace, "--json"});
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  std::map<std::string, nlohmann::json> rows;
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json row = nlohmann::json::parse(line);
    rows[row["operation"].get<std::string>()] = row;
  }
  double share = 0, calls = 0;
  for (const auto& [name, row] : rows) {
    share += row["share_of_step"].get<double>();
    if (name != "between operations") calls += row["calls"].get<double>();
  }
  EXPECT_NEAR(share, 1, 1e-9);
  EXPECT_EQ(rows.at("linear")["calls"], 8);  // of 4 layers: queries, keys and values; up
  EXPECT_EQ(rows.at("linear_add backward")["calls"], 8);
  EXPECT_EQ(rows.at("attention")["calls"], 4);
  // The least a linear layer's products take: 3 x 2 x 768 x 128 x (384 + 512) x 4 operations.
  const double flops = 6.0 * 768 * 128 * (384 + 512) * 4;
  const double limit =
      rows.at("linear")["limit"].get<double>() + rows.at("linear backward")["limit"].get<double>();
  EXPECT_GT(limit, flops / 100e12);
  EXPECT_TRUE(rows.contains("optimizer"));
  std::ifstream file(trace);
  EXPECT_EQ(nlohmann::json::parse(file)["traceEvents"].size(), calls);

  EXPECT_EQ(run({"bench", "tape", "--profile"}).exit, 2);
  EXPECT_EQ(run({"bench", "train-step", "--profile", "--trace", trace}).exit, 2);
}

TEST(Surroundings, MemoryIsLimitedByOneOption) {
  const Folder folder;
  const std::vector<std::string> logits = {"eval",      "logits", llama,
                                           "[1, 2, 3]", "--out",  folder.path("logits.npy")};
  const std::vector<std::string> train = {"train",
                                          folder.write("book.txt", std::string(9000, 'a')),
                                          "--out",
                                          folder.path("run"),
                                          "training.steps=200",
                                          "model.width=128"};
  const auto limited = [](const char* size, const std::vector<std::string>& command) {
    std::vector<std::string> arguments = {"--memory", size};
    arguments.insert(arguments.end(), command.begin(), command.end());
    return run(arguments);
  };
  EXPECT_EQ(limited("1M", logits).exit, 0) << "small arrays fit below a small limit";
  EXPECT_EQ(limited("1.5GiB", logits).exit, 0);
  const Outcome refused = limited("1M", train);
  EXPECT_EQ(refused.exit, 1);
  EXPECT_NE(refused.err.find("out of memory: "), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find(" held, the limit is 1.00 MiB"), std::string::npos) << refused.err;
  for (const char* wrong : {"lots", "5", "-1G", "1Q", "G"})
    EXPECT_EQ(run({"--memory", wrong, "doctor"}).exit, 2) << wrong;
}

}  // namespace
}  // namespace intarsia
