// Shell completion, written from the same description of verbs and options that parses them.
#pragma once
#include <string>

#include "cli/command.h"

namespace intarsia::cli {

// A script for "bash", "zsh" or "fish".
std::string completion_script(const Command& app, const std::string& shell);

}  // namespace intarsia::cli
