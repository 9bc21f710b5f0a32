// Data from files: arrays, images, tables. Every reader treats its file as hostile: sizes are checked before
// memory is taken, and a bad file is one Error that names the file, the place and what was expected. What is
// packed (gzip, npz, images) may unpack to 32 MB + 20 times the file's size, a table may take 16 MB + 80
// times it; more is refused unless the caller passes another `limit` in bytes (0: this one). Beside its
// result, reading takes at most 64 MB + twice the file's size (docs/fuzzing.md says where more).
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "intarsia/array.h"

namespace intarsia {

using NamedArrays = std::map<std::string, Array, std::less<>>;

// The idx format of MNIST (LeCun): u8, i8, i16, i32, f32 or f64, big endian, up to 8 axes; gzipped or not.
Array read_idx(const std::filesystem::path& path, uint64_t limit = 0);

// NumPy's .npy: little endian f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 b1; Fortran order is converted. Plain arrays are
// borrowed from the mapped file.
Array read_npy(const std::filesystem::path& path);
// NumPy's .npz: stored or deflated entries; the limit holds for all of them together.
NamedArrays read_npz(const std::filesystem::path& path, uint64_t limit = 0);

// A PNG or JPEG picture as u8 [height, width, channels], the right way up by its EXIF orientation. Channels:
// 1 gray, 2 gray and alpha, 3 colour, 4 colour and alpha; 0: as stored (a palette is colour, CMYK becomes
// colour, 16 bits become 8). A progressive JPEG may have a third of the limit, because it is unpacked in
// memory first.
Array read_image(const std::filesystem::path& path, int channels = 0, uint64_t limit = 0);

// ---- tables

enum class ColumnType { integer, number, boolean, text };
// A column of a table; `values` has one element a row.
struct Column {
  std::string name;
  ColumnType type = ColumnType::number;
  Array values;   // i64; f64; bool; of text: i32, the place in `texts`. Missing: 0, NaN, false, -1
  Array missing;  // bool
  std::vector<std::string> texts;  // the different texts, in the order of their first appearance
};
struct Table {
  int64_t rows = 0;
  std::vector<Column> columns;
  const Column& operator[](std::string_view name) const;  // an Error names the columns that there are
};

struct CsvOptions {
  char separator = 0;  // 0: what the first line has most of: , ; tab or |
  bool header = true;  // the first line names the columns; else they are "1", "2", ...
  std::vector<std::string> missing = {"NA", "NaN", "nan", "?"};  // beside nothing at all
  uint64_t limit = 0;  // bytes that the table, and its text where that is packed, may take
};
// Comma-separated values (RFC 4180), gzipped or not: quotes, "" for a quote, line ends inside quotes, CRLF or
// LF; spaces around a field that is not quoted are dropped. A column's type is the narrowest that all its
// values have: integer (64 bits), number, boolean (true, false), text. Errors: a line with more or fewer
// fields, an open quote, text that is not UTF-8.
Table read_csv(const std::filesystem::path& path, const CsvOptions& options = {});
// JSON lines (one object a line), gzipped or not. The keys are columns; absent and null are missing; arrays
// and objects, and columns of several types, are kept as JSON text.
Table read_json_lines(const std::filesystem::path& path, uint64_t limit = 0);

}  // namespace intarsia
