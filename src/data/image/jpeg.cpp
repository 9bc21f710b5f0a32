#include <csetjmp>
#include <cstdio>
// jpeglib.h needs FILE.
#include <jpeglib.h>

#include <jerror.h>

#include <vector>

#include "core/fail.h"
#include "data/image/image.h"

namespace intarsia {

namespace {

constexpr int most_scans = 100;  // of a progressive file: real ones have about ten
constexpr std::string_view exif_mark("Exif\0\0", 6);

// libjpeg is C: it cannot be left by an exception, so an error keeps its text and jumps back. Between setjmp
// and the jump only this object changes, and nothing that has a destructor is made.
class JpegReader {
 public:
  explicit JpegReader(const MappedFile& file) : file_(file) {
    jpeg_.err = jpeg_std_error(&errors_);
    errors_.error_exit = on_error;
    errors_.emit_message = on_message;
    jpeg_.client_data = this;
    progress_.progress_monitor = on_progress;
  }
  ~JpegReader() {
    if (created_) jpeg_destroy_decompress(&jpeg_);
  }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  Array read(int channels, uint64_t limit) {
    if (!read_header()) refuse();
    // A progressive file needs its coefficients, 2 bytes each, beside the pixels.
    const uint64_t room = jpeg_has_multiple_scans(&jpeg_) ? limit / 3 : limit;
    inks_ = jpeg_.num_components == 4;
    canvas_ = Canvas(file_.name(), {jpeg_.image_height, jpeg_.image_width, inks_ ? 3 : jpeg_.num_components},
                     orientation_, channels, room);
    row_.resize(size_t{jpeg_.image_width} * static_cast<size_t>(jpeg_.num_components));
    if (!read_rows()) refuse();
    return canvas_.take();
  }

 private:
  static JpegReader& self(j_common_ptr jpeg) { return *static_cast<JpegReader*>(jpeg->client_data); }
  static void on_error(j_common_ptr jpeg) {
    jpeg->err->format_message(jpeg, self(jpeg).what_);
    std::longjmp(self(jpeg).back_, 1);
  }
  // A file that ends too early is a warning to libjpeg, which paints the rest gray; here it is an error.
  static void on_message(j_common_ptr jpeg, int level) {
    if (level < 0 && (jpeg->err->msg_code == JWRN_JPEG_EOF || jpeg->err->msg_code == JWRN_HIT_MARKER))
      on_error(jpeg);
  }
  static void on_progress(j_common_ptr jpeg) {
    if (reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number <= most_scans) return;
    std::snprintf(self(jpeg).what_, sizeof what_, "it has more than %d scans", most_scans);
    std::longjmp(self(jpeg).back_, 1);
  }
  [[noreturn]] void refuse() { fail("{}: is no whole JPEG: {}", file_.name(), what_); }

  bool read_header() {
    if (setjmp(back_)) return false;
    jpeg_create_decompress(&jpeg_);
    created_ = true;
    jpeg_.client_data = this;
    jpeg_.progress = &progress_;
    jpeg_mem_src(&jpeg_, reinterpret_cast<const unsigned char*>(file_.data()), file_.size());
    jpeg_save_markers(&jpeg_, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&jpeg_, TRUE);
    for (auto* marker = jpeg_.marker_list; marker; marker = marker->next) {
      std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
      if (!data.starts_with(exif_mark)) continue;
      orientation_ = exif_orientation(data.substr(exif_mark.size()));
      break;
    }
    switch (jpeg_.num_components) {
      case 1:
        jpeg_.out_color_space = JCS_GRAYSCALE;
        return true;
      case 3:
        jpeg_.out_color_space = JCS_RGB;
        return true;
      case 4:
        jpeg_.out_color_space = JCS_CMYK;
        return true;
      default:
        std::snprintf(what_, sizeof what_, "it has %d components, expected 1, 3 or 4", jpeg_.num_components);
        return false;
    }
  }
  bool read_rows() {
    if (setjmp(back_)) return false;
    jpeg_start_decompress(&jpeg_);
    JSAMPROW row = row_.data();
    while (jpeg_.output_scanline < jpeg_.output_height) {
      const int64_t y = jpeg_.output_scanline;
      jpeg_read_scanlines(&jpeg_, &row, 1);
      if (inks_) colours_of_inks();
      canvas_.put(y, row);
    }
    jpeg_finish_decompress(&jpeg_);
    return true;
  }
  // Adobe's programs, which all such files come from, store inks inverted: 255 is no ink.
  void colours_of_inks() {
    const uint8_t* from = row_.data();
    uint8_t* to = row_.data();
    const auto paper = [&](uint8_t ink) { return jpeg_.saw_Adobe_marker ? ink : 255 - ink; };
    for (JDIMENSION x = 0; x < jpeg_.output_width; x++, from += 4) {
      const int white = paper(from[3]);
      for (int c = 0; c < 3; c++) *to++ = static_cast<uint8_t>((paper(from[c]) * white + 127) / 255);
    }
  }

  const MappedFile& file_;
  jpeg_decompress_struct jpeg_{};
  jpeg_error_mgr errors_{};
  jpeg_progress_mgr progress_{};
  std::jmp_buf back_;
  bool created_ = false;
  char what_[JMSG_LENGTH_MAX] = "";
  bool inks_ = false;
  int orientation_ = 1;
  Canvas canvas_;
  std::vector<uint8_t> row_;
};

}  // namespace

Array read_jpeg(const MappedFile& file, int channels, uint64_t limit) {
  return JpegReader(file).read(channels, limit);
}

}  // namespace intarsia
