#include "data/file.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/fail.h"

namespace intarsia {

namespace {

constexpr size_t write_buffer = size_t{1} << 18, alignment = 64;

std::string reason(int error) { return std::generic_category().message(error); }

[[noreturn]] void fail_file(const std::filesystem::path& path, const char* doing, int error) {
  std::string hint;
  if (error == ENOSPC || error == EDQUOT) hint = "free some space, or write to another disk";
  fail_hint(std::move(hint), "{}: cannot {}: {}", path.string(), doing, reason(error));
}

}  // namespace

size_t character_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto continues = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned a = byte(0), b = byte(1);
  if (a < 0x80) return 1;
  if (a >= 0xC2 && a <= 0xDF) return continues(1) ? 2 : 0;
  if (a >= 0xE0 && a <= 0xEF) {
    const bool shortest = a != 0xE0 || b >= 0xA0, no_surrogate = a != 0xED || b < 0xA0;
    return continues(1) && continues(2) && shortest && no_surrogate ? 3 : 0;
  }
  if (a >= 0xF0 && a <= 0xF4) {
    const bool shortest = a != 0xF0 || b >= 0x90, in_unicode = a != 0xF4 || b < 0x90;
    return continues(1) && continues(2) && continues(3) && shortest && in_unicode ? 4 : 0;
  }
  return 0;
}

std::string quote(std::string_view text, size_t limit) {
  std::string out = "\"";
  size_t at = 0;
  while (at < text.size() && out.size() < limit) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const size_t length = character_length(text.substr(at));
    if (length == 0 || byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\x{:02x}", byte);
      at++;
      continue;
    }
    if (byte == '"' || byte == '\\') out += '\\';
    out += text.substr(at, length);
    at += length;
  }
  return out + (at < text.size() ? "...\"" : "\"");
}

// ---- reading

