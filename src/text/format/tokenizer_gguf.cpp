#include "text/format/tokenizer_gguf.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/file.h"
#include "data/json.h"
#include "text/format/tiktoken.h"
#include "text/model/scored_merges.h"
#include "text/normalize/characters_map.h"
#include "text/normalize/sentencepiece_normalizer.h"
#include "text/pipeline.h"

namespace intarsia {

namespace {

// tokenizer.ggml.token_type
enum Kind : int64_t { normal = 1, unknown = 2, control = 3, user_defined = 4 };

// trim_offsets changes no id, but Hugging Face's reader wants it.
constexpr std::string_view byte_level_decoder =
    R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true})";

std::string split_by(std::string_view pattern) {
  const Json split = {
      {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  return Json{{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}}.dump();
}

// A name of tokenizer.ggml.pre and the pre-tokenizer that it stands for in llama.cpp.
struct Pre {
  std::vector<std::string_view> names;
  std::string pre_tokenizer;
  bool ignore_merges = false;
};

Json isolated(std::string_view pattern) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
}

// Each pattern cuts the pieces of the one before.
std::string split_by_each(const std::vector<std::string_view>& wanted) {
  Json steps = Json::array();
  for (const std::string_view pattern : wanted) steps.push_back(isolated(pattern));
  steps.push_back(
      {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}});
  return Json{{"type", "Sequence"}, {"pretokenizers", steps}}.dump();
}

std::vector<Pre> known_pres() {
  const std::string gpt2 =
      R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})";
  const std::string digits_then_gpt2 =
      R"({"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},)" + gpt2 + "]}";
  constexpr std::string_view ideographs = "[一-龥ࠀ-一가-퟿]+";
  // Escaped: what normalization to NFC, by an editor, would change.
  constexpr std::string_view deepseek_llm_words =
      "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-"
      "ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-"
      "ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-"
      "Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
  constexpr std::string_view deepseek_llm_signs = "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+";
  return {
      {{"gpt-2", "phi-2", "mpt", "olmo", "jais", "default"}, gpt2},
      {{"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"}, digits_then_gpt2},
      {{"llama-bpe", "llama3", "llama-v3"}, split_by(patterns::llama3), true},
      {{"chatglm-bpe", "glm4", "chatglm"}, split_by(patterns::llama3)},
      {{"qwen2", "deepseek-r1-qwen"}, split_by(patterns::qwen2)},
      {{"gpt-4o", "llama4"}, split_by(patterns::o200k)},
      {{"falcon"}, split_by_each({"[\\p{P}\\$\\+<=>\\^~\\|`]+", patterns::gpt2, "[0-9][0-9][0-9]"})},
      {{"deepseek-v3"},
       split_by_each({patterns::deepseek_digits, patterns::deepseek_east_asian, patterns::deepseek})},
      {{"deepseek-llm"},
       split_by_each({"[\r\n]", deepseek_llm_words, deepseek_llm_signs, "\\s+$", ideographs, "\\p{N}+"})},
      {{"deepseek-coder"}, split_by_each({"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", ideographs, "\\p{N}"})},
  };
}

// A pre-tokenizer without the keys that say how offsets are reported, which changes no token.
Json without_offsets(Json component) {
  if (component.is_object()) component.erase("trim_offsets");
  if (component.is_structured())
    for (Json& part : component) part = without_offsets(std::move(part));
  return component;
}

void choose_pre(const Gguf& file, TokenizerParts& parts, BpeParts& model) {
  const std::string_view wanted = file.text("tokenizer.ggml.pre", "gpt-2");
  std::string names;
  for (const Pre& pre : known_pres()) {
    for (const std::string_view name : pre.names) {
      if (name == wanted) {
        parts.components.pre_tokenizer = pre.pre_tokenizer;
        parts.components.decoder = byte_level_decoder;
        model.options.ignore_merges = pre.ignore_merges;
        return;
      }
      names += names.empty() ? "" : ", ";
      names += name;
    }
  }
  fail("{}: tokenizer.ggml.pre is {}, which is not known; known are {}", parts.name, quote(wanted), names);
}

