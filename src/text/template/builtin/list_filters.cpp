// Filters of lists and dictionaries.
#include <algorithm>
#include <array>

#include "core/fail.h"
#include "data/file.h"
#include "text/template/builtin/tables.h"
#include "text/template/python.h"
#include "text/template/value/text_tools.h"
#include "text/template/value/unicode_text.h"

namespace intarsia::jinja {

namespace {

Value generator(Runtime& runtime, std::vector<Value> items) {
  return runtime.list(std::move(items), SequenceKind::generator);
}

// A value by the name that is given as an argument: "a.b.0" goes down three levels.
class Getter {
 public:
  Getter(Runtime& runtime, const Value* path, const Value* otherwise = nullptr) : otherwise_(otherwise) {
    if (!path || path->is_none()) return;
    if (!path->text()) {
      steps_.push_back(*path);
      return;
    }
    const Text& text = *path->text();
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.view().find('.', begin), text.size());
      const Text step = text.part(begin, end);
      const bool number =
          !step.empty() && step.view().find_first_not_of("0123456789") == std::string_view::npos;
      steps_.push_back(number ? Value(parse_integer(step.view(), 10).value_or(0)) : runtime.make(step));
      begin = end + 1;
    }
  }
  Value operator()(Runtime& runtime, Value value) const {
    for (const Value& step : steps_) {
      value = item(runtime, value, step);
      if (value.is_undefined() && otherwise_ && !otherwise_->is_none()) value = *otherwise_;
    }
    return value;
  }

 private:
  std::vector<Value> steps_;
  const Value* otherwise_;
};

Value without_case(Runtime& runtime, const Value& value) {
  return value.text() ? runtime.make(lower(runtime, *value.text())) : value;
}

Value batch(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("batch", arguments, {"linecount", "fill_with"}, 1);
  const int64_t count = given.integer(0, 0);
  if (count < 1) fail("batch: {} items a batch, expected 1 or more", count);
  std::vector<Value> batches, batch_items;
  const std::vector<Value> items = items_of(runtime, value);
  for (const Value& each : items) {
    batch_items.push_back(each);
    if (static_cast<int64_t>(batch_items.size()) == count)
      batches.push_back(runtime.list(std::exchange(batch_items, {})));
  }
  if (!batch_items.empty()) {
    if (given[1] && !given[1]->is_none()) {
      runtime.work(static_cast<size_t>(count));
      if (count > value_limit) fail("batch: {} items a batch are too many", count);
      batch_items.resize(static_cast<size_t>(count), *given[1]);
    }
    batches.push_back(runtime.list(std::move(batch_items)));
  }
  return generator(runtime, std::move(batches));
}

Value slice_list(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("slice", arguments, {"slices", "fill_with"}, 1);
  const std::vector<Value> items = items_of(runtime, value);
  const int64_t count = given.integer(0, 0), size = static_cast<int64_t>(items.size());
  constexpr int64_t most = 10'000;
  if (count < 1 || count > most) fail("slice: {} slices, expected 1 to {}", count, most);
  std::vector<Value> slices;
  int64_t begin = 0;
  for (int64_t i = 0; i < count; ++i) {
    const bool longer = i < size % count;
    const int64_t end = begin + size / count + (longer ? 1 : 0);
    std::vector<Value> part(items.begin() + begin, items.begin() + end);
    if (given[1] && !given[1]->is_none() && !longer) part.push_back(*given[1]);
    slices.push_back(runtime.list(std::move(part)));
    begin = end;
  }
  return generator(runtime, std::move(slices));
}

Value dictsort(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  require_defined(value);
  const Dict* dict = value.get<Dict>();
  if (!dict) fail("dictsort: expected a dictionary, found {}", value.type_name());
  const std::string_view by = given[1] ? given.text(1).view() : "key";
  if (by != "key" && by != "value") fail("dictsort: by is {}, expected key or value", quote(by));
  std::vector<std::pair<Value, Value>> sorted;  // what to sort by, and the pair
  for (const auto& [key, each] : dict->items) {
    Value sort_key = by == "key" ? key : each;
    if (!given.truth(0, false)) sort_key = without_case(runtime, sort_key);
    sorted.push_back({sort_key, runtime.list({key, each}, SequenceKind::tuple)});
  }
  const bool reverse = given.truth(2, false);
  std::stable_sort(sorted.begin(), sorted.end(), [&](const auto& a, const auto& b) {
    return reverse ? less(runtime, b.first, a.first) : less(runtime, a.first, b.first);
  });
  std::vector<Value> pairs;
  pairs.reserve(sorted.size());
  for (auto& each : sorted) pairs.push_back(std::move(each.second));
  return runtime.list(std::move(pairs));
}

