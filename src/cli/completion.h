// Shell completion, written from the same description of verbs and options that parses them.
#pragma once
#include <string>

namespace CLI {
class App;
}

namespace intarsia::cli {

// A script for "bash", "zsh" or "fish".
std::string completion_script(const CLI::App& app, const std::string& shell);

}  // namespace intarsia::cli
