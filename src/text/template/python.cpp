#include "text/template/python.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/fail.h"
#include "data/file.h"
#include "text/template/builtins.h"
#include "text/template/unicode_text.h"

namespace intarsia::jinja {

namespace {

[[noreturn]] void fail_operands(std::string_view operation, const Value& a, const Value& b) {
  require_defined(a);
  require_defined(b);
  fail("unsupported operand types for {}: {} and {}", operation, a.type_name(), b.type_name());
}

bool has_order(const Sequence& sequence) {
  return sequence.kind == SequenceKind::list || sequence.kind == SequenceKind::tuple;
}

bool is_range(const Value& value) {
  const Sequence* sequence = value.get<Sequence>();
  return sequence && sequence->kind == SequenceKind::range;
}

}  // namespace

Value undefined(std::string why) { return Undefined{std::make_shared<const std::string>(std::move(why))}; }

void fail_undefined(const Value& value) {
  const Undefined* missing = value.get<Undefined>();
  fail("{}", missing && missing->why ? *missing->why : "a value is undefined");
}

void require_defined(const Value& value) {
  if (value.is_undefined()) fail_undefined(value);
}

std::string number_text(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  char digits[64];
  // The shortest digits that read back as the number, in the form d.ddde+xx.
  const auto end = std::to_chars(digits, digits + sizeof digits, number, std::chars_format::scientific).ptr;
  const std::string_view shortest(digits, static_cast<size_t>(end - digits));
  const int exponent = std::stoi(std::string(shortest.substr(shortest.find('e') + 1)));
  if (exponent < -4 || exponent >= 16) return std::string(shortest);
  const auto fixed = std::to_chars(digits, digits + sizeof digits, number, std::chars_format::fixed).ptr;
  std::string text(digits, fixed);
  if (text.find('.') == text.npos) text += ".0";
  return text;
}

void add_repr(Runtime& runtime, Text& out, const Value& value) {
  runtime.work(1);
  if (const Text* text = value.text()) {
    const std::string_view bytes = text->view();
    runtime.work(bytes.size() / 16);
    const bool markup = value.get<TextObject>()->markup;
    const char mark = bytes.find('\'') != bytes.npos && bytes.find('"') == bytes.npos ? '"' : '\'';
    out.add(markup ? "Markup(" : "");
    out.add(std::string_view(&mark, 1));
    for (size_t at = 0; at < bytes.size();) {
      const Letter letter = letter_at(bytes, at);
      const bool foreign = text->foreign(at);
      if (bytes[at] == mark || bytes[at] == '\\') {
        out.add("\\", foreign);
        out.add(*text, at, at + 1);
      } else if (bytes[at] == '\n' || bytes[at] == '\r' || bytes[at] == '\t') {
        out.add(bytes[at] == '\n' ? "\\n" : bytes[at] == '\r' ? "\\r" : "\\t", foreign);
      } else if (is_printable(letter.code)) {
        out.add(*text, at, at + letter.size);
      } else if (letter.code < 0x100) {
        out.add(fmt::format("\\x{:02x}", letter.code), foreign);
      } else {
        out.add(letter.code < 0x10000 ? fmt::format("\\u{:04x}", letter.code)
                                      : fmt::format("\\U{:08x}", letter.code),
                foreign);
      }
      at += letter.size;
    }
    out.add(std::string_view(&mark, 1));
    return out.add(markup ? ")" : "");
  }
  if (const Sequence* sequence = value.get<Sequence>()) {
    if (sequence->kind == SequenceKind::generator)
      fail_hint("use the filter `list` first", "a generator has no text of its own");
    if (sequence->kind == SequenceKind::range) {
      out.add(fmt::format("range({}, {}", sequence->start, sequence->stop));
      return out.add(sequence->step == 1 ? ")" : fmt::format(", {})", sequence->step));
    }
    const bool tuple = sequence->kind == SequenceKind::tuple, list = sequence->kind == SequenceKind::list;
    if (!tuple && !list) out.add(std::string(value.type_name()) + "(");
    out.add(tuple ? "(" : "[");
    for (size_t i = 0; i < sequence->items.size(); ++i) {
      if (i) out.add(", ");
      add_repr(runtime, out, sequence->items[i]);
    }
    if (tuple && sequence->items.size() == 1) out.add(",");
    out.add(tuple ? ")" : "]");
    if (!tuple && !list) out.add(")");
    return;
  }
  if (const Dict* dict = value.get<Dict>()) {
    out.add("{");
    for (size_t i = 0; i < dict->items.size(); ++i) {
      if (i) out.add(", ");
      add_repr(runtime, out, dict->items[i].first);
      out.add(": ");
      add_repr(runtime, out, dict->items[i].second);
    }
    return out.add("}");
  }
  if (value.is_undefined()) return out.add("Undefined");
  if (value.identity()) fail("a {} has no text of its own", value.type_name());
  out.add(str(runtime, value));
}

Text str(Runtime& runtime, const Value& value) {
  if (const Text* text = value.text()) return *text;
  if (value.is_undefined()) return {};
  if (value.is_none()) return Text("None");
  if (const bool* truth = value.get<bool>()) return Text(*truth ? "True" : "False");
  if (const int64_t* whole = value.get<int64_t>()) return Text(std::to_string(*whole));
  if (const double* real = value.get<double>()) return Text(number_text(*real));
  Text out;
  add_repr(runtime, out, value);
  return out;
}

Text escaped(const Text& text) {
  Text out;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    const char* entity = c == '&'    ? "&amp;"
                         : c == '<'  ? "&lt;"
                         : c == '>'  ? "&gt;"
                         : c == '"'  ? "&#34;"
                         : c == '\'' ? "&#39;"
                                     : nullptr;
    if (entity)
      out.add(entity, text.foreign(at));
    else
      out.add(text, at, at + 1);
  }
  return out;
}

