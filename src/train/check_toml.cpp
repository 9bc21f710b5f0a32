#include <string>

#include "core/fail.h"
#include "train/recipe.h"

namespace intarsia {
namespace {

// In a line: each dot of a key nests a table, and tables are freed by recursion.
constexpr int most_dots = 500;

// A walk over a text as toml++ takes it. It agrees with toml++ as long as the text is TOML; behind what is
// not, toml++ looks at most to the end of a value, where no string begins here either.
class TomlWalk {
 public:
  TomlWalk(std::string_view text, std::string_view name) : text_(text), name_(name) {}

  void run() {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;  // a byte order mark
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if ((c == '"' || c == '\'') && (part_ == Part::key || part_ == Part::value))
        pass_string(c);
      else if (c == '#')
        while (at_ < text_.size() && text_[at_] != '\n') next();
      else
        pass(next());
    }
  }

 private:
  // What may come: a piece of a key, the rest of that piece, a value, the rest of that value.
  enum class Part { key, key_rest, value, value_rest };

  bool in_key() const { return part_ == Part::key || part_ == Part::key_rest; }
  void expect_of_bracket() { part_ = brackets_.back() == '{' ? Part::key : Part::value; }

  char next() {
    const char c = text_[at_++];
    if (c == '\n') line_++, dots_ = 0;
    if (c == '.' && ++dots_ > most_dots) fail("{}:{}: more than {} dots in a line", name_, line_, most_dots);
    return c;
  }

  void pass(char c) {
    if (beyond_ascii(c))
      fail_hint("put the name or value in quotes", "{}:{}: a letter beyond ASCII outside of a string", name_,
                line_);
    if (c == ' ' || c == '\t' || c == '\r') return;
    if (c == '\n') {
      if (brackets_.empty()) part_ = Part::key;
    } else if (in_key() && c == '=') {
      part_ = Part::value;
    } else if (in_key() && c == '.') {
      part_ = Part::key;
    } else if (part_ == Part::value && (c == '[' || c == '{')) {
      brackets_ += c;
      expect_of_bracket();
    } else if (!brackets_.empty() && c == ',') {
      expect_of_bracket();
    } else if (!brackets_.empty() && (c == ']' || c == '}')) {
      brackets_.pop_back();
      part_ = Part::value_rest;
    } else if (part_ != Part::key || c != '[') {  // the name of a table begins with brackets
      part_ = in_key() ? Part::key_rest : Part::value_rest;
    }
  }

  void pass_string(char quote) {
    const std::string three(3, quote);
    const bool lines = text_.substr(at_, 3) == three;
    bool behind_backslash = false, trims = false;  // blanks behind a backslash at the end of a line
    for (int i = 0; i < (lines ? 3 : 1); i++) next();
    while (at_ < text_.size()) {
      const bool ends = !behind_backslash && (lines ? text_.substr(at_, 3) == three : text_[at_] == quote);
      if (ends || (text_[at_] == '\n' && !lines)) break;
      const char c = next();
      const bool blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
      if (beyond_ascii(c) && (behind_backslash || trims))
        fail_hint("write it as \\uXXXX", "{}:{}: a letter beyond ASCII behind a backslash", name_, line_);
      trims = blank && (behind_backslash || trims);
      behind_backslash = c == '\\' && quote == '"' && !behind_backslash;
    }
    // Two more quotes may stand before the three that end it.
    for (int i = 0; i < (lines ? 5 : 1) && at_ < text_.size() && text_[at_] == quote; i++) next();
    part_ = in_key() ? Part::key_rest : Part::value_rest;
  }

  static bool beyond_ascii(char c) { return static_cast<unsigned char>(c) >= 0x80; }

  std::string_view text_, name_;
  size_t at_ = 0;
  int line_ = 1, dots_ = 0;
  Part part_ = Part::key;
  std::string brackets_;  // of the arrays and inline tables that we are in
};

}  // namespace

void check_toml(std::string_view text, std::string_view name) { TomlWalk(text, name).run(); }

}  // namespace intarsia
