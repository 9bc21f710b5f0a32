// Attributes, items, slices and calls.
#include <algorithm>

#include "core/fail.h"
#include "data/file.h"
#include "text/template/builtin/builtins.h"
#include "text/template/python.h"
#include "text/template/value/unicode_text.h"

namespace intarsia::jinja {

namespace {

bool is_range(const Value& value) {
  const Sequence* sequence = value.get<Sequence>();
  return sequence && sequence->kind == SequenceKind::range;
}

// Methods of Python's lists and dictionaries that would change them: the sandbox forbids them.
bool is_mutator(const Value& object, std::string_view name) {
  static constexpr std::string_view of_list[] = {"append", "clear",  "extend",  "insert",
                                                 "pop",    "remove", "reverse", "sort"};
  static constexpr std::string_view of_dict[] = {"clear", "pop", "popitem", "setdefault", "update"};
  const auto has = [&](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  const Sequence* sequence = object.get<Sequence>();
  return (sequence && sequence->kind == SequenceKind::list && has(of_list)) ||
         (object.get<Dict>() && has(of_dict));
}

const Builtin* find_method(const Value& object, std::string_view name) {
  if (object.text()) return find_text_method(name);
  if (object.get<Dict>()) return find_dict_method(name);
  if (const Sequence* sequence = object.get<Sequence>(); sequence && sequence->kind <= SequenceKind::range)
    return find_list_method(name);
  return nullptr;
}

// An attribute in Python's sense; nothing if there is none.
std::optional<Value> python_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (Namespace* space = object.name_space()) {
    const auto found = space->attributes.find(std::string(name));
    return found == space->attributes.end() ? std::nullopt : std::optional(found->second);
  }
  if (Callable* function = object.callable()) {
    Value value = function->attribute(runtime, name);
    return value.is_undefined() ? std::nullopt : std::optional(value);
  }
  if (is_mutator(object, name))
    return undefined(
        fmt::format("the method {} would change a {}, which is forbidden", quote(name), object.type_name()));
  if (const Builtin* method = find_method(object, name)) return bound(*method, object);
  return std::nullopt;
}

// An item in Python's sense; nothing if there is none.
std::optional<Value> python_item(Runtime& runtime, const Value& object, const Value& key) {
  if (const Dict* dict = object.get<Dict>()) {
    if (key.get<Dict>() || (key.get<Sequence>() && key.get<Sequence>()->kind == SequenceKind::list))
      return std::nullopt;
    const Value* found = dict->find(key);
    return found ? std::optional(*found) : std::nullopt;
  }
  const auto index = key.integer();
  if (!index) return std::nullopt;
  if (const Text* text = object.text()) {
    const std::string_view bytes = text->view();
    runtime.work(bytes.size() / 64);
    const auto count = static_cast<int64_t>(count_letters(bytes));
    const int64_t at = *index < 0 ? *index + count : *index;
    if (at < 0 || at >= count) return std::nullopt;
    const size_t start = letter_start(bytes, static_cast<size_t>(at));
    return runtime.make(text->part(start, start + letter_at(bytes, start).size));
  }
  const Sequence* sequence = object.get<Sequence>();
  if (!sequence || sequence->kind > SequenceKind::range) return std::nullopt;
  const auto count = static_cast<int64_t>(sequence->items.size());
  const int64_t at = *index < 0 ? *index + count : *index;
  if (at < 0 || at >= count) return std::nullopt;
  return sequence->items[static_cast<size_t>(at)];
}

Value missing(const Value& object, std::string_view what) {
  if (const Undefined* nothing = object.get<Undefined>(); nothing && nothing->why) fail("{}", *nothing->why);
  require_defined(object);
  return undefined(fmt::format("'{}' object has no {}", object.type_name(), what));
}

}  // namespace

Value attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (object.is_undefined()) fail_undefined(object);
  if (auto found = python_attribute(runtime, object, name)) return *found;
  if (const Dict* dict = object.get<Dict>())
    if (const Value* found = dict->find(name)) return *found;
  return missing(object, "attribute " + quote(name));
}

Value attribute_only(Runtime& runtime, const Value& object, std::string_view name) {
  const auto found = python_attribute(runtime, object, name);
  return found ? *found : missing(object, "attribute " + quote(name));
}

Value item(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is_undefined()) fail_undefined(object);
  if (auto found = python_item(runtime, object, key)) return *found;
  if (const Text* name = key.text()) {
    if (auto found = python_attribute(runtime, object, name->view())) return *found;
    return missing(object, "attribute " + quote(name->view()));
  }
  const auto position = key.integer();
  return missing(object, position ? fmt::format("element {}", *position) : std::string("such element"));
}

Value slice(Runtime& runtime, const Value& object, const Value* start, const Value* stop, const Value* step) {
  require_defined(object);
  const Sequence* sequence = object.get<Sequence>();
  const Text* text = object.text();
  if (!text && !(sequence && sequence->kind <= SequenceKind::range))
    fail("a slice of a {} cannot be taken", object.type_name());
  const auto whole = [](const Value* value, int64_t otherwise) {
    if (!value || value->is_none()) return otherwise;
    const auto number = value->integer();
    if (!number) fail("a slice's bounds are integers, found {}", value->type_name());
    return *number;
  };
  const int64_t count = length_of(object), by = whole(step, 1);
  if (by == 0) fail("a slice's step cannot be 0");
  const int64_t lowest = by < 0 ? -1 : 0, highest = by < 0 ? count - 1 : count;
  const auto bound_of = [&](const Value* value, int64_t otherwise) {
    int64_t at = whole(value, otherwise);
    if (value && !value->is_none() && at < 0) at += count;
    return std::clamp(at, lowest, highest);
  };
  const int64_t begin = bound_of(start, by < 0 ? highest : lowest);
  const int64_t end = bound_of(stop, by < 0 ? lowest : highest);
  runtime.work(static_cast<size_t>(count) / 16);
  const auto each_index = [&](auto&& f) {
    // A step beyond the length takes one item.
    const int64_t stride = std::clamp(by, -count - 1, count + 1);
    for (int64_t i = begin; stride > 0 ? i < end : i > end; i += stride) f(static_cast<size_t>(i));
  };
  if (text) {
    Text out;
    if (by == 1) {
      const size_t first = letter_start(text->view(), static_cast<size_t>(begin));
      const size_t length =
          end > begin ? letter_start(text->view().substr(first), static_cast<size_t>(end - begin)) : 0;
      return runtime.make(text->part(first, first + length), object.get<TextObject>()->markup);
    }
    std::vector<size_t> starts;
    for (size_t at = 0; at < text->size(); at += letter_at(text->view(), at).size) starts.push_back(at);
    starts.push_back(text->size());
    each_index([&](size_t i) { out.add(*text, starts[i], starts[i + 1]); });
    return runtime.make(std::move(out), object.get<TextObject>()->markup);
  }
  std::vector<Value> items;
  each_index([&](size_t i) { items.push_back(sequence->items[i]); });
  return runtime.list(std::move(items), is_range(object) ? SequenceKind::list : sequence->kind);
}

Value call(Runtime& runtime, const Value& function, Arguments& arguments) {
  if (Callable* callable = function.callable()) return callable->call(runtime, arguments);
  require_defined(function);
  fail("'{}' object is not callable", function.type_name());
}

}  // namespace intarsia::jinja