void read_merges(const Gguf& file, const TokenizerParts& parts, BpeParts& model) {
  uint32_t rank = 0;
  for (const std::string_view text : file.at("tokenizer.ggml.merges").texts()) {
    // A space inside a piece would be in GPT-2's alphabet; the first one after the first byte divides the
    // two.
    const size_t space = text.find(' ', 1);
    if (space == std::string_view::npos)
      fail("{}: tokenizer.ggml.merges[{}] is {}, expected two pieces", parts.name, rank, quote(text));
    const std::string_view left = text.substr(0, space), right = text.substr(space + 1);
    const auto id_of = [&](std::string_view piece) {
      const int32_t id = parts.pieces.find(piece);
      if (id < 0)
        fail("{}: tokenizer.ggml.merges[{}] names {}, which is not among the tokens", parts.name, rank,
             quote(piece));
      return id;
    };
    const std::string joined = std::string(left) + std::string(right);
    model.merges.push_back({id_of(left), id_of(right), id_of(joined), rank++});
  }
}

void read_tokens(const Gguf& file, TokenizerParts& parts) {
  const std::vector<std::string_view> tokens = file.at("tokenizer.ggml.tokens").texts();
  const GgufValue* types = file.find("tokenizer.ggml.token_type");
  const std::vector<int64_t> kinds = types ? types->integers() : std::vector<int64_t>(tokens.size(), normal);
  if (tokens.empty()) fail("{}: tokenizer.ggml.tokens is empty", parts.name);
  if (kinds.size() != tokens.size())
    fail("{}: tokenizer.ggml.token_type has {} values, expected {}, one a token", parts.name, kinds.size(),
         tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    parts.pieces.push(tokens[i]);
    parts.in_vocabulary.push_back(true);
    const bool special = kinds[i] == control || kinds[i] == unknown;
    if (tokens[i].empty() || !(special || kinds[i] == user_defined)) continue;
    AddedToken added;
    added.text = tokens[i];
    added.id = static_cast<int32_t>(i);
    added.special = special;
    parts.added.push_back(std::move(added));
  }
  parts.pieces.index([&](int32_t id) { return !parts.pieces[id].empty(); });
}

std::vector<float> read_scores(const Gguf& file, const TokenizerParts& parts) {
  std::vector<float> scores = file.at("tokenizer.ggml.scores").numbers();
  if (scores.size() != static_cast<size_t>(parts.pieces.size()))
    fail("{}: tokenizer.ggml.scores has {} values, expected {}, one a token", parts.name, scores.size(),
         parts.pieces.size());
  return scores;
}

int32_t read_unknown(const Gguf& file, const TokenizerParts& parts, int64_t otherwise) {
  const int64_t id = file.integer("tokenizer.ggml.unknown_token_id", otherwise);
  if (id < 0 || id >= parts.pieces.size())
    fail("{}: tokenizer.ggml.unknown_token_id is {}, expected 0 to {}", parts.name, id,
         parts.pieces.size() - 1);
  return static_cast<int32_t>(id);
}

// "bert": WordPiece whose tokens have a mark where a word starts and no "##" where it does not.
void read_wordpiece(const Gguf& file, TokenizerParts& parts) {
  StringTable pieces;
  std::vector<bool> is_added(static_cast<size_t>(parts.pieces.size()));
  for (const AddedToken& token : parts.added) is_added[static_cast<size_t>(token.id)] = true;
  WordPieceParts model;
  for (int32_t id = 0; id < parts.pieces.size(); ++id) {
    const std::string_view piece = parts.pieces[id];
    if (is_added[static_cast<size_t>(id)] || piece.empty()) {
      pieces.push(piece);
    } else if (piece.starts_with(space_mark)) {
      pieces.push(piece.substr(space_mark.size()));
    } else {
      pieces.push(model.continuing_prefix + std::string(piece));
    }
  }
  parts.pieces = std::move(pieces);
  parts.pieces.index([&](int32_t id) { return !parts.pieces[id].empty(); });
  model.unknown = read_unknown(file, parts, 100);
  model.unknown_piece = parts.pieces[model.unknown];
  // The file does not say whether letters keep their case: a vocabulary with capitals does.
  bool lowercase = true;
  for (int32_t id = 0; id < parts.pieces.size(); ++id) {
    if (!is_added[static_cast<size_t>(id)] && parts.pieces[id] == "A") lowercase = false;
  }
  parts.components.normalizer = Json{
      {"type", "BertNormalizer"},
      {"clean_text", true},
      {"handle_chinese_chars", true},
      {"strip_accents", nullptr},
      {"lowercase", lowercase}}.dump();
  parts.components.pre_tokenizer = R"({"type":"BertPreTokenizer"})";
  parts.components.decoder = R"({"type":"WordPiece","prefix":"##","cleanup":true})";
  parts.model = std::move(model);
}

