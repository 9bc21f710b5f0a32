#include "data/table/table.h"

#include <algorithm>
#include <limits>

#include "core/fail.h"
#include "data/gzip.h"

namespace intarsia {

namespace {

// Of memory: a column without its cells, with its builder and its name's place in the reader; a text that is
// new in its column, without its characters.
constexpr uint64_t column_cost = 1536, text_cost = sizeof(std::string) + 48;

DType storage_of(ColumnType type) {
  switch (type) {
    case ColumnType::boolean:
      return DType::boolean;
    case ColumnType::integer:
      return DType::i64;
    case ColumnType::number:
      return DType::f64;
    case ColumnType::text:
      return DType::i32;
  }
  return DType::i32;
}

}  // namespace

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

TableBudget::TableBudget(const MappedFile& file, uint64_t asked)
    : file_(file),
      limit_(asked ? asked : (uint64_t{16} << 20) + 80 * uint64_t{file.size()}),
      left_(limit_),
      text_limit_(unpacked_limit(file.size(), asked)) {}

void TableBudget::take(uint64_t count, uint64_t bytes_each) {
  if (count > left_ / bytes_each)
    fail_hint("pass a higher limit",
              "{}: the table would take more than {} bytes, the limit for a file of {}", file_.name(), limit_,
              file_.size());
  left_ -= count * bytes_each;
}

ColumnBuilder::ColumnBuilder(std::string name, TableBudget& budget) : budget_(&budget) {
  budget_->take(1, column_cost + name.size());
  column_.name = std::move(name);
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
  const DType dtype = storage_of(column_.type);
  budget_->take(static_cast<uint64_t>(rows), sizeof(bool) + static_cast<uint64_t>(info(dtype).bytes));
  column_.missing = Array::empty({rows}, DType::boolean);
  std::fill_n(column_.missing.mutable_data<bool>(), rows, true);
  column_.values = Array::zeros({rows}, dtype);
  if (column_.type == ColumnType::number)
    std::fill_n(column_.values.mutable_data<double>(), rows, std::numeric_limits<double>::quiet_NaN());
  if (column_.type == ColumnType::text) {
    std::fill_n(column_.values.mutable_data<int32_t>(), rows, -1);
    codes_ = std::make_unique<Codes>(ByText{&column_.texts});
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
      auto code = codes_->find(text);
      if (code == codes_->end()) {
        if (column_.texts.size() >= std::numeric_limits<int32_t>::max())
          fail("table: column {} has too many different texts", quote(column_.name));
        budget_->take(1, text_cost + text.size());
        column_.texts.emplace_back(text);
        code = codes_->insert(static_cast<int32_t>(column_.texts.size() - 1)).first;
      }
      column_.values.mutable_data<int32_t>()[row] = *code;
      break;
    }
  }
}

}  // namespace intarsia
