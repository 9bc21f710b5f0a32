// Values as Python has them, of which a template is made to think it runs there.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "text/template/value/text.h"

namespace intarsia::jinja {

class Runtime;
class Callable;
struct TextObject;
struct Sequence;
struct Dict;
struct Namespace;

// What is missing prints as nothing and is false; most other uses are an error that says why it is missing.
struct Undefined {
  std::shared_ptr<const std::string> why;
};
struct None {};

// How deep containers lie in one another, and how many values one meets on a walk through all of them.
struct Extent {
  int depth = 0;
  int64_t values = 1;
  // Adds a part to a container. Error: too deep or too many.
  void hold(const Extent& part);
};

using TextPtr = std::shared_ptr<const TextObject>;
using SequencePtr = std::shared_ptr<const Sequence>;
using DictPtr = std::shared_ptr<const Dict>;
using NamespacePtr = std::shared_ptr<Namespace>;
using CallablePtr = std::shared_ptr<Callable>;

class Value {
  using Held = std::variant<Undefined, None, bool, int64_t, double, TextPtr, SequencePtr, DictPtr,
                            NamespacePtr, CallablePtr>;

 public:
  Value() = default;
  template <class T>
    requires(!std::is_same_v<std::decay_t<T>, Value> && std::is_constructible_v<Held, T>)
  Value(T value) : held_(std::move(value)) {}

  // Null if the value is of another type. Objects come as they are, not as pointers to pointers.
  template <class T>
  const T* get() const {
    if constexpr (std::is_same_v<T, Undefined> || std::is_same_v<T, None> || std::is_same_v<T, bool> ||
                  std::is_same_v<T, int64_t> || std::is_same_v<T, double>) {
      return std::get_if<T>(&held_);
    } else {
      const auto* pointer = std::get_if<std::shared_ptr<const T>>(&held_);
      return pointer ? pointer->get() : nullptr;
    }
  }
  Namespace* name_space() const {
    const auto* pointer = std::get_if<NamespacePtr>(&held_);
    return pointer ? pointer->get() : nullptr;
  }
  Callable* callable() const {
    const auto* pointer = std::get_if<CallablePtr>(&held_);
    return pointer ? pointer->get() : nullptr;
  }
  bool is_undefined() const { return get<Undefined>() != nullptr; }
  bool is_none() const { return get<None>() != nullptr; }
  // The object behind the value, or null: two values with the same object are the same.
  const void* identity() const;
  const Text* text() const;
  // A boolean counts as an integer, an integer as a number.
  std::optional<int64_t> integer() const;
  std::optional<double> number() const;
  const char* type_name() const;  // as Python calls it
  Extent extent() const;

 private:
  Held held_;
};

// Counts the bytes of the values that are alive, and refuses more than its limit.
class Heap {
 public:
  explicit Heap(size_t limit) : limit_(limit) {}
  void take(size_t bytes);
  void give_back(size_t bytes) { live_ -= bytes; }

 private:
  size_t limit_, live_ = 0;
};

// The part of an object that the heap counts.
class Counted {
 public:
  Counted(Heap& heap, size_t bytes) : heap_(heap), bytes_(bytes) { heap_.take(bytes); }
  ~Counted() { heap_.give_back(bytes_); }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  Heap& heap_;
  size_t bytes_;
};

constexpr size_t object_cost = 96, item_cost = sizeof(Value);
constexpr int depth_limit = 100;                   // of containers in containers
constexpr int64_t value_limit = int64_t{1} << 22;  // in a container, on all levels

// `markup` is what the filters `safe` and `escape` make: text that is joined with others escapes them.
struct TextObject {
  TextObject(Heap& heap, Text t, bool m)
      : text(std::move(t)), markup(m), counted(heap, object_cost + text.memory()) {}
  Text text;
  bool markup;
  Counted counted;
};

enum class SequenceKind { list, tuple, range, generator, keys, values, items };

struct Sequence {
  Sequence(Heap& heap, SequenceKind k, std::vector<Value> all);
  SequenceKind kind;
  std::vector<Value> items;
  Extent extent;
  mutable size_t used = 0;                // of a generator: items that were taken
  int64_t start = 0, stop = 0, step = 1;  // of a range
  Counted counted;
};

// Keys keep the order in which they came.
struct Dict {
  using Item = std::pair<Value, Value>;
  Dict(Heap& heap, std::vector<Item> all);
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  std::vector<Item> items;
  Extent extent;
  Counted counted;

 private:
  template <class Same>
  const Value* find(size_t hash, Same same) const;
  std::unordered_multimap<size_t, uint32_t> index_;
};

struct Namespace {
  explicit Namespace(Heap& heap) : counted(heap, object_cost) {}
  // Names that begin with _ are Python's own: an Error, as in transformers.
  void set(const std::string& name, Value value);
  std::unordered_map<std::string, Value> attributes;
  Counted counted;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<Text, Value>> named;
};

class Callable : public std::enable_shared_from_this<Callable> {
 public:
  virtual ~Callable() = default;
  virtual Value call(Runtime& runtime, Arguments& arguments) = 0;
  // Undefined if there is no such attribute.
  virtual Value attribute(Runtime&, std::string_view) { return {}; }
  virtual Extent extent() const { return {}; }
};

// Python's hash and ==. A list or a dictionary has no hash: an Error.
size_t hash_of(const Value& value);
bool equal(const Value& a, const Value& b);
bool truth(const Value& value);

}  // namespace intarsia::jinja
