// How readers of tables make columns: a first pass shows every value, which settles the types; a second one
// stores them, so that no value is kept twice.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "data/file.h"
#include "intarsia/data.h"

namespace intarsia {

Table parse_csv(const std::shared_ptr<const MappedFile>& file, const CsvOptions& options = {});
Table parse_json_lines(const std::shared_ptr<const MappedFile>& file);

// One value of a table as its reader found it.
struct Cell {
  bool missing = false;
  bool integer = false, number = false, boolean = false;  // what it can be, beside text
  int64_t as_integer = 0;
  double as_number = 0;
  bool as_boolean = false;
};

class ColumnBuilder {
 public:
  explicit ColumnBuilder(std::string name) { column_.name = std::move(name); }
  void see(const Cell& cell);   // first pass
  void allocate(int64_t rows);  // between the passes: all values are missing
  void store(int64_t row, const Cell& cell, std::string_view text);  // second pass
  bool wants_text() const { return column_.type == ColumnType::text; }
  Column take() { return std::move(column_); }

 private:
  bool integer_ = true, number_ = true, boolean_ = true, any_ = false;
  Column column_;
  std::map<std::string, int32_t, std::less<>> codes_;
};

// Refuses a table whose cells would take far more memory than its file, because most of them are missing.
void check_cells(int64_t rows, size_t columns, size_t file_bytes, const std::string& file);

}  // namespace intarsia