// "t5": the unigram model of SentencePiece.
void read_unigram(const Gguf& file, TokenizerParts& parts) {
  const std::vector<float> scores = read_scores(file, parts);
  UnigramParts model;
  model.unknown = read_unknown(file, parts, 2);
  float least = 0;
  for (const float score : scores) {
    if (!std::isfinite(score)) fail("{}: tokenizer.ggml.scores holds a score that is not finite", parts.name);
    model.scores.push_back(score);
    least = std::min(least, score);
  }
  constexpr double unknown_penalty = 10;
  model.unknown_score = least - unknown_penalty;
  model.single_precision = true;
  for (int value = 0; value < 256; ++value)
    model.bytes[value] = parts.pieces.find(fmt::format("<0x{:02X}>", value));
  parts.hidden.push_back(model.unknown);
  const GgufValue* map = file.find("tokenizer.ggml.precompiled_charsmap");
  std::string bytes;
  if (map) {
    for (const int64_t byte : map->integers()) bytes += static_cast<char>(byte);
  }
  SentencePieceRules rules;
  rules.map = std::make_shared<const CharactersMap>(bytes, parts.name);
  rules.add_dummy_prefix = file.boolean("tokenizer.ggml.add_space_prefix", true);
  rules.remove_extra_whitespaces = file.boolean("tokenizer.ggml.remove_extra_whitespaces", false);
  auto pipeline = std::make_shared<TextPipeline>();
  pipeline->normalizer.add(sentencepiece_step(std::make_shared<const SentencePieceNormalizer>(rules)));
  pipeline->decoder.prefixed = rules.add_dummy_prefix;
  pipeline->decoder.strip_all = rules.remove_extra_whitespaces;
  pipeline->decoder.add(byte_fallback_decoding());
  pipeline->decoder.add(replace_decoding(std::string(space_mark), " "));
  if (rules.add_dummy_prefix) pipeline->decoder.add(strip_decoding(" ", 1, 0, true));
  parts.pipeline = std::move(pipeline);
  parts.model = std::move(model);
}

// "rwkv": tokens are Python literals without their quotes.
std::shared_ptr<Tokenizer> read_rwkv(const Gguf& file) {
  std::vector<std::string> tokens;
  for (const std::string_view text : file.at("tokenizer.ggml.tokens").texts()) {
    const bool control = tokens.empty() && text == "<s>";
    std::string literal = "b'";
    for (size_t i = 0; i < text.size(); ++i) {
      const bool escaped = text[i] == '\\' && i + 1 < text.size();
      if (text[i] == '\'') literal += '\\';
      literal += text[i];
      if (escaped) literal += text[++i];
    }
    literal += '\'';
    tokens.push_back(control ? "" : python_literal(literal, file.name()));
  }
  return make_rwkv(tokens, file.name());
}

