#include "text/template/python.h"

#include <charconv>
#include <cmath>

#include "core/fail.h"
#include "data/file.h"
#include "text/template/value/unicode_text.h"

namespace intarsia::jinja {

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

}  // namespace intarsia::jinja
