#include <algorithm>
#include <charconv>
#include <deque>

#include "core/fail.h"
#include "data/gzip.h"
#include "data/table/table.h"

namespace intarsia {

namespace {

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
constexpr size_t most_columns = 1 << 16;

bool is_blank(char c) { return c == ' ' || c == '\t'; }

struct Field {
  std::string_view text;
  bool quoted = false;
};

// Cuts the text into lines of fields.
class Lines {
 public:
  Lines(TextWindow& window, char separator, const std::string& file)
      : window_(window), separator_(separator), file_(file) {}

  // The fields of the next line that is not blank; false at the end. They last until the next call.
  bool next(std::vector<Field>& fields) {
    window_.consume(at_);
    const uint64_t before = line_;
    scan(fields);
    // A line that reaches the end of the window may go on behind it.
    while (at_ == text_.size() && window_.more()) {
      line_ = before;
      scan(fields);
    }
    if (open_ != std::string_view::npos)
      fail("{}: line {}: the quote that is opened in field {} is never closed", file_, first_line_,
           quote(text_.substr(open_, 30)));
    for (const Field& field : fields) check_text(field.text);
    return !fields.empty();
  }
  uint64_t line() const { return first_line_; }  // of the fields, counted from 1
  // A blank line of a table with one column is a missing value; elsewhere it is nothing.
  void keep_blank_lines() { keep_blank_ = true; }

 private:
  void scan(std::vector<Field>& fields) {
    fields.clear();
    unescaped_.clear();
    text_ = window_.text();
    at_ = 0;
    open_ = std::string_view::npos;
    while (!keep_blank_ && at_ < text_.size() && (text_[at_] == '\n' || text_[at_] == '\r')) {
      line_ += text_[at_] == '\n';
      at_++;
    }
    if (at_ == text_.size()) return;
    first_line_ = ++line_;
    while (true) {
      if (fields.size() == most_columns)
        fail("{}: line {} has more than {} fields", file_, first_line_, most_columns);
      fields.push_back(field());
      if (at_ == text_.size()) return;
      if (text_[at_] == separator_) {
        at_++;
        continue;
      }
      if (text_[at_] == '\r') at_++;
      if (at_ < text_.size()) at_++;  // the line feed
      return;
    }
  }
  bool ends_line(size_t at) const {
    return text_[at] == '\n' || (text_[at] == '\r' && (at + 1 == text_.size() || text_[at + 1] == '\n'));
  }
  Field field() {
    size_t begin = at_;
    while (begin < text_.size() && is_blank(text_[begin]) && text_[begin] != separator_) begin++;
    if (begin < text_.size() && text_[begin] == '"') return quoted_field(begin + 1);
    size_t end = begin;
    while (end < text_.size() && text_[end] != separator_ && !ends_line(end)) end++;
    at_ = end;
    while (end > begin && is_blank(text_[end - 1])) end--;
    return {text_.substr(begin, end - begin), false};
  }
  Field quoted_field(size_t begin) {
    std::string* own = nullptr;  // where "" stands for ", the text is put together anew
    size_t from = begin, at = begin;
    while (true) {
      const size_t quote_at = text_.find('"', at);
      if (quote_at == std::string_view::npos) {
        open_ = begin;
        at_ = text_.size();
        return {};
      }
      at = quote_at + 1;
      if (at == text_.size() || text_[at] != '"') break;
      if (!own) own = &unescaped_.emplace_back();
      own->append(text_.substr(from, at - from));
      from = ++at;
    }
    const std::string_view last = text_.substr(from, at - 1 - from);
    line_ += static_cast<uint64_t>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(begin),
                                              text_.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
    at_ = at;
    while (at_ < text_.size() && is_blank(text_[at_]) && text_[at_] != separator_) at_++;
    if (at_ < text_.size() && text_[at_] != separator_ && !ends_line(at_))
      fail("{}: line {}: {} follows a closing quote, expected a separator or the end of the line", file_,
           line_, quote(text_.substr(at_, 1)));
    if (!own) return {last, true};
    own->append(last);
    return {*own, true};
  }
  void check_text(std::string_view text) const {
    for (size_t at = 0; at < text.size();) {
      const size_t length = character_length(text.substr(at));
      if (length == 0) fail("{}: line {}: the field {} is not UTF-8", file_, first_line_, quote(text, 40));
      at += length;
    }
  }

