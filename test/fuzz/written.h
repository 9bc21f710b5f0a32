// What the fuzz targets of formats that are written too share: a file in memory, and comparison with what was
// read.
#pragma once
#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "touch.h"

namespace intarsia::fuzz {

// Keeps what is written to the last file that is opened for writing; touches no disk.
class WrittenFiles : public FileSystem {
 public:
  int open(const char*, int flags, int) override {
    if (flags & O_WRONLY) bytes_.clear();
    return 3;
  }
  ssize_t write(int, const void* bytes, size_t count) override {
    bytes_.append(static_cast<const char*>(bytes), count);
    return static_cast<ssize_t>(count);
  }
  int fsync(int) override { return 0; }
  int close(int) override { return 0; }
  int rename(const char*, const char*) override { return 0; }
  int mkdir(const char*, int) override { return 0; }
  int unlink(const char*) override { return 0; }
  int rmdir(const char*) override { return 0; }

  std::shared_ptr<const MappedFile> file() const { return MappedFile::of_memory("written", bytes_); }

 private:
  std::string bytes_;
};

inline bool same(const Array& a, const Array& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}
inline bool same(const NamedArrays& a, const NamedArrays& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && same(x.second, y.second);
  });
}

}  // namespace intarsia::fuzz
