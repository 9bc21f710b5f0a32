#include "train/run/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "core/fail.h"
#include "data/safetensors.h"

namespace intarsia {

namespace {

namespace fs = std::filesystem;
constexpr const char* manifest_name = "manifest.json";

std::string name_of(int64_t step) { return fmt::format("step-{:06}", step); }

// The step of "step-000400"; nothing for other names, those of half-written checkpoints among them.
std::optional<int64_t> step_of(const std::string& name) {
  if (!name.starts_with("step-") || name.size() < 11 || name.size() > 20) return std::nullopt;
  const std::string digits = name.substr(5);
  if (!std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return std::nullopt;
  return std::stoll(digits);
}

std::vector<fs::path> entries_of(const fs::path& directory) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error))
    entries.push_back(it->path());
  std::sort(entries.begin(), entries.end());
  return entries;
}

// Checkpoints by name, the newest first.
std::vector<fs::path> whole_checkpoints(const fs::path& directory) {
  std::vector<fs::path> found;
  for (const fs::path& entry : entries_of(directory))
    if (step_of(entry.filename().string())) found.push_back(entry);
  std::sort(found.begin(), found.end(), [](const fs::path& a, const fs::path& b) {
    return *step_of(a.filename().string()) > *step_of(b.filename().string());
  });
  return found;
}

// Puts a file on the disk that was written by somebody who did not sync it.
void sync_file(const fs::path& path) {
  FileSystem& files = system_files();
  const int file = files.open(path.c_str(), O_RDONLY | O_CLOEXEC, 0);
  if (file < 0) fail("{}: cannot open to sync: {}", path.string(), std::generic_category().message(-file));
  const int synced = files.fsync(file);
  files.close(file);
  if (synced < 0) fail("{}: cannot sync: {}", path.string(), std::generic_category().message(-synced));
}

}  // namespace

Checkpoints::Checkpoints(const fs::path& run, int64_t keep) : directory_(run / "checkpoints"), keep_(keep) {}

// ---- writing

void Checkpoints::write_into(const fs::path& directory, Model& model, const Tokenizer& tokenizer,
                             Optimizer& optimizer, const TrainState& state) {
  optimizer.with_saved(model, [&] { intarsia::save(model, &tokenizer, directory); });

  std::vector<ArraySource> parts;
  for (const Optimizer::Part& part : optimizer.parts()) parts.emplace_back(part.name, part.array);
  write_safetensors(directory / "optimizer.safetensors", std::move(parts));

  write_file(directory / "state.json", state_text(state));

  // The manifest is the last file: a directory without one was never whole.
  Hashes hashes;
  for (const fs::path& entry : entries_of(directory)) {
    sync_file(entry);
    hashes[entry.filename().string()] = sha256_file(entry);
  }
  write_file(directory / manifest_name, manifest_text(hashes));
}

void Checkpoints::point(const char* name, const std::string& target) {
  write_file(directory_ / name, target + "\n");
}

void Checkpoints::write_whole(const fs::path& target, Model& model, const Tokenizer& tokenizer,
                              Optimizer& optimizer, const TrainState& state) {
  fs::path temporary = target;
  temporary += ".tmp";
  remove_tree(temporary);
  try {
    write_into(temporary, model, tokenizer, optimizer, state);
    rename_path(temporary, target);
  } catch (...) {
    // Half a checkpoint on a full disk is in the way. If it cannot be removed either, the first error is the
    // one to tell.
    try {
      remove_tree(temporary);
    } catch (const Error&) {}
    throw;
  }
}

fs::path Checkpoints::save(Model& model, const Tokenizer& tokenizer, Optimizer& optimizer,
                           const TrainState& state) {
  make_directories(directory_);
  fs::path target = directory_ / name_of(state.step);
  if (!fs::exists(target))
    write_whole(target, model, tokenizer, optimizer, state);  // equal steps have equal bits
  point("last", name_of(state.step));
  if (state.best_step == state.step) point("best", name_of(state.step));
  remove_old(state.best_step);
  return target;
}

// ---- removing

// A checkpoint loses its name first, so that one that is half removed is not taken for a damaged one.
void Checkpoints::remove_whole(const fs::path& checkpoint) {
  fs::path doomed = checkpoint;
  doomed += ".old.tmp";
  remove_tree(doomed);
  rename_path(checkpoint, doomed);
  remove_tree(doomed);
}

void Checkpoints::remove_old(int64_t best_step) {
  int64_t kept = 0;
  for (const fs::path& checkpoint : whole_checkpoints(directory_)) {
    if (kept++ < keep_ || step_of(checkpoint.filename().string()) == best_step) continue;
    remove_whole(checkpoint);
  }
}

// ---- reading

void Checkpoints::verify(const fs::path& checkpoint) {
  const fs::path path = checkpoint / manifest_name;
  for (const auto& [name, hash] : parse_manifest(read_file(path), path.string()))
    if (sha256_file(checkpoint / name) != hash)
      fail("{}: differs from the hash in {}", (checkpoint / name).string(), manifest_name);
}

std::optional<fs::path> Checkpoints::newest(const std::function<void(const std::string&)>& warn) const {
  for (const fs::path& checkpoint : whole_checkpoints(directory_)) {
    try {
      verify(checkpoint);
      return checkpoint;
    } catch (const Error& error) {
      warn(fmt::format("{} is damaged ({}); going back to an earlier one", checkpoint.filename().string(),
                       error.what()));
    }
  }
  return std::nullopt;
}

void Checkpoints::settle(const fs::path& newest, const TrainState& state) {
  for (const fs::path& entry : entries_of(directory_)) {
    const std::string name = entry.filename().string();
    if (name.ends_with(".tmp")) remove_tree(entry);
    if (const auto step = step_of(name); step && *step > state.step) remove_whole(entry);
  }
  point("last", newest.filename().string());
  if (state.best_step >= 0 && fs::exists(directory_ / name_of(state.best_step)))
    point("best", name_of(state.best_step));
  else
    remove_file(directory_ / "best");
}

TrainState Checkpoints::read_state(const fs::path& checkpoint) {
  const fs::path path = checkpoint / "state.json";
  return parse_state(read_file(path), path.string());
}

void Checkpoints::read_optimizer(const fs::path& checkpoint, const TrainState& state, Optimizer& optimizer) {
  const fs::path path = checkpoint / "optimizer.safetensors";
  const Safetensors stored = read_safetensors(path);
  for (Optimizer::Part& part : optimizer.parts()) {
    const auto found = stored.tensors.find(part.name);
    if (found == stored.tensors.end()) fail("{}: has no tensor {}", path.string(), quote(part.name));
    const Array& from = found->second;
    if (from.shape() != part.array.shape() || from.dtype() != part.array.dtype())
      fail("{}: {} is {} {}, expected {} {}", path.string(), part.name, info(from.dtype()).name,
           from.shape().text(), info(part.array.dtype()).name, part.array.shape().text());
    kernel::copy(from, part.array);
  }
  optimizer.restore(state.optimizer);
}

}  // namespace intarsia