Text markup_of(Runtime& runtime, const Value& value) {
  const TextObject* object = value.get<TextObject>();
  return object && object->markup ? object->text : escaped(str(runtime, value));
}

std::vector<Value> letters_of(Runtime& runtime, const Text& text) {
  std::vector<Value> letters;
  for (size_t at = 0; at < text.size();) {
    const size_t end = at + letter_at(text.view(), at).size;
    runtime.work(1);
    letters.push_back(runtime.make(text.part(at, end)));
    at = end;
  }
  return letters;
}

std::vector<Value> items_of(Runtime& runtime, const Value& value) {
  if (value.is_undefined()) return {};
  if (const Sequence* sequence = value.get<Sequence>()) {
    runtime.work(sequence->items.size());
    if (sequence->kind != SequenceKind::generator) return sequence->items;
    const size_t used = std::exchange(sequence->used, sequence->items.size());
    return {sequence->items.begin() + static_cast<std::ptrdiff_t>(used), sequence->items.end()};
  }
  if (const Dict* dict = value.get<Dict>()) {
    runtime.work(dict->items.size());
    std::vector<Value> keys;
    keys.reserve(dict->items.size());
    for (const Dict::Item& item : dict->items) keys.push_back(item.first);
    return keys;
  }
  if (const Text* text = value.text()) return letters_of(runtime, *text);
  fail("'{}' object is not iterable", value.type_name());
}

int64_t length_of(const Value& value) {
  if (value.is_undefined()) return 0;
  if (const Text* text = value.text()) return static_cast<int64_t>(count_letters(text->view()));
  if (const Dict* dict = value.get<Dict>()) return static_cast<int64_t>(dict->items.size());
  const Sequence* sequence = value.get<Sequence>();
  if (!sequence || sequence->kind == SequenceKind::generator)
    fail("object of type '{}' has no length", value.type_name());
  return static_cast<int64_t>(sequence->items.size());
}

// ---- comparison

