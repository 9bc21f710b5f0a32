#include "tree.h"

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <sstream>

namespace house {

namespace fs = std::filesystem;

fs::path root() { return INTARSIA_SOURCE_DIR; }

Outcome run(const std::string& shell_command) {
  FILE* pipe = popen(("{ " + shell_command + "\n} 2>&1").c_str(), "r");
  if (!pipe) return {-1, "popen failed"};
  std::string output;
  std::array<char, 4096> chunk;
  while (const size_t n = fread(chunk.data(), 1, chunk.size(), pipe)) output.append(chunk.data(), n);
  const int status = pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), output};
}

std::vector<std::string> files() {
  std::vector<std::string> found;
  const Outcome git =
      run("cd '" + root().string() + "' && git ls-files --cached --others --exclude-standard");
  if (git.status == 0) {
    std::istringstream lines(git.output);
    for (std::string line; std::getline(lines, line);) {
      if (fs::is_regular_file(root() / line)) found.push_back(line);
    }
  } else {
    for (auto entry = fs::recursive_directory_iterator(root()); entry != fs::end(entry); ++entry) {
      const std::string name = entry->path().filename().string();
      const bool not_ours = name == ".git" || name == "runs" || name == "models" || name.starts_with("build");
      if (entry->is_directory() && entry.depth() == 0 && not_ours) entry.disable_recursion_pending();
      if (entry->is_regular_file()) found.push_back(fs::relative(entry->path(), root()).string());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string text_of(const std::string& file) {
  std::ifstream in(root() / file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

bool has_extension(const std::string& file, std::initializer_list<const char*> extensions) {
  return std::any_of(extensions.begin(), extensions.end(), [&](const char* e) { return file.ends_with(e); });
}

}  // namespace house