SequentialFile::SequentialFile(const std::filesystem::path& path) : path_(path) {
  // Without O_NONBLOCK, opening a pipe would wait for a writer.
  do number_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  while (number_ < 0 && errno == EINTR);
  if (number_ < 0 && errno == ENOENT) fail("{}: no such file", path.string());
  if (number_ < 0) fail_file(path, "read", errno);
  struct stat status;
  if (::fstat(number_, &status) != 0) {
    const int error = errno;
    ::close(number_);
    fail_file(path, "read", error);
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(number_);
    fail("{}: is {}, expected a file", path.string(),
         S_ISDIR(status.st_mode) ? "a directory" : "no regular file");
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

SequentialFile::~SequentialFile() { ::close(number_); }

size_t SequentialFile::read(char* to, size_t count) {
  size_t done = 0;
  while (done < count) {
    const ssize_t got = ::read(number_, to + done, count - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_file(path_, "read", errno);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  position_ += done;
  return done;
}

MappedFile::MappedFile(std::string name, const char* data, size_t size, bool mapped)
    : name_(std::move(name)), data_(data), size_(size) {
  if (mapped) watched_.emplace(data, size, name_);
}

MappedFile::~MappedFile() {
  if (watched_) {
    watched_.reset();
    ::munmap(const_cast<char*>(data_), size_);
  } else {
    std::free(const_cast<char*>(data_));
  }
}

void MappedFile::check() const {
  if (watched_) watched_->check();
}

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  SequentialFile file(path);
  if (file.size() == 0) fail("{}: the file is empty", path.string());
  const size_t size = file.size();
  void* memory = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.number(), 0);
  if (memory == MAP_FAILED) fail_file(path, "map", errno);
  return std::shared_ptr<const MappedFile>(
      new MappedFile(path.string(), static_cast<const char*>(memory), size, true));
}

std::shared_ptr<const MappedFile> MappedFile::of_memory(std::string name, std::string_view bytes) {
  const size_t room = (bytes.size() / alignment + 1) * alignment;
  char* memory = static_cast<char*>(std::aligned_alloc(alignment, room));
  if (!memory) fail("{}: out of memory for {} bytes", name, bytes.size());
  std::memcpy(memory, bytes.data(), bytes.size());
  return std::shared_ptr<const MappedFile>(new MappedFile(std::move(name), memory, bytes.size(), false));
}

uint64_t checked_bytes(const Shape& shape, DType dtype, std::string_view what) {
  const DTypeInfo& type = info(dtype);
  int64_t count = 1, bytes = 0;
  bool overflow = false, empty = false;
  for (int64_t dim : shape) {
    if (dim < 0) fail("{}: shape {} has a negative length", what, shape.text());
    // Strides are products of lengths, so those must fit even where a length of zero leaves nothing to hold.
    overflow |= __builtin_mul_overflow(count, std::max<int64_t>(dim, 1), &count);
    empty |= dim == 0;
  }
  overflow |=
      __builtin_mul_overflow(count / type.block, int64_t{type.bytes}, &bytes) || bytes > (int64_t{1} << 62);
  if (overflow) fail("{}: shape {} has more elements than can be addressed", what, shape.text());
  if (type.block > 1 && (shape.rank() == 0 || shape[-1] % type.block))
    fail("{}: shape {} cannot hold {}, whose rows are blocks of {} elements", what, shape.text(), type.name,
         type.block);
  return empty ? 0 : static_cast<uint64_t>(bytes);
}

Array array_in(const std::shared_ptr<const MappedFile>& file, uint64_t offset, const Shape& shape,
               DType dtype, std::string_view what) {
  const uint64_t bytes = checked_bytes(shape, dtype, fmt::format("{}: {}", file->name(), what));
  if (offset > file->size() || bytes > file->size() - offset)
    fail("{}: {} needs {} bytes at byte {}, but the file ends at byte {}", file->name(), what, bytes, offset,
         file->size());
  const char* start = file->data() + offset;
  if (dtype == DType::boolean) {
    for (uint64_t i = 0; i < bytes; i++)
      if (start[i] & ~1)
        fail("{}: {} holds a byte that is neither 0 nor 1, expected bool", file->name(), what);
  }
  // Block formats are read bytewise or by 16 bits.
  const auto step = is_quantized(dtype) ? size_t{2} : static_cast<size_t>(info(dtype).bytes);
  if (reinterpret_cast<uintptr_t>(start) % step == 0) return Array::borrow(start, shape, dtype, file);
  Array copy = Array::empty(shape, dtype);
  if (bytes) std::memcpy(copy.raw_mutable(), start, bytes);
  return copy;
}

std::string read_file(const std::filesystem::path& path, uint64_t limit) {
  SequentialFile file(path);
  if (file.size() > limit) fail("{}: has {} bytes, expected at most {}", path.string(), file.size(), limit);
  std::string text(file.size(), '\0');
  text.resize(file.read(text.data(), text.size()));  // less if it was shortened meanwhile
  return text;
}

// ---- the operations of a writer

int FileSystem::open(const char* path, int flags, int mode) {
  const int file = ::open(path, flags, mode);
  return file < 0 ? -errno : file;
}
ssize_t FileSystem::write(int file, const void* bytes, size_t count) {
  const ssize_t written = ::write(file, bytes, count);
  return written < 0 ? -errno : written;
}
int FileSystem::fsync(int file) { return ::fsync(file) ? -errno : 0; }
int FileSystem::close(int file) { return ::close(file) ? -errno : 0; }
int FileSystem::rename(const char* from, const char* to) { return ::rename(from, to) ? -errno : 0; }
int FileSystem::mkdir(const char* path, int mode) {
  return ::mkdir(path, static_cast<mode_t>(mode)) ? -errno : 0;
}
int FileSystem::unlink(const char* path) { return ::unlink(path) ? -errno : 0; }
int FileSystem::rmdir(const char* path) { return ::rmdir(path) ? -errno : 0; }

namespace {
std::atomic<FileSystem*> replaced_files{nullptr};
}  // namespace

FileSystem& system_files() {
  static FileSystem files;
  FileSystem* other = replaced_files.load();
  return other ? *other : files;
}

void replace_system_files(FileSystem* files) { replaced_files.store(files); }

namespace {

int open_again(FileSystem& files, const char* path, int flags, int mode = 0) {
  int file;
  do file = files.open(path, flags, mode);
  while (file == -EINTR);
  return file;
}

// Linux closes the descriptor even when close() is interrupted, so a second try could close somebody else's.
int close_once(FileSystem& files, int file) {
  const int result = files.close(file);
  return result == -EINTR ? 0 : result;
}

int sync_again(FileSystem& files, int file) {
  int result;
  do result = files.fsync(file);
  while (result == -EINTR);
  return result;
}

std::filesystem::path parent_of(const std::filesystem::path& path) {
  const std::filesystem::path parent = path.parent_path();
  return parent.empty() ? std::filesystem::path(".") : parent;
}

// Without a trailing slash, which would make the last component empty.
std::filesystem::path plain(const std::filesystem::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

}  // namespace

FileWriter::FileWriter(const std::filesystem::path& target, FileSystem& files)
    : target_(plain(target)), files_(files) {
  static std::atomic<uint64_t> counter{0};
  temporary_ = target_;
  temporary_ += fmt::format(".{}-{}.tmp", ::getpid(), counter.fetch_add(1));
  if (std::error_code ignored; std::filesystem::is_directory(target_, ignored))
    fail("{}: is a directory, expected a file to write", target_.string());
  file_ = open_again(files_, temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file_ < 0) fail_file(target_, "write", -file_);
  created_ = true;
  buffer_.reserve(write_buffer);
}

FileWriter::~FileWriter() {
  if (file_ >= 0) close_once(files_, file_);
  if (created_) files_.unlink(temporary_.c_str());
}

void FileWriter::put(const char* bytes, size_t count) {
  while (count > 0) {
    const ssize_t written = files_.write(file_, bytes, count);
    if (written == -EINTR) continue;
    if (written == -EFAULT)
      fail("{}: cannot write: a file that its data comes from was shortened", target_.string());
    if (written < 0) fail_file(target_, "write", static_cast<int>(-written));
    if (written == 0) fail_file(target_, "write", EIO);
    bytes += written;
    count -= static_cast<size_t>(written);
  }
}

void FileWriter::flush() {
  put(buffer_.data(), buffer_.size());
  buffer_.clear();
}

void FileWriter::write(const void* bytes, size_t count) {
  if (file_ < 0) fail("{}: written after commit", target_.string());
  position_ += count;
  if (buffer_.size() + count > write_buffer) flush();
  if (count > write_buffer) return put(static_cast<const char*>(bytes), count);
  buffer_.append(static_cast<const char*>(bytes), count);
}

void FileWriter::pad(size_t count) {
  static constexpr char zeros[64] = {};
  for (; count > sizeof zeros; count -= sizeof zeros) write(zeros, sizeof zeros);
  write(zeros, count);
}

void FileWriter::commit() {
  if (file_ < 0) fail("{}: committed twice", target_.string());
  flush();
  if (const int result = sync_again(files_, file_); result < 0) fail_file(target_, "write", -result);
  const int closed = close_once(files_, std::exchange(file_, -1));
  if (closed < 0) fail_file(target_, "write", -closed);
  const int renamed = files_.rename(temporary_.c_str(), target_.c_str());
  if (renamed < 0) fail_file(target_, "write", -renamed);
  created_ = false;
  sync_directory(parent_of(target_), files_);
}

void write_file(const std::filesystem::path& path, std::string_view text, FileSystem& files) {
  FileWriter out(path, files);
  out.write(text);
  out.commit();
}

void make_directories(const std::filesystem::path& path, FileSystem& files) {
  std::filesystem::path so_far;
  for (const std::filesystem::path& part : plain(path)) {
    so_far /= part;
    std::error_code ignored;
    if (std::filesystem::is_directory(so_far, ignored)) continue;
    const int made = files.mkdir(so_far.c_str(), 0755);
    if (made < 0 && (made != -EEXIST || !std::filesystem::is_directory(so_far, ignored)))
      fail_file(so_far, "make the directory", -made);
    sync_directory(parent_of(so_far), files);
  }
}

void sync_directory(const std::filesystem::path& path, FileSystem& files) {
  const int file = open_again(files, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) fail_file(path, "sync the directory", -file);
  const int synced = sync_again(files, file);
  const int closed = close_once(files, file);
  // Some file systems (FUSE, network shares) cannot sync a directory and say so by EINVAL.
  if (synced < 0 && synced != -EINVAL) fail_file(path, "sync the directory", -synced);
  if (closed < 0) fail_file(path, "sync the directory", -closed);
}

void rename_path(const std::filesystem::path& from, const std::filesystem::path& to, FileSystem& files) {
  const int renamed = files.rename(plain(from).c_str(), plain(to).c_str());
  if (renamed < 0) fail("{}: cannot rename to {}: {}", from.string(), to.string(), reason(-renamed));
  sync_directory(parent_of(plain(to)), files);
}

void remove_file(const std::filesystem::path& path, FileSystem& files) {
  const int removed = files.unlink(path.c_str());
  if (removed < 0 && removed != -ENOENT) fail_file(path, "remove", -removed);
}

void remove_tree(const std::filesystem::path& path, FileSystem& files) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::symlink_status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) return;
  if (status.type() != std::filesystem::file_type::directory) return remove_file(path, files);
  std::vector<std::filesystem::path> entries;
  for (std::filesystem::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
    entries.push_back(it->path());
  if (error) fail("{}: cannot remove: {}", path.string(), error.message());
  for (const std::filesystem::path& entry : entries) remove_tree(entry, files);
  const int removed = files.rmdir(path.c_str());
  if (removed < 0 && removed != -ENOENT) fail_file(path, "remove", -removed);
}

// ---- hashes

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  if (!context_ || EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_), EVP_sha256(), nullptr) != 1)
    fail("SHA-256 is not available in libcrypto");
}

Sha256::~Sha256() { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_)); }

void Sha256::update(std::string_view bytes) {
  EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), bytes.data(), bytes.size());
}

std::string Sha256::hex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), digest, &length);
  std::string text;
  for (unsigned i = 0; i < length; i++) text += fmt::format("{:02x}", digest[i]);
  return text;
}

std::string sha256(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

std::string sha256_file(const std::filesystem::path& path) {
  SequentialFile file(path);
  Sha256 hash;
  std::string buffer(size_t{1} << 20, '\0');
  while (const size_t got = file.read(buffer.data(), buffer.size())) hash.update({buffer.data(), got});
  return hash.hex();
}

}  // namespace intarsia
