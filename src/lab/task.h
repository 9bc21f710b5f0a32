// What a laboratory measures: a task is a function from settings and a seed to numbers. A new mechanism
// brings one task (a file, and a line in tasks.inl) and one comparison (a TOML file in recipes/lab).
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "intarsia/train.h"

namespace intarsia {

// Dotted keys with their values as text. Those that begin with "task." are the task's own; the others are
// keys of a training recipe.
using Settings = std::map<std::string, std::string>;

struct Curve {
  std::vector<double> x, y;  // y is the task's first measure, if the task does not say otherwise
};
// Shares in numbered bins: a histogram.
struct Profile {
  std::vector<std::string> labels;
  std::vector<double> values;
};

struct Outcome {
  std::vector<double> measures;  // as Task::measures
  Curve curve;                   // may be empty
  Profile profile;               // may be empty
  double seconds = 0;            // the lab fills it in
  std::string failed;            // why there are no measures
};

// One run of a task.
class Cell {
 public:
  Cell(const Settings& settings, int64_t seed, std::filesystem::path directory, std::function<bool()> cancel);
  // The settings that are keys of a recipe, on top of `base`; training.seed is the cell's.
  Recipe recipe(const Recipe& base) const;
  // The task's own settings: "images" stands for task.images.
  double number(std::string_view key, double otherwise) const;
  std::string text(std::string_view key, std::string_view otherwise) const;
  // Throws if a setting of the task was asked for by nobody.
  void finish() const;

  int64_t seed() const { return seed_; }
  const std::filesystem::path& directory() const { return directory_; }  // for files that cells share
  // Throws Interrupted if the run is to end.
  void check() const;

 private:
  const Settings& settings_;
  int64_t seed_;
  std::filesystem::path directory_;
  std::function<bool()> cancel_;
  mutable std::set<std::string> asked_;
};
struct Interrupted {};

struct Measure {
  const char* name;
  const char* unit;
  enum class Better { lower, higher, neither } better;
  int decimals;
};
struct Task {
  const char* name;
  const char* x;        // of its curve: "step"
  const char* profile;  // what the profile counts; null: it has none
  std::span<const Measure> measures;
  Outcome (*run)(const Cell&);
  Measure curve = {nullptr, nullptr, Measure::Better::neither,
                   0};  // what the curve shows; null: the first measure
};
// Throws, with the nearest name as hint, if there is none.
const Task& task_named(std::string_view name);

// A file of the data directory: the path itself, if it exists, else below INTARSIA_DATA.
std::filesystem::path data_file(const std::string& path);

}  // namespace intarsia
