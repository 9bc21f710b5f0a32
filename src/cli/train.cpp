// intarsia train: a text, a directory of texts or a recipe in, a run directory out.
#include <fmt/core.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/interrupt.h"
#include "cli/verbs.h"
#include "core/fail.h"
#include "core/format.h"
#include "core/terminal.h"
#include "intarsia/train.h"
#include "train/report/progress.h"
#include "train/run/run_directory.h"

namespace intarsia::cli {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  std::string what, out, resume;
  double minutes = 5;
  std::vector<std::string> assignments;
  bool keys = false, json = false;
};

// The command as somebody would type it again.
std::string command_line(const Arguments& arguments, bool minutes_given) {
  std::string command = "intarsia train";
  const auto add = [&](const std::string& word) {
    const bool plain = word.find_first_of(" \t\n'\"\\$`*?()<>|&;#!~") == word.npos && !word.empty();
    if (plain) {
      command += " " + word;
      return;
    }
    command += " '";
    for (const char c : word) command += c == '\'' ? std::string("'\\''") : std::string(1, c);
    command += "'";
  };
  if (!arguments.resume.empty()) {
    add("--resume");
    add(arguments.resume);
    return command;
  }
  add(arguments.what);
  if (minutes_given) add(fmt::format("--minutes={}", arguments.minutes));
  if (!arguments.out.empty()) add(fmt::format("--out={}", arguments.out));
  for (const std::string& assignment : arguments.assignments) add(assignment);
  return command;
}

std::string name_for(const fs::path& path) {
  const fs::path absolute = fs::absolute(path).lexically_normal();
  const fs::path last = absolute.has_filename() ? absolute.filename() : absolute.parent_path().filename();
  return fs::is_directory(path) ? last.string() : last.stem().string();
}

Recipe recipe_for(const Arguments& arguments, bool minutes_given, Progress& progress) {
  Recipe recipe;
  if (fs::path(arguments.what).extension() == ".toml") {
    if (minutes_given) throw UsageError("--minutes goes with a text; a recipe has training.steps");
    recipe = read_recipe(arguments.what);
    for (const std::string& assignment : arguments.assignments) override_recipe(recipe, assignment);
  } else {
    Choice choice = choose_recipe(arguments.what, arguments.minutes, arguments.assignments);
    for (const std::string& line : choice.lines) progress.note(line);
    recipe = std::move(choice.recipe);
  }
  if (!arguments.out.empty()) recipe.training.out = arguments.out;
  if (recipe.training.out.empty()) recipe.training.out = free_run_path(name_for(arguments.what)).string();
  return recipe;
}

void print_json(const TrainResult& result) {
  nlohmann::ordered_json out = {{"run", result.run.string()}, {"step", result.step},
                                {"loss", result.loss},        {"validation", nullptr},
                                {"seconds", result.seconds},  {"interrupted", result.cancelled}};
  if (result.validation) out["validation"] = *result.validation;
  fmt::print("{}\n", out.dump());
}

void print_end(const TrainResult& result, const Progress& progress) {
  const Terminal screen = Terminal::of(stdout);
  const std::string run = result.run.string();
  const std::string validation =
      result.validation ? fmt::format(", validation {:.3f}", *result.validation) : "";
  const std::string trend = sparkline(progress.loss_trend(24), screen.utf8);
  fmt::print("{} {} steps in {}: loss {:.3f}{}  {}\n", screen.green("done"), format_count(result.step),
             format_duration(result.seconds), result.loss, validation, trend);
  fmt::print("{}  {}\n", screen.dim("report"), (result.run / "report.html").string());
  fmt::print("{}    intarsia chat {}\n", screen.dim("next"), run);
}

void print_interrupt(const TrainResult& result) {
  const std::string run = result.run.string();
  if (result.step == 0 && result.save_seconds == 0) {
    fmt::print(stderr, "^C  stopped before the first step; start again: intarsia train --resume {}\n", run);
    return;
  }
  fmt::print(stderr, "^C  saved {} at step {} ({:.1f} s); resume: intarsia train --resume {}\n", run,
             format_count(result.step), result.save_seconds, run);
}

void train_verb(const Arguments& arguments, bool minutes_given) {
  if (arguments.keys) {
    fmt::print("{}", recipe_help());
    return;
  }
  const bool resuming = !arguments.resume.empty();
  if (resuming && !arguments.what.empty())
    throw UsageError("--resume goes on with a run and its own recipe; it takes no text and no assignment");
  if (!resuming && arguments.what.empty())
    throw UsageError("A text, a directory, a recipe or --resume RUN is required");

  Progress progress(stderr);
  TrainCallbacks callbacks;
  callbacks.command = command_line(arguments, minutes_given);
  callbacks.note = [&](const std::string& text) { progress.note(text); };
  callbacks.progress = [&](const TrainProgress& now) { progress.update(now); };
  callbacks.sample = [&](const TrainSample& sample) { progress.sample(sample); };
  callbacks.cancel = &OrderlyEnd::asked;

  std::string run = arguments.resume;
  Recipe recipe;
  if (!resuming) {
    recipe = recipe_for(arguments, minutes_given, progress);
    run = recipe.training.out;
  }
  const OrderlyEnd orderly_end;
  const TrainResult result = resuming ? resume(run, callbacks) : train(recipe, callbacks);
  progress.finish();
  if (result.cancelled) print_interrupt(result);
  if (arguments.json)
    print_json(result);
  else if (!result.cancelled)
    print_end(result, progress);
}

}  // namespace

void add_train(Command app) {
  Command verb = app.add("train", "Train a model on a text, a directory of texts, or by a recipe");
  auto arguments = std::make_shared<Arguments>();
  verb.option("what", arguments->what, "Text, directory or RECIPE.toml").type("TEXT|DIR|RECIPE.toml");
  verb.option("assignments", arguments->assignments,
              "Recipe keys, as in optimizer.learning_rate=3e-4, data=FILE, init=PATH")
      .type("KEY=VALUE");
  Option minutes =
      verb.option("--minutes", arguments->minutes, "Time to train, without a recipe").show_default();
  verb.option("--out", arguments->out, "The run directory; runs/NAME if not given");
  verb.option("--resume", arguments->resume, "Go on with a run").type("RUN");
  verb.flag("--keys", arguments->keys, "List the keys of a recipe and stop");
  verb.flag("--json", arguments->json, "Print the result as JSON");
  verb.footer(
      "Examples:\n"
      "  intarsia train book.txt --minutes 5\n"
      "  intarsia train recipes/shakespeare-char.toml data=shakespeare.txt optimizer.learning_rate=5e-4\n"
      "  intarsia train --resume runs/book");
  verb.run([arguments, minutes] { train_verb(*arguments, minutes.given()); });
}

}  // namespace intarsia::cli
