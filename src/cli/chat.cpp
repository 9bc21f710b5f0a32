// intarsia chat: a conversation in the terminal.
#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>

#include "cli/interrupt.h"
#include "cli/model_options.h"
#include "cli/verbs.h"
#include "core/format.h"
#include "core/terminal.h"

namespace intarsia::cli {
namespace {

constexpr const char* commands =
    "/help        this list\n"
    "/reset       forget the conversation\n"
    "/save FILE   write the conversation as JSON\n"
    "/quit        end (or Ctrl-D)\n"
    "Ctrl-C       stop the answer\n";

struct Arguments {
  ModelOptions model;
  SamplingOptions sampling;
};

// A line from the terminal; nothing at its end. An interrupt gives an empty line.
std::optional<std::string> read_line() {
  static std::string pending;
  while (true) {
    if (const size_t end = pending.find('\n'); end != pending.npos) {
      std::string line = pending.substr(0, end);
      pending.erase(0, end + 1);
      return line;
    }
    char buffer[4096];
    const ssize_t count = read(STDIN_FILENO, buffer, sizeof buffer);
    if (count > 0) {
      pending.append(buffer, static_cast<size_t>(count));
    } else if (count < 0 && errno == EINTR) {
      pending.clear();
      return "";
    } else {
      if (pending.empty()) return std::nullopt;
      return std::exchange(pending, {});
    }
  }
}

void write(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void answer(Chat& chat, const std::string& line, const Terminal& screen) {
  Interrupt::clear();
  chat.say(line, [](std::string_view text) {
    write(printable(text));
    return !Interrupt::pressed();
  });
  write("\n");
  if (!screen.interactive) return;
  const Generated& last = chat.last();
  std::string state = fmt::format("{} tokens", format_count(static_cast<int64_t>(last.ids.size())));
  if (last.decode_seconds > 0)
    state += fmt::format(", {} tokens/s",
                         format_short(static_cast<double>(last.ids.size()) / last.decode_seconds));
  if (last.ending == Ending::cancelled) state += ", stopped";
  if (last.ending == Ending::context) state += ", the context is full: /reset starts anew";
  if (last.ending == Ending::max_tokens) state += ", cut at --max-tokens";
  fmt::print(stderr, "{}\n", screen.dim(state));
}

// True if the line was a command; sets `ended` at /quit.
bool obey(Chat& chat, const std::string& line, bool& ended) {
  if (!line.starts_with("/")) return false;
  const size_t space = line.find(' ');
  const std::string command = line.substr(0, space);
  const std::string rest = space == line.npos ? "" : line.substr(line.find_first_not_of(' ', space));
  if (command == "/help") {
    fmt::print("{}", commands);
  } else if (command == "/reset") {
    chat.reset();
    fmt::print("a new conversation\n");
  } else if (command == "/save") {
    if (rest.empty()) throw Error("/save needs the name of a file", "/save talk.json");
    chat.save(rest);
    fmt::print("{} messages written to {}\n", chat.history().size(), rest);
  } else if (command == "/quit" || command == "/exit") {
    ended = true;
  } else {
    throw Error(fmt::format("unknown command {}", command), "/help lists the commands");
  }
  std::fflush(stdout);
  return true;
}

void converse(const Arguments& arguments) {
  Chat chat(arguments.model.load(), arguments.sampling.options());
  const Terminal screen = Terminal::of(stderr);
  if (!chat.has_template())
    fmt::print(stderr, "{}\n",
               screen.dim("this model has no chat template: it continues what you write as plain text"));
  if (screen.interactive) fmt::print(stderr, "{}\n", screen.dim("/help lists the commands"));
  const Interrupt interrupt;
  bool ended = false;
  while (!ended) {
    if (screen.interactive) fmt::print(stderr, "{} ", screen.bold(">"));
    const std::optional<std::string> line = read_line();
    if (!line) break;
    if (line->find_first_not_of(" \t\r") == line->npos) {
      if (Interrupt::pressed()) fmt::print(stderr, "\n{}\n", screen.dim("Ctrl-D or /quit ends"));
      Interrupt::clear();
      continue;
    }
    try {
      if (!obey(chat, *line, ended)) answer(chat, *line, screen);
    } catch (const Error& error) {
      // A conversation goes on after an answer that failed.
      fmt::print(stderr, "{}\n", error_line(error));
    }
  }
  if (screen.interactive && !ended) fmt::print(stderr, "\n");
}

}  // namespace

void add_chat(Command app) {
  Command verb = app.add("chat", "Talk with a model");
  const auto arguments = std::make_shared<Arguments>();
  arguments->sampling.max_tokens = 512;
  arguments->model.add(verb);
  arguments->sampling.add(verb);
  verb.footer(
      "Example:\n  intarsia chat models/SmolLM2-135M-Instruct.Q4_1.gguf\n  echo \"Who are you?\" | intarsia "
      "chat runs/book");
  verb.run([arguments] { converse(*arguments); });
}

}  // namespace intarsia::cli
