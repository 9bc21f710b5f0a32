#include "train/report/events.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "core/fail.h"

namespace intarsia {

namespace {

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    table[byte] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> crc_table = make_crc_table();

template <class T>
void put_bytes(std::string& out, T value) {
  static_assert(std::endian::native == std::endian::little);
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

// Protocol buffers' wire format, as far as an Event needs it. A field begins with number * 8 + wire type.
enum WireType : uint32_t { varint_type = 0, eight_bytes = 1, counted_bytes = 2, four_bytes = 5 };

void put_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}
void put_key(std::string& out, uint32_t field, WireType type) { put_varint(out, field << 3 | type); }
void put_integer(std::string& out, uint32_t field, int64_t value) {
  put_key(out, field, varint_type);
  put_varint(out, static_cast<uint64_t>(value));
}
void put_double(std::string& out, uint32_t field, double value) {
  put_key(out, field, eight_bytes);
  put_bytes(out, value);
}
void put_float(std::string& out, uint32_t field, float value) {
  put_key(out, field, four_bytes);
  put_bytes(out, value);
}
void put_text(std::string& out, uint32_t field, std::string_view text) {
  put_key(out, field, counted_bytes);
  put_varint(out, text.size());
  out += text;
}

// Fields of Event, Summary, Summary.Value and SessionLog in event.proto and summary.proto.
namespace event {
constexpr uint32_t wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7;
}
namespace summary {
constexpr uint32_t value = 1, value_tag = 1, value_simple = 2;
}
namespace session_log {
constexpr uint32_t status = 1;
constexpr int64_t status_start = 1;
}  // namespace session_log

double now() {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

std::string begin_event(double time, int64_t step) {
  std::string out;
  put_double(out, event::wall_time, time);
  if (step != 0) put_integer(out, event::step, step);
  return out;
}

std::string framed(std::string_view bytes) {
  std::string length, out;
  put_bytes(length, static_cast<uint64_t>(bytes.size()));
  out = length;
  put_bytes(out, masked_crc32c(length));
  out += bytes;
  put_bytes(out, masked_crc32c(bytes));
  return out;
}

constexpr std::string_view name_start = "events.out.tfevents.";

// TensorBoard reads the files of a directory in the order of their names, so a new one must come last, also
// if it is made in the same second as the one before.
std::string file_name(const std::filesystem::path& directory, double time) {
  auto second = static_cast<int64_t>(time);
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(name_start))
      second = std::max<int64_t>(second, std::atoll(name.c_str() + name_start.size()) + 1);
  }
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  return fmt::format("{}{:010}.{}.{}.0", name_start, second, host, ::getpid());
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) crc = crc >> 8 ^ crc_table[(crc ^ static_cast<unsigned char>(byte)) & 0xff];
  return ~crc;
}

uint32_t masked_crc32c(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8u; }

EventWriter::EventWriter(const std::filesystem::path& directory, int64_t first_step, FileSystem& files) {
  make_directories(directory, files);
  const double time = now();
  file_ = std::make_unique<AppendFile>(directory / file_name(directory, time), files, true);
  std::string version = begin_event(time, 0);
  put_text(version, event::file_version, "brain.Event:2");
  file_->append(framed(version));
  if (first_step <= 0) return;
  std::string start = begin_event(time, first_step), log;
  put_integer(log, session_log::status, session_log::status_start);
  put_text(start, event::session_log, log);
  file_->append(framed(start));
}

void EventWriter::add(int64_t step, std::span<const Scalar> scalars, double time) {
  std::string values;
  for (const Scalar& scalar : scalars) {
    if (!std::isfinite(scalar.value)) continue;
    std::string value;
    put_text(value, summary::value_tag, scalar.tag);
    put_float(value, summary::value_simple, static_cast<float>(scalar.value));
    put_text(values, summary::value, value);
  }
  if (values.empty()) return;
  std::string bytes = begin_event(time > 0 ? time : now(), step);
  put_text(bytes, event::summary, values);
  file_->append(framed(bytes));
}

}  // namespace intarsia
