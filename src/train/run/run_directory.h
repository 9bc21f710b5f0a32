// The directory of a run: its name, and whose it is while a process trains in it.
#pragma once
#include <filesystem>
#include <string>

namespace intarsia {

// runs/NAME, with -2, -3 ... behind it if that exists.
std::filesystem::path free_run_path(const std::string& name);

// Held while a process trains in the directory. The system gives it back when the process ends, however it
// ends.
class RunLock {
 public:
  explicit RunLock(const std::filesystem::path& run);  // throws if another process holds it
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int file_ = -1;
};

}  // namespace intarsia
