#include "program.h"

#include <fcntl.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>

namespace intarsia::test {

namespace fs = std::filesystem;

namespace {

std::string content_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

[[noreturn]] void become_program(const std::vector<std::string>& arguments) {
  std::vector<char*> argv = {const_cast<char*>(INTARSIA_BINARY)};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(INTARSIA_BINARY, argv.data());
  _exit(127);
}

}  // namespace

Folder::Folder() {
  static std::atomic<int> count{0};
  folder_ = fs::temp_directory_path() /
            ("intarsia-cli-" + std::to_string(getpid()) + "-" + std::to_string(count++));
  fs::create_directories(folder_);
}

Folder::~Folder() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

std::string Folder::write(const std::string& name, const std::string& content) const {
  std::ofstream(folder_ / name, std::ios::binary) << content;
  return path(name);
}

fs::path data(const std::string& name) {
  const char* given = std::getenv("INTARSIA_DATA");
  return (given ? fs::path(given) : fs::path(INTARSIA_SOURCE_DIR) / "../shared/data") / name;
}

Outcome run(const std::vector<std::string>& arguments, const std::string& in,
            const std::vector<std::string>& environment) {
  // Files rather than pipes: nobody waits for anybody.
  const Folder folder;
  folder.write("in", in);
  const pid_t child = fork();
  if (child == 0) {
    for (const std::string& assignment : environment) putenv(const_cast<char*>(assignment.c_str()));
    dup2(open(folder.path("in").c_str(), O_RDONLY), 0);
    dup2(open(folder.path("out").c_str(), O_WRONLY | O_CREAT, 0600), 1);
    dup2(open(folder.path("err").c_str(), O_WRONLY | O_CREAT, 0600), 2);
    become_program(arguments);
  }
  int status = 0;
  waitpid(child, &status, 0);
  Outcome outcome;
  outcome.exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.out = content_of(folder.path("out"));
  outcome.err = content_of(folder.path("err"));
  return outcome;
}

std::string run_in_terminal(const std::vector<std::string>& arguments, unsigned short columns) {
  const winsize size{24, columns, 0, 0};
  int terminal = -1;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
  if (child < 0) return {};
  if (child == 0) {
    setenv("TERM", "xterm", 1);
    become_program(arguments);
  }
  std::string written;
  char chunk[4096];
  for (ssize_t got; (got = read(terminal, chunk, sizeof chunk)) > 0;)
    written.append(chunk, static_cast<size_t>(got));
  close(terminal);
  waitpid(child, nullptr, 0);
  return written;
}

}  // namespace intarsia::test
