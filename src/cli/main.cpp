// intarsia: the command. Each verb is a file of its own.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <exception>

#include "cli/completion.h"
#include "cli/verbs.h"
#include "core/format.h"
#include "core/spelling.h"
#include "intarsia/array.h"
#include "intarsia/error.h"

namespace intarsia::cli {
namespace {

constexpr int done = 0;
constexpr int failed = 1;
constexpr int wrong_usage = 2;
constexpr int most_threads = 1024;

// The verb that an unknown word is nearest to, if it is near.
std::string nearest_verb(const Command& command, const std::string& word) {
  std::string best;
  size_t least = 3;
  for (const Command& verb : command.verbs()) {
    const std::string name = verb.name();
    const size_t away = edit_distance(word, name);
    if (away >= std::min(least, name.size())) continue;
    least = away;
    best = name;
  }
  return best;
}

void add_completion(Command command) {
  Command verb = command.add("completion", "Print a completion script for a shell");
  auto shell = std::make_shared<std::string>();
  verb.option("SHELL", *shell, "bash, zsh or fish").required().among({"bash", "zsh", "fish"});
  verb.footer(
      "Example:\n  source <(intarsia completion bash)\n  intarsia completion fish > "
      "~/.config/fish/completions/intarsia.fish");
  verb.run([shell, command] { fmt::print("{}", completion_script(command, *shell)); });
}

// Options of the command itself may stand behind a verb, too.
void share_options(CLI::App& app) {
  for (CLI::App* verb : app.get_subcommands({})) {
    verb->fallthrough();
    share_options(*verb);
  }
}

// What is wrong, on one line.
int report_usage(const CLI::App& app, std::string what) {
  std::string verb;
  for (const CLI::App* used = &app; !used->get_subcommands().empty();) {
    used = used->get_subcommands().front();
    verb += " " + used->get_name();
  }
  std::replace(what.begin(), what.end(), '\n', ' ');
  fmt::print(stderr, "{}\n", error_line(what, "intarsia" + verb + " --help shows an example"));
  return wrong_usage;
}

// The first word that is neither an option nor an option's value.
std::string first_word(int argc, char** argv) {
  for (int i = 1; i < argc; i++) {
    std::string word = argv[i];
    if (word == "--threads" || word == "--memory")
      i++;
    else if (!word.starts_with("-"))
      return word;
  }
  return {};
}

size_t memory_size(const std::string& text) {
  const std::optional<size_t> bytes = parse_bytes(text);
  if (!bytes || *bytes < 1 << 20)
    throw UsageError("--memory: \"" + text + "\" is no size of 1M or more, such as 500M or 8G");
  return *bytes;
}

int run(int argc, char** argv) {
  CLI::App app("Train, run and chat with language models.");
  app.name("intarsia");
  app.set_version_flag("--version", "intarsia " INTARSIA_VERSION, "Print the version");
  app.set_help_flag("-h,--help", "Print this help");
  app.add_option_function<int>("--threads", &set_thread_count,
                               "Threads to compute with (default: all processors)")
      ->check(CLI::Range(1, most_threads))
      ->trigger_on_parse();
  app.add_option_function<std::string>(
         "--memory", [](const std::string& text) { set_memory_limit(memory_size(text)); },
         "Most memory for arrays, as in 500M or 8G (default: what the system gives)")
      ->trigger_on_parse();
  app.footer(
      "Examples:\n"
      "  intarsia train book.txt                  train a model on a text, for five minutes\n"
      "  intarsia chat runs/book                  and see what it has to say\n"
      "  intarsia generate model.gguf \"Once\"      continue a text\n"
      "\n"
      "A model is a Hugging Face directory, a run directory, a .gguf file or a llama2.c .bin file.\n"
      "intarsia VERB --help shows a verb's options and an example.");
  const Command command(&app);
  add_train(command);
  add_generate(command);
  add_chat(command);
  add_template(command);
  add_tokenizer(command);
  add_eval(command);
  add_inspect(command);
  add_convert(command);
  add_doctor(command);
  add_bench(command);
  add_lab(command);
  add_completion(command);
  share_options(app);

  const std::string word = first_word(argc, argv);
  const std::vector<Command> verbs = command.verbs();
  const auto is_word = [&](const Command& verb) { return verb.name() == word; };
  if (!word.empty() && std::none_of(verbs.begin(), verbs.end(), is_word)) {
    const std::string near = nearest_verb(command, word);
    const std::string hint = near.empty() ? "intarsia --help lists the verbs" : "did you mean " + near + "?";
    fmt::print(stderr, "{}\n", error_line("unknown verb \"" + word + "\"", hint));
    return wrong_usage;
  }

  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) {
      fmt::print(stderr, "{}\n", error_line("a verb is missing", "intarsia --help lists them"));
      return wrong_usage;
    }
    return done;
  } catch (const CLI::CallForHelp&) {
    const CLI::App* asked = &app;
    std::string above;
    while (!asked->get_subcommands().empty()) {
      above += (above.empty() ? "" : " ") + asked->get_name();
      asked = asked->get_subcommands().front();
    }
    fmt::print("{}", asked->help(above));
    return done;
  } catch (const CLI::Success& success) { return app.exit(success); } catch (const UsageError& error) {
    return report_usage(app, error.what());
  } catch (const CLI::ParseError& error) { return report_usage(app, error.what()); }
}

}  // namespace
}  // namespace intarsia::cli

int main(int argc, char** argv) {
  using namespace intarsia;
  try {
    return cli::run(argc, argv);
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error_line(error));
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "{}\n", error_line("there is not enough memory"));
  } catch (const std::exception& error) { fmt::print(stderr, "{}\n", error_line(error.what())); }
  return cli::failed;
}
