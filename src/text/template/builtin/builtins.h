// The functions that templates may use: filters, tests, methods of text, lists and dictionaries, globals.
#pragma once
#include <span>
#include <string_view>

#include "text/template/runtime.h"
#include "text/template/value/value.h"

namespace intarsia::jinja {

// `input` is what stands before the filter, the test or the method's point.
struct Builtin {
  std::string_view name;
  Value (*call)(Runtime& runtime, const Value& input, Arguments& arguments);
};

// Null if there is none of that name.
const Builtin* find_filter(std::string_view name);
const Builtin* find_value_filter(std::string_view name);  // of those for numbers and text only
const Builtin* find_test(std::string_view name);
const Builtin* find_text_method(std::string_view name);
const Builtin* find_list_method(std::string_view name);
const Builtin* find_dict_method(std::string_view name);
// Functions that need no input: range, dict, namespace, ...
const Builtin* find_global(std::string_view name);
// A method that Python has, but this interpreter has not: a template that calls it is refused when it is
// read.
bool is_unsupported_method(std::string_view name);
// The same of Jinja's filters.
bool is_unsupported_filter(std::string_view name);

// A builtin as a value.
Value bound(const Builtin& builtin, Value input);

// The arguments of a call by the names of its parameters, given by place or by name. Errors: an unknown name,
// too many, one missing of the first `needed`.
class Parameters {
 public:
  Parameters(std::string_view function, Arguments& arguments, std::initializer_list<std::string_view> names,
             size_t needed = 0);
  const Value* operator[](size_t index) const { return given_[index]; }  // null if not given
  int64_t integer(size_t index, int64_t otherwise) const;
  bool truth(size_t index, bool otherwise) const;
  const Text& text(size_t index) const;  // Error if it is none

 private:
  std::string_view function_;
  std::vector<const Value*> given_;
};

}  // namespace intarsia::jinja
