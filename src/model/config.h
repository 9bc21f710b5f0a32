// The keys of a config.json, read one by one with bounds: what a model's Config is made of. Every key that
// was asked for is kept as it was resolved, so that the model's config can be written again.
#pragma once
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/json.h"
#include "intarsia/op.h"
#include "nn/rope.h"

namespace intarsia {

// A key that is absent or null takes `otherwise`; without one it is an error. Errors name the file, the key,
// what was found and what was expected. Copies share what was read.
class ConfigKeys {
 public:
  ConfigKeys(const Json& object, std::string name);

  int64_t integer(const char* key, int64_t low, int64_t high, std::optional<int64_t> otherwise = {});
  double number(const char* key, double low, double high, std::optional<double> otherwise = {});
  bool flag(const char* key, bool otherwise);
  std::string text(const char* key, std::initializer_list<const char*> choices, const char* otherwise);
  // An activation by Hugging Face's name.
  Activation activation(const char* key, const char* otherwise);
  // A whole number that may be absent, null or 0: then 0, written as null.
  int64_t optional(const char* key, int64_t low, int64_t high);
  // rope_theta with rope_scaling, or transformers 5's rope_parameters. Written the first way, which both
  // read.
  Rope rope();
  // Writes a key that was not read.
  void say(const char* key, const Json& value);
  // bos_token_id, eos_token_id: an id, a list or null.
  void token_ids(int64_t vocabulary);

  [[noreturn]] void refuse(const std::string& what) const;  // an Error that begins with the file's name
  std::string json() const;                                 // of all keys asked for

 private:
  const Json* find(const char* key) const;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace intarsia
