// One rendering: what it may spend, what it has written, the names it can see.
#pragma once
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/template/value/value.h"

namespace intarsia::jinja {

struct Limits {
  int64_t steps = 20'000'000;        // expressions, statements, and 64 bytes or one item of what they work on
  int depth = 1000;                  // of expressions and statements inside one another, calls included
  size_t memory = size_t{48} << 20;  // of all values alive
  size_t output = size_t{32} << 20;  // bytes
};

// The names set in a body; what is not found there is looked for in the scope around it.
class Scope : public std::enable_shared_from_this<Scope> {
 public:
  explicit Scope(std::shared_ptr<Scope> outer = nullptr);
  const Value* find(const std::string& name) const;
  void set(const std::string& name, Value value) { names_[name] = std::move(value); }
  void clear() { names_.clear(); }
  std::shared_ptr<Scope> inner() { return std::make_shared<Scope>(shared_from_this()); }

 private:
  std::shared_ptr<Scope> outer_;
  int depth_ = 0;
  std::unordered_map<std::string, Value> names_;
};

class Runtime {
 public:
  Runtime(const Limits& limits, std::tm now);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  int line = 1;  // of what runs
  const std::tm now;
  Heap& heap() { return heap_; }

  // Error beyond the limit of steps.
  void work(size_t units);
  // A level of depth for as long as it lives.
  class Level {
   public:
    explicit Level(Runtime& runtime);
    ~Level() { --runtime_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Runtime& runtime_;
  };

  Value make(Text text, bool markup = false);
  Value make(std::string_view text) { return make(Text(std::string(text))); }
  Value list(std::vector<Value> items, SequenceKind kind = SequenceKind::list);
  Value dict(std::vector<Dict::Item> items);

  void write(const Text& text);
  // What f writes, instead of writing it.
  template <class F>
  Text capture(F&& f) {
    Text captured;
    Text* outer = std::exchange(out_, &captured);
    f();
    out_ = outer;
    written_ -= captured.size();
    return captured;
  }
  Text take_output() { return std::move(output_); }

  // Scopes and namespaces may hold one another in circles; the runtime empties them at its end.
  void keep(std::shared_ptr<Scope> scope) { scopes_.push_back(std::move(scope)); }
  void keep(NamespacePtr space) { spaces_.push_back(std::move(space)); }

 private:
  Limits limits_;
  Heap heap_;
  int64_t steps_ = 0;
  int depth_ = 0;
  size_t written_ = 0;  // bytes of the output and of what is being captured
  Text output_;
  Text* out_ = &output_;
  std::vector<std::shared_ptr<Scope>> scopes_;
  std::vector<NamespacePtr> spaces_;
};

}  // namespace intarsia::jinja
