// A file system in which one operation goes wrong, to prove that writers lose nothing.
#pragma once
#include <cerrno>
#include <string>
#include <vector>

#include "data/file.h"

namespace intarsia {

// Thrown where the process "dies". From then on every operation does nothing, as for a process that is gone:
// cleaning up in destructors leaves no trace.
struct Killed {};

enum class Fault {
  none,
  error_before,  // the operation fails and does nothing
  error_after,   // it is done, but reports failure
  kill_before,
  kill_halfway,  // a write that gets half its bytes out; other operations as kill_after
  kill_after,
};

class FaultyFiles final : public FileSystem {
 public:
  FaultyFiles() = default;
  // The operation number `at` (from 0) goes wrong.
  FaultyFiles(int at, Fault fault, int error = EIO) : at_(at), fault_(fault), error_(error) {}

  std::vector<std::string> log;  // "write", "fsync", ... in order
  int operations() const { return static_cast<int>(log.size()); }

  int open(const char* path, int flags, int mode) override {
    return static_cast<int>(run(
        "open", [&](bool) { return FileSystem::open(path, flags, mode); }, true));
  }
  ssize_t write(int file, const void* bytes, size_t count) override {
    return run("write", [&](bool half) { return FileSystem::write(file, bytes, half ? count / 2 : count); });
  }
  // Counted, not done: a process that dies loses nothing of what it wrote, and the tests would wait for the
  // disk.
  int fsync(int) override {
    return static_cast<int>(run("fsync", [](bool) { return 0; }));
  }
  int close(int file) override {
    if (dead_) FileSystem::close(file);  // the system closes the files of a dead process
    return static_cast<int>(run("close", [&](bool) { return FileSystem::close(file); }));
  }
  int rename(const char* from, const char* to) override {
    return static_cast<int>(run("rename", [&](bool) { return FileSystem::rename(from, to); }));
  }
  int mkdir(const char* path, int mode) override {
    return static_cast<int>(run("mkdir", [&](bool) { return FileSystem::mkdir(path, mode); }));
  }
  int unlink(const char* path) override {
    return static_cast<int>(run("unlink", [&](bool) { return FileSystem::unlink(path); }));
  }
  int rmdir(const char* path) override {
    return static_cast<int>(run("rmdir", [&](bool) { return FileSystem::rmdir(path); }));
  }

 private:
  template <class F>
  ssize_t run(const char* name, F&& operation, bool gives_file = false) {
    if (dead_) return -EIO;
    const bool now = operations() == at_ && fault_ != Fault::none;
    log.emplace_back(name);
    if (!now) return operation(false);
    if (fault_ == Fault::error_before) return -error_;
    if (fault_ == Fault::kill_before) die();
    const ssize_t result = operation(fault_ == Fault::kill_halfway);
    if (gives_file && result >= 0) FileSystem::close(static_cast<int>(result));
    if (fault_ == Fault::error_after) return -error_;
    die();
  }
  [[noreturn]] void die() {
    dead_ = true;
    throw Killed{};
  }

  int at_ = -1;
  Fault fault_ = Fault::none;
  int error_ = EIO;
  bool dead_ = false;
};

}  // namespace intarsia