Value first(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("first", arguments, {});
  const Sequence* sequence = value.get<Sequence>();
  if (sequence && sequence->kind == SequenceKind::generator && sequence->used < sequence->items.size())
    return sequence->items[sequence->used++];
  if (const Text* text = value.text(); text && !text->empty())
    return runtime.make(text->part(0, letter_at(text->view(), 0).size));
  const std::vector<Value> items = items_of(runtime, value);
  return items.empty() ? undefined("there is no first item, the sequence is empty") : items.front();
}

Value last(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("last", arguments, {});
  require_defined(value);
  const Sequence* sequence = value.get<Sequence>();
  if (sequence && sequence->kind == SequenceKind::generator)
    fail("last: a generator has no end to start from");
  const std::vector<Value> items = items_of(runtime, value);
  return items.empty() ? undefined("there is no last item, the sequence is empty") : items.back();
}

Value items(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("items", arguments, {});
  std::vector<Value> pairs;
  const Dict* dict = value.get<Dict>();
  if (!dict && !value.is_undefined()) fail("items: expected a dictionary, found {}", value.type_name());
  if (dict)
    for (const auto& [key, each] : dict->items)
      pairs.push_back(runtime.list({key, each}, SequenceKind::tuple));
  return generator(runtime, std::move(pairs));
}

Value join(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("join", arguments, {"d", "attribute"});
  const Getter get(runtime, given[1]);
  std::vector<Text> parts;
  for (const Value& each : items_of(runtime, value)) parts.push_back(str(runtime, get(runtime, each)));
  return runtime.make(joined(runtime, given[0] ? str(runtime, *given[0]) : Text(), parts));
}

Value length(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("length", arguments, {});
  runtime.work(value.text() ? value.text()->size() / 64 : 0);
  return length_of(value);
}

Value to_list(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("list", arguments, {});
  return runtime.list(items_of(runtime, value));
}

Value map(Runtime& runtime, const Value& value, Arguments& arguments) {
  if (!truth(value)) return generator(runtime, {});
  std::vector<Value> mapped_items;
  if (arguments.positional.empty()) {
    const Parameters given("map", arguments, {"attribute", "default"}, 1);
    const Getter get(runtime, given[0], given[1]);
    for (const Value& each : items_of(runtime, value)) mapped_items.push_back(get(runtime, each));
    return generator(runtime, std::move(mapped_items));
  }
  const Text* name = arguments.positional[0].text();
  const Builtin* filter = name ? find_filter(name->view()) : nullptr;
  if (!filter) fail("map: expected the name of a filter, found {}", name ? quote(name->view()) : "none");
  for (const Value& each : items_of(runtime, value)) {
    const Runtime::Level level(runtime);
    Arguments rest{{arguments.positional.begin() + 1, arguments.positional.end()}, arguments.named};
    mapped_items.push_back(filter->call(runtime, each, rest));
  }
  return generator(runtime, std::move(mapped_items));
}

// Those items that pass a test, or whose attribute does; those that fail it if not `wanted`.
template <bool wanted, bool by_attribute>
Value select(Runtime& runtime, const Value& value, Arguments& arguments) {
  if (!truth(value)) return generator(runtime, {});
  const size_t skipped = by_attribute ? 1 : 0;
  const std::vector<Value>& given = arguments.positional;
  if (given.size() < skipped) fail("selectattr, rejectattr: the name of an attribute is missing");
  const Getter get(runtime, by_attribute ? &given[0] : nullptr);
  const Builtin* test = nullptr;
  if (given.size() > skipped) {
    const Text* name = given[skipped].text();
    test = name ? find_test(name->view()) : nullptr;
    if (!test)
      fail("select, reject: expected the name of a test, found {}", name ? quote(name->view()) : "none");
  }
  std::vector<Value> selected;
  for (const Value& each : items_of(runtime, value)) {
    const Value tested = get(runtime, each);
    bool passes = truth(tested);
    if (test) {
      Arguments rest{{given.begin() + static_cast<std::ptrdiff_t>(skipped) + 1, given.end()},
                     arguments.named};
      passes = truth(test->call(runtime, tested, rest));
    }
    if (passes == wanted) selected.push_back(each);
  }
  return generator(runtime, std::move(selected));
}

