// What a verb declares of its command line. CLI11 stays behind command.cpp and main.cpp: its header takes
// three seconds to compile, in each file that includes it.
#pragma once
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace intarsia::cli {

std::string cli11_version();

// A line that cannot be meant: exit code 2, and a hint at the verb's help.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// An option or argument of a verb; a handle, as Command is.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}
  Option& required();
  Option& among(std::vector<std::string> values);
  Option& between(int least, int most);
  Option& nonnegative();
  Option& once_each();  // takes one value; may be given several times
  Option& single();     // a list that takes one value
  Option& type(const std::string& name);
  Option& show_default();
  Option& needs(const Option& other);
  Option& excludes(const Option& other);
  bool given() const;
  std::vector<std::string> long_names() const;
  std::string help() const;

 private:
  CLI::Option* option_;
};

// A verb, or the command itself. Targets of options must outlive it.
class Command {
 public:
  explicit Command(CLI::App* app) : app_(app) {}
  Command add(const std::string& name, const std::string& help);
  // names: "-n,--max-tokens" or, for an argument, a word. T: std::string, int, int64_t, size_t, uint64_t,
  // double, float, or a list of texts.
  template <class T>
  Option option(const std::string& names, T& value, const std::string& help = "");
  Option flag(const std::string& names, bool& value, const std::string& help);
  void footer(const std::string& text);
  void run(std::function<void()> body);
  void needs_verb();

  std::string name() const;
  std::string help() const;
  std::vector<Option> options() const;
  std::vector<Command> verbs() const;

 private:
  CLI::App* app_;
};

}  // namespace intarsia::cli
