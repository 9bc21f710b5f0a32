#include "data/json.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/fail.h"
#include "data/file.h"

namespace intarsia {

namespace {

// What a value costs in memory besides the characters of long strings: its own 16 bytes, doubled for the
// growth of arrays, plus what malloc takes for the thing it points to.
constexpr size_t value_cost = 32, string_cost = 48, member_cost = 80, container_cost = 80, short_string = 15;

// Where the parser is, in bytes from the start: kept by the iterator that feeds it.
struct Cursor {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  const char* at;
  const char** furthest;
  reference operator*() const { return *at; }
  Cursor& operator++() {
    ++at;
    *furthest = at;
    return *this;
  }
  bool operator==(const Cursor& other) const { return at == other.at; }
  bool operator!=(const Cursor& other) const { return at != other.at; }
};

// Builds the value event by event, and stops at the first one that goes beyond the limits.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view text, std::string_view name, const JsonLimits& limits, const char** position)
      : text_(text),
        name_(name),
        limits_(limits),
        budget_(limits.memory + 3 * text.size()),
        position_(position) {}
  Json take() { return std::move(root_); }

  bool null() override { return add(Json(nullptr), 0); }
  bool boolean(bool value) override { return add(Json(value), 0); }
  bool number_integer(number_integer_t value) override { return add(Json(value), 0); }
  bool number_unsigned(number_unsigned_t value) override { return add(Json(value), 0); }
  bool number_float(number_float_t value, const string_t&) override { return add(Json(value), 0); }
  bool string(string_t& value) override {
    const size_t cost = string_cost + long_part(value);
    return add(Json(std::move(value)), cost);
  }
  bool binary(binary_t&) override { refuse("binary data is not JSON"); }
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& key) override {
    spend(member_cost + long_part(key));
    const auto [member, fresh] = open_.back()->get_ref<Json::object_t&>().try_emplace(std::move(key));
    if (!fresh) refuse(fmt::format("the key {} stands twice in one object", quote(member->first)));
    member_ = &member->second;
    return true;
  }
  bool parse_error(size_t position, const std::string&, const Json::exception& error) override {
    // nlohmann's text is "[json.exception...] parse error at line 1, column 2: what; last read: '...'".
    std::string what = error.what();
    size_t start = what.find("column ");
    start = start == std::string::npos ? what.find("] ") : what.find(": ", start);
    if (start != std::string::npos) what.erase(0, start + 2);
    if (const size_t read = what.find("; last read"); read != std::string::npos) what.resize(read);
    fail_at(position, what);
  }

 private:
  static size_t long_part(const std::string& text) {
    return text.size() > short_string ? text.size() + 1 : 0;
  }
  [[noreturn]] void refuse(std::string_view what) {
    fail_at(static_cast<size_t>(*position_ - text_.data()), what);
  }
  [[noreturn]] void fail_at(size_t position, std::string_view what) {
    const std::string_view before = text_.substr(0, position > 0 ? position - 1 : 0);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const size_t start = before.rfind('\n');
    const size_t column = start == std::string_view::npos ? before.size() + 1 : before.size() - start;
    fail("{}: {}:{}: {}", name_, line, column, what.substr(0, 200));
  }
  void spend(size_t cost) {
    if (cost > budget_) refuse("the value would take too much memory for a text of this size");
    budget_ -= cost;
  }
  Json* place(Json&& value, size_t cost) {
    spend(value_cost + cost);
    if (open_.empty()) return &(root_ = std::move(value));
    if (open_.back()->is_object()) return &(*member_ = std::move(value));
    auto& array = open_.back()->get_ref<Json::array_t&>();
    array.push_back(std::move(value));
    return &array.back();
  }
  bool add(Json&& value, size_t cost) {
    place(std::move(value), cost);
    return true;
  }
  bool open(Json&& value) {
    if (open_.size() >= static_cast<size_t>(limits_.depth))
      refuse(fmt::format("nested deeper than {} arrays and objects", limits_.depth));
    open_.push_back(place(std::move(value), container_cost));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view text_, name_;
  const JsonLimits& limits_;
  size_t budget_;
  const char** position_;
  Json root_;
  std::vector<Json*> open_;  // the arrays and objects that the next value is inside of
  Json* member_ = nullptr;   // of the object open_.back(), waiting for its value
};

}  // namespace

Json parse_json(std::string_view text, std::string_view name, const JsonLimits& limits) {
  if (text.size() > limits.bytes)
    fail("{}: has {} bytes of JSON, expected at most {}", name, text.size(), limits.bytes);
  const char* position = text.data();
  Builder builder(text, name, limits, &position);
  const char* end = text.data() + text.size();
  Json::sax_parse(Cursor{text.data(), &position}, Cursor{end, &position}, &builder);
  return builder.take();
}

Json read_json(const std::filesystem::path& path, const JsonLimits& limits) {
  return parse_json(read_file(path, limits.bytes), path.string(), limits);
}

}  // namespace intarsia
