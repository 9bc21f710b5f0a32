// A folder of this process for targets whose reader looks for files beside its own.
#pragma once
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

namespace intarsia::fuzz {

class Folder {
 public:
  // In memory where the system has such a place: a disk would take most of the time.
  Folder()
      : path_((std::filesystem::exists("/dev/shm") ? std::filesystem::path("/dev/shm")
                                                   : std::filesystem::temp_directory_path()) /
              ("intarsia-fuzz-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void put(const char* name, std::string_view bytes) const {
    if (FILE* out = std::fopen((path_ / name).c_str(), "wb")) {
      std::fwrite(bytes.data(), 1, bytes.size(), out);
      std::fclose(out);
    }
  }

 private:
  std::filesystem::path path_;
};

}  // namespace intarsia::fuzz
