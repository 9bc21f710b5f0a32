#include "cli/completion.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>

namespace intarsia::cli {
namespace {

struct Word {
  std::string text, help;
};

// A word for a script, with nothing in it that a shell would take for something else.
std::string plain(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n')
      out += ' ';
    else if (c == '\'' || c == '`' || c == '"' || c == '$' || c == '\\')
      out += "";
    else
      out += c;
  }
  return out;
}

std::vector<Word> options_of(const CLI::App& app) {
  std::vector<Word> words;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames())
      words.push_back({"--" + name, plain(option->get_description())});
  }
  return words;
}

std::vector<Word> verbs_of(const CLI::App& app) {
  std::vector<Word> words;
  for (const CLI::App* verb : app.get_subcommands({}))
    words.push_back({verb->get_name(), plain(verb->get_description())});
  return words;
}

std::string joined(const std::vector<Word>& words) {
  std::string out;
  for (const Word& word : words) out += (out.empty() ? "" : " ") + word.text;
  return out;
}

std::string bash(const CLI::App& app) {
  std::string cases;
  for (const CLI::App* verb : app.get_subcommands({})) {
    std::vector<Word> words = options_of(*verb);
    for (const Word& word : verbs_of(*verb)) words.push_back(word);
    for (const CLI::App* below : verb->get_subcommands({}))
      for (const Word& word : options_of(*below)) words.push_back(word);
    cases += fmt::format("    {}) words='{}' ;;\n", verb->get_name(), joined(words));
  }
  return fmt::format(R"(_intarsia() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} words=
  case ${{COMP_WORDS[1]}} in
{}    *) words='{} {}' ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [ "$COMP_CWORD" -gt 1 ]; then
    COMPREPLY+=($(compgen -f -- "$current"))
  fi
}}
complete -o filenames -F _intarsia intarsia
)",
                     cases, joined(verbs_of(app)), joined(options_of(app)));
}

std::string zsh_words(const std::vector<Word>& words) {
  std::string out;
  for (const Word& word : words) {
    std::string help;
    for (const char c : word.help) help += c == ':' ? std::string("\\:") : std::string(1, c);
    out += fmt::format(" '{}:{}'", word.text, help);
  }
  return out;
}

std::string zsh(const CLI::App& app) {
  std::string cases;
  for (const CLI::App* verb : app.get_subcommands({})) {
    std::vector<Word> words = options_of(*verb);
    for (const Word& word : verbs_of(*verb)) words.push_back(word);
    for (const CLI::App* below : verb->get_subcommands({}))
      for (const Word& word : options_of(*below)) words.push_back(word);
    cases += fmt::format("    {}) choices=({} ) ;;\n", verb->get_name(), zsh_words(words));
  }
  return fmt::format(R"(#compdef intarsia
_intarsia() {{
  local -a choices
  if (( CURRENT == 2 )); then
    choices=({} )
    _describe 'verb' choices
    return
  fi
  case $words[2] in
{}  esac
  _describe 'option' choices
  _files
}}
compdef _intarsia intarsia
)",
                     zsh_words(verbs_of(app)), cases);
}

std::string fish(const CLI::App& app) {
  std::string out;
  const auto add = [&](const std::string& condition, const Word& word, bool option) {
    out += fmt::format("complete -c intarsia -n '{}' {} {} -d '{}'\n", condition, option ? "-l" : "-f -a",
                       option ? word.text.substr(2) : word.text, word.help);
  };
  for (const Word& word : verbs_of(app)) add("__fish_use_subcommand", word, false);
  for (const Word& word : options_of(app)) add("__fish_use_subcommand", word, true);
  for (const CLI::App* verb : app.get_subcommands({})) {
    const std::string condition = "__fish_seen_subcommand_from " + verb->get_name();
    for (const Word& word : verbs_of(*verb)) add(condition, word, false);
    for (const Word& word : options_of(*verb)) add(condition, word, true);
    for (const CLI::App* below : verb->get_subcommands({})) {
      const std::string inner = condition + "; and __fish_seen_subcommand_from " + below->get_name();
      for (const Word& word : options_of(*below)) add(inner, word, true);
    }
  }
  return out;
}

}  // namespace

std::string completion_script(const CLI::App& app, const std::string& shell) {
  if (shell == "bash") return bash(app);
  return shell == "zsh" ? zsh(app) : fish(app);
}

}  // namespace intarsia::cli
