// The files of this source tree, as the tests of the house look at them.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace house {

std::filesystem::path root();
// Paths relative to the root of every file that belongs to the project: what git tracks or would add; without
// git, all but build folders, runs/ and models/. Sorted.
std::vector<std::string> files();
std::string text_of(const std::string& file);
bool has_extension(const std::string& file, std::initializer_list<const char*> extensions);

struct Outcome {
  int status;
  std::string output;  // stdout and stderr
};
Outcome run(const std::string& shell_command);

}  // namespace house
