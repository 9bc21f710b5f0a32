#include "text/template/builtin/json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/json.h"
#include "text/template/python.h"
#include "text/template/value/unicode_text.h"

namespace intarsia::jinja {

namespace {

class Writer {
 public:
  Writer(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}
  Text take() { return std::move(out_); }

  void write(const Value& value) {
    runtime_.work(1);
    if (out_.size() > (size_t{1} << 26)) fail("tojson: the text is too long");
    if (const Text* text = value.text()) return write_text(*text);
    if (value.is_none()) return out_.add("null");
    if (const bool* truth = value.get<bool>()) return out_.add(*truth ? "true" : "false");
    if (const int64_t* whole = value.get<int64_t>()) return out_.add(std::to_string(*whole));
    if (const double* real = value.get<double>()) return out_.add(json_number(*real));
    if (const Dict* dict = value.get<Dict>()) return write_dict(*dict);
    const Sequence* sequence = value.get<Sequence>();
    if (!sequence || sequence->kind > SequenceKind::tuple) {
      require_defined(value);
      fail("tojson: a {} cannot be written as JSON", value.type_name());
    }
    write_all("[", "]", sequence->items, [&](const Value& item) { write(item); });
  }

 private:
  static std::string json_number(double number) {
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
    return number_text(number);
  }

  void write_text(const Text& text) {
    runtime_.work(text.size() / 32);
    const std::string_view bytes = text.view();
    out_.add("\"");
    for (size_t at = 0; at < bytes.size();) {
      const Letter letter = letter_at(bytes, at);
      static constexpr std::string_view special = "\"\\\n\r\t\f\b", names = "\"\\nrtfb";
      const size_t simple = letter.code < 0x80 ? special.find(static_cast<char>(letter.code)) : special.npos;
      if (simple != special.npos) {
        out_.add(std::string("\\") + names[simple], text.foreign(at));
      } else if (letter.code < 0x20 || (style_.ensure_ascii && letter.code > 0x7e)) {
        out_.add(escape(letter.code), text.foreign(at));
      } else {
        // As many as need no escape.
        size_t end = at + letter.size;
        while (end < bytes.size() && static_cast<unsigned char>(bytes[end]) >= 0x20 && bytes[end] != '"' &&
               bytes[end] != '\\' && static_cast<unsigned char>(bytes[end]) < 0x7f)
          ++end;
        out_.add(text, at, end);
        at = end;
        continue;
      }
      at += letter.size;
    }
    out_.add("\"");
  }

  static std::string escape(uint32_t code) {
    if (code < 0x10000) return fmt::format("\\u{:04x}", code);
    code -= 0x10000;
    return fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + (code >> 10), 0xdc00 + (code & 0x3ff));
  }

  void write_dict(const Dict& dict) {
    std::vector<const Dict::Item*> items;
    items.reserve(dict.items.size());
    for (const Dict::Item& item : dict.items) items.push_back(&item);
    if (style_.sort_keys)
      std::stable_sort(items.begin(), items.end(),
                       [&](const auto* a, const auto* b) { return less(runtime_, a->first, b->first); });
    write_all("{", "}", items, [&](const Dict::Item* item) {
      write_key(item->first);
      out_.add(style_.key_separator);
      write(item->second);
    });
  }

  void write_key(const Value& key) {
    if (key.text()) return write_text(*key.text());
    if (!key.is_none() && !key.number()) fail("tojson: a {} cannot be a key in JSON", key.type_name());
    out_.add("\"");
    write(key);
    out_.add("\"");
  }

  template <class Items, class F>
  void write_all(std::string_view open, std::string_view close, const Items& items, F&& f) {
    out_.add(open);
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i) out_.add(style_.item_separator);
      new_line();
      f(items[i]);
    }
    --level_;
    if (!items.empty()) new_line();
    out_.add(close);
  }

  void new_line() {
    if (!style_.indent) return;
    out_.add("\n");
    for (int i = 0; i < level_; ++i) out_.add(*style_.indent);
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  Text out_;
  int level_ = 0;
};

// Builds values from the events of a parser.
class Reader final : public nlohmann::json_sax<Json> {
 public:
  explicit Reader(Runtime& runtime) : runtime_(runtime) {}
  Value take() { return std::move(root_); }

  bool null() override { return add(None()); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(int64_t{value}); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > INT64_MAX) fail("the integer {} does not fit into 64 bits", value);
    return add(static_cast<int64_t>(value));
  }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(foreign(std::move(value))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return open(true); }
  bool start_array(size_t) override { return open(false); }
  bool key(string_t& key) override {
    open_.back().key = foreign(std::move(key));
    return true;
  }
  bool end_object() override {
    Open done = std::move(open_.back());
    open_.pop_back();
    return add(runtime_.dict(std::move(done.members)));
  }
  bool end_array() override {
    Open done = std::move(open_.back());
    open_.pop_back();
    return add(runtime_.list(std::move(done.items)));
  }
  bool parse_error(size_t, const std::string&, const Json::exception&) override { return false; }

 private:
  struct Open {
    bool is_object;
    std::vector<Value> items;
    std::vector<Dict::Item> members;
    Value key;
  };
  Value foreign(std::string text) { return runtime_.make(Text(std::move(text), true)); }
  bool open(bool is_object) {
    open_.push_back({is_object, {}, {}, {}});
    return true;
  }
  bool add(Value value) {
    if (open_.empty())
      root_ = std::move(value);
    else if (open_.back().is_object)
      open_.back().members.push_back({std::move(open_.back().key), std::move(value)});
    else
      open_.back().items.push_back(std::move(value));
    return true;
  }

  Runtime& runtime_;
  Value root_;
  std::vector<Open> open_;
};

}  // namespace

Text json_text(Runtime& runtime, const Value& value, const JsonStyle& style) {
  Writer writer(runtime, style);
  writer.write(value);
  return writer.take();
}

Value read_json_value(Runtime& runtime, std::string_view text, std::string_view name) {
  parse_json(text, name);  // checks syntax and limits; its values forget the order of names
  Reader reader(runtime);
  Json::sax_parse(text.begin(), text.end(), &reader);
  return reader.take();
}

}  // namespace intarsia::jinja
