#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/gzip.h"
#include "data/json.h"
#include "data/table/table.h"

namespace intarsia {

namespace {

constexpr size_t most_columns = 1 << 16;

bool is_blank(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c == ' ' || c == '\t' || c == '\r'; });
}

// Calls use(row, object) for each line that is not blank; returns how many there were.
template <class F>
int64_t walk(const std::shared_ptr<const MappedFile>& file, uint64_t text_limit, F&& use) {
  TextWindow window(file, text_limit);
  int64_t row = 0;
  for (uint64_t line = 1;; line++) {
    size_t end = window.text().find('\n');
    while (end == std::string_view::npos && window.more()) end = window.text().find('\n');
    const std::string_view whole = window.text().substr(0, end);
    if (!is_blank(whole)) {
      const std::string where = fmt::format("{}: line {}", file->name(), line);
      const Json value = parse_json(whole, where);
      if (!value.is_object()) fail("{}: is {}, expected an object", where, value.type_name());
      use(row++, value);
    }
    if (end == std::string_view::npos) return row;
    window.consume(end + 1);
  }
}

Cell cell_of(const Json& value) {
  Cell cell;
  cell.missing = value.is_null();
  cell.boolean = value.is_boolean();
  if (cell.boolean) cell.as_boolean = value.get<bool>();
  cell.number = value.is_number();
  if (cell.number) cell.as_number = value.get<double>();
  const bool fits = !value.is_number_unsigned() ||
                    value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  cell.integer = value.is_number_integer() && fits;
  if (cell.integer) cell.as_integer = value.get<int64_t>();
  return cell;
}

}  // namespace

Table parse_json_lines(const std::shared_ptr<const MappedFile>& file, uint64_t limit) {
  TableBudget budget(*file, limit);
  std::vector<ColumnBuilder> columns;
  std::map<std::string, size_t, std::less<>> places;
  Table table;
  table.rows = walk(file, budget.text_limit(), [&](int64_t, const Json& object) {
    for (const auto& [key, value] : object.items()) {
      const auto [place, fresh] = places.try_emplace(key, columns.size());
      if (fresh) {
        if (columns.size() == most_columns) fail("{}: has more than {} keys", file->name(), most_columns);
        columns.emplace_back(key, budget);
      }
      columns[place->second].see(cell_of(value));
    }
  });
  for (ColumnBuilder& column : columns) column.allocate(table.rows);
  walk(file, budget.text_limit(), [&](int64_t row, const Json& object) {
    for (const auto& [key, value] : object.items()) {
      ColumnBuilder& column = columns[places.find(key)->second];
      const Cell cell = cell_of(value);
      if (value.is_string())
        column.store(row, cell, value.get_ref<const std::string&>());
      else
        column.store(row, cell, column.wants_text() ? value.dump() : "");
    }
  });
  for (ColumnBuilder& column : columns) table.columns.push_back(column.take());
  return table;
}

Table read_json_lines(const std::filesystem::path& path, uint64_t limit) {
  return read_mapped(path, [&](const auto& file) { return parse_json_lines(file, limit); });
}

}  // namespace intarsia
