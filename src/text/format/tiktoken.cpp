#include "text/format/tiktoken.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/file.h"
#include "data/json.h"
#include "text/format/base64.h"
#include "text/model/scored_merges.h"
#include "text/pipeline.h"
#include "text/unicode/byte_level.h"
#include "text/unicode/unicode.h"

namespace intarsia {

namespace {

constexpr size_t line_limit = 8192, token_limit = 1 << 20;

// Cuts off the first line.
std::string_view take_line(std::string_view& rest) {
  const size_t end = std::min(rest.find('\n'), rest.size());
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  while (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// The whole of `text` as a number, or -1.
int64_t number(std::string_view text) {
  int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : -1;
}

// What a vocabulary's name says.
struct Encoding {
  std::string_view names, pattern;
  std::vector<std::pair<std::string_view, int32_t>> special;
};

const Encoding& encoding_of(std::string_view path) {
  static const std::vector<Encoding> known = {
      {"gpt2 r50k_base", patterns::gpt2, {{"<|endoftext|>", 50256}}},
      {"p50k_base", patterns::gpt2, {{"<|endoftext|>", 50256}}},
      {"cl100k_base",
       patterns::cl100k,
       {{"<|endoftext|>", 100257},
        {"<|fim_prefix|>", 100258},
        {"<|fim_middle|>", 100259},
        {"<|fim_suffix|>", 100260},
        {"<|endofprompt|>", 100276}}},
      {"o200k_base", patterns::o200k, {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}}},
      {"o200k_harmony",
       patterns::o200k,
       {{"<|startoftext|>", 199998},
        {"<|endoftext|>", 199999},
        {"<|return|>", 200002},
        {"<|constrain|>", 200003},
        {"<|channel|>", 200005},
        {"<|start|>", 200006},
        {"<|end|>", 200007},
        {"<|message|>", 200008},
        {"<|call|>", 200012},
        {"<|endofprompt|>", 200018}}},
  };
  const std::string name = std::filesystem::path(path).stem();
  for (const Encoding& encoding : known) {
    for (std::string_view rest = encoding.names; !rest.empty();) {
      const size_t end = std::min(rest.find(' '), rest.size());
      if (rest.substr(0, end) == name) return encoding;
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  fail_hint("rename the file to what it is",
            "{}: a list of ranks does not say how text is split, and its name is none of gpt2, r50k_base, "
            "p50k_base, cl100k_base, o200k_base and o200k_harmony",
            path);
}

// The tokens by their ranks; empty where there is none.
std::vector<std::string> read_ranks(std::string_view file, std::string_view name) {
  std::vector<std::string> tokens;
  size_t count = 0;
  for (std::string_view rest = file; !rest.empty();) {
    const std::string_view line = take_line(rest);
    if (line.empty()) continue;
    const std::string place = fmt::format("{}: line {}", name, ++count);
    const size_t space = line.find(' ');
    const int64_t rank = space == std::string_view::npos ? -1 : number(line.substr(space + 1));
    // Ranks may have gaps, but not so many that a short file asks for much memory.
    if (rank < 0 || rank > static_cast<int64_t>(4 * count + 65536))
      fail("{}: is {}, expected base64 and a rank", place, quote(line));
    std::string bytes = decode_base64(line.substr(0, space), place);
    if (bytes.empty() || bytes.size() > scored_token_limit)
      fail("{}: the token has {} bytes, expected 1 to {}", place, bytes.size(), scored_token_limit);
    const auto id = static_cast<size_t>(rank);
    if (tokens.size() <= id) tokens.resize(id + 1);
    if (!tokens[id].empty()) fail("{}: rank {} stands twice", place, rank);
    tokens[id] = std::move(bytes);
  }
  return tokens;
}

}  // namespace

bool is_tiktoken(std::string_view file) {
  const std::string_view line = take_line(file);
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0 || space % 4 != 0) return false;
  return number(line.substr(space + 1)) >= 0 && line.size() < line_limit && line[0] != '\'';
}

std::shared_ptr<Tokenizer> parse_tiktoken(std::string_view file, std::string_view name) {
  const std::vector<std::string> tokens = read_ranks(file, name);
  const Encoding& encoding = encoding_of(name);
  TokenizerParts parts;
  parts.name = name;
  size_t size = tokens.size();
  for (const auto& [text, id] : encoding.special) size = std::max(size, static_cast<size_t>(id) + 1);
  std::vector<std::string_view> special(size);
  for (const auto& [text, id] : encoding.special) {
    if (static_cast<size_t>(id) < tokens.size() && !tokens[static_cast<size_t>(id)].empty())
      fail("{}: rank {} belongs to {}, expected the special token {}", name, id,
           quote(tokens[static_cast<size_t>(id)]), text);
    special[static_cast<size_t>(id)] = text;
    parts.added.push_back(special_token(text, id));
  }
  std::vector<float> scores;
  StringTable raw;
  for (size_t id = 0; id < size; ++id) {
    const bool known = id < tokens.size() && !tokens[id].empty();
    raw.push(known ? std::string_view(tokens[id]) : std::string_view());
    parts.pieces.push(known ? bytes_to_piece(tokens[id]) : std::string(special[id]));
    parts.in_vocabulary.push_back(known);
    scores.push_back(-static_cast<float>(id));
  }
  raw.index([&](int32_t id) { return parts.in_vocabulary[id]; });
  for (int32_t id = 0; id < raw.size(); ++id) {
    if (parts.in_vocabulary[id] && raw.find(raw[id]) != id)
      fail("{}: {} has the ranks {} and {}", name, quote(raw[id]), raw.find(raw[id]), id);
  }
  BpeParts model;
  model.options.ignore_merges = true;
  model.merges = merges_by_score(raw, parts.in_vocabulary, scores, name);
  parts.model = std::move(model);
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", encoding.pattern}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  parts.components.pre_tokenizer = Json{{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}}.dump();
  parts.components.decoder =
      R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true})";
  auto tokenizer = std::make_shared<PipelineTokenizer>(std::move(parts));
  if (const auto end = tokenizer->id_of("<|endoftext|>")) {
    tokenizer->eos = end;
    tokenizer->stop = {*end};
  }
  return tokenizer;
}

std::string python_literal(std::string_view text, std::string_view place) {
  const auto refuse = [&] {
    fail("{}: {} is not a Python literal such as 'a' or b'\\xff'", place, quote(text));
  };
  std::string_view rest = text;
  const bool bytes = rest.starts_with('b');
  if (bytes) rest.remove_prefix(1);
  if (rest.size() < 2 || (rest[0] != '\'' && rest[0] != '"') || rest.back() != rest[0]) refuse();
  const char mark = rest[0];
  rest = rest.substr(1, rest.size() - 2);
  std::string out;
  const auto hexadecimal = [&](size_t digits) {
    if (rest.size() < digits) refuse();
    uint32_t code = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + digits, code, 16);
    if (error != std::errc() || end != rest.data() + digits) refuse();
    rest.remove_prefix(digits);
    if (bytes) {
      out += static_cast<char>(code);
    } else {
      if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) refuse();
      append_utf8(out, code);
    }
  };
  while (!rest.empty()) {
    char c = rest[0];
    rest.remove_prefix(1);
    if (c == mark) refuse();
    if (c != '\\') {
      out += c;
      continue;
    }
    if (rest.empty()) refuse();
    c = rest[0];
    rest.remove_prefix(1);
    if (c == 'x') {
      hexadecimal(2);
    } else if (c == 'u' && !bytes) {
      hexadecimal(4);
    } else if (c == 'U' && !bytes) {
      hexadecimal(8);
    } else {
      constexpr std::string_view names = "ntr0abfv\\'\"", values("\n\t\r\0\a\b\f\v\\'\"", 11);
      const size_t found = names.find(c);
      if (found == std::string_view::npos) refuse();
      out += values[found];
    }
  }
  return out;
}

