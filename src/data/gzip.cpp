#include "data/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <utility>

#include "core/fail.h"

namespace intarsia {

namespace {
constexpr int gzip_window = 15 + 16;  // zlib's code for gzip with the largest window
constexpr std::string_view gzip_mark = "\x1f\x8b";
constexpr size_t smallest_window = size_t{1} << 16, largest_window = size_t{8} << 20;
}  // namespace

bool is_gzip(std::string_view bytes) { return bytes.starts_with(gzip_mark); }

uint64_t unpacked_limit(uint64_t packed_bytes, uint64_t asked) {
  return asked ? asked : (uint64_t{32} << 20) + 20 * packed_bytes;
}

struct Unpacker::Zlib {
  z_stream stream{};
  bool member_ended = false;
  Zlib() {
    if (inflateInit2(&stream, gzip_window) != Z_OK) fail("zlib cannot start to unpack");
  }
  ~Zlib() { inflateEnd(&stream); }
};

Unpacker::Unpacker(Input input, std::string name) : input_(std::move(input)), name_(std::move(name)) {
  if (refill() && is_gzip(chunk_)) zlib_ = std::make_unique<Zlib>();
}

Unpacker::Unpacker(const std::shared_ptr<const MappedFile>& file)
    : Unpacker([file, given = false]() mutable { return std::exchange(given, true) ? "" : file->text(); },
               file->name()) {}

Unpacker::~Unpacker() = default;

bool Unpacker::refill() {
  if (chunk_.empty()) chunk_ = input_();
  return !chunk_.empty();
}

size_t Unpacker::read(char* to, size_t count) {
  size_t done = 0;
  while (done < count) {
    const bool more = refill();
    if (!zlib_) {
      if (!more) break;
      const size_t part = std::min(count - done, chunk_.size());
      std::memcpy(to + done, chunk_.data(), part);
      chunk_.remove_prefix(part);
      done += part;
      continue;
    }
    z_stream& z = zlib_->stream;
    if (zlib_->member_ended) {
      // Another member may follow; anything else behind the last one is left alone, as gzip does with zeros.
      if (!more || chunk_.front() != gzip_mark.front()) break;
      inflateReset(&z);
      zlib_->member_ended = false;
    }
    if (!more) fail("{}: cannot be unpacked: the file ends too early", name_);
    const auto room = static_cast<uInt>(std::min<size_t>(count - done, INT_MAX));
    const auto given = static_cast<uInt>(std::min<size_t>(chunk_.size(), INT_MAX));
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(chunk_.data()));  // only read
    z.avail_in = given;
    z.next_out = reinterpret_cast<Bytef*>(to + done);
    z.avail_out = room;
    const int result = inflate(&z, Z_NO_FLUSH);
    chunk_.remove_prefix(given - z.avail_in);
    done += room - z.avail_out;
    zlib_->member_ended = result == Z_STREAM_END;
    if (result == Z_OK || result == Z_STREAM_END || (result == Z_BUF_ERROR && chunk_.empty())) continue;
    fail("{}: cannot be unpacked: {}", name_, z.msg ? z.msg : "the gzip data is damaged");
  }
  return done;
}

void Unpacker::read_all(char* to, size_t count, const char* what) {
  const size_t got = read(to, count);
  if (got < count) fail("{}: {} takes {} bytes, but the file ends after {} of them", name_, what, count, got);
}

bool Unpacker::ended() {
  char byte;
  return read(&byte, 1) == 0;
}

TextWindow::TextWindow(std::shared_ptr<const MappedFile> file, uint64_t limit)
    : file_(std::move(file)), limit_(limit) {
  if (is_gzip(file_->text())) {
    unpacker_ = std::make_unique<Unpacker>(file_);
    more();
  } else {
    text_ = file_->text();
  }
}

bool TextWindow::more() {
  if (!unpacker_) return false;
  const size_t left = text_.size();
  std::copy(text_.begin(), text_.end(), buffer_.begin());
  if (left >= buffer_.size() / 2) {
    if (buffer_.size() == largest_window)
      fail("{}: a line takes more than {} bytes, expected less in a packed text", file_->name(), left);
    buffer_.resize(std::max(smallest_window, 2 * buffer_.size()));
  }
  const size_t got = unpacker_->read(buffer_.data() + left, buffer_.size() - left);
  text_ = std::string_view(buffer_).substr(0, left + got);
  unpacked_ += got;
  if (unpacked_ > limit_)
    fail("{}: unpacks to more than {} bytes, which is not expected of {} packed bytes", file_->name(), limit_,
         file_->size());
  return got > 0;
}

}  // namespace intarsia
