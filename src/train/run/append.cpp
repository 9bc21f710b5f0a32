#include "train/run/append.h"

#include <fcntl.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "core/fail.h"

namespace intarsia {

namespace {

[[noreturn]] void fail_append(const std::filesystem::path& path, int error) {
  std::string hint;
  if (error == ENOSPC || error == EDQUOT) hint = "free some space, then resume the run";
  fail_hint(std::move(hint), "{}: cannot write: {}", path.string(), std::generic_category().message(error));
}

}  // namespace

AppendFile::AppendFile(std::filesystem::path path, FileSystem& files, bool fresh)
    : path_(std::move(path)), files_(files) {
  const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (fresh ? O_EXCL : 0);
  do file_ = files_.open(path_.c_str(), flags, 0644);
  while (file_ == -EINTR);
  if (file_ < 0) fail_append(path_, -file_);
}

AppendFile::~AppendFile() { files_.close(file_); }

void AppendFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = files_.write(file_, bytes.data(), bytes.size());
    if (written == -EINTR) continue;
    if (written <= 0) fail_append(path_, written < 0 ? static_cast<int>(-written) : EIO);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace intarsia
