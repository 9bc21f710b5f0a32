// What Python's operators and built-in functions do with values.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "text/template/runtime.h"
#include "text/template/value/value.h"

namespace intarsia::jinja {

Value undefined(std::string why);
// The Error of an undefined value that is used: says why it is missing.
[[noreturn]] void fail_undefined(const Value& value);
// Error for `value` if it is undefined.
void require_defined(const Value& value);

std::string number_text(double number);                          // repr(float)
Text str(Runtime& runtime, const Value& value);                  // str()
void add_repr(Runtime& runtime, Text& out, const Value& value);  // repr()
Text escaped(const Text& text);                                  // & < > " ' as HTML entities
// The text of a value where markup is expected: markup as it is, everything else escaped.
Text markup_of(Runtime& runtime, const Value& value);

// The items that a for loop would meet. A generator is used up by it.
std::vector<Value> items_of(Runtime& runtime, const Value& value);
std::vector<Value> letters_of(Runtime& runtime, const Text& text);
int64_t length_of(const Value& value);

enum class Comparing { equal, unequal, less, less_equal, greater, greater_equal, in, not_in };
bool compare(Runtime& runtime, Comparing how, const Value& a, const Value& b);
bool less(Runtime& runtime, const Value& a, const Value& b);
bool contains(Runtime& runtime, const Value& container, const Value& item);

Value add(Runtime& runtime, const Value& a, const Value& b);
Value subtract(Runtime& runtime, const Value& a, const Value& b);
Value multiply(Runtime& runtime, const Value& a, const Value& b);
Value divide(const Value& a, const Value& b);
Value floor_divide(const Value& a, const Value& b);
Value modulo(Runtime& runtime, const Value& a, const Value& b);  // of text: printf-style formatting
Value power(const Value& a, const Value& b);
Value negative(const Value& a);

// object.name and object[key], as Jinja finds them: attributes first, items first.
Value attribute(Runtime& runtime, const Value& object, std::string_view name);
Value item(Runtime& runtime, const Value& object, const Value& key);
// An attribute in Python's sense: a method, or what a namespace holds.
Value attribute_only(Runtime& runtime, const Value& object, std::string_view name);
Value slice(Runtime& runtime, const Value& object, const Value* start, const Value* stop, const Value* step);
Value call(Runtime& runtime, const Value& function, Arguments& arguments);

// "%s is %d" % arguments, "{} is {:>3}".format(arguments). Where the format is markup, what is filled in is
// escaped.
Text printf_text(Runtime& runtime, const Text& format, const Value& arguments, bool markup);
Text format_text(Runtime& runtime, const Text& format, Arguments& arguments, bool markup);

// json.dumps(value, ...).
struct JsonStyle {
  bool ensure_ascii = false, sort_keys = false;
  std::optional<Text> indent;
  Text item_separator{", "}, key_separator{": "};
};
Text json_text(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace intarsia::jinja
