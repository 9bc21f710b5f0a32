#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <vector>

#include "core/fail.h"
#include "data/image/image.h"

namespace intarsia {

namespace {

constexpr png_uint_32 longest_side = 1 << 18;  // libpng keeps some rows of up to 8 bytes a pixel

// libpng takes what a chunk announces before it reads it; a lie must not cost more than the file has.
void check_chunks(const MappedFile& file) {
  constexpr size_t mark = 8, around = 12;  // a chunk's length, name and checksum
  for (std::string_view rest = file.text().substr(std::min(mark, file.size())); rest.size() >= around;) {
    uint32_t length = 0;
    for (int i = 0; i < 4; i++)
      length = length << 8 | static_cast<unsigned char>(rest[static_cast<size_t>(i)]);
    if (length > rest.size() - around)
      fail("{}: is no whole PNG: its chunk {} announces {} bytes, {} are left", file.name(),
           quote(rest.substr(4, 4)), length, rest.size() - around);
    rest.remove_prefix(around + length);
  }
}

// libpng is C: it cannot be left by an exception, so an error keeps its text and jumps back. Between setjmp
// and the jump only this object changes, and nothing that has a destructor is made.
class PngReader {
 public:
  explicit PngReader(const MappedFile& file) : file_(file) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    info_ = png_ ? png_create_info_struct(png_) : nullptr;
    if (!info_) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      fail("{}: libpng cannot start to read", file.name());
    }
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  // `orientation`: as an earlier reading found it; 0: as the file says before its pixels.
  Array read(int channels, uint64_t limit, int orientation = 0) {
    if (!read_header()) refuse();
    const int turn = orientation ? orientation : orientation_;
    canvas_ = Canvas(file_.name(), {height_, width_, channels_}, turn, channels, limit);
    row_.resize(width_ * static_cast<size_t>(channels_));
    if (!read_rows()) refuse();
    if (orientation || orientation_ == turn) return canvas_.take();
    // The orientation stood behind the pixels: once more, and turned.
    canvas_ = Canvas();
    return PngReader(file_).read(channels, limit, orientation_);
  }

 private:
  static void on_error(png_structp png, png_const_charp text) {
    auto* self = static_cast<PngReader*>(png_get_error_ptr(png));
    std::snprintf(self->what_, sizeof self->what_, "%s", text);
    std::longjmp(self->back_, 1);
  }
  static void on_warning(png_structp, png_const_charp) {}
  static void on_read(png_structp png, png_bytep to, size_t count) {
    auto* self = static_cast<PngReader*>(png_get_io_ptr(png));
    if (count > self->file_.size() - self->at_) png_error(png, "the file ends too early");
    std::memcpy(to, self->file_.data() + self->at_, count);
    self->at_ += count;
  }
  [[noreturn]] void refuse() { fail("{}: is no whole PNG: {}", file_.name(), what_); }

  // Up to the pixels: the size, and what to make of palettes, 16 bits and transparency.
  bool read_header() {
    if (setjmp(back_)) return false;
    png_set_read_fn(png_, this, on_read);
    png_set_chunk_malloc_max(png_, size_t{8} << 20);
    png_set_chunk_cache_max(png_, 256);
    png_set_user_limits(png_, longest_side, longest_side);
    png_read_info(png_, info_);
    png_set_expand(png_);
    png_set_scale_16(png_);
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    height_ = png_get_image_height(png_, info_);
    width_ = png_get_image_width(png_, info_);
    channels_ = png_get_channels(png_, info_);
    find_orientation();
    return true;
  }
  bool read_rows() {
    if (setjmp(back_)) return false;
    for (int pass = 0; pass < passes_; pass++) {
      // Of an interlaced picture (Adam7) a pass has some rows and some columns.
      const bool all = passes_ == 1;
      const int64_t first = all ? 0 : PNG_PASS_START_COL(pass), step = all ? 1 : PNG_PASS_COL_OFFSET(pass);
      for (size_t y = 0; y < height_; y++) {
        png_read_row(png_, row_.data(), nullptr);
        if (all || PNG_ROW_IN_INTERLACE_PASS(y, pass))
          canvas_.put(static_cast<int64_t>(y), row_.data(), first, step);
      }
    }
    png_read_end(png_, info_);
    find_orientation();
    return true;
  }

  void find_orientation() {
    png_bytep exif = nullptr;
    png_uint_32 length = 0;
    if (png_get_eXIf_1(png_, info_, &length, &exif))
      orientation_ = exif_orientation({reinterpret_cast<const char*>(exif), length});
  }

  const MappedFile& file_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::jmp_buf back_;
  char what_[200] = "";
  size_t at_ = 0, height_ = 0, width_ = 0;
  int channels_ = 0, passes_ = 1, orientation_ = 1;
  Canvas canvas_;
  std::vector<uint8_t> row_;
};

}  // namespace

Array read_png(const MappedFile& file, int channels, uint64_t limit) {
  check_chunks(file);
  return PngReader(file).read(channels, limit);
}

}  // namespace intarsia
