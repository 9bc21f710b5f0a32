// Pictures: what the readers of PNG and JPEG share. The public function is in intarsia/data.h.
#pragma once
#include <cstdint>

#include "data/file.h"
#include "intarsia/data.h"

namespace intarsia {

// 30 MB + 20 times the size of the file.
uint64_t image_limit(uint64_t file_bytes);

// `limit`: bytes that the pixels may take. Both give u8 [height, width, channels] as stored.
Array parse_image(const std::shared_ptr<const MappedFile>& file, int channels, uint64_t limit);

// A picture as its file has it, and how EXIF says it must be turned: 1 to 8 (1: not at all).
struct RawImage {
  Array pixels;
  int orientation = 1;
};
RawImage read_png(const MappedFile& file, uint64_t limit);
RawImage read_jpeg(const MappedFile& file, uint64_t limit);

// The orientation that an EXIF block (a TIFF header and its first directory) names; 1 where it names none or
// is damaged.
int exif_orientation(std::string_view exif);

// The array for a picture of this size, after the check of its limit.
Array allocate_image(const std::string& file, uint64_t height, uint64_t width, int channels, uint64_t limit);

}  // namespace intarsia
