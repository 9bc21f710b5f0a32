#include "train/run/manifest.h"

#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/file.h"
#include "data/json.h"

namespace intarsia {

namespace {

constexpr int state_version = 1;
constexpr int64_t most_steps = 1'000'000'000, most_samples = int64_t{1} << 42;  // what a recipe can ask for

struct TimeField {
  const char* name;
  double TimeRecord::*member;
};
constexpr TimeField time_fields[] = {
    {"forward", &TimeRecord::forward},       {"backward", &TimeRecord::backward},
    {"optimizer", &TimeRecord::optimizer},   {"data", &TimeRecord::data},
    {"evaluation", &TimeRecord::evaluation}, {"checkpoint", &TimeRecord::checkpoint},
};

// A key of a JSON object; throws with the file's name if it is missing or of another type.
template <class T>
T value_of(const Json& object, const char* key, const std::string& name) {
  const auto found = object.find(key);
  if (found == object.end()) fail("{}: has no key \"{}\"", name, key);
  constexpr bool whole = std::is_same_v<T, int64_t>;
  if (whole ? !found->is_number_integer() : !found->is_number())
    fail("{}: \"{}\" is {}, expected a {}number", name, key, quote(found->dump(), 40), whole ? "whole " : "");
  return found->template get<T>();
}

std::optional<double> optional_of(const Json& object, const char* key, const std::string& name) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::nullopt;
  return value_of<double>(object, key, name);
}

Json optional_json(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

}  // namespace

std::string state_text(const TrainState& state) {
  Json time = Json::object();
  for (const TimeField& field : time_fields) time[field.name] = state.time.*field.member;
  const Json json = {{"version", state_version},
                     {"step", state.step},
                     {"sample", state.sample},
                     {"updates", state.optimizer.steps},
                     {"good_steps", state.optimizer.good_steps},
                     {"loss_scale", state.optimizer.loss_scale},
                     {"loss", state.loss},
                     {"validation", optional_json(state.validation)},
                     {"best", optional_json(state.best)},
                     {"best_step", state.best_step},
                     {"evaluated_step", state.evaluated_step},
                     {"seconds", state.seconds},
                     {"time", time}};
  return json.dump(2) + "\n";
}

TrainState parse_state(std::string_view text, const std::string& name) {
  const Json json = parse_json(text, name);
  if (!json.is_object()) fail("{}: is {}, expected an object", name, json.type_name());
  if (const auto version = value_of<int64_t>(json, "version", name); version != state_version)
    fail("{}: has version {}, this program reads version {}", name, version, state_version);
  TrainState state;
  state.step = value_of<int64_t>(json, "step", name);
  state.sample = value_of<int64_t>(json, "sample", name);
  if (state.step < 0 || state.step > most_steps || state.sample < 0 || state.sample > most_samples)
    fail("{}: step {} and sample {} are out of range", name, state.step, state.sample);
  state.optimizer = {state.step, 0, 1};
  if (json.contains("updates")) {  // older checkpoints have none: there each step was an update
    state.optimizer.steps = value_of<int64_t>(json, "updates", name);
    state.optimizer.good_steps = value_of<int64_t>(json, "good_steps", name);
    state.optimizer.loss_scale = value_of<double>(json, "loss_scale", name);
    if (state.optimizer.steps < 0 || state.optimizer.steps > state.step || state.optimizer.good_steps < 0 ||
        !(state.optimizer.loss_scale > 0) || state.optimizer.loss_scale > 0x1p100)
      fail("{}: {} updates with loss scale {} are out of range", name, state.optimizer.steps,
           state.optimizer.loss_scale);
  }
  state.loss = value_of<double>(json, "loss", name);
  state.validation = optional_of(json, "validation", name);
  state.best = optional_of(json, "best", name);
  state.best_step = value_of<int64_t>(json, "best_step", name);
  state.seconds = value_of<double>(json, "seconds", name);
  state.evaluated_step = value_of<int64_t>(json, "evaluated_step", name);
  const auto time = json.find("time");
  if (time == json.end() || !time->is_object()) fail("{}: has no object \"time\"", name);
  for (const TimeField& field : time_fields)
    state.time.*field.member = value_of<double>(*time, field.name, name);
  return state;
}

std::string manifest_text(const Hashes& hashes) { return Json{{"sha256", hashes}}.dump(2) + "\n"; }

Hashes parse_manifest(std::string_view text, const std::string& name) {
  const Json manifest = parse_json(text, name);
  const auto found = manifest.is_object() ? manifest.find("sha256") : manifest.end();
  if (!manifest.is_object() || found == manifest.end() || !found->is_object())
    fail("{}: expected an object with the key \"sha256\"", name);
  Hashes hashes;
  for (const auto& [file, hash] : found->items()) {
    const bool plain_name = !file.empty() && file.find_first_of(std::string_view("/\0", 2)) == file.npos &&
                            file != "." && file != "..";
    if (!plain_name || !hash.is_string()) fail("{}: the entry {} is no file's hash", name, quote(file));
    hashes[file] = hash.get<std::string>();
  }
  for (const char* file : {"config.json", "model.safetensors", "optimizer.safetensors", "state.json"})
    if (!hashes.contains(file)) fail("{}: has no entry for {}", name, file);
  return hashes;
}

}  // namespace intarsia
