// Every shell block of the README runs. The test replaces nothing but times, and puts a small model where the
// README names a large one. What a README writer must know:
//   - a shell block starts with ```sh; other blocks (```text, ```) show output and are not run;
//   - each block runs with `sh -eu` in one folder for the whole README, top to bottom, standard input empty;
//   the folder
//     holds the tree's files (as links), book.txt, and its own runs/ and models/;
//   - lines that install or build are left out, and the two long commands: see `left_out`;
//   - `--minutes N` and `training.steps=N` become a few seconds; a training without either gets one.
// A ```cpp block must stand in a file of examples/, line by line, so that it is compiled and run there.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <vector>

#include "tree.h"

namespace {

namespace fs = std::filesystem;

const char* const seconds_in_minutes = "0.05";
const char* const few_steps = "training.steps=20 schedule.warm_up=5";

struct Block {
  std::string language;
  int line;  // of the README
  std::vector<std::string> lines;
};

std::vector<Block> blocks_of(const std::string& text) {
  std::vector<Block> found;
  std::istringstream in(text);
  bool inside = false;
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    number++;
    if (line.starts_with("```")) {
      inside = !inside;
      if (inside) found.push_back({line.substr(3), number, {}});
    } else if (inside) {
      found.back().lines.push_back(line);
    }
  }
  EXPECT_FALSE(inside) << "README.md: a block is not closed";
  return found;
}

// Installing, building, and the two commands that are tested by being what they are.
bool left_out(const std::string& line) {
  static const std::regex commands(
      R"(^\s*(sudo\s|apt(-get)?\s|git clone|cd |scripts/(setup|fetch-model)|cmake\s|make(\s+(demo|test))?\s*(#.*)?$))");
  return std::regex_search(line, commands);
}

std::string shortened(const std::string& line) {
  static const std::regex minutes(R"(--minutes[ =][0-9.]+)"), steps(R"(training\.steps=[0-9]+)");
  std::string result = std::regex_replace(line, minutes, std::string("--minutes ") + seconds_in_minutes);
  result = std::regex_replace(result, steps, few_steps);
  // A training that says nothing about its length gets one, behind its last word and before a comment.
  static const std::regex training(
      R"(^\s*(build/)?intarsia train (?!.*(--help|--resume|--minutes|training\.steps))[^#]*[^#\s])");
  static const std::regex recipe(R"(train \S+\.toml)");
  const bool by_recipe = std::regex_search(result, recipe);
  const std::string length = by_recipe ? few_steps : std::string("--minutes ") + seconds_in_minutes;
  return std::regex_replace(result, training, "$& " + length);
}

std::string script_of(const Block& block) {
  std::string script;
  for (const std::string& line : block.lines) {
    if (!left_out(line)) script += shortened(line) + "\n";
  }
  return script;
}

// A folder in which the README's commands work without touching the tree.
class Place {
 public:
  explicit Place(const std::vector<Block>& blocks)
      : path_(fs::temp_directory_path() / ("intarsia-readme-" + std::to_string(getpid()))) {
    fs::remove_all(path_);
    fs::create_directories(path_ / "runs");
    fs::create_directories(path_ / "models");
    fs::create_directories(path_ / "build");
    fs::create_symlink(INTARSIA_BINARY, path_ / "build/intarsia");
    for (const char* name :
         {"recipes", "examples", "include", "src", "docs", "test", "scripts", "LICENSE", "README.md"}) {
      if (fs::exists(house::root() / name)) fs::create_symlink(house::root() / name, path_ / name);
    }
    std::ofstream book(path_ / "book.txt");
    for (const std::string& file : house::files()) {
      if (file.starts_with("include/") || file == "LICENSE") book << house::text_of(file);
    }
    book.close();
    for (const Block& block : blocks) place_models(block);
  }
  ~Place() { fs::remove_all(path_); }

  house::Outcome run(const std::string& script) const {
    const fs::path file = path_ / "block.sh";
    std::ofstream(file) << script;
    return house::run("cd '" + path_.string() + "' && PATH=\"$PWD/build:$PATH\" NO_COLOR=1 sh -eu '" +
                      file.string() + "' </dev/null");
  }

