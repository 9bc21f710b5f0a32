#include "data/idx.h"

#include <algorithm>
#include <bit>

#include "core/fail.h"
#include "data/gzip.h"

namespace intarsia {

namespace {

struct TypeCode {
  int code;
  DType dtype;
};
constexpr TypeCode types[] = {{0x08, DType::u8},  {0x09, DType::i8},  {0x0B, DType::i16},
                              {0x0C, DType::i32}, {0x0D, DType::f32}, {0x0E, DType::f64}};

DType type_of(int code, const std::string& file) {
  for (const TypeCode& type : types)
    if (type.code == code) return type.dtype;
  fail("{}: the idx type is 0x{:02x}, expected 08 (u8), 09 (i8), 0b (i16), 0c (i32), 0d (f32) or 0e (f64)",
       file, code);
}

static_assert(std::endian::native == std::endian::little, "idx is big endian: its elements are turned");

void turn_elements(char* bytes, int64_t count, int width) {
  if (width == 1) return;
  for (int64_t i = 0; i < count; i++, bytes += width) std::reverse(bytes, bytes + width);
}

}  // namespace

// The layout: two zero bytes, the type, the rank, each length as u32, then the elements; all big endian.
Array parse_idx(const std::shared_ptr<const MappedFile>& file, uint64_t asked) {
  Unpacker in(file);
  unsigned char start[4];
  in.read_all(reinterpret_cast<char*>(start), sizeof start, "the start of an idx file");
  if (start[0] != 0 || start[1] != 0)
    fail("{}: starts with bytes {:02x} {:02x}, expected the 00 00 of an idx file", file->name(), start[0],
         start[1]);
  const DType dtype = type_of(start[2], file->name());
  const int rank = start[3];
  if (rank > Shape::max_rank)
    fail("{}: has {} axes, expected at most {}", file->name(), rank, Shape::max_rank);
  Shape shape;
  for (int axis = 0; axis < rank; axis++) {
    unsigned char length[4];
    in.read_all(reinterpret_cast<char*>(length), sizeof length, "the length of an axis");
    shape.append(int64_t{length[0]} << 24 | length[1] << 16 | length[2] << 8 | length[3]);
  }
  const uint64_t bytes = checked_bytes(shape, dtype, file->name());
  const uint64_t limit = is_gzip(file->text()) ? unpacked_limit(file->size(), asked) : file->size();
  if (bytes > limit)
    fail("{}: shape {} of {} takes {} bytes, but a file of {} bytes holds no more than {}", file->name(),
         shape.text(), info(dtype).name, bytes, file->size(), limit);
  Array array = Array::empty(shape, dtype);
  if (bytes) {
    auto* to = static_cast<char*>(array.raw_mutable());
    in.read_all(to, bytes, "its array");
    turn_elements(to, array.size(), info(dtype).bytes);
  }
  if (!in.ended()) fail("{}: bytes follow the array {}", file->name(), shape.text());
  return array;
}

Array read_idx(const std::filesystem::path& path, uint64_t limit) {
  return read_mapped(path, [&](const auto& file) { return parse_idx(file, limit); });
}

}  // namespace intarsia
