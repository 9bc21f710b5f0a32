// intarsia tokenizer: text to ids, ids to text, and a vocabulary from text.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

#include "cli/verbs.h"
#include "core/fail.h"
#include "core/format.h"
#include "data/json.h"
#include "data/text.h"
#include "intarsia/tokenizer.h"

namespace intarsia::cli {
namespace {

void encode(const std::string& path, const std::string& text, bool special) {
  const Ids ids = load_tokenizer(path)->encode(text, special);
  std::string out = "[";
  for (const int32_t id : ids) {
    if (out.size() > 1) out += ", ";
    out += std::to_string(id);
  }
  fmt::print("{}]\n", out);
}

Ids parse_ids(const std::string& text) {
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

void decode(const std::string& path, const std::string& ids, bool special) {
  std::string text = load_tokenizer(path)->decode(parse_ids(ids), special);
  text += '\n';
  std::fwrite(text.data(), 1, text.size(), stdout);
}

void train(const std::vector<std::string>& files, int32_t vocabulary, const std::string& out) {
  const auto start = std::chrono::steady_clock::now();
  size_t next_file = 0;
  uint64_t bytes = 0;
  std::optional<TextSource> source;
  const auto next = [&](std::string& chunk) {
    while (true) {
      if (source && source->next(chunk)) {
        bytes += chunk.size();
        return true;
      }
      if (next_file == files.size()) return false;
      source.emplace(files[next_file++]);
    }
  };
  BpeTraining options;
  options.vocabulary = vocabulary;
  const auto tokenizer = train_bpe(next, options);
  tokenizer->save(out);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  fmt::print("{}/tokenizer.json: {} entries from {} of text in {}\n", out, format_count(tokenizer->size()),
             format_bytes(static_cast<double>(bytes)), format_duration(seconds.count()));
}

struct Arguments {
  std::string path, text, out;
  std::vector<std::string> files;
  int32_t vocabulary = BpeTraining().vocabulary;
  bool special = false;
};

constexpr const char* path_help = "tokenizer.json or its directory, a .gguf model, or llama2.c's tokenizer.bin";

}  // namespace

void add_tokenizer(CLI::App& app) {
  auto* verb = app.add_subcommand("tokenizer", "Text to ids, ids to text, and a vocabulary from text");
  verb->require_subcommand(1);
  verb->footer("Example: intarsia tokenizer encode models/SmolLM2-135M-Instruct.Q4_1.gguf \"Hello, world\"");
  const auto args = std::make_shared<Arguments>();

  auto* encoding = verb->add_subcommand("encode", "Print the ids of a text as a JSON array");
  encoding->add_option("PATH", args->path, path_help)->required();
  encoding->add_option("TEXT", args->text, "the text")->required();
  encoding->add_flag("--special", args->special, "the text of a special token becomes that token");
  encoding->footer("Example: intarsia tokenizer encode run/tokenizer.json \"Hello, world\"");
  encoding->callback([args] { encode(args->path, args->text, args->special); });

  auto* decoding = verb->add_subcommand("decode", "Print the text of ids");
  decoding->add_option("PATH", args->path, path_help)->required();
  decoding->add_option("IDS", args->text, "a JSON array of ids")->required();
  decoding->add_flag("--special", args->special, "print special tokens, too");
  decoding->footer("Example: intarsia tokenizer decode run/tokenizer.json '[1, 2]'");
  decoding->callback([args] { decode(args->path, args->text, args->special); });

  auto* training = verb->add_subcommand("train", "Train byte-level BPE on text and save it as tokenizer.json");
  training->add_option("FILE", args->files, "text, JSON lines, or directories of them")->required();
  training->add_option("--vocab", args->vocabulary, "entries, with 256 bytes and <|endoftext|>")->capture_default_str();
  training->add_option("--out", args->out, "directory to write to")->required();
  training->footer("Example: intarsia tokenizer train --vocab 4096 book.txt --out tokenizer");
  training->callback([args] { train(args->files, args->vocabulary, args->out); });
}

}  // namespace intarsia::cli
