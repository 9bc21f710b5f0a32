// Tokens to expressions, by Jinja's precedence: each function reads one level of it.
#pragma once
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "text/template/syntax/syntax.h"
#include "text/template/syntax/token_reader.h"

namespace intarsia::jinja {

class ExpressionParser : protected TokenReader {
 protected:
  // Constants live on `heap`.
  ExpressionParser(std::string_view source, std::string_view name, Heap& heap)
      : TokenReader(source, name), heap_(heap) {}

  // `with_choice`: it may be `a if b else c`.
  ExpressionPtr expression(bool with_choice = true);
  // An expression, or several with commas between them, up to a name that ends them.
  ExpressionPtr tuple(bool with_choice, bool parentheses, std::string_view end_name = {});
  bool at_tuple_end(std::string_view end_name) const;
  std::unique_ptr<FilterOf> filter();
  // An expression that must be a call: what stands behind {% call.
  std::unique_ptr<const Call> call_expression(int line);

  // Chains such as a + b + c make a tree as deep as they are long: they are counted in each statement.
  void start_statement() { links_ = 0; }
  // What is read while it lives stands under a condition.
  class Condition {
   public:
    explicit Condition(ExpressionParser& parser) : parser_(parser) { ++parser_.conditions_; }
    ~Condition() { --parser_.conditions_; }
    Condition(const Condition&) = delete;
    Condition& operator=(const Condition&) = delete;

   private:
    ExpressionParser& parser_;
  };
  // The names that expressions have used since it was emptied.
  std::set<std::string> names_;

  template <class T>
  std::unique_ptr<T> make(int line) const {
    auto node = std::make_unique<T>();
    node->line = line;
    return node;
  }

 private:
  using Operator = Binary::Operator;
  ExpressionPtr choice();
  ExpressionPtr either();
  ExpressionPtr both();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr joined();
  ExpressionPtr product();
  ExpressionPtr powers();
  ExpressionPtr unary(bool with_filters = true);
  ExpressionPtr primary();
  ExpressionPtr list();
  ExpressionPtr dict();
  // Attributes, items and calls.
  ExpressionPtr behind(ExpressionPtr value);
  ExpressionPtr attribute_of(ExpressionPtr object);
  ExpressionPtr item_of(ExpressionPtr object);
  std::unique_ptr<Call> call(ExpressionPtr function);
  CallArguments call_arguments();
  ExpressionPtr filters_and_tests(ExpressionPtr value);
  ExpressionPtr test(ExpressionPtr value);

  std::optional<Comparing> comparing();
  ExpressionPtr binary(Operator operation, int line, ExpressionPtr left, ExpressionPtr right) const;
  ExpressionPtr constant(Value value, int line) const;
  Value text_value(std::string text) const;
  // As in Jinja, what stands in an `if` may name a filter that does not exist: it fails if it is reached.
  void check_absent(const char* what, const std::string& name, int line, bool unsupported) const;
  // Counts a link of a chain.
  void grow();

  Heap& heap_;
  int conditions_ = 0;
  int links_ = 0;
};

}  // namespace intarsia::jinja