bool less(Runtime& runtime, const Value& a, const Value& b) {
  runtime.work(1);
  if (const auto i = a.integer(), j = b.integer(); i && j) return *i < *j;
  if (const auto x = a.number(), y = b.number(); x && y) return *x < *y;
  if (const Text *s = a.text(), *t = b.text(); s && t) return s->view() < t->view();
  if (const Sequence *s = a.get<Sequence>(), *t = b.get<Sequence>();
      s && t && s->kind == t->kind && has_order(*s)) {
    for (size_t i = 0; i < std::min(s->items.size(), t->items.size()); ++i) {
      runtime.work(1);
      if (!equal(s->items[i], t->items[i])) return less(runtime, s->items[i], t->items[i]);
    }
    return s->items.size() < t->items.size();
  }
  fail_operands("an order", a, b);
}

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  if (const Text* text = container.text()) {
    const Text* part = item.text();
    if (!part) fail("only text can be in text, found {}", item.type_name());
    runtime.work(text->size() / 16);
    return text->view().find(part->view()) != std::string_view::npos;
  }
  if (const Dict* dict = container.get<Dict>()) return dict->find(item) != nullptr;
  for (const Value& each : items_of(runtime, container)) {
    runtime.work(static_cast<size_t>(std::min(each.extent().values, item.extent().values)));
    if (equal(each, item)) return true;
  }
  return false;
}

bool compare(Runtime& runtime, Comparing how, const Value& a, const Value& b) {
  const auto same = [&] {
    runtime.work(static_cast<size_t>(std::min(a.extent().values, b.extent().values)));
    if (a.text() && b.text()) runtime.work(std::min(a.text()->size(), b.text()->size()) / 64);
    return equal(a, b);
  };
  switch (how) {
    case Comparing::equal:
      return same();
    case Comparing::unequal:
      return !same();
    case Comparing::less:
      return less(runtime, a, b);
    case Comparing::greater:
      return less(runtime, b, a);
    // Of numbers, a <= b is not the contrary of b < a: neither holds for what is not a number.
    case Comparing::less_equal:
      return less(runtime, a, b) || same();
    case Comparing::greater_equal:
      return less(runtime, b, a) || same();
    case Comparing::in:
      return contains(runtime, b, a);
    case Comparing::not_in:
      return !contains(runtime, b, a);
  }
  return false;
}

// ---- arithmetic

namespace {

[[noreturn]] void fail_overflow() { fail("an integer does not fit into 64 bits"); }

// Both operands as integers, or as numbers if one of them is none.
template <class Whole, class Real>
Value arithmetic(std::string_view name, const Value& a, const Value& b, Whole whole, Real real) {
  const auto i = a.integer(), j = b.integer();
  if (i && j) return whole(*i, *j);
  const auto x = a.number(), y = b.number();
  if (!x || !y) fail_operands(name, a, b);
  return real(*x, *y);
}

Value repeated(Runtime& runtime, const Value& what, int64_t times) {
  times = std::max<int64_t>(times, 0);
  constexpr int64_t most = int64_t{1} << 26;
  if (const Text* text = what.text()) {
    if (!text->empty() && times > most / static_cast<int64_t>(text->size()))
      fail("a repeated text is too long");
    runtime.work(static_cast<size_t>(times) * (text->size() / 64 + 1));
    Text out;
    for (int64_t i = 0; i < times && !text->empty(); ++i) out.add(*text);
    return runtime.make(std::move(out), what.get<TextObject>()->markup);
  }
  const Sequence& sequence = *what.get<Sequence>();
  const auto count = static_cast<int64_t>(sequence.items.size());
  if (count > 0 && times > value_limit / count) fail("a repeated list is too long");
  runtime.work(static_cast<size_t>(times * count));
  std::vector<Value> items;
  for (int64_t i = 0; i < times && count > 0; ++i)
    items.insert(items.end(), sequence.items.begin(), sequence.items.end());
  return runtime.list(std::move(items), sequence.kind);
}

bool repeatable(const Value& value) {
  const Sequence* sequence = value.get<Sequence>();
  return value.text() || (sequence && has_order(*sequence));
}

}  // namespace

Value add(Runtime& runtime, const Value& a, const Value& b) {
  if (const TextObject *s = a.get<TextObject>(), *t = b.get<TextObject>(); s && t) {
    const bool markup = s->markup || t->markup;
    Text sum = markup ? markup_of(runtime, a) : s->text;
    sum.add(markup ? markup_of(runtime, b) : t->text);
    return runtime.make(std::move(sum), markup);
  }
  if (const Sequence *s = a.get<Sequence>(), *t = b.get<Sequence>();
      s && t && s->kind == t->kind && has_order(*s)) {
    std::vector<Value> items = s->items;
    items.insert(items.end(), t->items.begin(), t->items.end());
    return runtime.list(std::move(items), s->kind);
  }
  return arithmetic(
      "+", a, b,
      [](int64_t x, int64_t y) -> Value {
        int64_t sum;
        if (__builtin_add_overflow(x, y, &sum)) fail_overflow();
        return sum;
      },
      [](double x, double y) -> Value { return x + y; });
}