 private:
  // Wherever a block names models/SOMETHING.gguf, a model trained for a moment stands in for it.
  void place_models(const Block& block) {
    static const std::regex named(R"(models/[A-Za-z0-9._-]+\.gguf)");
    for (const std::string& line : block.lines) {
      for (std::sregex_iterator i(line.begin(), line.end(), named), end; i != end; ++i) {
        const fs::path target = path_ / (*i)[0].str();
        if (fs::exists(target)) continue;
        if (small_.empty()) {
          small_ = path_ / "models/small.gguf";
          const house::Outcome made =
              run(std::string("intarsia train book.txt --minutes ") + seconds_in_minutes +
                  " --out runs/small-model && intarsia convert runs/small-model " + small_.string());
          EXPECT_EQ(made.status, 0) << made.output;
        }
        fs::copy_file(small_, target);
      }
    }
  }

  fs::path path_, small_;
};

TEST(Readme, EveryShellBlockRuns) {
  ASSERT_TRUE(fs::exists(INTARSIA_BINARY)) << "the program is not built: ninja intarsia";
  const std::vector<Block> blocks = blocks_of(house::text_of("README.md"));
  const Place place(blocks);
  int ran = 0;
  for (const Block& block : blocks) {
    EXPECT_NE(block.language, "bash") << "README.md:" << block.line << ": shell blocks are marked sh";
    EXPECT_NE(block.language, "console") << "README.md:" << block.line << ": shell blocks are marked sh";
    if (block.language != "sh") continue;
    const std::string script = script_of(block);
    const house::Outcome outcome = place.run(script);
    EXPECT_EQ(outcome.status, 0) << "README.md:" << block.line << "\n" << script << "---\n" << outcome.output;
    ran++;
  }
  EXPECT_GE(ran, 2);
}

TEST(Readme, LibraryBlocksAreLinesOfTheExamples) {
  std::vector<std::string> examples;
  for (const std::string& file : house::files()) {
    if (file.starts_with("examples/") && file.ends_with(".cpp")) examples.push_back(house::text_of(file));
  }
  const auto stands_in = [](const std::string& text, const Block& block) {
    size_t from = 0;
    for (const std::string& line : block.lines) {
      const size_t first = line.find_first_not_of(' ');
      if (first == std::string::npos) continue;
      const size_t at = text.find(line.substr(first), from);
      if (at == std::string::npos) return false;
      from = at + 1;
    }
    return true;
  };
  int seen = 0;
  for (const Block& block : blocks_of(house::text_of("README.md"))) {
    if (block.language != "cpp") continue;
    seen++;
    EXPECT_TRUE(
        std::any_of(examples.begin(), examples.end(), [&](const auto& e) { return stands_in(e, block); }))
        << "README.md:" << block.line << ": no file of examples/ holds these lines";
  }
  EXPECT_GE(seen, 1);
}

TEST(ReadmeRules, OnlyTimesAreChanged) {
  EXPECT_EQ(shortened("build/intarsia train book.txt --minutes 5"),
            "build/intarsia train book.txt --minutes 0.05");
  EXPECT_EQ(shortened("intarsia train book.txt   # five minutes"),
            "intarsia train book.txt --minutes 0.05   # five minutes");
  EXPECT_EQ(shortened("intarsia train recipes/a.toml data=f"),
            "intarsia train recipes/a.toml data=f training.steps=20 schedule.warm_up=5");
  EXPECT_EQ(shortened("intarsia train r.toml training.steps=9000"),
            "intarsia train r.toml training.steps=20 schedule.warm_up=5");
  EXPECT_EQ(shortened("intarsia train --resume runs/book"), "intarsia train --resume runs/book");
  EXPECT_EQ(shortened("intarsia chat runs/book"), "intarsia chat runs/book");
  for (const char* line : {"make demo", "make test   # all", "make", "sudo apt-get install x",
                           "git clone URL", "scripts/fetch-model smollm2"}) {
    EXPECT_TRUE(left_out(line)) << line;
  }
  for (const char* line : {"make bench", "intarsia doctor", "scripts/screenshot x"}) {
    EXPECT_FALSE(left_out(line)) << line;
  }
}

}  // namespace
