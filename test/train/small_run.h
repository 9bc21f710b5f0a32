// A run so small that hundreds of them fit into a test, and files that fail or die at a chosen operation.
#pragma once
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "data/file.h"
#include "intarsia/error.h"
#include "intarsia/random.h"
#include "scratch_folder.h"
#include "train/loop.h"

namespace intarsia::test {

namespace fs = std::filesystem;

// While one lives, every writer of the program uses these files.
class InPlaceOfTheSystem {
 public:
  explicit InPlaceOfTheSystem(FileSystem& files) : before_(&system_files()) { replace_system_files(&files); }
  ~InPlaceOfTheSystem() { replace_system_files(before_); }
  InPlaceOfTheSystem(const InPlaceOfTheSystem&) = delete;
  InPlaceOfTheSystem& operator=(const InPlaceOfTheSystem&) = delete;

 private:
  FileSystem* before_;
};

// What a killed process wrote stays with the system, so syncing, which is slow, changes nothing in these
// tests.
class UnsyncedFiles : public FileSystem {
 public:
  int fsync(int) override { return 0; }
};

// A directory that is empty at the start and removed at the end; while it lives, files are not synced.
class Scratch : public Folder {
  UnsyncedFiles files_;
  InPlaceOfTheSystem placed_{files_};
};

inline std::string read_all(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline void write_all(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// Sentences of few words, so that there is something to learn.
inline std::string small_text(size_t bytes) {
  const char* words[] = {"the", "cat", "sat", "on", "a", "mat", "and", "saw", "two", "birds"};
  Random random(3);
  std::string text;
  while (text.size() < bytes) {
    text += words[random.below(10)];
    text += random.below(8) == 0 ? ".\n" : " ";
  }
  text.resize(bytes);
  return text;
}

// Characters, one layer; a step takes well below a millisecond.
inline Recipe small_recipe(const Scratch& scratch, const std::string& run) {
  const fs::path text = scratch / "text.txt";
  if (!fs::exists(text)) write_all(text, small_text(4000));
  Recipe recipe;
  recipe.data.path = text.string();
  recipe.tokenizer.kind = "characters";
  recipe.model.layers = 1;
  recipe.model.heads = 2;
  recipe.model.width = 16;
  recipe.model.context = 16;
  recipe.training.batch = 2;
  recipe.training.steps = 6;
  recipe.training.log_every = 2;
  recipe.training.out = (scratch / run).string();
  recipe.schedule.warm_up = 2;
  recipe.optimizer.learning_rate = 1e-2;
  recipe.evaluation.every = 2;
  recipe.checkpoints.every = 2;
  recipe.checkpoints.keep = 1;
  recipe.samples.every = 4;
  recipe.samples.tokens = 5;
  return recipe;
}

// What must not differ between two runs: weights and moments of the last checkpoint.
inline std::string last_state(const fs::path& run) {
  std::string name = read_all(run / "checkpoints/last");
  if (!name.empty()) name.pop_back();  // the end of the line
  const fs::path checkpoint = run / "checkpoints" / name;
  const std::string weights = read_all(checkpoint / "model.safetensors");
  return weights.empty() ? "" : name + weights + read_all(checkpoint / "optimizer.safetensors");
}

enum class Fault { none, die_before, die_after, no_space, io_error };

// Counts the operations; the one numbered `at` (from 0) has the fault.
class FaultyFiles : public FileSystem {
 public:
  FaultyFiles(Fault fault, int at) : fault_(fault), at_(at) {}
  int count() const { return count_; }
  int open(const char* path, int flags, int mode) override {
    return act([&] { return FileSystem::open(path, flags, mode); });
  }
  ssize_t write(int file, const void* bytes, size_t n) override {
    return act([&] { return FileSystem::write(file, bytes, n); });
  }
  int fsync(int) override {
    return act([] { return 0; });
  }
  int close(int file) override {
    return act([&] { return FileSystem::close(file); });
  }
  int rename(const char* a, const char* b) override {
    return act([&] { return FileSystem::rename(a, b); });
  }
  int mkdir(const char* path, int mode) override {
    return act([&] { return FileSystem::mkdir(path, mode); });
  }
  int unlink(const char* path) override {
    return act([&] { return FileSystem::unlink(path); });
  }
  int rmdir(const char* path) override {
    return act([&] { return FileSystem::rmdir(path); });
  }

 private:
  template <class F>
  auto act(F&& operation) -> decltype(operation()) {
    const bool here = count_++ == at_;
    if (!here) return operation();
    if (fault_ == Fault::die_before) _exit(9);
    if (fault_ == Fault::no_space) return -ENOSPC;
    if (fault_ == Fault::io_error) return -EIO;
    const auto result = operation();
    if (fault_ == Fault::die_after) _exit(9);
    return result;
  }
  Fault fault_;
  int at_, count_ = 0;
};

// Runs f in a process of its own; returns its exit status: 0, 1 for an Error, 9 if it was killed.
template <class F>
int in_child(F&& f) {
  const pid_t child = fork();
  if (child == 0) {
    int status = 0;
    try {
      f();
    } catch (const Error& error) {
      std::fprintf(stderr, "child: %s\n", error.what());
      status = 1;
    }
    _exit(status);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 9;
}

}  // namespace intarsia::test
