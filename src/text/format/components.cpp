// Reads the components of a tokenizer.json: normalizer, pre_tokenizer, post_processor, decoder.
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/file.h"
#include "data/json.h"
#include "text/format/base64.h"
#include "text/normalize/characters_map.h"
#include "text/normalize/sentencepiece_normalizer.h"
#include "text/pipeline.h"
#include "text/split/regex.h"
#include "text/unicode/byte_level.h"
#include "text/unicode/unicode.h"

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

TextStep replacing(const Component& at) {
  const auto [pattern, literal] = at.pattern("pattern");
  const std::string content = at.text("content");
  if (pattern.empty()) fail("{}: Replace has an empty pattern", at.place);
  if (literal) {
    return [from = pattern, content](const std::string& text) { return replace_all(text, from, content); };
  }
  const auto regex = std::make_shared<const Regex>(pattern, false);
  return [regex, content](const std::string& text) {
    std::string out;
    std::string_view rest = text;
    while (!rest.empty()) {
      const std::string_view valid = rest.substr(0, valid_utf8_prefix(rest));
      for (size_t done = 0; done < valid.size();) {
        const Matcher::Match match = regex->find(valid, done);
        out += valid.substr(done, match.begin - done);
        if (match.end > match.begin) out += content;
        done = match.end;
      }
      rest.remove_prefix(valid.size());
      if (rest.empty()) break;
      out += rest[0];
      rest.remove_prefix(1);
    }
    return out;
  };
}

TextStep normal_form(NormalForm form) {
  return [form](const std::string& text) { return to_normal_form(text, form); };
}

