#include "cli/completion.h"

#include <fmt/core.h>

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

std::vector<Word> options_of(const Command& command) {
  std::vector<Word> words;
  for (const Option& option : command.options()) {
    for (const std::string& name : option.long_names()) words.push_back({"--" + name, plain(option.help())});
  }
  return words;
}

std::vector<Word> verbs_of(const Command& command) {
  std::vector<Word> words;
  for (const Command& verb : command.verbs()) words.push_back({verb.name(), plain(verb.help())});
  return words;
}

std::string joined(const std::vector<Word>& words) {
  std::string out;
  for (const Word& word : words) out += (out.empty() ? "" : " ") + word.text;
  return out;
}

std::string bash(const Command& command) {
  std::string cases;
  for (const Command& verb : command.verbs()) {
    std::vector<Word> words = options_of(verb);
    for (const Word& word : verbs_of(verb)) words.push_back(word);
    for (const Command& below : verb.verbs())
      for (const Word& word : options_of(below)) words.push_back(word);
    cases += fmt::format("    {}) words='{}' ;;\n", verb.name(), joined(words));
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
                     cases, joined(verbs_of(command)), joined(options_of(command)));
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

std::string zsh(const Command& command) {
  std::string cases;
  for (const Command& verb : command.verbs()) {
    std::vector<Word> words = options_of(verb);
    for (const Word& word : verbs_of(verb)) words.push_back(word);
    for (const Command& below : verb.verbs())
      for (const Word& word : options_of(below)) words.push_back(word);
    cases += fmt::format("    {}) choices=({} ) ;;\n", verb.name(), zsh_words(words));
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
                     zsh_words(verbs_of(command)), cases);
}

std::string fish(const Command& command) {
  std::string out;
  const auto add = [&](const std::string& condition, const Word& word, bool option) {
    out += fmt::format("complete -c intarsia -n '{}' {} {} -d '{}'\n", condition, option ? "-l" : "-f -a",
                       option ? word.text.substr(2) : word.text, word.help);
  };
  for (const Word& word : verbs_of(command)) add("__fish_use_subcommand", word, false);
  for (const Word& word : options_of(command)) add("__fish_use_subcommand", word, true);
  for (const Command& verb : command.verbs()) {
    const std::string condition = "__fish_seen_subcommand_from " + verb.name();
    for (const Word& word : verbs_of(verb)) add(condition, word, false);
    for (const Word& word : options_of(verb)) add(condition, word, true);
    for (const Command& below : verb.verbs()) {
      const std::string inner = condition + "; and __fish_seen_subcommand_from " + below.name();
      for (const Word& word : options_of(below)) add(inner, word, true);
    }
  }
  return out;
}

}  // namespace

std::string completion_script(const Command& command, const std::string& shell) {
  if (shell == "bash") return bash(command);
  return shell == "zsh" ? zsh(command) : fish(command);
}

}  // namespace intarsia::cli
