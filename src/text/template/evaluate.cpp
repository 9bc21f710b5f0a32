// What each node of a template does.
#include <algorithm>
#include <deque>

#include "core/fail.h"
#include "data/file.h"
#include "text/template/python.h"
#include "text/template/syntax/syntax.h"

namespace intarsia::jinja {

Value Expression::evaluate(Runtime& runtime, Scope& scope) const {
  const Runtime::Level level(runtime);
  runtime.work(1);
  runtime.line = line;
  return value(runtime, scope);
}

Flow Statement::execute(Runtime& runtime, Scope& scope) const {
  const Runtime::Level level(runtime);
  runtime.work(1);
  runtime.line = line;
  return run(runtime, scope);
}

Flow execute(const Body& body, Runtime& runtime, Scope& scope) {
  for (const StatementPtr& statement : body)
    if (const Flow flow = statement->execute(runtime, scope); flow != Flow::next) return flow;
  return Flow::next;
}

// ---- expressions

Value Constant::value(Runtime&, Scope&) const { return constant; }

Value Name::value(Runtime&, Scope& scope) const {
  if (const Value* found = scope.find(name)) return *found;
  if (const Builtin* global = find_global(name)) return bound(*global, {});
  return undefined(quote(name) + " is undefined");
}

Value ListOf::value(Runtime& runtime, Scope& scope) const {
  std::vector<Value> values;
  values.reserve(items.size());
  for (const ExpressionPtr& each : items) values.push_back(each->evaluate(runtime, scope));
  return runtime.list(std::move(values), kind);
}

Value DictOf::value(Runtime& runtime, Scope& scope) const {
  std::vector<Dict::Item> values;
  values.reserve(items.size());
  for (const auto& [key, each] : items) {
    Value name = key->evaluate(runtime, scope);
    values.push_back({std::move(name), each->evaluate(runtime, scope)});
  }
  return runtime.dict(std::move(values));
}

Value Attribute::value(Runtime& runtime, Scope& scope) const {
  return attribute(runtime, object->evaluate(runtime, scope), name);
}

Value Item::value(Runtime& runtime, Scope& scope) const {
  const Value container = object->evaluate(runtime, scope);
  return item(runtime, container, index->evaluate(runtime, scope));
}

Value Slice::value(Runtime& runtime, Scope& scope) const {
  const Value container = object->evaluate(runtime, scope);
  const auto bound_of = [&](const ExpressionPtr& each) {
    return each ? each->evaluate(runtime, scope) : Value(None());
  };
  const Value first = bound_of(start), last = bound_of(stop), by = bound_of(step);
  return slice(runtime, container, &first, &last, &by);
}

Arguments CallArguments::evaluate(Runtime& runtime, Scope& scope) const {
  Arguments arguments;
  for (const ExpressionPtr& each : positional) arguments.positional.push_back(each->evaluate(runtime, scope));
  for (const auto& [name, each] : named)
    arguments.named.push_back({Text(name), each->evaluate(runtime, scope)});
  if (more_positional)
    for (Value& each : items_of(runtime, more_positional->evaluate(runtime, scope)))
      arguments.positional.push_back(std::move(each));
  if (more_named) {
    const Value more = more_named->evaluate(runtime, scope);
    const Dict* dict = more.get<Dict>();
    if (!dict) fail("what stands behind ** is a {}, expected a dictionary", more.type_name());
    for (const auto& [key, each] : dict->items) {
      if (!key.text()) fail("the names of arguments are text, found {}", key.type_name());
      arguments.named.push_back({*key.text(), each});
    }
  }
  return arguments;
}

Value Call::call(Runtime& runtime, Scope& scope, CallablePtr caller) const {
  const Value callee = function->evaluate(runtime, scope);
  Arguments given = arguments.evaluate(runtime, scope);
  if (caller) given.named.push_back({Text("caller"), Value(std::move(caller))});
  runtime.line = line;
  return jinja::call(runtime, callee, given);
}

Value Call::value(Runtime& runtime, Scope& scope) const { return call(runtime, scope, nullptr); }

Value FilterOf::apply(Runtime& runtime, Scope& scope, const Value& text) const {
  Arguments given = arguments.evaluate(runtime, scope);
  runtime.line = line;
  if (!filter) fail("there is no filter {}", quote(name));
  return filter->call(runtime, text, given);
}

Value FilterOf::value(Runtime& runtime, Scope& scope) const {
  return apply(runtime, scope, input->evaluate(runtime, scope));
}

Value TestOf::value(Runtime& runtime, Scope& scope) const {
  const Value tested = input->evaluate(runtime, scope);
  Arguments given = arguments.evaluate(runtime, scope);
  runtime.line = line;
  if (!test) fail("there is no test {}", quote(name));
  return test->call(runtime, tested, given);
}

Value Unary::value(Runtime& runtime, Scope& scope) const {
  const Value number = operand->evaluate(runtime, scope);
  if (operation == Operator::no) return !truth(number);
  return operation == Operator::minus ? negative(number) : add(runtime, int64_t{0}, number);
}

Value Binary::value(Runtime& runtime, Scope& scope) const {
  Value a = left->evaluate(runtime, scope);
  if (operation == Operator::both) return truth(a) ? right->evaluate(runtime, scope) : a;
  if (operation == Operator::either) return truth(a) ? a : right->evaluate(runtime, scope);
  const Value b = right->evaluate(runtime, scope);
  runtime.line = line;
  switch (operation) {
    case Operator::add:
      return add(runtime, a, b);
    case Operator::subtract:
      return subtract(runtime, a, b);
    case Operator::multiply:
      return multiply(runtime, a, b);
    case Operator::divide:
      return divide(a, b);
    case Operator::floor_divide:
      return floor_divide(a, b);
    case Operator::modulo:
      return modulo(runtime, a, b);
    default:
      return power(a, b);
  }
}

Value Join::value(Runtime& runtime, Scope& scope) const {
  Text joined;
  for (const ExpressionPtr& part : parts) joined.add(str(runtime, part->evaluate(runtime, scope)));
  return runtime.make(std::move(joined));
}

Value Comparison::value(Runtime& runtime, Scope& scope) const {
  Value left = first->evaluate(runtime, scope);
  for (const auto& [how, operand] : rest) {
    Value right = operand->evaluate(runtime, scope);
    runtime.line = line;
    if (!compare(runtime, how, left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Value Choice::value(Runtime& runtime, Scope& scope) const {
  if (truth(condition->evaluate(runtime, scope))) return then->evaluate(runtime, scope);
  if (otherwise) return otherwise->evaluate(runtime, scope);
  return undefined(fmt::format("the condition in line {} does not hold, and there is no else", line));
}

// ---- statements

void Target::assign(Runtime& runtime, Scope& scope, Value value) const {
  if (is_tuple) {
    const std::vector<Value> values = items_of(runtime, value);
    if (values.size() != parts.size())
      fail("{} values cannot be assigned to {} names", values.size(), parts.size());
    for (size_t i = 0; i < parts.size(); ++i) parts[i].assign(runtime, scope, values[i]);
    return;
  }
  if (attribute.empty()) return scope.set(name, std::move(value));
  const Value* found = scope.find(name);
  Namespace* space = found ? found->name_space() : nullptr;
  if (!space) fail("{} is no namespace, so {} cannot be set", quote(name), quote(name + "." + attribute));
  space->set(attribute, std::move(value));
}

Flow Data::run(Runtime& runtime, Scope&) const {
  runtime.write(text);
  return Flow::next;
}

Flow Output::run(Runtime& runtime, Scope& scope) const {
  const Value value = expression->evaluate(runtime, scope);
  const Text* text = value.text();
  runtime.write(text ? *text : str(runtime, value));
  return Flow::next;
}

Flow If::run(Runtime& runtime, Scope& scope) const {
  for (const auto& [condition, body] : branches)
    if (!condition || truth(condition->evaluate(runtime, scope))) return jinja::execute(body, runtime, scope);
  return Flow::next;
}

namespace {

// The variable `loop`. Items are tested by the loop's condition when they are needed, as in Python.
class Loop final : public Callable {
 public:
  Loop(std::vector<Value> items, int depth) : items_(std::move(items)), depth_(depth) {
    for (const Value& item : items_) extent_.hold(item.extent());
  }
  std::function<bool(const Value&)> keep;           // null: all
  std::function<void(const Value& items)> recurse;  // null: not a recursive loop
  Extent extent() const override { return extent_; }

  // Moves on to the next item; false at the end.
  bool advance() {
    if (!look_ahead()) return false;
    previous_ = std::exchange(current_, ahead_.front());
    ahead_.pop_front();
    ++index_;
    return true;
  }
  const Value& current() const { return current_; }
  int64_t index() const { return index_; }
  // After the loop its variable is no more than some numbers.
  void end() {
    items_.clear();
    ahead_.clear();
    previous_ = current_ = changed_ = Value();
    keep = nullptr;
    recurse = nullptr;
  }

  Value call(Runtime& runtime, Arguments& arguments) override {
    if (!recurse) fail("the loop is not recursive, expected {{% for ... recursive %}}");
    const Parameters given("loop", arguments, {"items"}, 1);
    const Value items = *given[0];
    return runtime.make(runtime.capture([&] { recurse(items); }));
  }

  Value attribute(Runtime& runtime, std::string_view name) override {
    if (name == "index") return index_ + 1;
    if (name == "index0") return index_;
    if (name == "first") return index_ == 0;
    if (name == "last") return !look_ahead();
    if (name == "depth") return int64_t{depth_} + 1;
    if (name == "depth0") return int64_t{depth_};
    if (name == "previtem") return index_ == 0 ? undefined("there is no previous item") : previous_;
    if (name == "nextitem") return look_ahead() ? ahead_.front() : undefined("there is no next item");
    if (name == "length") return index_ + 1 + remaining();
    if (name == "revindex") return remaining() + 1;
    if (name == "revindex0") return remaining();
    if (name == "cycle" || name == "changed") return bound_method(runtime, name == "cycle");
    return {};
  }

 private:
  // Whether there is a next item.
  bool look_ahead() { return !ahead_.empty() || take_one(); }
  bool take_one() {
    while (next_ < items_.size()) {
      const Value& item = items_[next_++];
      if (keep && !keep(item)) continue;
      ahead_.push_back(item);
      return true;
    }
    return false;
  }
  int64_t remaining() {
    while (take_one()) {}
    return static_cast<int64_t>(ahead_.size());
  }
  Value bound_method(Runtime& runtime, bool cycle);

  std::vector<Value> items_;
  Extent extent_;
  size_t next_ = 0;
  std::deque<Value> ahead_;
  Value previous_, current_, changed_;
  bool has_changed_ = false;
  int64_t index_ = -1;
  int depth_;
};

class LoopMethod final : public Callable {
 public:
  LoopMethod(std::function<Value(Runtime&, Arguments&)> f) : function_(std::move(f)) {}
  Value call(Runtime& runtime, Arguments& arguments) override { return function_(runtime, arguments); }

 private:
  std::function<Value(Runtime&, Arguments&)> function_;
};

Value Loop::bound_method(Runtime&, bool cycle) {
  const auto self = std::static_pointer_cast<Loop>(shared_from_this());
  if (cycle) {
    return CallablePtr(std::make_shared<LoopMethod>([at = index_](Runtime&, Arguments& arguments) {
      if (arguments.positional.empty()) fail("loop.cycle: no items are given");
      return arguments
          .positional[static_cast<size_t>(std::max<int64_t>(at, 0)) % arguments.positional.size()];
    }));
  }
  return CallablePtr(std::make_shared<LoopMethod>(
      [weak = std::weak_ptr<Loop>(self)](Runtime& runtime, Arguments& arguments) -> Value {
        const auto loop = weak.lock();
        if (!loop) return true;
        Value now = runtime.list(std::move(arguments.positional), SequenceKind::tuple);
        const bool same = loop->has_changed_ && equal(loop->changed_, now);
        loop->has_changed_ = true;
        loop->changed_ = std::move(now);
        return !same;
      }));
}

}  // namespace

Flow For::run(Runtime& runtime, Scope& scope) const {
  return loop_over(runtime, scope, items->evaluate(runtime, scope), 0);
}

Flow For::loop_over(Runtime& runtime, Scope& scope, const Value& values, int depth) const {
  const Runtime::Level level(runtime);
  const auto loop = std::make_shared<Loop>(items_of(runtime, values), depth);
  struct Ending {
    Loop& loop;
    ~Ending() { loop.end(); }
  } const ending{*loop};
  const auto inner = scope.inner();
  if (condition) {
    loop->keep = [&](const Value& item) {
      const auto tested = scope.inner();
      target.assign(runtime, *tested, item);
      return truth(condition->evaluate(runtime, *tested));
    };
  }
  if (recursive) loop->recurse = [&](const Value& more) { loop_over(runtime, scope, more, depth + 1); };
  while (loop->advance()) {
    runtime.work(1);
    inner->clear();
    inner->set("loop", CallablePtr(loop));
    target.assign(runtime, *inner, loop->current());
    if (jinja::execute(body, runtime, *inner) == Flow::break_loop) break;
  }
  inner->clear();
  return loop->index() < 0 ? jinja::execute(otherwise, runtime, *scope.inner()) : Flow::next;
}

namespace {

Value filtered(Runtime& runtime, Scope& scope, const Body& body,
               const std::vector<std::unique_ptr<const FilterOf>>& filters) {
  const auto inner = scope.inner();
  Value text = runtime.make(runtime.capture([&] { jinja::execute(body, runtime, *inner); }));
  for (const auto& filter : filters) text = filter->apply(runtime, *inner, text);
  return text;
}

}  // namespace

Flow Set::run(Runtime& runtime, Scope& scope) const {
  target.assign(runtime, scope,
                expression ? expression->evaluate(runtime, scope) : filtered(runtime, scope, body, filters));
  return Flow::next;
}

Flow With::run(Runtime& runtime, Scope& scope) const {
  const auto inner = scope.inner();
  for (const auto& [target, expression] : assignments)
    target.assign(runtime, *inner, expression->evaluate(runtime, scope));
  return jinja::execute(body, runtime, *inner);
}

Flow FilterBlock::run(Runtime& runtime, Scope& scope) const {
  runtime.write(str(runtime, filtered(runtime, scope, body, filters)));
  return Flow::next;
}

Flow Generation::run(Runtime& runtime, Scope& scope) const {
  jinja::execute(body, runtime, *scope.inner());
  return Flow::next;
}

namespace {

class Macro final : public Callable {
 public:
  Macro(const MacroBody& macro, std::shared_ptr<Scope> around) : macro_(macro), around_(std::move(around)) {}

  Value call(Runtime& runtime, Arguments& arguments) override {
    const Runtime::Level level(runtime);
    const auto inner = around_->inner();
    bind(runtime, *inner, arguments);
    return runtime.make(runtime.capture([&] { jinja::execute(macro_.body, runtime, *inner); }));
  }

  Value attribute(Runtime& runtime, std::string_view name) override {
    return name == "name" ? runtime.make(macro_.name) : Value();
  }

 private:
  // Sets the parameters, from left to right: a default may use those before it.
  void bind(Runtime& runtime, Scope& scope, Arguments& arguments) const {
    const size_t count = macro_.parameters.size(), given = arguments.positional.size();
    if (given > count && !macro_.uses_positional)
      fail("macro {} takes {} arguments, {} are given", quote(macro_.name), count, given);
    for (size_t i = 0; i < count; ++i) {
      const std::string& name = macro_.parameters[i];
      const auto named = std::find_if(arguments.named.begin(), arguments.named.end(),
                                      [&](const auto& each) { return each.first.view() == name; });
      if (named != arguments.named.end()) {
        if (i < given) fail("macro {} is given {} twice", quote(macro_.name), quote(name));
        scope.set(name, std::move(named->second));
        arguments.named.erase(named);
      } else if (i < given) {
        scope.set(name, std::move(arguments.positional[i]));
      } else if (const size_t first = count - macro_.defaults.size(); i >= first) {
        scope.set(name, macro_.defaults[i - first]->evaluate(runtime, scope));
      } else {
        scope.set(name, undefined("the parameter " + quote(name) + " is not given"));
      }
    }
    bind_rest(runtime, scope, arguments);
  }

  void bind_rest(Runtime& runtime, Scope& scope, Arguments& arguments) const {
    const size_t count = macro_.parameters.size();
    std::vector<Dict::Item> named;
    Value caller = undefined("there is no caller: the macro is not called by {% call %}");
    for (auto& [name, value] : arguments.named) {
      if (name.view() == "caller" && macro_.uses_caller)
        caller = std::move(value);
      else if (macro_.uses_named)
        named.push_back({runtime.make(name), std::move(value)});
      else
        fail("macro {} has no parameter {}", quote(macro_.name), quote(name.view()));
    }
    if (macro_.uses_caller) scope.set("caller", std::move(caller));
    if (macro_.uses_named) scope.set("kwargs", runtime.dict(std::move(named)));
    if (!macro_.uses_positional) return;
    std::vector<Value> rest;
    for (size_t i = count; i < arguments.positional.size(); ++i)
      rest.push_back(std::move(arguments.positional[i]));
    scope.set("varargs", runtime.list(std::move(rest), SequenceKind::tuple));
  }

  const MacroBody& macro_;
  std::shared_ptr<Scope> around_;
};

CallablePtr macro_in(Runtime& runtime, Scope& scope, const MacroBody& macro) {
  runtime.keep(scope.shared_from_this());
  return std::make_shared<Macro>(macro, scope.shared_from_this());
}

}  // namespace

Flow MacroDefinition::run(Runtime& runtime, Scope& scope) const {
  scope.set(macro.name, Value(macro_in(runtime, scope, macro)));
  return Flow::next;
}

Flow CallBlock::run(Runtime& runtime, Scope& scope) const {
  runtime.write(str(runtime, call->call(runtime, scope, macro_in(runtime, scope, caller))));
  return Flow::next;
}

}  // namespace intarsia::jinja