void read_sentencepiece(const Gguf& file, TokenizerParts& parts) {
  const std::vector<float> scores = read_scores(file, parts);
  for (int32_t id = 0; id < parts.pieces.size(); ++id) {
    if (parts.pieces[id].size() > scored_token_limit)
      fail("{}: token {} has {} bytes, expected at most {}", parts.name, id, parts.pieces[id].size(),
           scored_token_limit);
  }
  BpeParts model;
  model.merges = merges_by_score(parts.pieces, plain_tokens(parts), scores, parts.name);
  bool all_bytes = true;
  for (int value = 0; value < 256; ++value) {
    const int32_t id = parts.pieces.find(fmt::format("<0x{:02X}>", value));
    model.options.fallback.bytes[value] = id;
    all_bytes &= id >= 0;
  }
  if (!all_bytes) { model.options.fallback.unknown = read_unknown(file, parts, 0); }
  parts.model = std::move(model);
  const bool prefix = file.boolean("tokenizer.ggml.add_space_prefix", true);
  const std::string marks = R"({"type":"Replace","pattern":{"String":" "},"content":"▁"})";
  parts.components.normalizer =
      prefix ? R"({"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},)" + marks + "]}"
             : marks;
  parts.components.decoder =
      R"({"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},)"
      R"({"type":"ByteFallback"},{"type":"Fuse"})";
  if (prefix) parts.components.decoder += R"(,{"type":"Strip","content":" ","start":1,"stop":0})";
  parts.components.decoder += "]}";
}

// Names that models give to the token that ends a turn or a text.
constexpr std::string_view end_names[] = {"<|im_end|>",    "<|eot_id|>", "<|endoftext|>", "<|end_of_text|>",
                                          "<end_of_turn>", "<|end|>",    "<|eom_id|>",    "</s>"};

void read_roles(const Gguf& file, Tokenizer& tokenizer) {
  const auto id_at = [&](const char* key) -> std::optional<int32_t> {
    const GgufValue* value = file.find(key);
    if (!value) return std::nullopt;
    const int64_t id = value->integer();
    if (id < 0 || id >= tokenizer.size())
      fail("{}: {} is {}, expected 0 to {}", file.name(), key, id, tokenizer.size() - 1);
    return static_cast<int32_t>(id);
  };
  tokenizer.bos = id_at("tokenizer.ggml.bos_token_id");
  tokenizer.eos = id_at("tokenizer.ggml.eos_token_id");
  const bool sentencepiece = file.text("tokenizer.ggml.model", "") == "llama";
  tokenizer.add_bos = tokenizer.bos && file.boolean("tokenizer.ggml.add_bos_token", sentencepiece);
  tokenizer.chat_template = file.text("tokenizer.chat_template", "");
  const auto stop = [&](std::optional<int32_t> id) {
    if (id && std::find(tokenizer.stop.begin(), tokenizer.stop.end(), *id) == tokenizer.stop.end())
      tokenizer.stop.push_back(*id);
  };
  stop(tokenizer.eos);
  stop(id_at("tokenizer.ggml.eot_token_id"));
  stop(id_at("tokenizer.ggml.eom_token_id"));
  for (const std::string_view name : end_names) {
    const auto id = tokenizer.id_of(name);
    if (id && tokenizer.is_special(*id)) stop(id);
  }
}

}  // namespace

std::string gguf_pre_of(std::string_view pre_tokenizer, bool ignore_merges) {
  const Json wanted = without_offsets(Json::parse(pre_tokenizer));
  for (const Pre& pre : known_pres())
    if (pre.ignore_merges == ignore_merges && without_offsets(Json::parse(pre.pre_tokenizer)) == wanted)
      return std::string(pre.names.front());
  return {};
}

std::shared_ptr<const Tokenizer> tokenizer_from_gguf(const Gguf& file) {
  TokenizerParts parts;
  parts.name = file.name();
  const std::string_view model = file.at("tokenizer.ggml.model").text();
  if (model == "rwkv") {
    const auto tokenizer = read_rwkv(file);
    read_roles(file, *tokenizer);
    return tokenizer;
  }
  read_tokens(file, parts);
  if (model == "gpt2") {
    BpeParts bpe;
    choose_pre(file, parts, bpe);
    read_merges(file, parts, bpe);
    parts.model = std::move(bpe);
  } else if (model == "llama") {
    read_sentencepiece(file, parts);
  } else if (model == "bert") {
    read_wordpiece(file, parts);
  } else if (model == "t5") {
    read_unigram(file, parts);
  } else {
    fail("{}: tokenizer.ggml.model is {}, which is not known; known are bert, gpt2, llama, rwkv and t5",
         file.name(), quote(model));
  }
  auto tokenizer = std::make_shared<PipelineTokenizer>(std::move(parts));
  read_roles(file, *tokenizer);
  return tokenizer;
}

}  // namespace intarsia
