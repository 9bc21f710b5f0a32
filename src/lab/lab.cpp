#include "lab/lab.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "core/format.h"
#include "data/file.h"
#include "data/json.h"
#include "lab/report.h"
#include "train/run/append.h"

namespace intarsia {

namespace {

using Clock = std::chrono::steady_clock;

// What an outcome depends on, in one text; and what its measures are, in their order, so that lines of
// another order are not read as if they were of this one.
std::string key_of(const Comparison& comparison, const Place& place) {
  const Task& task = *comparison.tasks[place.task].task;
  Json json = {{"version", INTARSIA_VERSION}, {"task", task.name}, {"seed", place.seed}};
  for (const Measure& measure : task.measures)
    json["measures"].push_back(Json::array({measure.name, measure.unit}));
  for (const auto& [key, value] : place.settings) json["settings"][key] = value;
  return sha256(json.dump()).substr(0, 24);
}

Json numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(std::isfinite(value) ? Json(value) : Json(nullptr));
  return list;
}
std::vector<double> numbers_of(const Json& json) {
  std::vector<double> values;
  for (const Json& value : json)
    values.push_back(value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN());
  return values;
}

std::string line_of(const Comparison& comparison, const Place& place, const std::string& key,
                    const Outcome& outcome) {
  const TaskSetup& task = comparison.tasks[place.task];
  Json json = {{"key", key},
               {"task", task.name},
               {"variant", comparison.tasks[place.task].variants[place.variant].name},
               {"seed", place.seed}};
  for (const auto& [name, value] : place.settings) json["settings"][name] = value;
  json["seconds"] = outcome.seconds;
  if (!outcome.failed.empty()) {
    json["failed"] = repair_utf8(outcome.failed);
    return json.dump() + "\n";
  }
  json["measures"] = numbers(outcome.measures);
  if (!outcome.curve.x.empty())
    json["curve"] = {{"x", numbers(outcome.curve.x)}, {"y", numbers(outcome.curve.y)}};
  if (!outcome.profile.labels.empty())
    json["profile"] = {{"labels", outcome.profile.labels}, {"values", numbers(outcome.profile.values)}};
  return json.dump() + "\n";
}

// The outcome of a line; nothing if the line is damaged.
std::optional<Outcome> outcome_of(const Json& json) {
  try {
    Outcome outcome;
    outcome.seconds = json.at("seconds").get<double>();
    if (json.contains("failed")) {
      outcome.failed = json.at("failed").get<std::string>();
      return outcome;
    }
    outcome.measures = numbers_of(json.at("measures"));
    if (json.contains("curve"))
      outcome.curve = {numbers_of(json["curve"].at("x")), numbers_of(json["curve"].at("y"))};
    if (json.contains("profile"))
      outcome.profile = {json["profile"].at("labels").get<std::vector<std::string>>(),
                         numbers_of(json["profile"].at("values"))};
    if (outcome.curve.x.size() != outcome.curve.y.size() ||
        outcome.profile.labels.size() != outcome.profile.values.size())
      return std::nullopt;
    return outcome;
  } catch (const Json::exception&) { return std::nullopt; }
}

using Known = std::map<std::string, Outcome>;
Known read_runs(const std::filesystem::path& path) {
  Known known;
  if (!std::filesystem::exists(path)) return known;
  const std::string text = read_file(path, uint64_t{1} << 30);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const Json json =
        Json::parse(text.substr(begin, end - begin), nullptr, false);  // a torn line is no object
    begin = end + 1;
    if (!json.is_object() || !json.contains("key") || !json["key"].is_string()) continue;
    if (auto outcome = outcome_of(json)) known[json["key"].get<std::string>()] = std::move(*outcome);
  }
  return known;
}

std::string what_of(const Comparison& comparison, const Place& place) {
  const TaskSetup& task = comparison.tasks[place.task];
  std::string what = fmt::format("{}, {}", task.name, task.variants[place.variant].name);
  if (task.grid)
    what += fmt::format(", {}, {}", axis_text(task.grid->rows, place.row),
                        axis_text(task.columns(place.variant), place.column));
  return what + fmt::format(", seed {}", place.seed);
}

Outcome measured(const Comparison& comparison, const Place& place, const LabOptions& options) {
  const Task& task = *comparison.tasks[place.task].task;
  const auto begin = Clock::now();
  Outcome outcome;
  try {
    outcome = task.run(Cell(place.settings, place.seed, options.directory, options.cancel));
    if (outcome.measures.size() != task.measures.size())
      fail("lab: the task {} gave {} measures, expected {}", task.name, outcome.measures.size(),
           task.measures.size());
    for (size_t i = 0; i < outcome.measures.size() && outcome.failed.empty(); i++)
      if (!std::isfinite(outcome.measures[i]))
        outcome.failed = fmt::format("the {} is not finite", task.measures[i].name);
  } catch (const Error& error) {
    // A gradient that is not finite is a finding; a setting that is wrong stops the lab.
    if (!std::string_view(error.what()).starts_with("training: ")) throw;
    outcome.failed = error.what();
  }
  outcome.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return outcome;
}

}  // namespace

std::string axis_text(const Axis& axis, size_t index) {
  return fmt::format("{} {:g}", axis.name, axis.values[index]);
}

LabResult run_lab(const Comparison& comparison, const LabOptions& options) {
  const std::vector<Place> places = places_of(comparison);
  make_directories(options.directory);
  const std::filesystem::path path = options.directory / "runs.jsonl";
  const Known known = read_runs(path);
  AppendFile file(path, system_files());
  file.append("\n");  // a line that was torn ends here
  LabResult result;
  result.outcomes.resize(places.size());
  std::vector<std::string> keys;
  size_t done = 0;
  for (size_t i = 0; i < places.size(); i++) {
    keys.push_back(key_of(comparison, places[i]));
    if (const auto found = known.find(keys[i]); found != known.end()) {
      result.outcomes[i] = found->second;
      done++;
    }
  }
  const size_t before = done;
  const auto begin = Clock::now();
  for (size_t i = 0; i < places.size() && !result.interrupted; i++) {
    if (result.outcomes[i]) continue;
    const double spent = std::chrono::duration<double>(Clock::now() - begin).count();
    const double left =
        done > before ? spent / static_cast<double>(done - before) * static_cast<double>(places.size() - done)
                      : std::numeric_limits<double>::quiet_NaN();
    if (options.progress) options.progress({done, places.size(), what_of(comparison, places[i]), left});
    try {
      if (options.cancel && options.cancel()) throw Interrupted();
      Outcome outcome = measured(comparison, places[i], options);
      file.append(line_of(comparison, places[i], keys[i], outcome));
      result.outcomes[i] = std::move(outcome);
      done++;
    } catch (const Interrupted&) { result.interrupted = true; }
  }
  write_lab_report(comparison, result, options);
  return result;
}

}  // namespace intarsia
