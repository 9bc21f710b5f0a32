// Tests: what stands behind `is`.
#include <algorithm>
#include <array>
#include <cmath>

#include "core/fail.h"
#include "data/file.h"
#include "text/template/builtin/builtins.h"
#include "text/template/builtin/tables.h"
#include "text/template/python.h"
#include "text/template/value/unicode_text.h"

namespace intarsia::jinja {

namespace {

void no_arguments(std::string_view name, Arguments& arguments) {
  const Parameters given(name, arguments, {});
}

template <Comparing how>
Value compared(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("test", arguments, {"other"}, 1);
  return compare(runtime, how, value, *given[0]);
}

template <class T>
Value is_a(Runtime&, const Value& value, Arguments& arguments) {
  no_arguments("test", arguments);
  return value.get<T>() != nullptr;
}

template <bool wanted>
Value is_truth(Runtime&, const Value& value, Arguments& arguments) {
  no_arguments("test", arguments);
  return value.get<bool>() && *value.get<bool>() == wanted;
}

Value is_callable(Runtime&, const Value& value, Arguments& arguments) {
  no_arguments("callable", arguments);
  return value.callable() || value.is_undefined();
}

Value is_defined(Runtime&, const Value& value, Arguments& arguments) {
  no_arguments("defined", arguments);
  return !value.is_undefined();
}

Value is_divisible_by(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("divisibleby", arguments, {"num"}, 1);
  return equal(modulo(runtime, value, *given[0]), int64_t{0});
}

template <int64_t rest>
Value has_rest(Runtime& runtime, const Value& value, Arguments& arguments) {
  no_arguments(rest ? "odd" : "even", arguments);
  return equal(modulo(runtime, value, int64_t{2}), rest);
}

Value is_escaped(Runtime&, const Value& value, Arguments& arguments) {
  no_arguments("escaped", arguments);
  const TextObject* text = value.get<TextObject>();
  return text && text->markup;
}

Value is_integer(Runtime&, const Value& value, Arguments& arguments) {
  no_arguments("integer", arguments);
  return value.get<int64_t>() != nullptr;
}

Value is_iterable(Runtime&, const Value& value, Arguments& arguments) {
  no_arguments("iterable", arguments);
  return value.is_undefined() || value.text() || value.get<Sequence>() || value.get<Dict>();
}

Value is_number(Runtime&, const Value& value, Arguments& arguments) {
  no_arguments("number", arguments);
  return value.number().has_value();
}

Value is_same_as(Runtime&, const Value& value, Arguments& arguments) {
  const Parameters given("sameas", arguments, {"other"}, 1);
  const Value& other = *given[0];
  if (value.identity() || other.identity()) return value.identity() == other.identity();
  return std::string_view(value.type_name()) == other.type_name() && equal(value, other);
}

Value is_sequence(Runtime&, const Value& value, Arguments& arguments) {
  no_arguments("sequence", arguments);
  const Sequence* sequence = value.get<Sequence>();
  return value.is_undefined() || value.text() || value.get<Dict>() ||
         (sequence && sequence->kind <= SequenceKind::range);
}

// Whether text has letters with case, and all of them this one.
template <bool (*good)(uint32_t), bool (*bad)(uint32_t)>
Value has_case(Runtime& runtime, const Value& value, Arguments& arguments) {
  no_arguments("test", arguments);
  const Text text = str(runtime, value);
  bool found = false;
  for (size_t at = 0; at < text.size();) {
    const Letter letter = letter_at(text.view(), at);
    if (bad(letter.code) || is_titlecase(letter.code)) return false;
    found |= good(letter.code);
    at += letter.size;
  }
  return found;
}

Value is_filter(Runtime& runtime, const Value& value, Arguments& arguments) {
  no_arguments("filter", arguments);
  return find_filter(str(runtime, value).view()) != nullptr;
}

Value is_test(Runtime& runtime, const Value& value, Arguments& arguments) {
  no_arguments("test", arguments);
  return find_test(str(runtime, value).view()) != nullptr;
}

Value is_undefined(Runtime&, const Value& value, Arguments& arguments) {
  no_arguments("undefined", arguments);
  return value.is_undefined();
}

constexpr std::array tests = {
    Builtin{"!=", compared<Comparing::unequal>},
    Builtin{"<", compared<Comparing::less>},
    Builtin{"<=", compared<Comparing::less_equal>},
    Builtin{"==", compared<Comparing::equal>},
    Builtin{">", compared<Comparing::greater>},
    Builtin{">=", compared<Comparing::greater_equal>},
    Builtin{"boolean", is_a<bool>},
    Builtin{"callable", is_callable},
    Builtin{"defined", is_defined},
    Builtin{"divisibleby", is_divisible_by},
    Builtin{"eq", compared<Comparing::equal>},
    Builtin{"equalto", compared<Comparing::equal>},
    Builtin{"escaped", is_escaped},
    Builtin{"even", has_rest<0>},
    Builtin{"false", is_truth<false>},
    Builtin{"filter", is_filter},
    Builtin{"float", is_a<double>},
    Builtin{"ge", compared<Comparing::greater_equal>},
    Builtin{"greaterthan", compared<Comparing::greater>},
    Builtin{"gt", compared<Comparing::greater>},
    Builtin{"in", compared<Comparing::in>},
    Builtin{"integer", is_integer},
    Builtin{"iterable", is_iterable},
    Builtin{"le", compared<Comparing::less_equal>},
    Builtin{"lessthan", compared<Comparing::less>},
    Builtin{"lower", has_case<is_lower, is_upper>},
    Builtin{"lt", compared<Comparing::less>},
    Builtin{"mapping", is_a<Dict>},
    Builtin{"ne", compared<Comparing::unequal>},
    Builtin{"none", is_a<None>},
    Builtin{"number", is_number},
    Builtin{"odd", has_rest<1>},
    Builtin{"sameas", is_same_as},
    Builtin{"sequence", is_sequence},
    Builtin{"string", is_a<TextObject>},
    Builtin{"test", is_test},
    Builtin{"true", is_truth<true>},
    Builtin{"undefined", is_undefined},
    Builtin{"upper", has_case<is_upper, is_lower>},
};
static_assert(is_sorted_table(tests));

}  // namespace

const Builtin* find_test(std::string_view name) { return find_in(tests, name); }

}  // namespace intarsia::jinja
