#include "cli/command.h"

#include <CLI/CLI.hpp>
#include <cstdint>

namespace intarsia::cli {

std::string cli11_version() { return CLI11_VERSION; }

Option& Option::required() {
  option_->required();
  return *this;
}
Option& Option::among(std::vector<std::string> values) {
  option_->check(CLI::IsMember(std::move(values)));
  return *this;
}
Option& Option::between(int least, int most) {
  option_->check(CLI::Range(least, most));
  return *this;
}
Option& Option::nonnegative() {
  option_->check(CLI::NonNegativeNumber);
  return *this;
}
Option& Option::once_each() {
  option_->allow_extra_args(false);
  return *this;
}
Option& Option::single() {
  option_->expected(1);
  return *this;
}
Option& Option::type(const std::string& name) {
  option_->type_name(name);
  return *this;
}
Option& Option::show_default() {
  option_->capture_default_str();
  return *this;
}
Option& Option::needs(const Option& other) {
  option_->needs(other.option_);
  return *this;
}
Option& Option::excludes(const Option& other) {
  option_->excludes(other.option_);
  return *this;
}
bool Option::given() const { return !option_->empty(); }
std::vector<std::string> Option::long_names() const { return option_->get_lnames(); }
std::string Option::help() const { return option_->get_description(); }

Command Command::add(const std::string& name, const std::string& help) {
  return Command(app_->add_subcommand(name, help));
}
template <class T>
Option Command::option(const std::string& names, T& value, const std::string& help) {
  return Option(app_->add_option(names, value, help));
}
template Option Command::option(const std::string&, std::string&, const std::string&);
template Option Command::option(const std::string&, std::vector<std::string>&, const std::string&);
template Option Command::option(const std::string&, int&, const std::string&);
template Option Command::option(const std::string&, int64_t&, const std::string&);
template Option Command::option(const std::string&, uint64_t&, const std::string&);
template Option Command::option(const std::string&, double&, const std::string&);
template Option Command::option(const std::string&, float&, const std::string&);

Option Command::flag(const std::string& names, bool& value, const std::string& help) {
  return Option(app_->add_flag(names, value, help));
}
void Command::footer(const std::string& text) { app_->footer(text); }
void Command::run(std::function<void()> body) { app_->callback(std::move(body)); }
void Command::needs_verb() { app_->require_subcommand(1); }

std::string Command::name() const { return app_->get_name(); }
std::string Command::help() const { return app_->get_description(); }
std::vector<Option> Command::options() const {
  std::vector<Option> options;
  for (CLI::Option* option : app_->get_options()) options.emplace_back(option);
  return options;
}
std::vector<Command> Command::verbs() const {
  std::vector<Command> verbs;
  for (CLI::App* verb : app_->get_subcommands({})) verbs.emplace_back(verb);
  return verbs;
}

}  // namespace intarsia::cli
