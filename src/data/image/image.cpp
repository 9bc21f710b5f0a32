#include "data/image/image.h"

#include <cstring>
#include <utility>

#include "core/fail.h"

namespace intarsia {

namespace {

// Turned or mirrored as EXIF's orientation says (CIPA DC-008, tag 0x0112): it names the sides of the picture
// that the first row and the first column of the stored pixels are.
Array upright(const Array& stored, int orientation) {
  if (orientation <= 1 || orientation > 8) return stored;
  const int64_t rows = stored.dim(0), columns = stored.dim(1), channels = stored.dim(2);
  const bool swaps = orientation >= 5;
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Array turned = Array::empty({swaps ? columns : rows, swaps ? rows : columns, channels}, DType::u8);
  const auto* from = stored.data<uint8_t>();
  auto* to = turned.mutable_data<uint8_t>();
  for (int64_t y = 0; y < turned.dim(0); y++) {
    for (int64_t x = 0; x < turned.dim(1); x++, to += channels) {
      int64_t row = swaps ? x : y, column = swaps ? y : x;
      if (from_bottom) row = rows - 1 - row;
      if (from_right) column = columns - 1 - column;
      std::memcpy(to, from + (row * columns + column) * channels, static_cast<size_t>(channels));
    }
  }
  return turned;
}

// Gray of a colour: ITU-R 601 luma in 16-bit fixed point.
uint8_t luma(const uint8_t* p) {
  return static_cast<uint8_t>((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000u) >> 16);
}

Array with_channels(const Array& image, int wanted, const std::string& file, uint64_t limit) {
  const auto had = static_cast<int>(image.dim(2));
  if (wanted == 0 || wanted == had) return image;
  Array result = allocate_image(file, static_cast<uint64_t>(image.dim(0)),
                                static_cast<uint64_t>(image.dim(1)), wanted, limit);
  const auto* from = image.data<uint8_t>();
  auto* to = result.mutable_data<uint8_t>();
  const bool colour = had >= 3, alpha = had == 2 || had == 4;
  for (int64_t i = image.dim(0) * image.dim(1); i > 0; i--, from += had, to += wanted) {
    if (wanted <= 2)
      to[0] = colour ? luma(from) : from[0];
    else
      for (int c = 0; c < 3; c++) to[c] = from[colour ? c : 0];
    if (wanted == 2 || wanted == 4) to[wanted - 1] = alpha ? from[had - 1] : 255;
  }
  return result;
}

uint32_t number_at(std::string_view bytes, size_t at, size_t count, bool little) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; i++) {
    const auto byte = static_cast<unsigned char>(bytes[at + (little ? count - 1 - i : i)]);
    value = value << 8 | byte;
  }
  return value;
}

}  // namespace

int exif_orientation(std::string_view exif) {
  constexpr uint32_t tag = 0x0112, type_short = 3;
  constexpr size_t entry_bytes = 12;
  if (exif.size() < 10) return 1;
  const bool little = exif.starts_with("II");
  if (!little && !exif.starts_with("MM")) return 1;
  const size_t directory = number_at(exif, 4, 4, little);
  if (directory > exif.size() - 2) return 1;
  const size_t entries = number_at(exif, directory, 2, little);
  for (size_t i = 0; i < entries; i++) {
    const size_t at = directory + 2 + i * entry_bytes;
    if (at + entry_bytes > exif.size()) return 1;
    if (number_at(exif, at, 2, little) != tag || number_at(exif, at + 2, 2, little) != type_short) continue;
    const auto found = static_cast<int>(number_at(exif, at + 8, 2, little));
    return found >= 1 && found <= 8 ? found : 1;
  }
  return 1;
}

uint64_t image_limit(uint64_t file_bytes) { return (uint64_t{30} << 20) + 20 * file_bytes; }

Array allocate_image(const std::string& file, uint64_t height, uint64_t width, int channels, uint64_t limit) {
  // Both formats keep sides in 32 bits, so the product fits.
  const uint64_t pixels = height * width;
  if (pixels == 0 || pixels > limit / static_cast<uint64_t>(channels))
    fail("{}: a picture of {} x {} pixels and {} channels, expected at most {} bytes of pixels", file, width,
         height, channels, limit);
  return Array::empty({static_cast<int64_t>(height), static_cast<int64_t>(width), channels}, DType::u8);
}

Array parse_image(const std::shared_ptr<const MappedFile>& file, int channels, uint64_t limit) {
  if (channels < 0 || channels > 4) fail("read_image: channels is {}, expected 0 to 4", channels);
  RawImage raw;
  if (file->text().starts_with("\x89PNG"))
    raw = read_png(*file, limit);
  else if (file->text().starts_with("\xff\xd8"))
    raw = read_jpeg(*file, limit);
  else
    fail("{}: is neither PNG nor JPEG: it starts with {}", file->name(), quote(file->text().substr(0, 8)));
  const Array turned = upright(std::exchange(raw.pixels, Array()), raw.orientation);
  return with_channels(turned, channels, file->name(), limit);
}

Array read_image(const std::filesystem::path& path, int channels) {
  return read_mapped(
      path, [&](const auto& file) { return parse_image(file, channels, image_limit(file->size())); });
}

}  // namespace intarsia
