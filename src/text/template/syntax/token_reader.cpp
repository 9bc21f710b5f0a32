#include "text/template/syntax/token_reader.h"

#include "core/fail.h"
#include "data/file.h"

namespace intarsia::jinja {

const Token& TokenReader::next() {
  const Token& token = peek();
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool TokenReader::is_op(std::string_view op, size_t ahead) const {
  return peek(ahead).kind == TokenKind::op && peek(ahead).text == op;
}

bool TokenReader::is_name(std::string_view name, size_t ahead) const {
  return peek(ahead).kind == TokenKind::name && peek(ahead).text == name;
}

void TokenReader::expect_op(std::string_view op) {
  if (!skip_op(op)) refuse(fmt::format("expected {}, found {}", op, described(peek())));
}

void TokenReader::expect_name(std::string_view name) {
  if (!skip_name(name)) refuse(fmt::format("expected {}, found {}", name, described(peek())));
}

std::string TokenReader::take_name() {
  if (peek().kind != TokenKind::name) refuse("expected a name, found " + described(peek()));
  return next().text;
}

void TokenReader::expect_end(TokenKind kind) {
  if (peek().kind != kind)
    refuse(
        fmt::format("expected {}, found {}", kind == TokenKind::block_end ? "%}" : "}}", described(peek())));
  next();
}

std::string TokenReader::described(const Token& token) {
  switch (token.kind) {
    case TokenKind::variable_end:
      return "}}";
    case TokenKind::block_end:
      return "%}";
    case TokenKind::name:
    case TokenKind::op:
      return quote(token.text);
    case TokenKind::string:
      return "a string";
    case TokenKind::integer:
    case TokenKind::real:
      return "a number";
    default:
      return "the end of the template";
  }
}

TokenReader::Nesting::Nesting(TokenReader& reader) : reader_(reader) {
  constexpr int limit = 150;
  if (reader_.nesting_ == limit)
    reader_.refuse(fmt::format("expressions and tags are nested deeper than {}", limit));
  ++reader_.nesting_;
}

}  // namespace intarsia::jinja
