#include "train/run/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "core/fail.h"

namespace intarsia {

namespace fs = std::filesystem;

fs::path free_run_path(const std::string& name) {
  const fs::path base = fs::path("runs") / (name.empty() ? "run" : name);
  fs::path path = base;
  for (int number = 2; fs::exists(path); number++) {
    path = base;
    path += fmt::format("-{}", number);
  }
  return path;
}

RunLock::RunLock(const fs::path& run) : file_(::open(run.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (file_ < 0) fail("{}: cannot open: {}", run.string(), std::generic_category().message(errno));
  if (::flock(file_, LOCK_EX | LOCK_NB) == 0) return;
  const bool held = errno == EWOULDBLOCK;
  ::close(file_);
  file_ = -1;
  if (held) fail_hint("wait for it, or stop it", "{}: another process trains here", run.string());
  // Some network file systems have no locks: train without one.
}

RunLock::~RunLock() {
  if (file_ >= 0) ::close(file_);
}

}  // namespace intarsia