void read_normalizer(const Component& at, Normalizer& out) {
  if (at.json.is_null()) return;
  const std::string type = at.type();
  if (type == "NFC") {
    out.add(normal_form(NormalForm::c));
  } else if (type == "NFD") {
    out.add(normal_form(NormalForm::d));
  } else if (type == "NFKC") {
    out.add(normal_form(NormalForm::kc));
  } else if (type == "NFKD") {
    out.add(normal_form(NormalForm::kd));
  } else if (type == "Lowercase") {
    out.add([](const std::string& text) { return to_lower(text); });
  } else if (type == "Strip") {
    out.add(strip_step(at.flag("strip_left", true), at.flag("strip_right", true)));
  } else if (type == "StripAccents") {
    out.add(strip_accents_step());
  } else if (type == "Nmt") {
    out.add(nmt_step());
  } else if (type == "BertNormalizer") {
    BertOptions options;
    options.clean_text = at.flag("clean_text", true);
    options.handle_chinese_chars = at.flag("handle_chinese_chars", true);
    options.lowercase = at.flag("lowercase", true);
    options.strip_accents = at.flag("strip_accents", options.lowercase);
    out.add(bert_step(options));
  } else if (type == "Precompiled") {
    const Json* map = at.find("precompiled_charsmap");
    if (!map) return;
    const std::string bytes = decode_base64(at.text("precompiled_charsmap"), at.place);
    out.add(precompiled_step(std::make_shared<const CharactersMap>(bytes, at.place)));
  } else if (type == "ByteLevel") {
    out.add([](const std::string& text) { return bytes_to_piece(text); });
  } else if (type == "Prepend") {
    out.add([prepend = at.text("prepend")](const std::string& text) {
      return text.empty() ? text : prepend + text;
    });
  } else if (type == "Replace") {
    out.add(replacing(at));
  } else if (type == "Sequence") {
    at.each("normalizers", [&](const Component& part) { read_normalizer(part, out); });
  } else {
    at.unknown(
        type,
        "BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, Replace, "
        "Sequence, Strip and StripAccents");
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
  // With matches that cover the text nothing lies between them.
  const bool inverted = behavior == SplitBehavior::removed && invert;
  if (!literal && (behavior == SplitBehavior::isolated || inverted)) {
    if (auto known = known_pattern(pattern, inverted)) return known;
  }
  return match_splitter(std::make_shared<Regex>(pattern, literal), behavior, invert);
}

bool is_space(char32_t code) { return class_of(code) == CharacterClass::space; }

std::shared_ptr<const Splitter> without_spaces() {
  return match_splitter(character_matcher(is_space), SplitBehavior::removed, false);
}

// The mark of Metaspace, and where it is put: ("▁", "always" | "first" | "never"). Old files have a flag.
std::pair<std::string, PreTokenizer::Where> read_metaspace(const Component& at) {
  const std::string mark = at.find("replacement") ? at.text("replacement") : std::string(space_mark);
  const std::string scheme = at.find("prepend_scheme")           ? at.text("prepend_scheme")
                             : at.flag("add_prefix_space", true) ? "always"
                                                                 : "never";
  if (mark.empty()) fail("{}: \"replacement\" is empty", at.place);
  if (scheme == "always") return {mark, PreTokenizer::Where::everywhere};
  if (scheme == "first") return {mark, PreTokenizer::Where::at_text_start};
  if (scheme == "never") return {mark, PreTokenizer::Where::nowhere};
  fail("{}: prepend_scheme {} is not known; known are always, first and never", at.place, quote(scheme));
}

// `in_alphabet`: a component behind ByteLevel has been read; it sees the words in that alphabet.
void read_pre_tokenizer(const Component& at, TextPipeline& out, bool& in_alphabet) {
  if (at.json.is_null()) return;
  PreTokenizer& steps = out.pre_tokenizer;
  const std::string type = at.type();
  if (out.byte_level && type != "Sequence") {
    if (type == "ByteLevel") fail("{}: ByteLevel stands behind ByteLevel", at.place);
    if (!in_alphabet) steps.add_alphabet();
    in_alphabet = true;
  }
  if (type == "ByteLevel") {
    if (at.flag("add_prefix_space", true)) steps.add_mark_before(" ", false, PreTokenizer::Where::everywhere);
    if (at.flag("use_regex", true)) steps.add(known_pattern(patterns::gpt2));
    out.byte_level = true;
  } else if (type == "Split") {
    steps.add(read_split(at));
  } else if (type == "Digits") {
    steps.add(digit_splitter(at.flag("individual_digits", false)));
  } else if (type == "Metaspace") {
    const auto [mark, where] = read_metaspace(at);
    steps.add_mark_before(mark, true, where);
    if (at.flag("split", true))
      steps.add(match_splitter(std::make_shared<Regex>(mark, true), SplitBehavior::merged_with_next, false));
  } else if (type == "Whitespace") {
    steps.add(match_splitter(word_matcher(), SplitBehavior::removed, true));
  } else if (type == "WhitespaceSplit") {
    steps.add(without_spaces());
  } else if (type == "BertPreTokenizer") {
    steps.add(without_spaces());
    steps.add(match_splitter(character_matcher(is_bert_punctuation), SplitBehavior::isolated, false));
  } else if (type == "Punctuation") {
    const SplitBehavior behavior = at.find("behavior") ? read_behavior(at) : SplitBehavior::isolated;
    steps.add(match_splitter(character_matcher(is_bert_punctuation), behavior, false));
  } else if (type == "CharDelimiterSplit") {
    steps.add(
        match_splitter(std::make_shared<Regex>(at.text("delimiter"), true), SplitBehavior::removed, false));
  } else if (type == "FixedLength") {
    const int64_t length = at.integer("length", 5);
    if (length < 1) fail("{}: length is {}, expected at least 1", at.place, length);
    steps.add(length_splitter(static_cast<size_t>(length)));
  } else if (type == "UnicodeScripts") {
    steps.add(script_splitter());
  } else if (type == "Sequence") {
    at.each("pretokenizers", [&](const Component& part) { read_pre_tokenizer(part, out, in_alphabet); });
  } else {
    at.unknown(
        type,
        "BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, FixedLength, Metaspace, Punctuation, "
        "Sequence, Split, UnicodeScripts, Whitespace and WhitespaceSplit");
  }
}

// Post-processors add special tokens, which encode() leaves to its caller: they are noted.
void read_post_processor(const Component& at, TextPipeline& out) {
  if (at.json.is_null()) return;
  const std::string type = at.type();
  if (type == "ByteLevel") return;
  if (type == "TemplateProcessing") {
    bool before = true;
    at.each("single", [&](const Component& part) {
      const Json* token = part.find("SpecialToken");
      if (!token) {
        before = false;
        return;
      }
      const std::string text = Component{*token, part.place + ".SpecialToken"}.text("id");
      (before ? out.before : out.after).push_back(text);
    });
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    const auto token = [&](const char* key) {
      const Json& pair = at.array(key);
      if (pair.empty() || !pair[0].is_string())
        fail("{}: \"{}\" does not start with a string", at.place, key);
      return pair[0].get<std::string>();
    };
    out.before.push_back(token("cls"));
    out.after.push_back(token("sep"));
  } else if (type == "Sequence") {
    at.each("processors", [&](const Component& part) { read_post_processor(part, out); });
  } else {
    at.unknown(type, "BertProcessing, ByteLevel, RobertaProcessing, Sequence and TemplateProcessing");
  }
}

// `fused`: a component before has joined the tokens, so that what comes now sees the whole text.
void read_decoder(const Component& at, PieceDecoder& out, bool& fused) {
  if (at.json.is_null()) return;
  const std::string type = at.type();
  if (type == "ByteLevel") {
    out.add(byte_level_decoding());
    out.keeps_added = true;
  } else if (type == "ByteFallback") {
    out.add(byte_fallback_decoding());
  } else if (type == "Fuse") {
    fused = true;
  } else if (type == "Replace") {
    const auto [pattern, literal] = at.pattern("pattern");
    if (!literal || pattern.empty()) fail("{}: Replace needs a \"String\" that is not empty", at.place);
    out.add(replace_decoding(pattern, at.text("content")));
  } else if (type == "Strip") {
    const int64_t start = at.integer("start", 0), stop = at.integer("stop", 0);
    const std::string content = at.text("content");
    const bool fits = !content.empty() && start >= 0 && stop >= 0 && start < 1024 && stop < 1024;
    if (!fits || (fused && (stop != 0 || start > 1)))
      fail("{}: Strip of a whole text is supported for one {} at its start only", at.place, quote(content));
    out.add(strip_decoding(content, start, stop, fused));
    out.prefixed |= fused && content == " ";
  } else if (type == "Metaspace") {
    const auto [mark, where] = read_metaspace(at);
    out.add(metaspace_decoding(mark, where != PreTokenizer::Where::nowhere));
    out.prefixed |= where != PreTokenizer::Where::nowhere;
  } else if (type == "WordPiece") {
    const std::string prefix = at.find("prefix") ? at.text("prefix") : "##";
    out.add(wordpiece_decoding(prefix));
    if (at.flag("cleanup", true)) out.add(cleanup_decoding());
  } else if (type == "BPEDecoder") {
    out.end_suffix = at.find("suffix") ? at.text("suffix") : "</w>";
    if (out.end_suffix.empty()) fail("{}: \"suffix\" is empty", at.place);
    out.add(suffix_decoding(out.end_suffix));
  } else if (type == "CTC") {
    const bool cleanup = at.flag("cleanup", true);
    const auto named = [&](const char* key, const char* otherwise) {
      std::string text = at.find(key) ? at.text(key) : otherwise;
      if (text.empty()) fail("{}: \"{}\" is empty", at.place, key);
      return text;
    };
    out.add(replace_decoding(named("pad_token", "<pad>"), ""));
    if (cleanup) {
      out.add(cleanup_decoding());
      out.add(replace_decoding(named("word_delimiter_token", "|"), " "));
    }
    out.joins_repeated = true;
  } else if (type == "Sequence") {
    at.each("decoders", [&](const Component& part) { read_decoder(part, out, fused); });
  } else {
    at.unknown(
        type,
        "BPEDecoder, ByteFallback, ByteLevel, CTC, Fuse, Metaspace, Replace, Sequence, Strip and WordPiece");
  }
}

}  // namespace

TextPipeline read_components(const Components& components, std::string_view name) {
  TextPipeline pipeline;
  const auto parse = [&](const std::string& text, const char* what, auto&& read) {
    const std::string place = fmt::format("{}: {}", name, what);
    const Json json = parse_json(text, place);
    read(Component{json, place});
  };
  parse(components.normalizer, "normalizer",
        [&](const Component& c) { read_normalizer(c, pipeline.normalizer); });
  parse(components.pre_tokenizer, "pre_tokenizer", [&](const Component& c) {
    bool in_alphabet = false;
    read_pre_tokenizer(c, pipeline, in_alphabet);
  });
  parse(components.post_processor, "post_processor",
        [&](const Component& c) { read_post_processor(c, pipeline); });
  parse(components.decoder, "decoder", [&](const Component& c) {
    bool fused = false;
    read_decoder(c, pipeline.decoder, fused);
  });
  // Without a decoder Hugging Face joins pieces by spaces.
  if (components.decoder == "null") {
    if (pipeline.byte_level) {
      pipeline.decoder.add(byte_level_decoding());
      pipeline.decoder.keeps_added = true;
    } else {
      pipeline.decoder.add(joined_decoding());
    }
  }
  return pipeline;
}

}  // namespace intarsia
