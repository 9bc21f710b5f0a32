#include "data/image/image.h"

#include <algorithm>

#include "core/fail.h"
#include "data/gzip.h"

namespace intarsia {

namespace {

// Gray of a colour: ITU-R 601 luma in 16-bit fixed point.
uint8_t luma(const uint8_t* p) {
  return static_cast<uint8_t>((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000u) >> 16);
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

Canvas::Canvas(const std::string& file, const Size& stored, int orientation, int channels, uint64_t limit)
    : width_(static_cast<int64_t>(stored.width)), had_(stored.channels), wanted_(channels ? channels : had_) {
  // Both formats keep sides in 32 bits, so the product fits.
  const uint64_t pixels = stored.height * stored.width;
  const int most = std::max(had_, wanted_);
  if (pixels == 0 || pixels > limit / static_cast<uint64_t>(most))
    fail("{}: a picture of {} x {} pixels and {} channels, expected at most {} bytes of pixels", file,
         stored.width, stored.height, most, limit);
  const auto rows = static_cast<int64_t>(stored.height), columns = width_;
  // EXIF's orientation (CIPA DC-008, tag 0x0112) names the sides that the first row and the first column are.
  const bool swaps = orientation >= 5;
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  down_ = swaps ? wanted_ : columns * wanted_;
  right_ = swaps ? rows * wanted_ : wanted_;
  if (from_bottom) {
    start_ += (rows - 1) * down_;
    down_ = -down_;
  }
  if (from_right) {
    start_ += (columns - 1) * right_;
    right_ = -right_;
  }
  pixels_ = Array::empty({swaps ? columns : rows, swaps ? rows : columns, wanted_}, DType::u8);
  to_ = pixels_.mutable_data<uint8_t>();
}

void Canvas::put(int64_t y, const uint8_t* row, int64_t first, int64_t step) {
  uint8_t* to = to_ + start_ + y * down_ + first * right_;
  const uint8_t* from = row + first * had_;
  const bool colour = had_ >= 3, alpha = had_ == 2 || had_ == 4;
  for (int64_t x = first; x < width_; x += step, from += step * had_, to += step * right_) {
    if (wanted_ == had_) {
      for (int c = 0; c < had_; c++) to[c] = from[c];
      continue;
    }
    if (wanted_ <= 2)
      to[0] = colour ? luma(from) : from[0];
    else
      for (int c = 0; c < 3; c++) to[c] = from[colour ? c : 0];
    if (wanted_ == 2 || wanted_ == 4) to[wanted_ - 1] = alpha ? from[had_ - 1] : 255;
  }
}

Array parse_image(const std::shared_ptr<const MappedFile>& file, int channels, uint64_t limit) {
  if (channels < 0 || channels > 4) fail("read_image: channels is {}, expected 0 to 4", channels);
  limit = unpacked_limit(file->size(), limit);
  if (file->text().starts_with("\x89PNG")) return read_png(*file, channels, limit);
  if (file->text().starts_with("\xff\xd8")) return read_jpeg(*file, channels, limit);
  fail("{}: is neither PNG nor JPEG: it starts with {}", file->name(), quote(file->text().substr(0, 8)));
}

Array read_image(const std::filesystem::path& path, int channels, uint64_t limit) {
  return read_mapped(path, [&](const auto& file) { return parse_image(file, channels, limit); });
}

}  // namespace intarsia
