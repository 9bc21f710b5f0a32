// Files: mapped reading, whole-or-nothing writing, hashes. Every operation of a writer goes through a
// FileSystem, so that a test can let the n-th operation fail or the process die around it.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/mapping.h"
#include "intarsia/array.h"
#include "intarsia/error.h"

namespace intarsia {

// Text from outside, fit for a one-line message: in double quotes, control characters and broken UTF-8
// escaped, cut after `limit` bytes.
std::string quote(std::string_view text, size_t limit = 80);

// The length in bytes of the UTF-8 character that `text` starts with; 0 if its first bytes are none (Unicode
// 15, 3.9).
size_t character_length(std::string_view text);

// A regular file read from start to end. Interrupted and short reads are gone on with.
class SequentialFile {
 public:
  explicit SequentialFile(const std::filesystem::path& path);
  ~SequentialFile();
  SequentialFile(const SequentialFile&) = delete;
  SequentialFile& operator=(const SequentialFile&) = delete;

  size_t read(char* to, size_t count);             // fewer bytes only at the end
  uint64_t size() const { return size_; }          // when it was opened
  uint64_t position() const { return position_; }  // bytes read so far
  int number() const { return number_; }           // its descriptor
  std::string name() const { return path_.string(); }

 private:
  std::filesystem::path path_;
  int number_ = -1;
  uint64_t size_ = 0, position_ = 0;
};

// A file's bytes, mapped read-only. Everything that points into them shares the ownership. Where the file is
// shortened by others while it is mapped, what is lost reads as zeros and check() throws.
class MappedFile {
 public:
  // Errors: not found, a directory or device, unreadable, empty.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  // The same view of bytes in memory (copied, 64-byte aligned); `name` stands for the path in messages.
  static std::shared_ptr<const MappedFile> of_memory(std::string name, std::string_view bytes);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& name() const { return name_; }  // the path as given
  const char* data() const { return data_; }
  size_t size() const { return size_; }
  std::string_view text() const { return {data_, size_}; }
  // Throws if the file was shortened: what was read before this call may be zeros.
  void check() const;

 private:
  MappedFile(std::string name, const char* data, size_t size, bool mapped);
  std::string name_;
  const char* data_;
  size_t size_;
  std::optional<WatchedMapping> watched_;  // of a file, not of bytes in memory
};

// parse(file) of a file that is opened and mapped for it. If the file was shortened meanwhile, that is the
// error, whatever parse() made of the zeros.
template <class F>
auto read_mapped(const std::filesystem::path& path, F&& parse) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  try {
    auto result = parse(file);
    file->check();
    return result;
  } catch (const Error&) {
    file->check();
    throw;
  }
}

// The array of `shape` that starts at byte `offset` of the file: borrowed if the address is aligned for the
// type, else copied. Checks that all of it lies in the file (and that bools are 0 or 1); `what` names it in
// messages.
Array array_in(const std::shared_ptr<const MappedFile>& file, uint64_t offset, const Shape& shape,
               DType dtype, std::string_view what);
// Bytes of a contiguous array; throws if shape or type make no whole number of blocks or do not fit into 62
// bits.
uint64_t checked_bytes(const Shape& shape, DType dtype, std::string_view what);

// The whole file as a string; refuses files above `limit` bytes. An empty file gives an empty string.
std::string read_file(const std::filesystem::path& path, uint64_t limit = uint64_t{1} << 30);

// The operations of a writer, as the system has them: the result is 0 or more, or -errno. The functions below
// turn failures into Errors and handle interrupted calls and short writes. Subclass and override to inject
// faults.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual int open(const char* path, int flags, int mode);
  virtual ssize_t write(int file, const void* bytes, size_t count);
  virtual int fsync(int file);
  virtual int close(int file);
  virtual int rename(const char* from, const char* to);
  virtual int mkdir(const char* path, int mode);
  virtual int unlink(const char* path);
  virtual int rmdir(const char* path);
};
FileSystem& system_files();
// Puts other operations in the system's place for every writer of the program; null: the system's again. For
// tests, not while something is written.
void replace_system_files(FileSystem* files);

// Writes one file whole or not at all: into a temporary file beside it, which commit() syncs and renames.
// Without a commit the temporary file is removed and an earlier file stays as it was.
class FileWriter {
 public:
  explicit FileWriter(const std::filesystem::path& target, FileSystem& files = system_files());
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void write(const void* bytes, size_t count);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void pad(size_t count);                          // zero bytes
  uint64_t position() const { return position_; }  // bytes written so far
  void commit();                                   // the file is on the disk under its name when this returns

 private:
  void flush();
  void put(const char* bytes, size_t count);
  std::filesystem::path target_, temporary_;
  FileSystem& files_;
  int file_ = -1;
  uint64_t position_ = 0;
  std::string buffer_;
  bool created_ = false;
};

void write_file(const std::filesystem::path& path, std::string_view text, FileSystem& files = system_files());
// Makes the directory and its parents; those that exist are left as they are.
void make_directories(const std::filesystem::path& path, FileSystem& files = system_files());
// Renames (replacing a file, or an empty directory) and syncs the directory that holds the new name.
void rename_path(const std::filesystem::path& from, const std::filesystem::path& to,
                 FileSystem& files = system_files());
void sync_directory(const std::filesystem::path& path, FileSystem& files = system_files());
void remove_file(const std::filesystem::path& path, FileSystem& files = system_files());  // absent: no error
// Removes a file or a directory with all it holds; links are removed, not followed. Absent: no error.
void remove_tree(const std::filesystem::path& path, FileSystem& files = system_files());

// SHA-256 (FIPS 180-4), as 64 hexadecimal digits.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(std::string_view bytes);
  std::string hex();  // ends it
 private:
  void* context_;
};
std::string sha256(std::string_view bytes);
std::string sha256_file(const std::filesystem::path& path);

}  // namespace intarsia
