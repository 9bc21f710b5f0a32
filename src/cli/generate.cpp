// intarsia generate: a text in, its continuation out.
#include <fmt/core.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/interrupt.h"
#include "cli/model_options.h"
#include "cli/verbs.h"
#include "core/format.h"
#include "core/terminal.h"
#include "data/file.h"
#include "intarsia/error.h"

namespace intarsia::cli {
namespace {

struct Arguments {
  ModelOptions model;
  SamplingOptions sampling;
  std::string prompt, prompt_file;
  bool json = false, chat = false, heal = false;
};

void print_json(const Generated& made, double load_seconds, uint64_t seed) {
  nlohmann::ordered_json out = {
      {"text", repair_utf8(made.text)},
      {"ids", made.ids},
      {"prompt_ids", made.prompt_ids},
      {"seconds", {{"load", load_seconds}, {"prompt", made.prompt_seconds}, {"decode", made.decode_seconds}}},
      {"seed", seed},
  };
  fmt::print("{}\n", out.dump());
}

void write(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// The prompt as what a user says to an assistant, in the words of the model's chat template.
Ids question(const Tokenizer& tokenizer, const std::string& prompt) {
  const Message message[] = {{"user", prompt}};
  return chat_ids(tokenizer, chat_template_of(tokenizer), message);
}

void generate(const Arguments& arguments, bool prompt_given) {
  if (prompt_given == !arguments.prompt_file.empty())
    throw UsageError("One prompt is needed: \"TEXT\" or --prompt-file FILE");
  const std::string prompt = prompt_given ? arguments.prompt : read_file(arguments.prompt_file);
  const auto start = std::chrono::steady_clock::now();
  Generator generator(arguments.model.load());
  const double load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  const Interrupt interrupt;
  GenerateOptions options = arguments.sampling.options();
  options.heal = arguments.heal;
  options.on_text = [&](std::string_view text) {
    if (!arguments.json) write(text);
    return !Interrupt::pressed();
  };
  const Terminal screen = Terminal::of(stderr);
  options.on_prompt = [&](int64_t done, int64_t total) {
    if (screen.interactive && total > options.chunk)
      fmt::print(stderr, "{}{}",
                 screen.over(fmt::format("prompt {}/{} tokens", format_count(done), format_count(total))),
                 done == total ? screen.over("") : "");
    return !Interrupt::pressed();
  };
  const Ids ids = arguments.chat ? question(generator.tokenizer(), prompt) : generator.prompt(prompt);
  const Generated made = generator.generate(ids, options);
  if (arguments.json)
    print_json(made, load_seconds, options.sampling.seed);
  else
    write("\n");
  if (made.ending == Ending::cancelled) throw Error("interrupted");
  if (made.ending == Ending::context)
    fmt::print(stderr, "{} the model's context of {} tokens is full\n", screen.dim("note:"),
               format_count(generator.model().context()));
}

}  // namespace

void add_generate(Command app) {
  Command verb = app.add("generate", "Continue a text");
  const auto arguments = std::make_shared<Arguments>();
  arguments->model.add(verb);
  Option prompt = verb.option("PROMPT", arguments->prompt, "The text to continue; may be empty");
  verb.option("--prompt-file", arguments->prompt_file, "Read the text from a file");
  verb.flag("--chat", arguments->chat,
            "The text is a question to an assistant, in the model's chat template");
  verb.flag("--heal", arguments->heal,
            "The text may end inside a token: go on with any token that fits its bytes");
  arguments->sampling.add(verb);
  verb.flag("--json", arguments->json, "Print text, ids and seconds as JSON");
  verb.footer(
      "Example:\n  intarsia generate runs/book \"In the beginning\" --max-tokens 100 --temperature 0.7");
  verb.run([arguments, prompt] { generate(*arguments, prompt.given()); });
}

}  // namespace intarsia::cli
