// Gzip (RFC 1952): bytes unpacked as they are asked for, so that a header is checked before its data takes
// memory.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "data/file.h"

namespace intarsia {

bool is_gzip(std::string_view bytes);

// What a packed file of this size may unpack to: 16 MB + 20 times its size. Real data stays below, a bomb
// does not.
uint64_t unpacked_limit(uint64_t packed_bytes);

// Bytes from start to end: unpacked if they are gzip (members may follow each other), else as they are.
class Unpacker {
 public:
  // `input` gives the next bytes each time, none at the end; they must last until it is called again.
  using Input = std::function<std::string_view()>;
  Unpacker(Input input, std::string name);
  explicit Unpacker(std::shared_ptr<const MappedFile> file);
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

// The file itself or, if it is gzip, what it unpacks to, in memory.
std::shared_ptr<const MappedFile> unpacked(const std::shared_ptr<const MappedFile>& file);

}  // namespace intarsia
