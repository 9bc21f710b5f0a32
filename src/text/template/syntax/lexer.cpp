#include "text/template/syntax/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>

#include "core/fail.h"
#include "data/file.h"
#include "text/template/value/unicode_text.h"

namespace intarsia::jinja {

namespace {

constexpr size_t source_limit = size_t{1} << 20;

// Lines end in \n, and one newline at the very end is dropped (keep_trailing_newline is off).
std::string normalized(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t at = 0; at < source.size(); ++at) {
    const bool pair = source[at] == '\r' && at + 1 < source.size() && source[at + 1] == '\n';
    if (!pair) text += source[at] == '\r' ? '\n' : source[at];
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

bool is_name_start(unsigned char byte) {
  return byte == '_' || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte >= 0x80;
}
bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }
bool is_name_part(char byte) { return is_name_start(static_cast<unsigned char>(byte)) || is_digit(byte); }

class Lexer {
 public:
  Lexer(std::string_view source, std::string_view name) : source_(normalized(source)), name_(name) {}

  std::vector<Token> all() {
    while (at_ < source_.size()) read_data();
    add(TokenKind::end, {});
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void refuse(std::string_view reason) const { fail_at(name_, line_, reason); }

  std::string_view rest() const { return std::string_view(source_).substr(at_); }
  bool looking_at(std::string_view text) const { return rest().starts_with(text); }
  void advance(size_t count) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(at_ + count), '\n'));
    at_ += count;
  }
  void skip_space() { advance(leading_space(rest())); }
  void add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), 0, 0, line_}); }

  // What a tag's first character behind its two braces says about the space before it.
  std::string_view without_space_before(std::string_view data, char sign, bool variable) const {
    if (sign == '-') return data.substr(0, data.size() - trailing_space(data));
    if (sign == '+' || variable) return data;
    // lstrip_blocks: space between the start of the line and the tag.
    const size_t newline = data.rfind('\n');
    if (newline == data.npos && !line_starts_) return data;
    const size_t start = newline == data.npos ? 0 : newline + 1;
    return leading_space(data.substr(start)) == data.size() - start ? data.substr(0, start) : data;
  }

  // Text up to the next tag, and that tag.
  void read_data() {
    size_t tag = at_;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == source_.npos || tag + 1 == source_.size()) {
        add_data(rest());
        return advance(rest().size());
      }
      const char second = source_[tag + 1];
      if (second == '{' || second == '%' || second == '#') break;
      ++tag;
    }
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    const bool signed_tag = sign == '-' || sign == '+';
    const std::string_view data = std::string_view(source_).substr(at_, tag - at_);
    add_data(without_space_before(data, sign, kind == '{'));
    advance(tag - at_ + 2 + (signed_tag ? 1 : 0));
    if (kind == '#') return skip_comment();
    if (kind == '%' && read_raw()) return;
    add(kind == '{' ? TokenKind::variable_begin : TokenKind::block_begin, {});
    read_expression(kind == '{');
  }

  void add_data(std::string_view data) {
    if (!data.empty()) add(TokenKind::data, std::string(data));
  }

  // The end of a tag: its brace and, as the sign or trim_blocks say, space or a newline behind it.
  bool skip_tag_end(std::string_view brace) {
    const bool minus = rest().size() > 2 && rest()[0] == '-' && rest().substr(1).starts_with(brace);
    const bool plus =
        rest().size() > 2 && rest()[0] == '+' && rest().substr(1).starts_with(brace) && brace != "}}";
    if (!minus && !plus && !looking_at(brace)) return false;
    const size_t begin = at_;
    advance(brace.size() + (minus || plus ? 1 : 0));
    if (minus) skip_space();
    if (!minus && !plus && brace != "}}" && looking_at("\n")) advance(1);
    line_starts_ = at_ > begin && source_[at_ - 1] == '\n';
    return true;
  }

  void skip_comment() {
    const size_t end = source_.find("#}", at_);
    if (end == source_.npos) refuse("a comment has no end, expected #}");
    const bool sign = end > at_ && (source_[end - 1] == '-' || source_[end - 1] == '+');
    advance(end - at_ - (sign ? 1 : 0));
    skip_tag_end("#}");
  }

  // {% raw %} ... {% endraw %}: text in which tags mean nothing.
  bool read_raw() {
    size_t word = at_ + leading_space(rest());
    if (!std::string_view(source_).substr(word).starts_with("raw")) return false;
    word += 3;
    word += leading_space(std::string_view(source_).substr(word));
    const bool minus = word < source_.size() && source_[word] == '-';
    if (!std::string_view(source_).substr(word + (minus ? 1 : 0)).starts_with("%}")) return false;
    advance(word + (minus ? 3 : 2) - at_);
    if (minus) skip_space();
    line_starts_ = source_[at_ - 1] == '\n';
    for (size_t tag = at_; (tag = source_.find("{%", tag)) != source_.npos; ++tag) {
      size_t inside = tag + 2;
      const char sign = inside < source_.size() ? source_[inside] : '\0';
      if (sign == '-' || sign == '+') ++inside;
      inside += leading_space(std::string_view(source_).substr(inside));
      if (!std::string_view(source_).substr(inside).starts_with("endraw")) continue;
      inside += 6;
      inside += leading_space(std::string_view(source_).substr(inside));
      const std::string_view behind = std::string_view(source_).substr(inside);
      if (!behind.starts_with("%}") && !behind.starts_with("-%}") && !behind.starts_with("+%}")) continue;
      add_data(without_space_before(std::string_view(source_).substr(at_, tag - at_), sign, false));
      advance(inside - at_);
      skip_tag_end("%}");
      return true;
    }
    refuse("{% raw %} has no end, expected {% endraw %}");
  }

  void read_expression(bool variable) {
    const std::string_view end = variable ? "}}" : "%}";
    open_.clear();
    while (true) {
      // Inside brackets }} closes two dictionaries, not the tag.
      if (open_.empty() && skip_tag_end(end)) {
        const int line = line_;
        add(variable ? TokenKind::variable_end : TokenKind::block_end, {});
        tokens_.back().line = line;
        return;
      }
      if (at_ == source_.size())
        refuse(variable ? "expected }} before the end" : "expected %} before the end");
      if (const size_t space = leading_space(rest())) {
        advance(space);
      } else if (is_digit(source_[at_])) {
        read_number();
      } else if (is_name_start(static_cast<unsigned char>(source_[at_]))) {
        size_t length = 1;
        while (length < rest().size() && is_name_part(rest()[length])) ++length;
        add(TokenKind::name, std::string(rest().substr(0, length)));
        advance(length);
      } else if (source_[at_] == '\'' || source_[at_] == '"') {
        read_string();
      } else {
        read_operator();
      }
    }
  }

  // Digits of a base with single underscores between them; empty if there are none.
  std::string digits(size_t& at, int base) const {
    std::string found;
    while (at < source_.size()) {
      size_t next = at;
      if (source_[next] == '_' && !found.empty()) ++next;
      if (next == source_.size()) break;
      const char c = source_[next];
      const int value = is_digit(c)              ? c - '0'
                        : (c >= 'a' && c <= 'f') ? c - 'a' + 10
                        : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                                 : 99;
      if (value >= base) break;
      found += c;
      at = next + 1;
    }
    return found;
  }

  void read_number() {
    size_t at = at_;
    int base = 10;
    if (source_[at_] == '0' && at_ + 1 < source_.size()) {
      const char letter = static_cast<char>(source_[at_ + 1] | 0x20);
      base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
    }
    if (base != 10) at += 2;
    const std::string whole = digits(at, base);
    std::string number = whole;
    bool real = false;
    if (base == 10) {
      // A point that stands behind another one is no decimal point: a.0.1 takes items.
      const bool behind_point = at_ > 0 && source_[at_ - 1] == '.';
      size_t next = at + 1;
      if (!behind_point && at < source_.size() && source_[at] == '.') {
        if (const std::string fraction = digits(next, 10); !fraction.empty()) {
          number += "." + fraction;
          at = next;
          real = true;
        }
      }
      next = at + 1;
      if (!behind_point && at < source_.size() && (source_[at] == 'e' || source_[at] == 'E')) {
        std::string sign;
        if (next < source_.size() && (source_[next] == '+' || source_[next] == '-')) sign = source_[next++];
        if (const std::string exponent = digits(next, 10); !exponent.empty()) {
          number += "e" + (sign == "-" ? sign : "") + exponent;
          at = next;
          real = true;
        }
      }
    }
    Token token{real ? TokenKind::real : TokenKind::integer, {}, 0, 0, line_};
    const char *begin = number.data(), *end = begin + number.size();
    if (!real && base == 10 && whole.size() > 1 && whole[0] == '0' &&
        whole.find_first_not_of('0') != whole.npos)
      refuse("a number begins with 0");
    const std::errc error = real ? std::from_chars(begin, end, token.real).ec
                                 : std::from_chars(begin, end, token.integer, base).ec;
    if (number.empty() || error != std::errc()) refuse("the number " + number + " does not fit into 64 bits");
    tokens_.push_back(std::move(token));
    advance(at - at_);
  }

  void read_string() {
    const char mark = source_[at_];
    size_t at = at_ + 1;
    while (at < source_.size() && source_[at] != mark) at += source_[at] == '\\' ? 2 : 1;
    if (at >= source_.size()) refuse("a string has no end");
    const std::string_view inside = std::string_view(source_).substr(at_ + 1, at - at_ - 1);
    add(TokenKind::string, unescaped(inside));
    advance(at + 1 - at_);
  }

  // Python's escapes; one that it does not know stays as it is.
  std::string unescaped(std::string_view text) const {
    std::string out;
    for (size_t at = 0; at < text.size();) {
      if (text[at] != '\\') {
        out += text[at++];
        continue;
      }
      const char kind = text[at + 1];
      at += 2;
      static constexpr std::string_view letters = "ntr\\'\"abfv", meanings = "\n\t\r\\'\"\a\b\f\v";
      if (const size_t simple = letters.find(kind); simple != letters.npos) {
        out += meanings[simple];
      } else if (kind == '\n') {
        // A line goes on behind it.
      } else if (kind == 'x' || kind == 'u' || kind == 'U') {
        append_code(out, take_code(text, at, kind == 'x' ? 2 : kind == 'u' ? 4 : 8, 16));
      } else if (kind >= '0' && kind <= '7') {
        --at;
        size_t length = 1;
        while (length < 3 && at + length < text.size() && text[at + length] >= '0' &&
               text[at + length] <= '7')
          ++length;
        append_code(out, take_code(text, at, length, 8));
      } else if (kind == 'N') {
        refuse("the escape \\N{...} is not supported");
      } else {
        (out += '\\') += kind;
      }
    }
    return out;
  }

  uint32_t take_code(std::string_view text, size_t& at, size_t length, int base) const {
    uint32_t code = 0;
    const std::string_view number = text.substr(std::min(at, text.size()), length);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), code, base);
    if (number.size() != length || error != std::errc() || end != number.data() + length)
      refuse("a string has a broken escape");
    at += length;
    return code;
  }

  void append_code(std::string& out, uint32_t code) const {
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
      refuse("a string has an escape that is no Unicode character");
    append_character(out, code);
  }

  void read_operator() {
    static constexpr std::array<std::string_view, 26> operators = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    const auto found = std::find_if(operators.begin(), operators.end(),
                                    [&](std::string_view each) { return looking_at(each); });
    if (found == operators.end()) refuse("unexpected character " + quote(rest().substr(0, 1)));
    const char c = (*found)[0];
    if (c == '(' || c == '[' || c == '{') open_ += c;
    if (c == ')' || c == ']' || c == '}') {
      const char wanted = c == ')' ? '(' : c == ']' ? '[' : '{';
      if (open_.empty() || open_.back() != wanted) refuse("unexpected " + std::string(*found));
      open_.pop_back();
    }
    add(TokenKind::op, std::string(*found));
    advance(found->size());
  }

  std::string source_;
  std::string_view name_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starts_ = true;  // the last tag took the end of its line
  std::string open_;         // brackets
  std::vector<Token> tokens_;
};

}  // namespace

void fail_at(std::string_view name, int line, std::string_view reason) {
  fail("{}:{}: {}", name, line, reason);
}

std::vector<Token> tokenize(std::string_view source, std::string_view name) {
  if (source.size() > source_limit)
    fail("{}: has {} bytes, expected at most {}", name, source.size(), source_limit);
  return Lexer(source, name).all();
}

}  // namespace intarsia::jinja
