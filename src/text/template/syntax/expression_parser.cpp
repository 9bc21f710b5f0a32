#include "text/template/syntax/expression_parser.h"

#include "core/fail.h"
#include "data/file.h"
#include "text/template/python.h"

namespace intarsia::jinja {

void ExpressionParser::grow() {
  constexpr int chain_limit = 1000;
  if (++links_ > chain_limit) refuse(fmt::format("an expression has more than {} parts", chain_limit));
}

ExpressionPtr ExpressionParser::expression(bool with_choice) {
  const Nesting nesting(*this);
  return with_choice ? choice() : either();
}

ExpressionPtr ExpressionParser::choice() {
  int line = peek().line;
  ExpressionPtr value = either();
  while (skip_name("if")) {
    grow();
    auto node = make<Choice>(line);
    node->then = std::move(value);
    node->condition = either();
    if (skip_name("else")) {
      const Nesting nesting(*this);
      node->otherwise = choice();
    }
    value = std::move(node);
    line = peek().line;
  }
  return value;
}

ExpressionPtr ExpressionParser::binary(Operator operation, int line, ExpressionPtr left,
                                       ExpressionPtr right) const {
  auto node = make<Binary>(line);
  node->operation = operation;
  node->left = std::move(left);
  node->right = std::move(right);
  return node;
}

ExpressionPtr ExpressionParser::either() {
  const int line = peek().line;
  ExpressionPtr left = both();
  while (skip_name("or")) {
    grow();
    left = binary(Operator::either, line, std::move(left), both());
  }
  return left;
}

ExpressionPtr ExpressionParser::both() {
  const int line = peek().line;
  ExpressionPtr left = negation();
  while (skip_name("and")) {
    grow();
    left = binary(Operator::both, line, std::move(left), negation());
  }
  return left;
}

ExpressionPtr ExpressionParser::negation() {
  if (!is_name("not")) return comparison();
  const Nesting nesting(*this);
  auto node = make<Unary>(next().line);
  node->operation = Unary::Operator::no;
  node->operand = negation();
  return node;
}

std::optional<Comparing> ExpressionParser::comparing() {
  static constexpr std::pair<std::string_view, Comparing> operators[] = {
      {"==", Comparing::equal},      {"!=", Comparing::unequal}, {"<", Comparing::less},
      {"<=", Comparing::less_equal}, {">", Comparing::greater},  {">=", Comparing::greater_equal}};
  for (const auto& [text, how] : operators)
    if (skip_op(text)) return how;
  if (skip_name("in")) return Comparing::in;
  if (is_name("not") && is_name("in", 1)) {
    next();
    next();
    return Comparing::not_in;
  }
  return std::nullopt;
}

ExpressionPtr ExpressionParser::comparison() {
  const int line = peek().line;
  ExpressionPtr first = sum();
  std::vector<std::pair<Comparing, ExpressionPtr>> rest;
  while (true) {
    const auto how = comparing();
    if (!how) break;
    rest.emplace_back(*how, sum());
  }
  if (rest.empty()) return first;
  auto node = make<Comparison>(line);
  node->first = std::move(first);
  node->rest = std::move(rest);
  return node;
}

ExpressionPtr ExpressionParser::sum() {
  ExpressionPtr left = joined();
  while (is_op("+") || is_op("-")) {
    grow();
    const Token& token = next();
    left =
        binary(token.text == "+" ? Operator::add : Operator::subtract, token.line, std::move(left), joined());
  }
  return left;
}

ExpressionPtr ExpressionParser::joined() {
  const int line = peek().line;
  ExpressionPtr first = product();
  if (!is_op("~")) return first;
  auto node = make<Join>(line);
  node->parts.push_back(std::move(first));
  while (skip_op("~")) node->parts.push_back(product());
  return node;
}

ExpressionPtr ExpressionParser::product() {
  ExpressionPtr left = powers();
  while (is_op("*") || is_op("/") || is_op("//") || is_op("%")) {
    grow();
    const Token& token = next();
    const Operator operation = token.text == "*"    ? Operator::multiply
                               : token.text == "/"  ? Operator::divide
                               : token.text == "//" ? Operator::floor_divide
                                                    : Operator::modulo;
    left = binary(operation, token.line, std::move(left), powers());
  }
  return left;
}

ExpressionPtr ExpressionParser::powers() {
  ExpressionPtr left = unary();
  while (is_op("**")) {
    grow();
    const int line = next().line;
    left = binary(Operator::power, line, std::move(left), unary());
  }
  return left;
}

ExpressionPtr ExpressionParser::unary(bool with_filters) {
  const Nesting nesting(*this);
  ExpressionPtr value;
  if (is_op("-") || is_op("+")) {
    auto node = make<Unary>(peek().line);
    node->operation = next().text == "-" ? Unary::Operator::minus : Unary::Operator::plus;
    node->operand = unary(false);
    value = std::move(node);
  } else {
    value = primary();
  }
  value = behind(std::move(value));
  if (with_filters) value = filters_and_tests(std::move(value));
  return value;
}

ExpressionPtr ExpressionParser::constant(Value value, int line) const {
  auto node = make<Constant>(line);
  node->constant = std::move(value);
  return node;
}

Value ExpressionParser::text_value(std::string text) const {
  return TextPtr(std::make_shared<TextObject>(heap_, Text(std::move(text)), false));
}

ExpressionPtr ExpressionParser::primary() {
  const Token& token = peek();
  switch (token.kind) {
    case TokenKind::name: {
      next();
      if (token.text == "true" || token.text == "True") return constant(true, token.line);
      if (token.text == "false" || token.text == "False") return constant(false, token.line);
      if (token.text == "none" || token.text == "None") return constant(None(), token.line);
      names_.insert(token.text);
      auto node = make<Name>(token.line);
      node->name = token.text;
      return node;
    }
    case TokenKind::string: {
      std::string text;
      while (peek().kind == TokenKind::string) text += next().text;
      return constant(text_value(std::move(text)), token.line);
    }
    case TokenKind::integer:
      return constant(next().integer, token.line);
    case TokenKind::real:
      return constant(next().real, token.line);
    case TokenKind::op:
      if (token.text == "(") {
        next();
        ExpressionPtr inside = tuple(true, true);
        expect_op(")");
        return inside;
      }
      if (token.text == "[") return list();
      if (token.text == "{") return dict();
      [[fallthrough]];
    default:
      refuse("expected an expression, found " + described(token));
  }
}

bool ExpressionParser::at_tuple_end(std::string_view end_name) const {
  const TokenKind kind = peek().kind;
  return kind == TokenKind::variable_end || kind == TokenKind::block_end || is_op(")") ||
         (!end_name.empty() && is_name(end_name));
}

ExpressionPtr ExpressionParser::tuple(bool with_choice, bool parentheses, std::string_view end_name) {
  const int line = peek().line;
  std::vector<ExpressionPtr> items;
  bool comma = false;
  while (!at_tuple_end(end_name)) {
    items.push_back(expression(with_choice));
    if (!skip_op(",")) break;
    comma = true;
  }
  if (!comma && items.size() == 1) return std::move(items[0]);
  if (items.empty() && !parentheses) refuse("expected an expression, found " + described(peek()));
  auto node = make<ListOf>(line);
  node->kind = SequenceKind::tuple;
  node->items = std::move(items);
  return node;
}

ExpressionPtr ExpressionParser::list() {
  auto node = make<ListOf>(next().line);
  while (!is_op("]")) {
    if (!node->items.empty()) expect_op(",");
    if (is_op("]")) break;
    node->items.push_back(expression());
  }
  expect_op("]");
  return node;
}

ExpressionPtr ExpressionParser::dict() {
  auto node = make<DictOf>(next().line);
  while (!is_op("}")) {
    if (!node->items.empty()) expect_op(",");
    if (is_op("}")) break;
    ExpressionPtr key = expression();
    expect_op(":");
    node->items.push_back({std::move(key), expression()});
  }
  expect_op("}");
  return node;
}

ExpressionPtr ExpressionParser::behind(ExpressionPtr value) {
  while (is_op(".") || is_op("[") || is_op("(")) {
    grow();
    if (is_op("("))
      value = call(std::move(value));
    else
      value = is_op(".") ? attribute_of(std::move(value)) : item_of(std::move(value));
  }
  return value;
}

ExpressionPtr ExpressionParser::attribute_of(ExpressionPtr object) {
  const int line = next().line;
  if (peek().kind == TokenKind::integer) {
    auto node = make<Item>(line);
    node->object = std::move(object);
    node->index = constant(next().integer, line);
    return node;
  }
  auto node = make<Attribute>(line);
  node->object = std::move(object);
  node->name = take_name();
  if (is_op("(") && is_unsupported_method(node->name))
    refuse(fmt::format("the method {} is not supported", quote(node->name)));
  return node;
}

ExpressionPtr ExpressionParser::item_of(ExpressionPtr object) {
  const int line = next().line;
  ExpressionPtr start;
  if (!is_op(":")) start = expression();
  if (start && !is_op(":")) {
    if (is_op(",")) {
      auto key = make<ListOf>(line);
      key->kind = SequenceKind::tuple;
      key->items.push_back(std::move(start));
      while (skip_op(",") && !is_op("]")) key->items.push_back(expression());
      start = std::move(key);
    }
    auto node = make<Item>(line);
    node->object = std::move(object);
    node->index = std::move(start);
    expect_op("]");
    return node;
  }
  auto node = make<Slice>(line);
  node->object = std::move(object);
  node->start = std::move(start);
  expect_op(":");
  if (!is_op(":") && !is_op("]")) node->stop = expression();
  if (skip_op(":") && !is_op("]")) node->step = expression();
  expect_op("]");
  return node;
}

std::unique_ptr<Call> ExpressionParser::call(ExpressionPtr function) {
  auto node = make<Call>(peek().line);
  node->function = std::move(function);
  node->arguments = call_arguments();
  return node;
}

CallArguments ExpressionParser::call_arguments() {
  CallArguments arguments;
  expect_op("(");
  for (bool first = true; !is_op(")"); first = false) {
    if (!first) expect_op(",");
    if (is_op(")")) break;
    const bool dynamic = arguments.more_positional || arguments.more_named;
    if (is_op("*") && !dynamic) {
      next();
      arguments.more_positional = expression();
    } else if (is_op("**") && !arguments.more_named) {
      next();
      arguments.more_named = expression();
    } else if (peek().kind == TokenKind::name && is_op("=", 1) && !arguments.more_named) {
      std::string name = next().text;
      next();
      arguments.named.push_back({std::move(name), expression()});
    } else if (!dynamic && arguments.named.empty()) {
      arguments.positional.push_back(expression());
    } else {
      refuse("an argument by place stands behind one by name");
    }
  }
  expect_op(")");
  return arguments;
}

ExpressionPtr ExpressionParser::filters_and_tests(ExpressionPtr value) {
  while (true) {
    if (is_op("|")) {
      grow();
      next();
      auto node = filter();
      node->input = std::move(value);
      value = std::move(node);
    } else if (is_name("is")) {
      grow();
      value = test(std::move(value));
    } else if (is_op("(")) {
      grow();
      value = call(std::move(value));
    } else {
      return value;
    }
  }
}

void ExpressionParser::check_absent(const char* what, const std::string& name, int line,
                                    bool unsupported) const {
  if (unsupported) refuse_at(line, fmt::format("the {} {} is not supported", what, quote(name)));
  if (conditions_ == 0) refuse_at(line, fmt::format("there is no {} {}", what, quote(name)));
}

std::unique_ptr<FilterOf> ExpressionParser::filter() {
  auto node = make<FilterOf>(peek().line);
  node->name = take_name();
  node->filter = find_filter(node->name);
  if (!node->filter) check_absent("filter", node->name, node->line, is_unsupported_filter(node->name));
  if (is_op("(")) node->arguments = call_arguments();
  return node;
}

ExpressionPtr ExpressionParser::test(ExpressionPtr value) {
  auto node = make<TestOf>(next().line);
  const bool negated = skip_name("not");
  node->input = std::move(value);
  node->name = take_name();
  node->test = find_test(node->name);
  if (!node->test) check_absent("test", node->name, node->line, false);
  const Token& token = peek();
  const bool word =
      token.kind == TokenKind::name && token.text != "else" && token.text != "or" && token.text != "and";
  const bool literal = token.kind == TokenKind::string || token.kind == TokenKind::integer ||
                       token.kind == TokenKind::real || is_op("[") || is_op("{");
  if (is_op("(")) {
    node->arguments = call_arguments();
  } else if (word || literal) {
    if (is_name("is")) refuse("tests cannot be chained with is");
    node->arguments.positional.push_back(behind(primary()));
  }
  if (!negated) return node;
  auto no = make<Unary>(node->line);
  no->operation = Unary::Operator::no;
  no->operand = std::move(node);
  return no;
}

std::unique_ptr<const Call> ExpressionParser::call_expression(int line) {
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks): the analyzer loses it in the cast
  ExpressionPtr called = expression();
  if (!dynamic_cast<const Call*>(called.get())) refuse_at(line, "expected a call behind {% call");
  return std::unique_ptr<const Call>(static_cast<const Call*>(called.release()));
}

}  // namespace intarsia::jinja
