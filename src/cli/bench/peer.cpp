#include "cli/bench/peer.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <cerrno>

namespace intarsia::cli {

Peer::Peer(const std::string& python, const std::string& script) {
  if (access(python.c_str(), X_OK) != 0 || access(script.c_str(), R_OK) != 0) return;
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0) return;
  if (pipe2(out, O_CLOEXEC) != 0) {
    close(in[0]), close(in[1]);
    return;
  }
  std::signal(SIGPIPE, SIG_IGN);  // a peer that died must not end the benchmark
  child_ = fork();
  if (child_ == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    execl(python.c_str(), python.c_str(), script.c_str(), nullptr);
    _exit(127);
  }
  close(in[0]), close(out[1]);
  to_ = in[1], from_ = out[0];
  if (child_ > 0) hello_ = read_line();
  if (hello_.empty() && child_ > 0) {
    kill(child_, SIGTERM);
    waitpid(child_, nullptr, 0);
    child_ = -1;
  }
}

Peer::~Peer() {
  if (to_ >= 0) close(to_);  // the end of its input ends the peer
  if (from_ >= 0) close(from_);
  if (child_ > 0) waitpid(child_, nullptr, 0);
}

std::string Peer::ask(const std::string& line) {
  const std::string message = line + "\n";
  for (size_t sent = 0; sent < message.size();) {
    const ssize_t n = write(to_, message.data() + sent, message.size() - sent);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return {};
    sent += static_cast<size_t>(n);
  }
  return read_line();
}

std::string Peer::read_line() {
  for (;;) {
    if (const size_t end = buffer_.find('\n'); end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    char bytes[4096];
    const ssize_t n = read(from_, bytes, sizeof bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return {};
    buffer_.append(bytes, static_cast<size_t>(n));
  }
}

}  // namespace intarsia::cli
