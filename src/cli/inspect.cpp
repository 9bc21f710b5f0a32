// intarsia inspect: what a model is made of.
#include <fmt/core.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/model_options.h"
#include "cli/verbs.h"
#include "core/format.h"
#include "core/terminal.h"
#include "data/file.h"
#include "data/gguf.h"
#include "data/json.h"

namespace intarsia::cli {
namespace {

struct Arguments {
  std::string path, tokenizer;
  bool json = false;
};

struct TypeCount {
  int64_t tensors = 0, elements = 0;
  size_t bytes = 0;
};

std::map<std::string, TypeCount> count_types(const Model& model) {
  std::map<std::string, TypeCount> types;
  for (const Weight& weight : model.weights()) {
    const Array& array = weight.tensor->array();
    TypeCount& count = types[info(array.dtype()).name];
    count.tensors++;
    count.elements += array.size();
    count.bytes += array.bytes();
  }
  return types;
}

// Keys and values of a GGUF file, shortened; empty for other files.
std::vector<std::pair<std::string, std::string>> metadata_of(const Loaded& loaded, const std::string& path) {
  std::vector<std::pair<std::string, std::string>> rows;
  if (loaded.source != "gguf") return rows;
  const Gguf file = read_gguf(path);
  for (const auto& [key, value] : file.metadata()) rows.emplace_back(key, value.summary());
  return rows;
}

nlohmann::ordered_json about(const Tokenizer& tokenizer) {
  nlohmann::ordered_json out = {{"size", tokenizer.size()},
                                {"add_bos", tokenizer.add_bos},
                                {"stop", tokenizer.stop},
                                {"chat_template", !tokenizer.chat_template.empty()}};
  if (tokenizer.bos) out["bos"] = *tokenizer.bos;
  if (tokenizer.eos) out["eos"] = *tokenizer.eos;
  return out;
}

void print_json(const Loaded& loaded, const std::string& path) {
  const Model& model = *loaded.model;
  nlohmann::ordered_json out = {
      {"path", path},
      {"source", loaded.source},
      {"model_type", model.model_type()},
      {"parameters", model.parameter_count()},
      {"context", model.context()},
      {"vocabulary", model.vocabulary()},
      {"config", parse_json(model.config_json(), "config")},
  };
  for (const auto& [name, count] : count_types(model))
    out["types"][name] = {{"tensors", count.tensors}, {"elements", count.elements}, {"bytes", count.bytes}};
  out["weights"] = nlohmann::ordered_json::array();
  for (const Weight& weight : model.weights()) {
    const Array& array = weight.tensor->array();
    out["weights"].push_back({{"name", weight.name},
                              {"shape", std::vector<int64_t>(array.shape().begin(), array.shape().end())},
                              {"dtype", info(array.dtype()).name}});
  }
  out["unused"] = loaded.unused;
  out["tokenizer"] = loaded.tokenizer ? about(*loaded.tokenizer) : nlohmann::ordered_json();
  for (const auto& [key, value] : metadata_of(loaded, path)) out["metadata"][key] = repair_utf8(value);
  fmt::print("{}\n", out.dump(2));
}

std::string token_text(const Tokenizer& tokenizer, std::optional<int32_t> id) {
  return id ? fmt::format("{} {}", *id, quote(tokenizer.piece(*id))) : "none";
}

void print_table(const Loaded& loaded, const std::string& path) {
  const Model& model = *loaded.model;
  const Terminal screen = Terminal::of(stdout);
  const auto row = [&](std::string_view label, const std::string& text) {
    fmt::print("{} {}\n", screen.dim(pad_to_width(label, 14)), text);
  };
  row("model", fmt::format("{}, {} ({})", screen.bold(model.model_type()), path, loaded.source));
  row("parameters",
      fmt::format("{} ({})", screen.bold(format_short(static_cast<double>(model.parameter_count()))),
                  format_count(model.parameter_count())));
  row("context", format_count(model.context()));
  for (const auto& [name, count] : count_types(model))
    row(name, fmt::format("{} tensors, {} elements, {}", format_count(count.tensors),
                          format_count(count.elements), format_bytes(static_cast<double>(count.bytes))));
  if (loaded.tokenizer) {
    const Tokenizer& tokenizer = *loaded.tokenizer;
    std::string stop;
    for (const int32_t id : tokenizer.stop)
      stop += fmt::format("{}{}", stop.empty() ? "" : ", ", token_text(tokenizer, id));
    row("tokenizer",
        fmt::format("{} ids, BOS {}{}", format_count(tokenizer.size()), token_text(tokenizer, tokenizer.bos),
                    tokenizer.add_bos ? " before each text" : ""));
    row("ends at", stop.empty() ? "no id" : stop);
    row("chat template",
        tokenizer.chat_template.empty() ? "none" : fmt::format("{} bytes", tokenizer.chat_template.size()));
  } else {
    row("tokenizer", "none");
  }
  for (const std::string& name : loaded.unused) row("no place for", printable(name));

  fmt::print("\n{}\n", screen.bold("config"));
  const Json config = parse_json(model.config_json(), "config");
  for (const auto& [key, value] : config.items())
    fmt::print("  {} {}\n", pad_to_width(key, 28), value.dump());
  if (const auto metadata = metadata_of(loaded, path); !metadata.empty()) {
    fmt::print("\n{}\n", screen.bold("metadata"));
    for (const auto& [key, value] : metadata)
      fmt::print("  {} {}\n", pad_to_width(printable(key), 40), cut_to_width(printable(value), 100));
  }
  fmt::print("\n{}\n", screen.bold("weights"));
  for (const Weight& weight : model.weights()) {
    const Array& array = weight.tensor->array();
    fmt::print("  {} {} {}\n", pad_to_width(weight.name, 52), pad_to_width(info(array.dtype()).name, 5),
               array.shape().text());
  }
}

void inspect(const Arguments& arguments) {
  const Loaded loaded = load(arguments.path, {.tokenizer = arguments.tokenizer, .as_stored = true});
  if (arguments.json)
    print_json(loaded, arguments.path);
  else
    print_table(loaded, arguments.path);
}

}  // namespace

void add_inspect(Command app) {
  Command verb = app.add("inspect", "Show what a model is made of");
  const auto arguments = std::make_shared<Arguments>();
  verb.option("PATH", arguments->path, model_help).required();
  verb.option("--tokenizer", arguments->tokenizer, "Tokenizer to use instead of the model's own");
  verb.flag("--json", arguments->json, "Print JSON");
  verb.footer("Example:\n  intarsia inspect models/SmolLM2-135M-Instruct.Q4_1.gguf");
  verb.run([arguments] { inspect(*arguments); });
}

}  // namespace intarsia::cli
