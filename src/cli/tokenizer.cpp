// intarsia tokenizer: text to ids, ids to text, and a vocabulary from text.
#include <fmt/core.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/compare_tokenizers.h"
#include "cli/verbs.h"
#include "core/fail.h"
#include "core/format.h"
#include "core/terminal.h"
#include "data/file.h"
#include "data/json.h"
#include "data/text.h"
#include "intarsia/tokenizer.h"
#include "intarsia/tokenizer_training.h"
#include "text/token_spans.h"

namespace intarsia::cli {
namespace {

const std::map<std::string, TokenizerTraining::Kind> kinds = {
    {"bpe", TokenizerTraining::Kind::bpe},
    {"wordpiece", TokenizerTraining::Kind::wordpiece},
    {"unigram", TokenizerTraining::Kind::unigram},
    {"bytepiece", TokenizerTraining::Kind::bytepiece}};

struct Arguments {
  std::string path, other, text, lines, out, kind = "bpe";
  std::vector<std::string> files;
  int32_t vocabulary = BpeTraining().vocabulary;
  bool special = false, json_lines = false, lines_are_text = true, pieces = false, json = false, html = false;
};

// Calls f with the text of the command line, or with each line of the file that stands in its place.
template <class F>
void each_input(const Arguments& args, F&& f) {
  if (args.lines.empty()) return f(std::string_view(args.text));
  const std::string text = read_file(args.lines);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    if (!args.json_lines || !args.lines_are_text) {
      f(line);
      continue;
    }
    const Json value = parse_json(line, args.lines);
    if (!value.is_string()) fail("{}: a line is {}, expected a string", args.lines, value.type_name());
    f(std::string_view(value.get_ref<const std::string&>()));
  }
}

void print_line(std::string text) {
  text += '\n';
  std::fwrite(text.data(), 1, text.size(), stdout);
}

// With `special` also what the tokenizer's own file puts around a text.
Ids ids_of(const Tokenizer& tokenizer, std::string_view text, bool special) {
  Ids ids = tokenizer.encode(text, special);
  if (!special) return ids;
  ids.insert(ids.begin(), tokenizer.before.begin(), tokenizer.before.end());
  ids.insert(ids.end(), tokenizer.after.begin(), tokenizer.after.end());
  return ids;
}

void encode(const Arguments& args) {
  const auto tokenizer = load_tokenizer(args.path);
  each_input(args, [&](std::string_view text) {
    std::string out = "[";
    for (const int32_t id : ids_of(*tokenizer, text, args.special)) {
      if (out.size() > 1) out += ", ";
      out += std::to_string(id);
    }
    print_line(out + "]");
  });
}

// A line a token: where it stands, its id, its piece; above them the text, cut.
void show_pieces(const Arguments& args) {
  const auto tokenizer = load_tokenizer(args.path);
  const Terminal screen = Terminal::of(stdout);
  each_input(args, [&](std::string_view text) {
    const Ids ids = ids_of(*tokenizer, text, args.special);
    const auto spans = token_spans(*tokenizer, text, ids);
    if (args.json) {
      Json tokens = Json::array();
      for (size_t i = 0; i < ids.size(); ++i)
        tokens.push_back({{"id", ids[i]},
                          {"piece", tokenizer->piece(ids[i])},
                          {"begin", spans[i].begin},
                          {"end", spans[i].end}});
      return print_line(tokens.dump(-1, ' ', false, Json::error_handler_t::replace));
    }
    print_line(coloured_tokens(*tokenizer, text, ids, screen));
    for (size_t i = 0; i < ids.size(); ++i)
      print_line(fmt::format("{:>6}-{:<6} {:>7}  {}", spans[i].begin, spans[i].end, ids[i],
                             quote(tokenizer->piece(ids[i]))));
  });
}

void compare(const Arguments& args) {
  const auto a = load_tokenizer(args.path), b = load_tokenizer(args.other);
  const std::string text = read_file(args.files.at(0));
  const NamedTokenizer first{args.path, *a}, second{args.other, *b};
  print_line(args.html ? comparison_page(first, second, text, args.files[0])
                       : comparison_text(first, second, text, Terminal::of(stdout)));
}

Ids parse_ids(std::string_view text) {
  const Json array = parse_json(text, "ids");
  if (!array.is_array()) fail("ids: is {}, expected an array such as [1, 2]", array.type_name());
  Ids ids;
  for (const Json& id : array) {
    const bool fits = id.is_number_unsigned() && id.get<uint64_t>() <= INT32_MAX;
    if (!fits) fail("ids: element {} is {}, expected an id", ids.size(), id.dump());
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

void decode(const Arguments& args) {
  const auto tokenizer = load_tokenizer(args.path);
  each_input(args, [&](std::string_view ids) {
    std::string text = tokenizer->decode(parse_ids(ids), args.special);
    if (args.json_lines) text = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
    print_line(std::move(text));
  });
}

TextStream open_files(const std::vector<std::string>& files, uint64_t* bytes) {
  struct State {
    size_t next_file = 0;
    std::optional<TextSource> source;
  };
  *bytes = 0;
  return [&files, bytes, state = std::make_shared<State>()](std::string& chunk) {
    while (true) {
      if (state->source && state->source->next(chunk)) {
        *bytes += chunk.size();
        return true;
      }
      if (state->next_file == files.size()) return false;
      state->source.emplace(files[state->next_file++]);
    }
  };
}

void train(const Arguments& args) {
  const auto start = std::chrono::steady_clock::now();
  uint64_t bytes = 0;
  TokenizerTraining options;
  options.kind = kinds.at(args.kind);
  options.vocabulary = args.vocabulary;
  const auto tokenizer = train_tokenizer([&] { return open_files(args.files, &bytes); }, options);
  tokenizer->save(args.out);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const bool bytepiece = options.kind == TokenizerTraining::Kind::bytepiece;
  fmt::print("{}/{}: {} entries from {} of text in {}\n", args.out,
             bytepiece ? "bytepiece.json" : "tokenizer.json", format_count(tokenizer->size()),
             format_bytes(static_cast<double>(bytes)), format_duration(seconds.count()));
}

constexpr const char* path_help =
    "tokenizer.json or its directory, a .gguf model, SentencePiece's .model, .tiktoken ranks, an RWKV "
    "vocabulary, "
    "bytepiece.json, or llama2.c's tokenizer.bin";

}  // namespace

void add_tokenizer(Command app) {
  Command verb = app.add("tokenizer", "Text to ids, ids to text, and a vocabulary from text");
  verb.needs_verb();
  verb.footer("Example: intarsia tokenizer encode models/SmolLM2-135M-Instruct.Q4_1.gguf \"Hello, world\"");
  const auto args = std::make_shared<Arguments>();

  Command encoding = verb.add("encode", "Print the ids of a text as a JSON array");
  encoding.option("PATH", args->path, path_help).required();
  Option text = encoding.option("TEXT", args->text, "the text");
  Option text_lines =
      encoding.option("--lines", args->lines, "encode each line of this file instead, one array a line");
  text_lines.excludes(text);
  encoding.flag("--special", args->special,
                "the text of a special token becomes that token, and those that the file puts around a text "
                "are added");
  Option pieces = encoding.flag("--pieces", args->pieces,
                                "print the text cut, and a line for each token: bytes, id, piece");
  encoding.flag("--json", args->json, "with --pieces: one JSON array of objects").needs(pieces);
  encoding.flag("--json-lines", args->json_lines, "each line of the file is a JSON string").needs(text_lines);
  encoding.footer("Example: intarsia tokenizer encode run/tokenizer.json \"Hello, world\"");
  encoding.run([args, text, text_lines] {
    if (!text.given() && !text_lines.given()) throw UsageError("TEXT is required");
    if (args->pieces) return show_pieces(*args);
    encode(*args);
  });

  Command decoding = verb.add("decode", "Print the text of ids");
  decoding.option("PATH", args->path, path_help).required();
  Option ids = decoding.option("IDS", args->text, "a JSON array of ids");
  Option id_lines = decoding.option("--lines", args->lines, "decode each line of this file instead");
  id_lines.excludes(ids);
  decoding.flag("--special", args->special, "print special tokens, too");
  decoding.flag("--json-lines", args->json_lines, "print each text as a JSON string").needs(id_lines);
  decoding.footer("Example: intarsia tokenizer decode run/tokenizer.json '[1, 2]'");
  decoding.run([args, ids, id_lines] {
    if (!ids.given() && !id_lines.given()) throw UsageError("IDS is required");
    args->lines_are_text = false;
    decode(*args);
  });

  Command comparing = verb.add("compare", "Show two tokenizers on one text");
  comparing.option("A", args->path, path_help).required();
  comparing.option("B", args->other, path_help).required();
  comparing.option("FILE", args->files, "the text").required().single();
  comparing.flag("--html", args->html, "print a page");
  comparing.footer(
      "Example: intarsia tokenizer compare run/tokenizer.json other.model book.txt --html > compare.html");
  comparing.run([args] { compare(*args); });

  Command training = verb.add("train", "Train a tokenizer on text and save it");
  training.option("FILE", args->files, "text, JSON lines, or directories of them").required();
  training.option("--vocab", args->vocabulary, "entries, with bytes or characters and special tokens")
      .show_default();
  training.option("--kind", args->kind, "bpe, wordpiece, unigram or bytepiece")
      .among({"bpe", "wordpiece", "unigram", "bytepiece"})
      .show_default();
  training.option("--out", args->out, "directory to write to").required();
  training.footer("Example: intarsia tokenizer train --vocab 4096 book.txt --out tokenizer");
  training.run([args] { train(*args); });
}

}  // namespace intarsia::cli
