// Pictures: what the readers of PNG and JPEG share. The public function is in intarsia/data.h.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "data/file.h"
#include "intarsia/data.h"

namespace intarsia {

// u8 [height, width, channels]; 0 channels: as stored. `limit`: bytes that the pixels may take; 0: 32 MB + 20
// times the size of the file.
Array parse_image(const std::shared_ptr<const MappedFile>& file, int channels, uint64_t limit = 0);
Array read_png(const MappedFile& file, int channels, uint64_t limit);
Array read_jpeg(const MappedFile& file, int channels, uint64_t limit);

// A picture that its reader fills row by row: turned as EXIF says and with the channels that are wanted as
// the rows come, so that it is in memory once.
class Canvas {
 public:
  struct Size {
    uint64_t height, width;
    int channels;
  };
  Canvas() = default;
  // For a stored picture of this size and orientation (1 to 8), after the check of its limit.
  Canvas(const std::string& file, const Size& stored, int orientation, int channels, uint64_t limit);
  // Pixels of stored row y: those of columns first, first + step, ...
  void put(int64_t y, const uint8_t* row, int64_t first = 0, int64_t step = 1);
  Array take() { return std::move(pixels_); }

 private:
  Array pixels_;
  uint8_t* to_ = nullptr;
  int64_t width_ = 0;
  int had_ = 0, wanted_ = 0;
  // Where stored pixel (y, x) goes: start + y * down + x * right, in bytes.
  int64_t start_ = 0, down_ = 0, right_ = 0;
};

// The orientation that an EXIF block (a TIFF header and its first directory) names; 1 where it names none or
// is damaged.
int exif_orientation(std::string_view exif);

}  // namespace intarsia
