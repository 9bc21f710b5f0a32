// What people notice: where output goes, which letters it has, where files lie, how much memory there is.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "program.h"

namespace intarsia {
namespace {

namespace fs = std::filesystem;
using test::Folder;
using test::Outcome;
using test::run;

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

TEST(Surroundings, MemoryIsLimitedByOneOption) {
  const Folder folder;
  const std::string out = folder.path("logits.npy");
  const std::vector<std::string> logits = {"eval", "logits", llama, "[1, 2, 3]", "--out", out};
  std::vector<std::string> small = {"--memory", "1M"}, enough = {"--memory", "1.5GiB"};
  small.insert(small.end(), logits.begin(), logits.end());
  enough.insert(enough.end(), logits.begin(), logits.end());
  expect_one_error_line(run(small), "out of memory");
  EXPECT_EQ(run(enough).exit, 0);
  for (const char* wrong : {"lots", "5", "-1G", "1Q", "G"})
    EXPECT_EQ(run({"--memory", wrong, "doctor"}).exit, 2) << wrong;
}

}  // namespace
}  // namespace intarsia
