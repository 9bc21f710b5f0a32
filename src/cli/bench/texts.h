// The texts that tokenizers are measured on.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace intarsia::cli {

// A folder for unpacked files, removed at the end.
class WorkFolder {
 public:
  WorkFolder();
  ~WorkFolder();
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct Documents {
  std::string name;
  std::vector<std::string> texts;  // 10 kB each
  double bytes = 0;
  std::filesystem::path file;  // the same as a JSON array, for a peer
};

std::string whole_text(const std::filesystem::path& file);
// English from `data` and, where Debian's bible-kjv is installed, the King James Bible; Tang poems. What is
// missing is left out; an Error if all is.
std::vector<Documents> read_documents(const std::filesystem::path& data, const std::filesystem::path& folder);

}  // namespace intarsia::cli
