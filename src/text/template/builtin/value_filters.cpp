// Filters of one value: numbers, text.
#include <array>
#include <cmath>

#include "core/fail.h"
#include "data/file.h"
#include "text/template/builtin/tables.h"
#include "text/template/python.h"
#include "text/template/value/text_tools.h"
#include "text/template/value/unicode_text.h"

namespace intarsia::jinja {

namespace {

// Text as it is, anything else as str() writes it.
Value soft_text(Runtime& runtime, const Value& value) {
  return value.text() ? value : runtime.make(str(runtime, value));
}

Value like(Runtime& runtime, const Value& original, Text text) {
  const TextObject* object = original.get<TextObject>();
  return runtime.make(std::move(text), object && object->markup);
}

Value default_value(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("default", arguments, {"default_value", "boolean"});
  const bool missing = value.is_undefined() || (given.truth(1, false) && !truth(value));
  if (!missing) return value;
  return given[0] ? *given[0] : runtime.make(std::string_view());
}

Value attr(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("attr", arguments, {"name"}, 1);
  require_defined(value);
  return attribute_only(runtime, value, given.text(0).view());
}

// ---- numbers

Value absolute(Runtime&, const Value& value, Arguments& arguments) {
  const Parameters given("abs", arguments, {});
  if (const double* real = value.get<double>()) return std::abs(*real);
  const auto whole = value.integer();
  require_defined(value);
  if (!whole) fail("abs: expected a number, found {}", value.type_name());
  return *whole < 0 ? negative(*whole) : Value(*whole);
}

Value whole_of(double number) {
  if (!(std::abs(number) < 0x1p63)) fail("int: the number {} does not fit into 64 bits", number);
  return static_cast<int64_t>(number);
}

Value to_integer(Runtime&, const Value& value, Arguments& arguments) {
  const Parameters given("int", arguments, {"default", "base"});
  require_defined(value);
  const int64_t base = given.integer(1, 10);
  if (base != 0 && (base < 2 || base > 36)) fail("int: the base is {}, expected 0 or 2 to 36", base);
  if (const auto whole = value.integer()) return *whole;
  if (const double* real = value.get<double>(); real && !std::isnan(*real)) return whole_of(*real);
  if (const Text* text = value.text()) {
    if (const auto whole = parse_integer(text->view(), static_cast<int>(base))) return *whole;
    if (const auto number = parse_number(text->view()); number && std::isfinite(*number))
      return whole_of(*number);
  }
  return given[0] ? *given[0] : Value(int64_t{0});
}

Value to_number(Runtime&, const Value& value, Arguments& arguments) {
  const Parameters given("float", arguments, {"default"});
  require_defined(value);
  if (const auto number = value.number()) return *number;
  if (const Text* text = value.text())
    if (const auto number = parse_number(text->view())) return *number;
  return given[0] ? *given[0] : Value(0.0);
}

double rounded(double value, int64_t digits) {
  if (digits > 300 || !std::isfinite(value)) return value;
  if (digits < 0) {
    const double scale = std::pow(10.0, static_cast<double>(std::min<int64_t>(-digits, 400)));
    return std::isfinite(scale) ? std::nearbyint(value / scale) * scale : 0.0;
  }
  // Correct rounding of the binary value, a half to the even digit.
  return parse_number(fmt::format("{:.{}f}", value, digits)).value_or(value);
}

Value round_number(Runtime&, const Value& value, Arguments& arguments) {
  const Parameters given("round", arguments, {"precision", "method"});
  const int64_t digits = given.integer(0, 0);
  const std::string_view method = given[1] ? given.text(1).view() : "common";
  require_defined(value);
  const auto number = value.number();
  if (!number) fail("round: expected a number, found {}", value.type_name());
  if (method == "common") {
    const auto whole = value.integer();
    if (!whole) return rounded(*number, digits);
    return digits >= 0 ? Value(*whole) : whole_of(rounded(*number, digits));
  }
  if (method != "ceil" && method != "floor")
    fail("round: the method is {}, expected common, ceil or floor", quote(method));
  const double scale = std::pow(10.0, static_cast<double>(digits));
  return (method == "ceil" ? std::ceil(*number * scale) : std::floor(*number * scale)) / scale;
}

// ---- text

template <Text (*change)(Runtime&, const Text&)>
Value changed(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("filter", arguments, {});
  return like(runtime, value, change(runtime, str(runtime, value)));
}

// Words start behind space, hyphens and opening brackets.
Text titled(Runtime& runtime, const Text& text) {
  bool starts = true;
  return mapped(runtime, text, [&](uint32_t code, bool, bool) {
    const bool between =
        is_space(code) ||
        (code < 0x80 && std::string_view("-({[<").find(static_cast<char>(code)) != std::string_view::npos);
    const bool first = std::exchange(starts, between) && !between;
    return first ? upper_of(code) : lower_of(code);
  });
}

Value center(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("center", arguments, {"width"});
  return like(runtime, value,
              padded(runtime, str(runtime, value), given.integer(0, 80), Side::both, Text(" ")));
}

Value escape(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("escape", arguments, {});
  return runtime.make(markup_of(runtime, value), true);
}

Value safe(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("safe", arguments, {});
  return runtime.make(str(runtime, value), true);
}

Value to_text(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("string", arguments, {});
  return soft_text(runtime, value);
}

Value format(Runtime& runtime, const Value& value, Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty())
    fail("format: takes arguments by place or by name, not both");
  std::vector<Dict::Item> named;
  named.reserve(arguments.named.size());
  for (auto& [name, each] : arguments.named) named.push_back({runtime.make(name), std::move(each)});
  const Value given = named.empty() ? runtime.list(std::move(arguments.positional), SequenceKind::tuple)
                                    : runtime.dict(std::move(named));
  const bool markup = value.get<TextObject>() && value.get<TextObject>()->markup;
  return like(runtime, value, printf_text(runtime, str(runtime, value), given, markup));
}

Value indent(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("indent", arguments, {"width", "first", "blank"});
  require_defined(value);
  if (!value.text()) fail("indent: expected text, found {}", value.type_name());
  constexpr int64_t widest = 1000;
  Text margin;
  if (given[0] && given[0]->text())
    margin = given.text(0);
  else
    margin.add(std::string(static_cast<size_t>(std::clamp<int64_t>(given.integer(0, 4), 0, widest)), ' '));
  Text text = *value.text();
  text.add("\n");
  const std::vector<Text> lines = lines_of(text, false);
  Text out;
  for (size_t i = 0; i < lines.size(); ++i) {
    runtime.work(1 + (lines[i].size() + margin.size()) / 64);
    if (i) out.add("\n");
    const bool indented = i == 0 ? given.truth(1, false) : given.truth(2, false) || !lines[i].empty();
    if (indented) out.add(margin);
    out.add(lines[i]);
  }
  return like(runtime, value, std::move(out));
}

Value replace(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("replace", arguments, {"old", "new", "count"}, 2);
  const int64_t most = given[2] && !given[2]->is_none() ? given.integer(2, -1) : -1;
  return runtime.make(
      replaced(runtime, str(runtime, value), str(runtime, *given[0]), str(runtime, *given[1]), most));
}

Value trim(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("trim", arguments, {"chars"});
  const bool all = !given[0] || given[0]->is_none();
  return like(runtime, value, stripped(str(runtime, value), Side::both, all ? nullptr : &given.text(0)));
}

Value tojson(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = given.truth(0, false);
  style.sort_keys = given.truth(3, false);
  if (given[1] && !given[1]->is_none()) {
    constexpr int64_t widest = 100;
    style.item_separator = Text(",");
    style.indent = given[1]->text()
                       ? given.text(1)
                       : Text(std::string(
                             static_cast<size_t>(std::clamp<int64_t>(given.integer(1, 0), 0, widest)), ' '));
  }
  if (given[2] && !given[2]->is_none()) {
    const std::vector<Value> two = items_of(runtime, *given[2]);
    if (two.size() != 2 || !two[0].text() || !two[1].text()) fail("tojson: separators are two texts");
    style.item_separator = *two[0].text();
    style.key_separator = *two[1].text();
  }
  return runtime.make(json_text(runtime, value, style));
}

constexpr std::array filters = {
    Builtin{"abs", absolute},
    Builtin{"attr", attr},
    Builtin{"capitalize", changed<capitalized>},
    Builtin{"center", center},
    Builtin{"d", default_value},
    Builtin{"default", default_value},
    Builtin{"e", escape},
    Builtin{"escape", escape},
    Builtin{"float", to_number},
    Builtin{"format", format},
    Builtin{"indent", indent},
    Builtin{"int", to_integer},
    Builtin{"lower", changed<lower>},
    Builtin{"replace", replace},
    Builtin{"round", round_number},
    Builtin{"safe", safe},
    Builtin{"string", to_text},
    Builtin{"title", changed<titled>},
    Builtin{"tojson", tojson},
    Builtin{"trim", trim},
    Builtin{"upper", changed<upper>},
};
static_assert(is_sorted_table(filters));

}  // namespace

const Builtin* find_value_filter(std::string_view name) { return find_in(filters, name); }

}  // namespace intarsia::jinja
