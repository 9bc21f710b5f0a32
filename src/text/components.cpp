// Reads the components of a tokenizer.json: normalizer, pre_tokenizer, post_processor, decoder.
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/file.h"
#include "data/json.h"
#include "text/pipeline.h"
#include "text/regex.h"

namespace intarsia {

namespace {

// A component and where it stands, for messages.
struct Component {
  const Json& json;
  std::string place;  // "tokenizer.json: pre_tokenizer"

  const Json* find(const char* key) const {
    const auto found = json.find(key);
    return found == json.end() || found->is_null() ? nullptr : &*found;
  }
  std::string text(const char* key) const {
    const Json* value = find(key);
    if (!value || !value->is_string()) fail("{}: expected a string \"{}\"", place, key);
    return value->get<std::string>();
  }
  bool flag(const char* key, bool otherwise) const {
    const Json* value = find(key);
    if (!value) return otherwise;
    if (!value->is_boolean())
      fail("{}: \"{}\" is {}, expected true or false", place, key, value->type_name());
    return value->get<bool>();
  }
  int64_t integer(const char* key, int64_t otherwise) const {
    const Json* value = find(key);
    if (!value) return otherwise;
    if (!value->is_number_integer())
      fail("{}: \"{}\" is {}, expected an integer", place, key, value->type_name());
    return value->get<int64_t>();
  }
  const Json& array(const char* key) const {
    const Json* value = find(key);
    if (!value || !value->is_array()) fail("{}: expected an array \"{}\"", place, key);
    return *value;
  }
  std::string type() const {
    if (!json.is_object()) fail("{}: is {}, expected an object", place, json.type_name());
    return text("type");
  }
  [[noreturn]] void unknown(std::string_view type, std::string_view known) const {
    fail("{}: has the type {}, which is not known; known are {}", place, quote(type), known);
  }
  template <class F>
  void each(const char* key, F&& f) const {
    size_t i = 0;
    for (const Json& item : array(key)) f(Component{item, fmt::format("{}.{}[{}]", place, key, i++)});
  }
  // {"String": "x"} or {"Regex": "x"}.
  std::pair<std::string, bool> pattern(const char* key) const {
    const Json* value = find(key);
    if (value && value->is_string()) return {value->get<std::string>(), true};
    for (const char* kind : {"String", "Regex"}) {
      if (value && value->is_object() && value->contains(kind) && (*value)[kind].is_string())
        return {(*value)[kind].get<std::string>(), std::string_view(kind) == "String"};
    }
    fail("{}: expected \"{}\" with a \"String\" or a \"Regex\"", place, key);
  }
};

void read_normalizer(const Component& at, Normalizer& out) {
  if (at.json.is_null()) return;
  const std::string type = at.type();
  if (type == "NFC") {
    out.add_nfc();
  } else if (type == "Prepend") {
    out.add_prepend(at.text("prepend"));
  } else if (type == "Replace") {
    const auto [pattern, literal] = at.pattern("pattern");
    if (!literal) fail("{}: Replace with a \"Regex\" is not supported, expected a \"String\"", at.place);
    if (pattern.empty()) fail("{}: Replace has an empty \"String\"", at.place);
    out.add_replace(pattern, at.text("content"));
  } else if (type == "Sequence") {
    at.each("normalizers", [&](const Component& part) { read_normalizer(part, out); });
  } else {
    at.unknown(type, "NFC, Prepend, Replace and Sequence");
  }
}

SplitBehavior read_behavior(const Component& at) {
  const std::string name = at.text("behavior");
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  fail("{}: behavior {} is not known", at.place, quote(name));
}

std::shared_ptr<const Splitter> read_split(const Component& at) {
  const auto [pattern, literal] = at.pattern("pattern");
  const SplitBehavior behavior = read_behavior(at);
  const bool invert = at.flag("invert", false);
  // The known patterns match every character, so that nothing lies between matches.
  if (!literal && (behavior == SplitBehavior::isolated || (behavior == SplitBehavior::removed && invert))) {
    if (auto known = known_pattern(pattern)) return known;
  }
  return regex_splitter(std::make_shared<Regex>(pattern, literal), behavior, invert);
}

void read_pre_tokenizer(const Component& at, Pipeline& out) {
  if (at.json.is_null()) return;
  const std::string type = at.type();
  // Behind ByteLevel the words are in its alphabet, which patterns of a later component would see.
  if (out.byte_level) fail("{}: {} behind ByteLevel is not supported", at.place, quote(type));
  if (type == "ByteLevel") {
    if (at.flag("add_prefix_space", true)) out.pre_tokenizer.add_space_before();
    if (at.flag("use_regex", true)) out.pre_tokenizer.add(known_pattern(patterns::gpt2));
    out.byte_level = true;
  } else if (type == "Split") {
    out.pre_tokenizer.add(read_split(at));
  } else if (type == "Digits") {
    out.pre_tokenizer.add(digit_splitter(at.flag("individual_digits", false)));
  } else if (type == "Sequence") {
    at.each("pretokenizers", [&](const Component& part) { read_pre_tokenizer(part, out); });
  } else {
    at.unknown(type, "ByteLevel, Split, Digits and Sequence");
  }
}

// Post-processors add special tokens, which encode() leaves to its caller: only what stands before a text is
// noted.
void read_post_processor(const Component& at, Pipeline& out) {
  if (at.json.is_null()) return;
  const std::string type = at.type();
  if (type == "ByteLevel") return;
  if (type == "TemplateProcessing") {
    bool before = true;
    at.each("single", [&](const Component& part) {
      const Json* token = part.find("SpecialToken");
      if (!token) before = false;
      if (before) out.prefix.push_back(Component{*token, part.place + ".SpecialToken"}.text("id"));
    });
  } else if (type == "Sequence") {
    at.each("processors", [&](const Component& part) { read_post_processor(part, out); });
  } else {
    at.unknown(type, "ByteLevel, TemplateProcessing and Sequence");
  }
}

void read_decoder(const Component& at, PieceDecoder& out) {
  if (at.json.is_null()) return;
  const std::string type = at.type();
  if (type == "ByteLevel") {
    out.byte_level = true;
  } else if (type == "ByteFallback") {
    out.byte_fallback = true;
  } else if (type == "Fuse") {
    // Tokens are joined without it, too.
  } else if (type == "Replace") {
    const auto [pattern, literal] = at.pattern("pattern");
    if (!literal || pattern.empty()) fail("{}: Replace needs a \"String\" that is not empty", at.place);
    out.replace.emplace_back(pattern, at.text("content"));
  } else if (type == "Strip") {
    const int64_t start = at.integer("start", 0), stop = at.integer("stop", 0);
    if (at.text("content") != " " || start < 0 || start > 1 || stop != 0)
      fail("{}: Strip is supported for one space at the start only", at.place);
    out.strip_space = start == 1;
  } else if (type == "Sequence") {
    at.each("decoders", [&](const Component& part) { read_decoder(part, out); });
  } else {
    at.unknown(type, "ByteLevel, ByteFallback, Fuse, Replace, Strip and Sequence");
  }
}

}  // namespace

Pipeline read_components(const Components& components, std::string_view name) {
  Pipeline pipeline;
  const auto parse = [&](const std::string& text, const char* what, auto&& read) {
    const std::string place = fmt::format("{}: {}", name, what);
    const Json json = parse_json(text, place);
    read(Component{json, place});
  };
  parse(components.normalizer, "normalizer",
        [&](const Component& c) { read_normalizer(c, pipeline.normalizer); });
  parse(components.pre_tokenizer, "pre_tokenizer",
        [&](const Component& c) { read_pre_tokenizer(c, pipeline); });
  parse(components.post_processor, "post_processor",
        [&](const Component& c) { read_post_processor(c, pipeline); });
  parse(components.decoder, "decoder", [&](const Component& c) { read_decoder(c, pipeline.decoder); });
  // Without a decoder Hugging Face joins pieces by spaces, which no text comes out of.
  if (pipeline.byte_level && components.decoder == "null") pipeline.decoder.byte_level = true;
  return pipeline;
}

}  // namespace intarsia
