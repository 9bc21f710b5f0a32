// TensorBoard event files: records of serialized Event messages (tensorflow/core/util/event.proto), framed as
// TFRecord: length, masked CRC-32C of it, bytes, masked CRC-32C of them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "train/run/append.h"

namespace intarsia {

struct Scalar {
  std::string_view tag;  // "loss/train"
  double value;          // not finite: left out
};

// Writes one new file events.out.tfevents.TIME.HOST.PID.N into `directory` (made if missing). TensorBoard
// joins the files of a directory in the order of their names. With `first_step`, TensorBoard forgets what
// earlier files say about that step and later ones: a resume hands over the first step that it computes
// again.
class EventWriter {
 public:
  explicit EventWriter(const std::filesystem::path& directory, int64_t first_step = 0,
                       FileSystem& files = system_files());
  // The scalars of one step, handed to the system when this returns. `time` is in unix seconds, 0: now.
  void add(int64_t step, std::span<const Scalar> scalars, double time = 0);
  const std::filesystem::path& path() const { return file_->path(); }

 private:
  std::unique_ptr<AppendFile> file_;
};

// CRC-32C (Castagnoli), and the same rotated and shifted as TFRecord stores it.
uint32_t crc32c(std::string_view bytes);
uint32_t masked_crc32c(std::string_view bytes);

}  // namespace intarsia