bool is_rwkv_vocabulary(std::string_view file) {
  const std::string_view line = take_line(file);
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || number(line.substr(0, space)) < 0 || space + 1 == line.size())
    return false;
  const char mark = line[space + 1];
  return mark == '\'' || mark == '"' || mark == 'b';
}

std::shared_ptr<Tokenizer> make_rwkv(const std::vector<std::string>& tokens, std::string_view name) {
  TokenizerParts parts;
  parts.name = name;
  for (const std::string& token : tokens) {
    parts.pieces.push(token);
    parts.in_vocabulary.push_back(!token.empty());
  }
  parts.pieces.index([&](int32_t id) { return parts.in_vocabulary[id]; });
  for (int32_t id = 0; id < parts.pieces.size(); ++id) {
    if (parts.in_vocabulary[id] && parts.pieces.find(parts.pieces[id]) != id)
      fail("{}: {} has the ids {} and {}", name, quote(parts.pieces[id]), parts.pieces.find(parts.pieces[id]),
           id);
  }
  parts.model = LongestMatchParts();
  parts.pipeline = std::make_shared<const TextPipeline>();
  auto tokenizer = std::make_shared<PipelineTokenizer>(std::move(parts));
  // Id 0 has no text and stands for the end.
  if (tokenizer->size() > 0 && tokenizer->piece(0).empty()) {
    tokenizer->eos = 0;
    tokenizer->stop = {0};
  }
  return tokenizer;
}

std::shared_ptr<Tokenizer> parse_rwkv_vocabulary(std::string_view file, std::string_view name) {
  std::vector<std::string> tokens;
  size_t count = 0;
  while (!file.empty()) {
    const std::string_view line = take_line(file);
    if (line.empty()) continue;
    const std::string place = fmt::format("{}: line {}", name, ++count);
    const size_t first = line.find(' '), last = line.rfind(' ');
    if (first == std::string_view::npos || first == last || line.size() > line_limit)
      fail("{}: is {}, expected an id, a literal and a length", place, quote(line));
    const int64_t id = number(line.substr(0, first)), length = number(line.substr(last + 1));
    std::string token = python_literal(line.substr(first + 1, last - first - 1), place);
    if (id < 0 || id > static_cast<int64_t>(4 * count + 65536) || id >= static_cast<int64_t>(token_limit))
      fail("{}: id {} is too large", place, line.substr(0, first));
    if (token.empty() || static_cast<int64_t>(token.size()) != length)
      fail("{}: the literal has {} bytes, and the line says {}", place, token.size(), line.substr(last + 1));
    const auto at = static_cast<size_t>(id);
    if (tokens.size() <= at) tokens.resize(at + 1);
    if (!tokens[at].empty()) fail("{}: id {} stands twice", place, id);
    tokens[at] = std::move(token);
  }
  if (tokens.empty()) fail("{}: is empty", name);
  return make_rwkv(tokens, name);
}

}  // namespace intarsia
