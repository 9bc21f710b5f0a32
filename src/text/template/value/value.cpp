#include "text/template/value/value.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/fail.h"
#include "data/file.h"

namespace intarsia::jinja {

void Extent::hold(const Extent& part) {
  depth = std::max(depth, part.depth + 1);
  values += part.values;
  if (depth > depth_limit) fail("values are nested deeper than {}", depth_limit);
  if (values > value_limit) fail("a list or dictionary holds more than {} values", value_limit);
}

const void* Value::identity() const {
  return std::visit(
      [](const auto& value) -> const void* {
        if constexpr (requires { value.get(); }) return value.get();
        return nullptr;
      },
      held_);
}

const Text* Value::text() const {
  const TextObject* object = get<TextObject>();
  return object ? &object->text : nullptr;
}

std::optional<int64_t> Value::integer() const {
  if (const bool* truth = get<bool>()) return *truth ? 1 : 0;
  if (const int64_t* number = get<int64_t>()) return *number;
  return std::nullopt;
}

std::optional<double> Value::number() const {
  if (const double* real = get<double>()) return *real;
  if (const auto whole = integer()) return static_cast<double>(*whole);
  return std::nullopt;
}

const char* Value::type_name() const {
  static constexpr const char* sequence_names[] = {"list",      "tuple",       "range",     "generator",
                                                   "dict_keys", "dict_values", "dict_items"};
  if (const Sequence* sequence = get<Sequence>()) return sequence_names[static_cast<int>(sequence->kind)];
  static constexpr const char* names[] = {"Undefined", "NoneType", "bool", "int",       "float",
                                          "str",       "",         "dict", "Namespace", "function"};
  return names[held_.index()];
}

Extent Value::extent() const {
  if (const Sequence* sequence = get<Sequence>()) return sequence->extent;
  if (const Dict* dict = get<Dict>()) return dict->extent;
  if (const Callable* function = callable()) return function->extent();
  return {};
}

void Heap::take(size_t bytes) {
  if (bytes > limit_ - live_) fail("the values take more than {} MiB of memory", limit_ >> 20);
  live_ += bytes;
}

Sequence::Sequence(Heap& heap, SequenceKind k, std::vector<Value> all)
    : kind(k), items(std::move(all)), counted(heap, object_cost + items.capacity() * item_cost) {
  for (const Value& item : items) extent.hold(item.extent());
}

Dict::Dict(Heap& heap, std::vector<Item> all)
    : counted(heap, object_cost + all.size() * (3 * item_cost + 40)) {
  items.reserve(all.size());
  for (Item& item : all) {
    extent.hold(item.first.extent());
    extent.hold(item.second.extent());
    // Of equal keys the first stays, with the last one's value.
    if (const Value* found = find(item.first)) {
      *const_cast<Value*>(found) = std::move(item.second);
      continue;
    }
    index_.emplace(hash_of(item.first), static_cast<uint32_t>(items.size()));
    items.push_back(std::move(item));
  }
}

template <class Same>
const Value* Dict::find(size_t hash, Same same) const {
  const auto [begin, end] = index_.equal_range(hash);
  for (auto at = begin; at != end; ++at)
    if (same(items[at->second].first)) return &items[at->second].second;
  return nullptr;
}

const Value* Dict::find(const Value& key) const {
  return find(hash_of(key), [&](const Value& other) { return equal(key, other); });
}

const Value* Dict::find(std::string_view key) const {
  return find(std::hash<std::string_view>()(key), [&](const Value& other) {
    const Text* text = other.text();
    return text && text->view() == key;
  });
}

void Namespace::set(const std::string& name, Value value) {
  if (name.starts_with('_'))
    fail("a namespace cannot have the attribute {}, which begins with _", quote(name));
  attributes[name] = std::move(value);
}

size_t hash_of(const Value& value) {
  if (const Text* text = value.text()) return std::hash<std::string_view>()(text->view());
  if (const auto whole = value.integer()) return std::hash<int64_t>()(*whole);
  if (const double* real = value.get<double>()) {
    // A whole number has the hash of the integer that it equals.
    const bool whole = std::abs(*real) < 0x1p62 && *real == std::floor(*real);
    return whole ? std::hash<int64_t>()(static_cast<int64_t>(*real)) : std::hash<double>()(*real);
  }
  if (const Sequence* sequence = value.get<Sequence>()) {
    if (sequence->kind == SequenceKind::list) fail("unhashable type: 'list'");
    if (sequence->kind != SequenceKind::tuple) return std::hash<const void*>()(sequence);
    size_t hash = 7;
    for (const Value& item : sequence->items) hash = hash * 1000003 + hash_of(item);
    return hash;
  }
  if (value.get<Dict>()) fail("unhashable type: 'dict'");
  return std::hash<const void*>()(value.identity());
}

bool equal(const Value& a, const Value& b) {
  const auto x = a.number(), y = b.number();
  if (x || y) {
    if (!x || !y) return false;
    const auto i = a.integer(), j = b.integer();
    return i && j ? *i == *j : *x == *y;
  }
  if (const Text* text = a.text()) return b.text() && text->view() == b.text()->view();
  if (a.is_undefined() || a.is_none()) return a.is_none() ? b.is_none() : b.is_undefined();
  if (const Sequence *s = a.get<Sequence>(), *t = b.get<Sequence>(); s && t) {
    const bool comparable = s->kind == t->kind && s->kind <= SequenceKind::range;
    return s == t || (comparable &&
                      std::equal(s->items.begin(), s->items.end(), t->items.begin(), t->items.end(), equal));
  }
  if (const Dict *d = a.get<Dict>(), *e = b.get<Dict>(); d && e) {
    if (d->items.size() != e->items.size()) return false;
    return std::all_of(d->items.begin(), d->items.end(), [&](const Dict::Item& item) {
      const Value* other = e->find(item.first);
      return other && equal(item.second, *other);
    });
  }
  return a.identity() && a.identity() == b.identity();
}

bool truth(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (const auto number = value.number()) return *number != 0;
  if (const Text* text = value.text()) return !text->empty();
  if (const Dict* dict = value.get<Dict>()) return !dict->items.empty();
  if (const Sequence* sequence = value.get<Sequence>())
    return sequence->kind == SequenceKind::generator || !sequence->items.empty();
  return true;
}

}  // namespace intarsia::jinja
