#include "data/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <climits>
#include <cstring>

#include "core/fail.h"

namespace intarsia {

namespace {
constexpr int gzip_window = 15 + 16;  // zlib's code for gzip with the largest window
constexpr size_t step = size_t{1} << 18;
}  // namespace

bool is_gzip(std::string_view bytes) { return bytes.starts_with("\x1f\x8b"); }

uint64_t unpacked_limit(uint64_t packed_bytes) { return (uint64_t{32} << 20) + 20 * packed_bytes; }

struct Unpacker::Zlib {
  z_stream stream{};
  bool member_ended = false;
  Zlib() {
    if (inflateInit2(&stream, gzip_window) != Z_OK) fail("zlib cannot start to unpack");
  }
  ~Zlib() { inflateEnd(&stream); }
};

Unpacker::Unpacker(std::shared_ptr<const MappedFile> file) : file_(std::move(file)) {
  if (!is_gzip(file_->text())) return;
  zlib_ = std::make_unique<Zlib>();
  zlib_->stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(file_->data()));  // only read
}

Unpacker::~Unpacker() = default;

size_t Unpacker::read(char* to, size_t count) {
  if (!zlib_) {
    const size_t got = std::min(count, file_->size() - at_);
    if (got) std::memcpy(to, file_->data() + at_, got);
    at_ += got;
    return got;
  }
  z_stream& z = zlib_->stream;
  const auto left = [&] {
    return file_->size() - static_cast<size_t>(reinterpret_cast<const char*>(z.next_in) - file_->data());
  };
  size_t done = 0;
  while (done < count) {
    if (zlib_->member_ended) {
      if (left() == 0) break;
      // Another member may follow; anything else behind the last one is left alone, as gzip does with zeros.
      if (!is_gzip({reinterpret_cast<const char*>(z.next_in), left()})) break;
      inflateReset(&z);
      zlib_->member_ended = false;
    }
    const auto room = static_cast<uInt>(std::min<size_t>(count - done, INT_MAX));
    z.avail_in = static_cast<uInt>(std::min<size_t>(left(), INT_MAX));
    z.next_out = reinterpret_cast<Bytef*>(to + done);
    z.avail_out = room;
    const int result = inflate(&z, Z_NO_FLUSH);
    done += room - z.avail_out;
    zlib_->member_ended = result == Z_STREAM_END;
    if (result == Z_OK || result == Z_STREAM_END) continue;
    fail("{}: cannot be unpacked: {}", file_->name(),
         result == Z_BUF_ERROR ? "the file ends too early"
         : z.msg               ? z.msg
                               : "the gzip data is damaged");
  }
  return done;
}

void Unpacker::read_all(char* to, size_t count, const char* what) {
  const size_t got = read(to, count);
  if (got < count)
    fail("{}: {} takes {} bytes, but the file ends after {} of them", file_->name(), what, count, got);
}

bool Unpacker::ended() {
  char byte;
  return read(&byte, 1) == 0;
}

std::shared_ptr<const MappedFile> unpacked(const std::shared_ptr<const MappedFile>& file) {
  if (!is_gzip(file->text())) return file;
  const uint64_t limit = unpacked_limit(file->size());
  Unpacker in(file);
  std::string bytes;
  for (size_t got = 1; got > 0;) {
    const size_t before = bytes.size();
    bytes.resize(before + step);
    got = in.read(bytes.data() + before, step);
    bytes.resize(before + got);
    if (bytes.size() > limit)
      fail("{}: unpacks to more than {} bytes, which is not expected of {} packed bytes", file->name(), limit,
           file->size());
  }
  return MappedFile::of_memory(file->name(), bytes);
}

}  // namespace intarsia