  TextWindow& window_;
  char separator_;
  const std::string& file_;
  std::string_view text_;                 // of the window; the line stands at its start
  size_t at_ = 0;                         // where the line ends, or how far it is cut
  size_t open_ = std::string_view::npos;  // where a quoted field starts that does not end
  uint64_t line_ = 0, first_line_ = 0;
  bool keep_blank_ = false;
  std::deque<std::string> unescaped_;  // of this line
};

// What the first line has most of, outside quotes; a comma if it has none.
char find_separator(TextWindow& window) {
  constexpr std::string_view candidates = ",;\t|";
  size_t counts[candidates.size()];
  bool whole = false;
  do {
    std::fill(std::begin(counts), std::end(counts), 0);
    bool inside = false;
    for (const char c : window.text()) {
      if (c == '"') inside = !inside;
      whole = c == '\n' && !inside;
      if (whole) break;
      const size_t which = candidates.find(c);
      if (!inside && which != std::string_view::npos) counts[which]++;
    }
  } while (!whole && window.more());
  return candidates[static_cast<size_t>(std::max_element(std::begin(counts), std::end(counts)) - counts)];
}

template <class T>
bool parse_whole(std::string_view text, T& value) {
  if (text.starts_with('+') && text.size() > 1 && text[1] != '-') text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

Cell cell_of(const Field& field, const std::vector<std::string>& missing) {
  Cell cell;
  const std::string_view text = field.text;
  cell.missing =
      text.empty() || (!field.quoted && std::find(missing.begin(), missing.end(), text) != missing.end());
  if (cell.missing) return cell;
  cell.integer = parse_whole(text, cell.as_integer);
  cell.number = cell.integer || parse_whole(text, cell.as_number);
  if (cell.integer) parse_whole(text, cell.as_number);
  cell.as_boolean = text == "true" || text == "True" || text == "TRUE";
  cell.boolean = cell.as_boolean || text == "false" || text == "False" || text == "FALSE";
  return cell;
}

}  // namespace

Table parse_csv(const std::shared_ptr<const MappedFile>& file, const CsvOptions& options) {
  TableBudget budget(*file, options.limit);
  char separator = options.separator;
  std::vector<ColumnBuilder> columns;
  std::vector<Field> fields;
  Table table;
  // Twice the same walk: the first time the types are found, the second time values are stored.
  const auto walk = [&](auto&& use) {
    TextWindow window(file, budget.text_limit());
    if (window.text().starts_with(byte_order_mark)) window.consume(byte_order_mark.size());
    if (!separator) separator = find_separator(window);
    Lines lines(window, separator, file->name());
    if (options.header) {
      if (!lines.next(fields)) fail("{}: has no line, expected the names of columns", file->name());
      if (columns.empty())
        for (const Field& field : fields) columns.emplace_back(std::string(field.text), budget);
    }
    if (options.header && columns.size() == 1) lines.keep_blank_lines();
    int64_t row = 0;
    for (; lines.next(fields); row++) {
      if (columns.empty())
        for (size_t i = 0; i < fields.size(); i++) columns.emplace_back(std::to_string(i + 1), budget);
      if (columns.size() == 1) lines.keep_blank_lines();  // from the first row on, in both walks
      if (fields.size() != columns.size())
        fail("{}: line {} has {} fields, expected {}", file->name(), lines.line(), fields.size(),
             columns.size());
      for (size_t i = 0; i < fields.size(); i++) use(row, columns[i], fields[i]);
    }
    return row;
  };
  table.rows = walk([&](int64_t, ColumnBuilder& column, const Field& field) {
    column.see(cell_of(field, options.missing));
  });
  for (ColumnBuilder& column : columns) column.allocate(table.rows);
  walk([&](int64_t row, ColumnBuilder& column, const Field& field) {
    column.store(row, cell_of(field, options.missing), field.text);
  });
  for (ColumnBuilder& column : columns) table.columns.push_back(column.take());
  return table;
}

Table read_csv(const std::filesystem::path& path, const CsvOptions& options) {
  return read_mapped(path, [&](const auto& file) { return parse_csv(file, options); });
}

}  // namespace intarsia