Value subtract(Runtime&, const Value& a, const Value& b) {
  return arithmetic(
      "-", a, b,
      [](int64_t x, int64_t y) -> Value {
        int64_t difference;
        if (__builtin_sub_overflow(x, y, &difference)) fail_overflow();
        return difference;
      },
      [](double x, double y) -> Value { return x - y; });
}

Value multiply(Runtime& runtime, const Value& a, const Value& b) {
  if (repeatable(a) && b.integer()) return repeated(runtime, a, *b.integer());
  if (repeatable(b) && a.integer()) return repeated(runtime, b, *a.integer());
  return arithmetic(
      "*", a, b,
      [](int64_t x, int64_t y) -> Value {
        int64_t product;
        if (__builtin_mul_overflow(x, y, &product)) fail_overflow();
        return product;
      },
      [](double x, double y) -> Value { return x * y; });
}

Value divide(const Value& a, const Value& b) {
  const auto quotient = [](double x, double y) -> Value {
    if (y == 0) fail("division by zero");
    return x / y;
  };
  return arithmetic(
      "/", a, b,
      [&](int64_t x, int64_t y) { return quotient(static_cast<double>(x), static_cast<double>(y)); },
      quotient);
}

Value floor_divide(const Value& a, const Value& b) {
  return arithmetic(
      "//", a, b,
      [](int64_t x, int64_t y) -> Value {
        if (y == 0) fail("division by zero");
        if (y == -1) return negative(x);
        return x / y - ((x % y != 0 && (x < 0) != (y < 0)) ? 1 : 0);
      },
      [](double x, double y) -> Value {
        if (y == 0) fail("division by zero");
        return std::floor(x / y);
      });
}

Value modulo(Runtime& runtime, const Value& a, const Value& b) {
  if (const Text* format = a.text())
    return runtime.make(printf_text(runtime, *format, b, a.get<TextObject>()->markup),
                        a.get<TextObject>()->markup);
  return arithmetic(
      "%", a, b,
      [](int64_t x, int64_t y) -> Value {
        if (y == 0) fail("division by zero");
        if (y == -1) return int64_t{0};
        const int64_t rest = x % y;
        return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
      },
      [](double x, double y) -> Value {
        if (y == 0) fail("division by zero");
        const double rest = std::fmod(x, y);
        if (rest == 0) return std::copysign(0.0, y);
        return (rest < 0) != (y < 0) ? rest + y : rest;
      });
}

Value power(const Value& a, const Value& b) {
  return arithmetic(
      "**", a, b,
      [](int64_t x, int64_t y) -> Value {
        if (y < 0) {
          if (x == 0) fail("0 cannot be raised to a negative power");
          return std::pow(static_cast<double>(x), static_cast<double>(y));
        }
        int64_t result = 1;
        for (int64_t square = x; y > 0; y >>= 1) {
          if ((y & 1) && __builtin_mul_overflow(result, square, &result)) fail_overflow();
          if (y > 1 && __builtin_mul_overflow(square, square, &square)) fail_overflow();
        }
        return result;
      },
      [](double x, double y) -> Value {
        if (x == 0 && y < 0) fail("0 cannot be raised to a negative power");
        if (x < 0 && y != std::floor(y)) fail("a complex number is not supported");
        return std::pow(x, y);
      });
}

Value negative(const Value& a) {
  if (const auto whole = a.integer()) {
    if (*whole == INT64_MIN) fail_overflow();
    return -*whole;
  }
  if (const double* real = a.get<double>()) return -*real;
  require_defined(a);
  fail("bad operand type for unary -: {}", a.type_name());
}

// ---- attributes and items

namespace {

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
  return missing(object,
                 key.integer() ? fmt::format("element {}", *key.integer()) : std::string("such element"));
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