template <bool greatest>
Value extreme(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given(greatest ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const Getter get(runtime, given[1]);
  const auto key_of = [&](const Value& each) {
    const Value key = get(runtime, each);
    return given.truth(0, false) ? key : without_case(runtime, key);
  };
  const std::vector<Value> all = items_of(runtime, value);
  if (all.empty()) return undefined("there is no such item, the sequence is empty");
  const Value* best = &all[0];
  Value best_key = key_of(all[0]);
  for (const Value& each : all) {
    Value key = key_of(each);
    if (!(greatest ? less(runtime, best_key, key) : less(runtime, key, best_key))) continue;
    best = &each;
    best_key = std::move(key);
  }
  return *best;
}

Value reverse(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("reverse", arguments, {});
  if (value.text()) {
    const Value backwards = int64_t{-1};
    return slice(runtime, value, nullptr, nullptr, &backwards);
  }
  std::vector<Value> all = items_of(runtime, value);
  std::reverse(all.begin(), all.end());
  return generator(runtime, std::move(all));
}

Value sort(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  std::vector<Getter> getters;
  if (given[2] && given[2]->text()) {
    // Several attributes are named with commas between them.
    const Text& names = given.text(2);
    for (size_t begin = 0; begin <= names.size();) {
      const size_t end = std::min(names.view().find(',', begin), names.size());
      const Value name = runtime.make(names.part(begin, end));
      getters.emplace_back(runtime, &name);
      begin = end + 1;
    }
  } else {
    getters.emplace_back(runtime, given[2]);
  }
  std::vector<std::pair<std::vector<Value>, Value>> keyed;
  for (Value& each : items_of(runtime, value)) {
    std::vector<Value> keys;
    for (const Getter& get : getters) {
      const Value key = get(runtime, each);
      keys.push_back(given.truth(1, false) ? key : without_case(runtime, key));
    }
    keyed.push_back({std::move(keys), std::move(each)});
  }
  const auto before = [&](const std::vector<Value>& a, const std::vector<Value>& b) {
    for (size_t i = 0; i < a.size(); ++i) {
      runtime.work(static_cast<size_t>(std::min(a[i].extent().values, b[i].extent().values)));
      if (!equal(a[i], b[i])) return less(runtime, a[i], b[i]);
    }
    return false;
  };
  const bool backwards = given.truth(0, false);
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return backwards ? before(b.first, a.first) : before(a.first, b.first);
  });
  std::vector<Value> sorted;
  sorted.reserve(keyed.size());
  for (auto& each : keyed) sorted.push_back(std::move(each.second));
  return runtime.list(std::move(sorted));
}

Value sum(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("sum", arguments, {"attribute", "start"});
  const Getter get(runtime, given[0]);
  Value total = given[1] ? *given[1] : Value(int64_t{0});
  if (total.text()) fail("sum: text cannot be summed, expected numbers or lists");
  for (const Value& each : items_of(runtime, value)) total = add(runtime, total, get(runtime, each));
  return total;
}

Value unique(Runtime& runtime, const Value& value, Arguments& arguments) {
  const Parameters given("unique", arguments, {"case_sensitive", "attribute"});
  const Getter get(runtime, given[1]);
  std::unordered_multimap<size_t, Value> seen;
  std::vector<Value> kept;
  for (const Value& each : items_of(runtime, value)) {
    Value key = get(runtime, each);
    if (!given.truth(0, false)) key = without_case(runtime, key);
    const size_t hash = hash_of(key);
    const auto [begin, end] = seen.equal_range(hash);
    if (std::any_of(begin, end, [&](const auto& other) { return equal(other.second, key); })) continue;
    seen.emplace(hash, std::move(key));
    kept.push_back(each);
  }
  return generator(runtime, std::move(kept));
}

constexpr std::array filters = {
    Builtin{"batch", batch},
    Builtin{"count", length},
    Builtin{"dictsort", dictsort},
    Builtin{"first", first},
    Builtin{"items", items},
    Builtin{"join", join},
    Builtin{"last", last},
    Builtin{"length", length},
    Builtin{"list", to_list},
    Builtin{"map", map},
    Builtin{"max", extreme<true>},
    Builtin{"min", extreme<false>},
    Builtin{"reject", select<false, false>},
    Builtin{"rejectattr", select<false, true>},
    Builtin{"reverse", reverse},
    Builtin{"select", select<true, false>},
    Builtin{"selectattr", select<true, true>},
    Builtin{"slice", slice_list},
    Builtin{"sort", sort},
    Builtin{"sum", sum},
    Builtin{"unique", unique},
};
static_assert(is_sorted_table(filters));

constexpr std::string_view unsupported_filters[] = {"filesizeformat", "forceescape", "groupby",  "pprint",
                                                    "random",         "striptags",   "truncate", "urlencode",
                                                    "urlize",         "wordcount",   "wordwrap", "xmlattr"};

}  // namespace

const Builtin* find_filter(std::string_view name) {
  const Builtin* found = find_value_filter(name);
  return found ? found : find_in(filters, name);
}

bool is_unsupported_filter(std::string_view name) {
  return std::find(std::begin(unsupported_filters), std::end(unsupported_filters), name) !=
         std::end(unsupported_filters);
}

}  // namespace intarsia::jinja
