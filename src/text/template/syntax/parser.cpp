#include "text/template/syntax/parser.h"

#include <algorithm>
#include <set>

#include "core/fail.h"
#include "data/file.h"
#include "text/template/syntax/expression_parser.h"

namespace intarsia::jinja {

namespace {

// Tags and what stands between them.
class Parser : ExpressionParser {
 public:
  Parser(std::string_view source, std::string_view name, Heap& heap) : ExpressionParser(source, name, heap) {}

  Body all() {
    Body body = statements({});
    if (peek().kind != TokenKind::end) refuse_tag(peek());
    return body;
  }

 private:
  [[noreturn]] void refuse_tag(const Token& token) const {
    static constexpr std::string_view known[] = {"include",    "import", "from",  "extends",
                                                 "block",      "macro",  "trans", "do",
                                                 "autoescape", "print",  "debug"};
    const bool other = std::find(std::begin(known), std::end(known), token.text) != std::end(known);
    refuse(fmt::format("the tag {} {}", quote(token.text),
                       other ? "is not supported" : "is unknown or stands alone"));
  }

  // Up to a tag of one of these names, whose block_begin is skipped; without names up to the end.
  Body statements(std::initializer_list<std::string_view> ends) {
    const Nesting nesting(*this);
    Body body;
    while (true) {
      start_statement();
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
    const Condition condition_level(*this);
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
    node->call = call_expression(node->line);
    macro_body(node->caller, "endcall");
    return node;
  }

  int loops_ = 0;
};

}  // namespace

Body parse(std::string_view source, std::string_view name, Heap& heap) {
  return Parser(source, name, heap).all();
}

}  // namespace intarsia::jinja
