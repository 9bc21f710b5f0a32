// A file that only grows: each append goes to the system at once.
#pragma once
#include <filesystem>
#include <string_view>

#include "data/file.h"

namespace intarsia {

class AppendFile {
 public:
  // Opens the file, or makes it (`fresh`: it must not exist yet).
  AppendFile(std::filesystem::path path, FileSystem& files, bool fresh = false);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  // All of the bytes, or an Error; then part of them may be in the file.
  void append(std::string_view bytes);
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  FileSystem& files_;
  int file_ = -1;
};

}  // namespace intarsia
