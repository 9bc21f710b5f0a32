// Data from files: arrays, images, tables. Every reader treats its file as hostile: sizes are checked before
// memory is taken, and a bad file is one Error that names the file, the place and what was expected.
#pragma once
#include <filesystem>

#include "intarsia/array.h"

namespace intarsia {

// The idx format of MNIST (LeCun): u8, i8, i16, i32, f32 or f64, big endian, up to 8 axes; gzipped or not. A
// gzipped file may unpack to 32 MB + 20 times its size.
Array read_idx(const std::filesystem::path& path);

}  // namespace intarsia
