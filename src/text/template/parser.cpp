#include "text/template/parser.h"

#include <algorithm>
#include <set>

#include "core/fail.h"
#include "data/file.h"
#include "text/template/lexer.h"
#include "text/template/python.h"

namespace intarsia::jinja {

namespace {

constexpr int nesting_limit = 150, chain_limit = 1000;

class Parser {
 public:
  Parser(std::string_view source, std::string_view name, Heap& heap)
      : name_(name), heap_(heap), tokens_(tokenize(source, name)) {}

  Body all() {
    Body body = statements({});
    if (peek().kind != TokenKind::end) refuse_tag(peek());
    return body;
  }

 private:
  // ---- tokens

  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  const Token& next() {
    const Token& token = peek();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool is_op(std::string_view op, size_t ahead = 0) const {
    return peek(ahead).kind == TokenKind::op && peek(ahead).text == op;
  }
  bool is_name(std::string_view name, size_t ahead = 0) const {
    return peek(ahead).kind == TokenKind::name && peek(ahead).text == name;
  }
  bool skip_op(std::string_view op) { return is_op(op) && (next(), true); }
  bool skip_name(std::string_view name) { return is_name(name) && (next(), true); }
  void expect_op(std::string_view op) {
    if (!skip_op(op)) refuse(fmt::format("expected {}, found {}", op, described(peek())));
  }
  void expect_name(std::string_view name) {
    if (!skip_name(name)) refuse(fmt::format("expected {}, found {}", name, described(peek())));
  }
  std::string take_name() {
    if (peek().kind != TokenKind::name) refuse("expected a name, found " + described(peek()));
    return next().text;
  }
  void expect_end(TokenKind kind) {
    if (peek().kind != kind)
      refuse(fmt::format("expected {}, found {}", kind == TokenKind::block_end ? "%}" : "}}",
                         described(peek())));
    next();
  }

  static std::string described(const Token& token) {
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
  [[noreturn]] void refuse(std::string_view reason) const { fail_at(name_, peek().line, reason); }
  [[noreturn]] void refuse_tag(const Token& token) const {
    static constexpr std::string_view known[] = {"include",    "import", "from",  "extends",
                                                 "block",      "macro",  "trans", "do",
                                                 "autoescape", "print",  "debug"};
    const bool other = std::find(std::begin(known), std::end(known), token.text) != std::end(known);
    refuse(fmt::format("the tag {} {}", quote(token.text),
                       other ? "is not supported" : "is unknown or stands alone"));
  }

  // A level of the tree; deeper ones are refused, so that nothing overflows the stack.
  class Nesting {
   public:
    explicit Nesting(Parser& parser) : parser_(parser) {
      if (++parser_.nesting_ > nesting_limit) {
        --parser_.nesting_;
        parser_.refuse(fmt::format("expressions and tags are nested deeper than {}", nesting_limit));
      }
    }
    ~Nesting() { --parser_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    Parser& parser_;
  };

  // What is read while it lives stands under a condition.
  struct Condition {
    explicit Condition(int& count) : count_(count) { ++count_; }
    ~Condition() { --count_; }
    Condition(const Condition&) = delete;
    Condition& operator=(const Condition&) = delete;
    int& count_;
  };

  template <class T>
  std::unique_ptr<T> make(int line) {
    auto node = std::make_unique<T>();
    node->line = line;
    return node;
  }

  // ---- expressions

  // Chains such as a + b + c make a tree as deep as they are long.
  void grow() {
    if (++links_ > chain_limit) refuse(fmt::format("an expression has more than {} parts", chain_limit));
  }

  ExpressionPtr expression(bool with_choice = true) {
    const Nesting nesting(*this);
    return with_choice ? choice() : either();
  }

  ExpressionPtr choice() {
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

  using Operator = Binary::Operator;
  ExpressionPtr binary(Operator operation, int line, ExpressionPtr left, ExpressionPtr right) {
    auto node = make<Binary>(line);
    node->operation = operation;
    node->left = std::move(left);
    node->right = std::move(right);
    return node;
  }

  ExpressionPtr either() {
    const int line = peek().line;
    ExpressionPtr left = both();
    while (skip_name("or")) {
      grow();
      left = binary(Operator::either, line, std::move(left), both());
    }
    return left;
  }

  ExpressionPtr both() {
    const int line = peek().line;
    ExpressionPtr left = negation();
    while (skip_name("and")) {
      grow();
      left = binary(Operator::both, line, std::move(left), negation());
    }
    return left;
  }

  ExpressionPtr negation() {
    if (!is_name("not")) return comparison();
    const Nesting nesting(*this);
    auto node = make<Unary>(next().line);
    node->operation = Unary::Operator::no;
    node->operand = negation();
    return node;
  }

  std::optional<Comparing> comparing() {
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

  ExpressionPtr comparison() {
    const int line = peek().line;
    ExpressionPtr first = sum();
    std::vector<std::pair<Comparing, ExpressionPtr>> rest;
    while (const auto how = comparing()) rest.push_back({*how, sum()});
    if (rest.empty()) return first;
    auto node = make<Comparison>(line);
    node->first = std::move(first);
    node->rest = std::move(rest);
    return node;
  }

  ExpressionPtr sum() {
    ExpressionPtr left = joined();
    while (is_op("+") || is_op("-")) {
      grow();
      const Token& token = next();
      left = binary(token.text == "+" ? Operator::add : Operator::subtract, token.line, std::move(left),
                    joined());
    }
    return left;
  }

  ExpressionPtr joined() {
    const int line = peek().line;
    ExpressionPtr first = product();
    if (!is_op("~")) return first;
    auto node = make<Join>(line);
    node->parts.push_back(std::move(first));
    while (skip_op("~")) node->parts.push_back(product());
    return node;
  }

  ExpressionPtr product() {
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

  ExpressionPtr powers() {
    ExpressionPtr left = unary();
    while (is_op("**")) {
      grow();
      const int line = next().line;
      left = binary(Operator::power, line, std::move(left), unary());
    }
    return left;
  }

  ExpressionPtr unary(bool with_filters = true) {
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

  ExpressionPtr constant(Value value, int line) {
    auto node = make<Constant>(line);
    node->constant = std::move(value);
    return node;
  }
  Value text_value(std::string text) {
    return TextPtr(std::make_shared<TextObject>(heap_, Text(std::move(text)), false));
  }

  ExpressionPtr primary() {
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

  bool at_tuple_end(std::string_view end_name) const {
    const TokenKind kind = peek().kind;
    return kind == TokenKind::variable_end || kind == TokenKind::block_end || is_op(")") ||
           (!end_name.empty() && is_name(end_name));
  }

  // An expression, or several with commas between them.
  ExpressionPtr tuple(bool with_choice, bool parentheses, std::string_view end_name = {}) {
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

  ExpressionPtr list() {
    auto node = make<ListOf>(next().line);
    while (!is_op("]")) {
      if (!node->items.empty()) expect_op(",");
      if (is_op("]")) break;
      node->items.push_back(expression());
    }
    expect_op("]");
    return node;
  }

  ExpressionPtr dict() {
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

  // Attributes, items and calls.
  ExpressionPtr behind(ExpressionPtr value) {
    while (is_op(".") || is_op("[") || is_op("(")) {
      grow();
      if (is_op("("))
        value = call(std::move(value));
      else
        value = is_op(".") ? attribute_of(std::move(value)) : item_of(std::move(value));
    }
    return value;
  }

  ExpressionPtr attribute_of(ExpressionPtr object) {
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

  ExpressionPtr item_of(ExpressionPtr object) {
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

  std::unique_ptr<Call> call(ExpressionPtr function) {
    auto node = make<Call>(peek().line);
    node->function = std::move(function);
    node->arguments = call_arguments();
    return node;
  }

  CallArguments call_arguments() {
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

  ExpressionPtr filters_and_tests(ExpressionPtr value) {
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

  // As in Jinja, what stands in an `if` may name a filter that does not exist: it fails if it is reached.
  void check_absent(const char* what, const std::string& name, int line, bool unsupported) const {
    if (unsupported) fail_at(name_, line, fmt::format("the {} {} is not supported", what, quote(name)));
    if (conditions_ == 0) fail_at(name_, line, fmt::format("there is no {} {}", what, quote(name)));
  }

  std::unique_ptr<FilterOf> filter() {
    auto node = make<FilterOf>(peek().line);
    node->name = take_name();
    node->filter = find_filter(node->name);
    if (!node->filter) check_absent("filter", node->name, node->line, is_unsupported_filter(node->name));
    if (is_op("(")) node->arguments = call_arguments();
    return node;
  }

  ExpressionPtr test(ExpressionPtr value) {
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

  // ---- statements

  // Up to a tag of one of these names, whose block_begin is skipped; without names up to the end.
  Body statements(std::initializer_list<std::string_view> ends) {
    const Nesting nesting(*this);
    Body body;
    while (true) {
      links_ = 0;
      const Token& token = peek();
      if (token.kind == TokenKind::data) {
        auto node = make<Data>(token.line);
        node->text = Text(next().text);
        body.push_back(std::move(node));
      } else if (token.kind == TokenKind::variable_begin) {
        auto node = make<Output>(next().line);
        node->expression = tuple(true, false);
        expect_end(TokenKind::variable_end);
        body.push_back(std::move(node));
      } else if (token.kind == TokenKind::block_begin) {
        const bool ended =
            std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return is_name(end, 1); });
        next();
        if (ended) return body;
        body.push_back(statement());
        expect_end(TokenKind::block_end);
      } else {
        if (ends.size() == 0) return body;
        refuse(fmt::format("expected {{% {} %}}, found the end of the template", *(ends.end() - 1)));
      }
    }
  }

  // What stands between two tags, without the name of the second one.
  Body body(std::initializer_list<std::string_view> ends) {
    skip_op(":");
    expect_end(TokenKind::block_end);
    return statements(ends);
  }
  Body body_up_to(std::string_view end) {
    Body inside = body({end});
    next();
    return inside;
  }

  StatementPtr statement() {
    const Token& token = peek();
    if (token.kind != TokenKind::name) refuse("expected the name of a tag, found " + described(token));
    if (token.text == "if") return if_statement();
    if (token.text == "for") return for_statement();
    if (token.text == "set") return set_statement();
    if (token.text == "macro") return macro_statement();
    if (token.text == "call") return call_statement();
    if (token.text == "filter") return filter_statement();
    if (token.text == "with") return with_statement();
    if (token.text == "generation") {
      auto node = make<Generation>(next().line);
      node->body = body_outside_loops("endgeneration");
      return node;
    }
    if (token.text == "break" || token.text == "continue") {
      if (loops_ == 0) refuse(fmt::format("{} stands outside of a loop", token.text));
      auto node = make<LoopControl>(token.line);
      node->flow = next().text == "break" ? Flow::break_loop : Flow::continue_loop;
      return node;
    }
    refuse_tag(token);
  }

  StatementPtr if_statement() {
    auto node = make<If>(peek().line);
    const Condition condition_level(conditions_);
    while (true) {
      next();
      ExpressionPtr condition = tuple(false, false);
      Body inside = body({"elif", "else", "endif"});
      node->branches.push_back({std::move(condition), std::move(inside)});
      if (is_name("elif")) continue;
      if (next().text == "else") node->branches.push_back({nullptr, body_up_to("endif")});
      return node;
    }
  }

  Target target(bool with_attribute, std::string_view end_name = {}) {
    Target all;
    bool comma = false;
    while (!at_tuple_end(end_name) && !is_op("=")) {
      all.parts.push_back(one_target(with_attribute));
      if (!skip_op(",")) break;
      comma = true;
    }
    if (all.parts.empty()) refuse("expected a name to set, found " + described(peek()));
    if (!comma) {
      Target one = std::move(all.parts[0]);
      return one;
    }
    all.is_tuple = true;
    return all;
  }

  Target one_target(bool with_attribute) {
    const Nesting nesting(*this);
    if (skip_op("(")) {
      Target inside = target(with_attribute);
      expect_op(")");
      return inside;
    }
    Target one;
    one.name = take_name();
    static constexpr std::string_view constants[] = {"true", "True", "false", "False", "none", "None"};
    if (std::find(std::begin(constants), std::end(constants), one.name) != std::end(constants))
      refuse(fmt::format("{} cannot be set", one.name));
    if (with_attribute && skip_op(".")) one.attribute = take_name();
    return one;
  }

  StatementPtr for_statement() {
    auto node = make<For>(next().line);
    node->target = target(false, "in");
    expect_name("in");
    node->items = tuple(false, false, "recursive");
    if (skip_name("if")) node->condition = expression();
    node->recursive = skip_name("recursive");
    ++loops_;
    node->body = body({"else", "endfor"});
    --loops_;
    if (next().text == "else") node->otherwise = body_up_to("endfor");
    return node;
  }

  StatementPtr set_statement() {
    auto node = make<Set>(next().line);
    node->target = target(true);
    if (skip_op("=")) {
      node->expression = tuple(true, false);
      return node;
    }
    while (skip_op("|")) node->filters.push_back(filter());
    node->body = body_outside_loops("endset");
    return node;
  }

  // Inside these tags {% break %} would leave what they collect.
  Body body_outside_loops(std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    Body inside = body_up_to(end);
    loops_ = loops;
    return inside;
  }

  StatementPtr with_statement() {
    auto node = make<With>(next().line);
    while (peek().kind != TokenKind::block_end) {
      if (!node->assignments.empty()) expect_op(",");
      Target name = target(false);
      expect_op("=");
      node->assignments.push_back({std::move(name), expression()});
    }
    node->body = body_up_to("endwith");
    return node;
  }

  StatementPtr filter_statement() {
    auto node = make<FilterBlock>(next().line);
    do node->filters.push_back(filter());
    while (skip_op("|"));
    node->body = body_outside_loops("endfilter");
    return node;
  }

  void signature(MacroBody& macro) {
    expect_op("(");
    while (!is_op(")")) {
      if (!macro.parameters.empty()) expect_op(",");
      macro.parameters.push_back(one_target(false).name);
      if (skip_op("="))
        macro.defaults.push_back(expression());
      else if (!macro.defaults.empty())
        refuse("a parameter without a default stands behind one with a default");
    }
    expect_op(")");
  }

  void macro_body(MacroBody& macro, std::string_view end) {
    // Which of the special names the body uses decides on what arguments a call may have.
    std::set<std::string> around = std::exchange(names_, {});
    macro.body = body_outside_loops(end);
    const auto uses = [&](const char* name) {
      return names_.contains(name) &&
             std::find(macro.parameters.begin(), macro.parameters.end(), name) == macro.parameters.end();
    };
    macro.uses_caller = uses("caller");
    macro.uses_positional = uses("varargs");
    macro.uses_named = uses("kwargs");
    names_.merge(around);
  }

  StatementPtr macro_statement() {
    auto node = make<MacroDefinition>(next().line);
    node->macro.name = take_name();
    signature(node->macro);
    macro_body(node->macro, "endmacro");
    return node;
  }

  StatementPtr call_statement() {
    auto node = make<CallBlock>(next().line);
    node->caller.name = "caller";
    if (is_op("(")) signature(node->caller);
    ExpressionPtr called = expression();
    const auto* as_call = dynamic_cast<const Call*>(called.get());
    if (!as_call) fail_at(name_, node->line, "expected a call behind {% call");
    called.release();
    node->call.reset(as_call);
    macro_body(node->caller, "endcall");
    return node;
  }

  std::string_view name_;
  Heap& heap_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
  int loops_ = 0;
  int conditions_ = 0;
  int links_ = 0;                // of the chains in one statement
  std::set<std::string> names_;  // that expressions have used
};

}  // namespace

Body parse(std::string_view source, std::string_view name, Heap& heap) {
  return Parser(source, name, heap).all();
}

}  // namespace intarsia::jinja
