// Gzip (RFC 1952): bytes unpacked as they are asked for, so that a header is checked before its data takes
// memory.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "data/file.h"

namespace intarsia {

bool is_gzip(std::string_view bytes);

// What a packed file of this size may unpack to: 32 MB + 20 times its size, or what the caller asked for.
// Real data stays below, a bomb does not.
uint64_t unpacked_limit(uint64_t packed_bytes, uint64_t asked = 0);

// Bytes from start to end: unpacked if they are gzip (members may follow each other), else as they are.
class Unpacker {
 public:
  // `input` gives the next bytes each time, none at the end; they must last until it is called again.
  using Input = std::function<std::string_view()>;
  Unpacker(Input input, std::string name);
  explicit Unpacker(const std::shared_ptr<const MappedFile>& file);
  ~Unpacker();
  Unpacker(const Unpacker&) = delete;
  Unpacker& operator=(const Unpacker&) = delete;

  // Up to `count` bytes; fewer only at the end. Errors: damaged or truncated gzip.
  size_t read(char* to, size_t count);
  // Exactly `count` bytes of `what`; an Error names the file if it ends before.
  void read_all(char* to, size_t count, const char* what);
  bool ended();  // whether nothing follows

 private:
  struct Zlib;
  bool refill();  // false at the end of the input
  Input input_;
  std::string name_;
  std::string_view chunk_;      // of the input, not yet used
  std::unique_ptr<Zlib> zlib_;  // null: the input is not packed
};

// A text, gzipped or not, read from its start to its end through a window on what is not consumed yet: of a
// packed file a buffer that is filled again and again, of another one the file itself.
class TextWindow {
 public:
  // `limit`: what a packed text may unpack to.
  TextWindow(std::shared_ptr<const MappedFile> file, uint64_t limit);

  std::string_view text() const { return text_; }
  // Unpacks more behind it, and moves it; false where the text has no more. Errors: damaged gzip, a text
  // above the limit, 8 MB that are not consumed.
  bool more();
  void consume(size_t bytes) { text_.remove_prefix(bytes); }

 private:
  std::shared_ptr<const MappedFile> file_;
  uint64_t limit_, unpacked_ = 0;
  std::unique_ptr<Unpacker> unpacker_;  // null: the file is not packed
  std::string buffer_;
  std::string_view text_;
};

}  // namespace intarsia
