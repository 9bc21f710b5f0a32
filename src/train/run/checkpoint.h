// Checkpoints of a run: RUN/checkpoints/step-NNNNNN, whole or absent.
//
// A checkpoint is written into step-NNNNNN.tmp, synced, and renamed; the rename is the moment it exists.
// `last` and `best` are text files that hold a directory's name, replaced atomically. What is not needed any
// more goes after that, so that at every instant a whole checkpoint is on the disk.
#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "data/file.h"
#include "intarsia/model.h"
#include "train/optimizer/optimizer.h"
#include "train/run/manifest.h"

namespace intarsia {

class Checkpoints {
 public:
  Checkpoints(const std::filesystem::path& run, int64_t keep);

  // Writes the checkpoint of state.step, if it is not there yet, sets the pointers and removes old ones. If
  // it fails, the earlier ones are as they were.
  std::filesystem::path save(Model& model, const Tokenizer& tokenizer, Optimizer& optimizer,
                             const TrainState& state);

  // The newest checkpoint whose files have the hashes of its manifest. Each damaged one that is passed over
  // is told to `warn`.
  std::optional<std::filesystem::path> newest(const std::function<void(const std::string&)>& warn) const;
  // What newest() found becomes the last one: later ones and half-written ones are removed, the pointers set.
  void settle(const std::filesystem::path& newest, const TrainState& state);

  static TrainState read_state(const std::filesystem::path& checkpoint);
  static void read_optimizer(const std::filesystem::path& checkpoint, const TrainState& state,
                             Optimizer& optimizer);
  // Throws an Error that says which file is missing or differs.
  static void verify(const std::filesystem::path& checkpoint);

 private:
  void write_whole(const std::filesystem::path& target, Model& model, const Tokenizer& tokenizer,
                   Optimizer& optimizer, const TrainState& state);
  void write_into(const std::filesystem::path& directory, Model& model, const Tokenizer& tokenizer,
                  Optimizer& optimizer, const TrainState& state);
  void point(const char* name, const std::string& target);
  void remove_whole(const std::filesystem::path& checkpoint);
  void remove_old(int64_t best_step);
  std::filesystem::path directory_;
  int64_t keep_;
};

}  // namespace intarsia
