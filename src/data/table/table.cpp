#include "data/table/table.h"

#include <algorithm>
#include <limits>

#include "core/fail.h"

namespace intarsia {

const Column& Table::operator[](std::string_view name) const {
  for (const Column& column : columns)
    if (column.name == name) return column;
  std::string names;
  for (const Column& column : columns) {
    if (names.size() > 200) break;
    names += (names.empty() ? "" : ", ") + quote(column.name, 40);
  }
  fail("table: has no column {}, found {}", quote(name), names.empty() ? "none" : names);
}

void ColumnBuilder::see(const Cell& cell) {
  if (cell.missing) return;
  any_ = true;
  integer_ &= cell.integer;
  number_ &= cell.number;
  boolean_ &= cell.boolean;
}

void ColumnBuilder::allocate(int64_t rows) {
  if (boolean_ && any_)
    column_.type = ColumnType::boolean;
  else if (integer_ && any_)
    column_.type = ColumnType::integer;
  else
    column_.type = number_ ? ColumnType::number : ColumnType::text;
  column_.missing = Array::empty({rows}, DType::boolean);
  std::fill_n(column_.missing.mutable_data<bool>(), rows, true);
  switch (column_.type) {
    case ColumnType::boolean:
      column_.values = Array::zeros({rows}, DType::boolean);
      break;
    case ColumnType::integer:
      column_.values = Array::zeros({rows}, DType::i64);
      break;
    case ColumnType::number:
      column_.values = Array::empty({rows}, DType::f64);
      std::fill_n(column_.values.mutable_data<double>(), rows, std::numeric_limits<double>::quiet_NaN());
      break;
    case ColumnType::text:
      column_.values = Array::empty({rows}, DType::i32);
      std::fill_n(column_.values.mutable_data<int32_t>(), rows, -1);
      break;
  }
}

void ColumnBuilder::store(int64_t row, const Cell& cell, std::string_view text) {
  if (cell.missing) return;
  column_.missing.mutable_data<bool>()[row] = false;
  switch (column_.type) {
    case ColumnType::boolean:
      column_.values.mutable_data<bool>()[row] = cell.as_boolean;
      break;
    case ColumnType::integer:
      column_.values.mutable_data<int64_t>()[row] = cell.as_integer;
      break;
    case ColumnType::number:
      column_.values.mutable_data<double>()[row] = cell.as_number;
      break;
    case ColumnType::text: {
      auto code = codes_.find(text);
      if (code == codes_.end()) {
        if (column_.texts.size() >= std::numeric_limits<int32_t>::max())
          fail("table: column {} has too many different texts", quote(column_.name));
        code = codes_.emplace(text, static_cast<int32_t>(column_.texts.size())).first;
        column_.texts.emplace_back(text);
      }
      column_.values.mutable_data<int32_t>()[row] = code->second;
      break;
    }
  }
}

void check_cells(int64_t rows, size_t columns, size_t file_bytes, const std::string& file) {
  const size_t most = (size_t{1} << 21) + 8 * file_bytes;
  if (columns > 0 && static_cast<size_t>(rows) > most / columns)
    fail("{}: {} rows of {} columns are more cells than a file of {} bytes may have", file, rows, columns,
         file_bytes);
}

}  // namespace intarsia
