// The tree of a template: expressions give values, statements write text and set names.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/template/builtin/builtins.h"
#include "text/template/python.h"
#include "text/template/runtime.h"
#include "text/template/value/value.h"

namespace intarsia::jinja {

class Expression {
 public:
  virtual ~Expression() = default;
  // Counts a step and a level of depth, and remembers the line for errors.
  Value evaluate(Runtime& runtime, Scope& scope) const;
  int line = 0;

 private:
  virtual Value value(Runtime& runtime, Scope& scope) const = 0;
};
using ExpressionPtr = std::unique_ptr<const Expression>;

// How a statement ended: `{% break %}` and `{% continue %}` leave those around them.
enum class Flow { next, break_loop, continue_loop };

class Statement {
 public:
  virtual ~Statement() = default;
  Flow execute(Runtime& runtime, Scope& scope) const;
  int line = 0;

 private:
  virtual Flow run(Runtime& runtime, Scope& scope) const = 0;
};
using StatementPtr = std::unique_ptr<const Statement>;
using Body = std::vector<StatementPtr>;

Flow execute(const Body& body, Runtime& runtime, Scope& scope);

// ---- expressions

struct Constant final : Expression {
  Value constant;
  Value value(Runtime&, Scope&) const override;
};

struct Name final : Expression {
  std::string name;
  Value value(Runtime&, Scope&) const override;
};

struct ListOf final : Expression {
  SequenceKind kind = SequenceKind::list;
  std::vector<ExpressionPtr> items;
  Value value(Runtime&, Scope&) const override;
};

struct DictOf final : Expression {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> items;
  Value value(Runtime&, Scope&) const override;
};

struct Attribute final : Expression {
  ExpressionPtr object;
  std::string name;
  Value value(Runtime&, Scope&) const override;
};

struct Item final : Expression {
  ExpressionPtr object, index;
  Value value(Runtime&, Scope&) const override;
};

struct Slice final : Expression {
  ExpressionPtr object, start, stop, step;  // the last three may be null
  Value value(Runtime&, Scope&) const override;
};

struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr more_positional, more_named;  // *list, **dictionary
  Arguments evaluate(Runtime& runtime, Scope& scope) const;
};

struct Call final : Expression {
  ExpressionPtr function;
  CallArguments arguments;
  Value call(Runtime&, Scope&, CallablePtr caller) const;
  Value value(Runtime&, Scope&) const override;
};

struct FilterOf final : Expression {
  ExpressionPtr input;              // null in a block: the block's text
  const Builtin* filter = nullptr;  // null: there is none of that name
  std::string name;
  CallArguments arguments;
  Value apply(Runtime&, Scope&, const Value& input) const;
  Value value(Runtime&, Scope&) const override;
};

struct TestOf final : Expression {
  ExpressionPtr input;
  const Builtin* test = nullptr;  // null: there is none of that name
  std::string name;
  CallArguments arguments;
  Value value(Runtime&, Scope&) const override;
};

struct Unary final : Expression {
  enum class Operator { plus, minus, no } operation;
  ExpressionPtr operand;
  Value value(Runtime&, Scope&) const override;
};

struct Binary final : Expression {
  enum class Operator {
    add,
    subtract,
    multiply,
    divide,
    floor_divide,
    modulo,
    power,
    both,
    either
  } operation;
  ExpressionPtr left, right;
  Value value(Runtime&, Scope&) const override;
};

struct Join final : Expression {  // a ~ b ~ c
  std::vector<ExpressionPtr> parts;
  Value value(Runtime&, Scope&) const override;
};

struct Comparison final : Expression {  // a < b <= c
  ExpressionPtr first;
  std::vector<std::pair<Comparing, ExpressionPtr>> rest;
  Value value(Runtime&, Scope&) const override;
};

struct Choice final : Expression {
  ExpressionPtr condition, then, otherwise;  // otherwise may be null
  Value value(Runtime&, Scope&) const override;
};

// ---- statements

// What can be assigned to: a name, an attribute of a namespace, or a tuple of targets.
struct Target {
  std::string name, attribute;
  std::vector<Target> parts;
  bool is_tuple = false;
  void assign(Runtime& runtime, Scope& scope, Value value) const;
};

struct Data final : Statement {
  Text text;
  Flow run(Runtime&, Scope&) const override;
};

struct Output final : Statement {
  ExpressionPtr expression;
  Flow run(Runtime&, Scope&) const override;
};

struct If final : Statement {
  std::vector<std::pair<ExpressionPtr, Body>> branches;  // in order; a null condition holds
  Flow run(Runtime&, Scope&) const override;
};

struct For final : Statement {
  Target target;
  ExpressionPtr items, condition;  // condition may be null
  bool recursive = false;
  Body body, otherwise;
  Flow run(Runtime&, Scope&) const override;

 private:
  // Recursive loops are one level deeper.
  Flow loop_over(Runtime&, Scope&, const Value& items, int depth) const;
};

struct Set final : Statement {
  Target target;
  ExpressionPtr expression;  // null: the text of the body, through the filters
  std::vector<std::unique_ptr<const FilterOf>> filters;
  Body body;
  Flow run(Runtime&, Scope&) const override;
};

struct With final : Statement {
  std::vector<std::pair<Target, ExpressionPtr>> assignments;
  Body body;
  Flow run(Runtime&, Scope&) const override;
};

struct FilterBlock final : Statement {
  std::vector<std::unique_ptr<const FilterOf>> filters;
  Body body;
  Flow run(Runtime&, Scope&) const override;
};

struct Generation final : Statement {  // marks what an assistant says; prints its body
  Body body;
  Flow run(Runtime&, Scope&) const override;
};

struct LoopControl final : Statement {
  Flow flow = Flow::next;
  Flow run(Runtime&, Scope&) const override { return flow; }
};

struct MacroBody {
  std::string name;
  std::vector<std::string> parameters;
  std::vector<ExpressionPtr> defaults;  // of the last parameters
  Body body;
  bool uses_caller = false, uses_positional = false, uses_named = false;  // caller, varargs, kwargs
};

struct MacroDefinition final : Statement {
  MacroBody macro;
  Flow run(Runtime&, Scope&) const override;
};

struct CallBlock final : Statement {
  std::unique_ptr<const Call> call;
  MacroBody caller;
  Flow run(Runtime&, Scope&) const override;
};

}  // namespace intarsia::jinja
