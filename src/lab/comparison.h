// A comparison: variants x tasks x grid x seeds under one budget, as a TOML file says.
//
//   question = "Does it matter where weight decay enters?"
//   how = ["Every variant ...", ...]           what was held equal, for the report
//   seeds = [1, 2, 3]
//   set.training.steps = 600                   settings of every run
//   [[variant]]
//   name = "adamw"
//   set.optimizer.kind = "adamw"
//   [[task]]
//   name = "digits"
//   run = "digits"                             a line of tasks.inl
//   set.task.images = 1000
//   rows = {key = "optimizer.learning_rate", name = "rate", values = [1e-3, 1e-2]}       both or none
//   columns = {key = "optimizer.weight_decay", name = "decay", values = [0, 0.1]}
//   [[task.variant]]                           variants of this task, instead of the common ones
//   name = "three passes"
//   columns = [0, 1e-3, 1e-2]                  of a variant: values of the columns that are its own
//   [quick]                                    seeds, set, and every how many values of a grid are taken
//   grid = 3
//   without = ["PyTorch"]                      variants that are left out
#pragma once
#include <optional>

#include "lab/task.h"

namespace intarsia {

struct Axis {
  std::string key, name;
  std::vector<double> values;
};
struct Grid {
  Axis rows, columns;
};
struct Variant {
  std::string name;
  Settings settings;
  std::vector<double> columns = {};  // instead of the grid's, if any
};
struct TaskSetup {
  std::string name, title;
  const Task* task;
  Settings settings;
  std::vector<Variant> variants;
  std::optional<Grid> grid;
  // The grid's columns as this variant has them; empty without a grid.
  Axis columns(size_t variant) const;
};
struct Comparison {
  std::string name, question;
  std::vector<std::string> how;
  std::vector<int64_t> seeds;
  Settings common, overrides;  // overrides win over everything
  std::vector<TaskSetup> tasks;
};

// Errors name the file, the key and what was expected. `quick` applies the file's [quick] table.
Comparison parse_comparison(std::string_view toml, const std::string& name, bool quick);
Comparison read_comparison(const std::filesystem::path& path, bool quick);
// One assignment of a command line, "training.steps=100"; "seeds=5" stands for seeds 1 to 5.
void override_comparison(Comparison& comparison, std::string_view assignment);

// A run of the comparison: which, and with what settings.
struct Place {
  size_t task, variant;
  size_t row, column;  // of the grid; 0 where there is none
  int64_t seed;
  Settings settings;
};
std::vector<Place> places_of(const Comparison& comparison);

}  // namespace intarsia
