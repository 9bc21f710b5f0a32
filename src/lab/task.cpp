#include "lab/task.h"

#include <fmt/core.h>

#include <charconv>
#include <cstdlib>

#include "core/fail.h"
#include "core/spelling.h"
#include "data/file.h"

namespace intarsia {

namespace task {
#define TASK(NAME) extern const Task NAME;
#include "lab/tasks.inl"
#undef TASK
}  // namespace task

namespace {

constexpr const Task* tasks[] = {
#define TASK(NAME) &task::NAME,
#include "lab/tasks.inl"
#undef TASK
};
constexpr std::string_view own = "task.";

}  // namespace

Cell::Cell(const Settings& settings, int64_t seed, std::filesystem::path directory,
           std::function<bool()> cancel)
    : settings_(settings), seed_(seed), directory_(std::move(directory)), cancel_(std::move(cancel)) {}

Recipe Cell::recipe(const Recipe& base) const {
  Recipe recipe = base;
  for (const auto& [key, value] : settings_)
    if (!key.starts_with(own)) override_recipe(recipe, fmt::format("{}={}", key, value));
  recipe.training.seed = seed_;
  return recipe;
}

double Cell::number(std::string_view key, double otherwise) const {
  const std::string full = std::string(own) + std::string(key);
  asked_.insert(full);
  const auto found = settings_.find(full);
  if (found == settings_.end()) return otherwise;
  const std::string& text = found->second;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    fail("lab: {} is {}, expected a number", full, quote(text));
  return value;
}

std::string Cell::text(std::string_view key, std::string_view otherwise) const {
  const std::string full = std::string(own) + std::string(key);
  asked_.insert(full);
  const auto found = settings_.find(full);
  return found == settings_.end() ? std::string(otherwise) : found->second;
}

void Cell::finish() const {
  for (const auto& [key, value] : settings_)
    if (key.starts_with(own) && !asked_.contains(key)) fail("lab: the task knows no setting {}", quote(key));
}

void Cell::check() const {
  if (cancel_ && cancel_()) throw Interrupted();
}

const Task& task_named(std::string_view name) {
  std::string nearest;
  size_t least = 4;
  for (const Task* task : tasks) {
    if (name == task->name) return *task;
    const size_t away = edit_distance(name.substr(0, 64), task->name);
    if (away < least) {
      least = away;
      nearest = task->name;
    }
  }
  fail_hint(nearest.empty() ? "" : fmt::format("did you mean {}?", nearest), "lab: unknown task {}",
            quote(name));
}

std::filesystem::path data_file(const std::string& path) {
  if (std::filesystem::exists(path)) return path;
  const char* data = std::getenv("INTARSIA_DATA");
  std::filesystem::path below = std::filesystem::path(data ? data : "../shared/data") / path;
  if (!std::filesystem::exists(below))
    fail_hint("set INTARSIA_DATA to the directory that holds it", "lab: {} was not found, nor {}", path,
              below.string());
  return below;
}

}  // namespace intarsia
