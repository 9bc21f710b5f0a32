// A Jinja template to tokens, with transformers' settings: trim_blocks, lstrip_blocks, no trailing newline.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace intarsia::jinja {

enum class TokenKind {
  data,
  variable_begin,
  variable_end,
  block_begin,
  block_end,
  name,
  string,
  integer,
  real,
  op,
  end
};

struct Token {
  TokenKind kind;
  std::string text;  // of data, name, string (unescaped), operator
  int64_t integer = 0;
  double real = 0;
  int line = 1;
};

// Error: "NAME:LINE: reason".
std::vector<Token> tokenize(std::string_view source, std::string_view name);
[[noreturn]] void fail_at(std::string_view name, int line, std::string_view reason);

}  // namespace intarsia::jinja
