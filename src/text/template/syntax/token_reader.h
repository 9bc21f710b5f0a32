// Reads a template's tokens one after another: what every part of the parser does.
#pragma once
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "text/template/syntax/lexer.h"

namespace intarsia::jinja {

class TokenReader {
 protected:
  // Errors are "NAME:LINE: reason".
  TokenReader(std::string_view source, std::string_view name)
      : name_(name), tokens_(tokenize(source, name)) {}

  // The next token, or one of those behind it; the last one stands for all behind it.
  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  const Token& next();
  bool is_op(std::string_view op, size_t ahead = 0) const;
  bool is_name(std::string_view name, size_t ahead = 0) const;
  bool skip_op(std::string_view op) { return is_op(op) && (next(), true); }
  bool skip_name(std::string_view name) { return is_name(name) && (next(), true); }
  void expect_op(std::string_view op);
  void expect_name(std::string_view name);
  std::string take_name();
  void expect_end(TokenKind kind);

  static std::string described(const Token& token);
  [[noreturn]] void refuse(std::string_view reason) const { refuse_at(peek().line, reason); }
  [[noreturn]] void refuse_at(int line, std::string_view reason) const { fail_at(name_, line, reason); }

  // A level of the tree; deeper ones are refused, so that nothing overflows the stack.
  class Nesting {
   public:
    explicit Nesting(TokenReader& reader);
    ~Nesting() { --reader_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    TokenReader& reader_;
  };

 private:
  std::string_view name_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
};

}  // namespace intarsia::jinja
