#include "text/template/runtime.h"

#include <algorithm>

#include "core/fail.h"

namespace intarsia::jinja {

Scope::Scope(std::shared_ptr<Scope> outer) : outer_(std::move(outer)) {
  constexpr int most = 1000;
  if (outer_) depth_ = outer_->depth_ + 1;
  if (depth_ > most) fail("bodies are nested deeper than {}", most);
}

const Value* Scope::find(const std::string& name) const {
  for (const Scope* scope = this; scope; scope = scope->outer_.get())
    if (const auto found = scope->names_.find(name); found != scope->names_.end()) return &found->second;
  return nullptr;
}

Runtime::Runtime(const Limits& limits, std::tm time) : now(time), limits_(limits), heap_(limits.memory) {}

Runtime::~Runtime() {
  for (const auto& scope : scopes_) scope->clear();
  for (const auto& space : spaces_) space->attributes.clear();
}

void Runtime::work(size_t units) {
  if (units > static_cast<size_t>(limits_.steps - steps_))
    fail("the template takes more than {} steps", limits_.steps);
  steps_ += static_cast<int64_t>(units);
}

Runtime::Level::Level(Runtime& runtime) : runtime_(runtime) {
  if (runtime.depth_ >= runtime.limits_.depth)
    fail("expressions and calls are nested deeper than {}", runtime.limits_.depth);
  ++runtime.depth_;
}

Value Runtime::make(Text text, bool markup) {
  work(text.size() / 64);
  return TextPtr(std::make_shared<TextObject>(heap_, std::move(text), markup));
}

Value Runtime::list(std::vector<Value> items, SequenceKind kind) {
  work(items.size());
  return SequencePtr(std::make_shared<Sequence>(heap_, kind, std::move(items)));
}

Value Runtime::dict(std::vector<Dict::Item> items) {
  work(items.size());
  return DictPtr(std::make_shared<Dict>(heap_, std::move(items)));
}

void Runtime::write(const Text& text) {
  work(text.size() / 64);
  if (text.size() > limits_.output - written_) fail("the output has more than {} bytes", limits_.output);
  written_ += text.size();
  out_->add(text);
}

}  // namespace intarsia::jinja
