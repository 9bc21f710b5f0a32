// NumPy's array files: .npy (versions 1 to 3) and .npz (a zip of them).
#pragma once
#include <filesystem>

#include "data/arrays.h"

namespace intarsia {

// read_npy() and read_npz() are public: intarsia/data.h says what they read.
Array parse_npy(const std::shared_ptr<const MappedFile>& file);
// bf16 has no name in NumPy and is refused, as are block formats.
void write_npy(const std::filesystem::path& path, const Array& array, FileSystem& files = system_files());

// Stored or deflated entries. Files that would unpack to more than `limit` bytes are refused before they are
// unpacked; 0 stands for 32 MB + 20 times the file's size.
NamedArrays parse_npz(const std::shared_ptr<const MappedFile>& file, uint64_t limit = 0);
void write_npz(const std::filesystem::path& path, const NamedArrays& arrays, bool compress = false,
               FileSystem& files = system_files());

}  // namespace intarsia
