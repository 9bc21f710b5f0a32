// How readers of tables make columns: a first pass shows every value, which settles the types; a second one
// stores them, so that no value is kept twice.
#pragma once
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "data/file.h"
#include "intarsia/data.h"

namespace intarsia {

Table parse_csv(const std::shared_ptr<const MappedFile>& file, const CsvOptions& options = {});
Table parse_json_lines(const std::shared_ptr<const MappedFile>& file, uint64_t limit = 0);

// What a table may still take of its limit: 16 MB + 80 times the size of its file, or what the caller asked
// for.
class TableBudget {
 public:
  TableBudget(const MappedFile& file, uint64_t asked);
  void take(uint64_t count, uint64_t bytes_each);      // an Error where it is more than is left
  uint64_t text_limit() const { return text_limit_; }  // what a packed text may unpack to

 private:
  const MappedFile& file_;
  uint64_t limit_, left_, text_limit_;
};

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
  ColumnBuilder(std::string name, TableBudget& budget);
  void see(const Cell& cell);   // first pass
  void allocate(int64_t rows);  // between the passes: all values are missing
  void store(int64_t row, const Cell& cell, std::string_view text);  // second pass
  bool wants_text() const { return column_.type == ColumnType::text; }
  Column take() { return std::move(column_); }

 private:
  // The order of the texts, by their places in the list.
  struct ByText {
    using is_transparent = void;
    const std::vector<std::string>* texts;
    std::string_view text_of(int32_t code) const { return (*texts)[static_cast<size_t>(code)]; }
    static std::string_view text_of(std::string_view text) { return text; }
    template <class A, class B>
    bool operator()(A a, B b) const {
      return text_of(a) < text_of(b);
    }
  };
  using Codes = std::set<int32_t, ByText>;

  TableBudget* budget_;
  bool integer_ = true, number_ = true, boolean_ = true, any_ = false;
  Column column_;
  std::unique_ptr<Codes> codes_;  // of a text column
};

}  // namespace intarsia
