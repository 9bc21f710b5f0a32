// Functions that stand for themselves: range, dict, namespace, cycler, joiner, strftime_now, raise_exception.
#include <algorithm>
#include <array>

#include "core/fail.h"
#include "data/file.h"
#include "text/template/builtin/builtins.h"
#include "text/template/builtin/tables.h"
#include "text/template/python.h"

namespace intarsia::jinja {

namespace {

class Bound final : public Callable {
 public:
  Bound(const Builtin& builtin, Value input) : builtin_(builtin), input_(std::move(input)) {
    extent_.hold(input_.extent());
  }
  Value call(Runtime& runtime, Arguments& arguments) override {
    return builtin_.call(runtime, input_, arguments);
  }
  Extent extent() const override { return extent_; }

 private:
  const Builtin& builtin_;
  Value input_;
  Extent extent_;
};

Value range(Runtime& runtime, const Value&, Arguments& arguments) {
  const Parameters given("range", arguments, {"start", "stop", "step"}, 1);
  const int64_t start = given[1] ? given.integer(0, 0) : 0;
  const int64_t stop = given.integer(given[1] ? 1 : 0, 0);
  const int64_t step = given.integer(2, 1);
  if (step == 0) fail("range: the step cannot be 0");
  constexpr int64_t most = 100'000;  // as in Jinja's sandbox
  const auto distance = static_cast<__int128>(stop) - start;
  const __int128 count = step > 0 ? (distance + step - 1) / step : (distance + step + 1) / step;
  if (count > most) fail("range: has more than {} items", most);
  runtime.work(static_cast<size_t>(std::max<__int128>(count, 0)));
  std::vector<Value> items;
  for (int64_t i = 0; i < static_cast<int64_t>(count); ++i) items.push_back(start + i * step);
  const auto made = std::make_shared<Sequence>(runtime.heap(), SequenceKind::range, std::move(items));
  made->start = start;
  made->stop = stop;
  made->step = step;
  return SequencePtr(made);
}

// dict(pairs or a dictionary, name=value, ...)
std::vector<Dict::Item> dict_items(Runtime& runtime, std::string_view function, Arguments& arguments) {
  std::vector<Dict::Item> items;
  if (arguments.positional.size() > 1) fail("{}: takes one argument besides named ones", function);
  for (const Value& source : arguments.positional) {
    require_defined(source);
    if (const Dict* dict = source.get<Dict>()) {
      runtime.work(dict->items.size());
      items = dict->items;
      continue;
    }
    for (const Value& pair : items_of(runtime, source)) {
      std::vector<Value> two = items_of(runtime, pair);
      if (two.size() != 2) fail("{}: expected pairs, found {} values", function, two.size());
      items.push_back({std::move(two[0]), std::move(two[1])});
    }
  }
  for (auto& [name, value] : arguments.named) items.push_back({runtime.make(name), std::move(value)});
  return items;
}

Value dict(Runtime& runtime, const Value&, Arguments& arguments) {
  return runtime.dict(dict_items(runtime, "dict", arguments));
}

Value make_namespace(Runtime& runtime, const Value&, Arguments& arguments) {
  const auto space = std::make_shared<Namespace>(runtime.heap());
  for (auto& [name, value] : dict_items(runtime, "namespace", arguments)) {
    if (!name.text()) fail("namespace: names are text, found {}", name.type_name());
    space->set(std::string(name.text()->view()), std::move(value));
  }
  runtime.keep(space);
  return space;
}

class Cycler final : public Callable {
 public:
  explicit Cycler(std::vector<Value> items) : items_(std::move(items)) {
    if (items_.empty()) fail("cycler: no items are given");
    for (const Value& item : items_) extent_.hold(item.extent());
  }
  Value call(Runtime&, Arguments&) override { fail("a cycler has the methods next and reset"); }
  Value attribute(Runtime&, std::string_view name) override;
  Extent extent() const override { return extent_; }
  Value next() { return items_[std::exchange(at_, (at_ + 1) % items_.size())]; }
  void reset() { at_ = 0; }

 private:
  std::vector<Value> items_;
  Extent extent_;
  size_t at_ = 0;
};

class CyclerMethod final : public Callable {
 public:
  CyclerMethod(std::shared_ptr<Cycler> cycler, bool next) : cycler_(std::move(cycler)), next_(next) {
    extent_.hold(cycler_->extent());
  }
  Value call(Runtime&, Arguments&) override {
    if (next_) return cycler_->next();
    cycler_->reset();
    return None();
  }
  Extent extent() const override { return extent_; }

 private:
  std::shared_ptr<Cycler> cycler_;
  bool next_;
  Extent extent_;
};

Value Cycler::attribute(Runtime&, std::string_view name) {
  if (name == "current") return items_[at_];
  if (name != "next" && name != "reset") return {};
  return CallablePtr(
      std::make_shared<CyclerMethod>(std::static_pointer_cast<Cycler>(shared_from_this()), name == "next"));
}

Value cycler(Runtime&, const Value&, Arguments& arguments) {
  return CallablePtr(std::make_shared<Cycler>(std::move(arguments.positional)));
}

// Nothing at its first call, the separator at every other.
class Joiner final : public Callable {
 public:
  explicit Joiner(Value separator) : separator_(std::move(separator)) { extent_.hold(separator_.extent()); }
  Value call(Runtime& runtime, Arguments&) override {
    return std::exchange(used_, true) ? separator_ : runtime.make(std::string_view());
  }
  Extent extent() const override { return extent_; }

 private:
  Value separator_;
  Extent extent_;
  bool used_ = false;
};

Value joiner(Runtime& runtime, const Value&, Arguments& arguments) {
  const Parameters given("joiner", arguments, {"sep"});
  return CallablePtr(std::make_shared<Joiner>(given[0] ? *given[0] : runtime.make(", ")));
}

Value raise_exception(Runtime& runtime, const Value&, Arguments& arguments) {
  const Parameters given("raise_exception", arguments, {"message"}, 1);
  fail("the template refuses: {}", quote(str(runtime, *given[0]).view(), 400));
}

Value strftime_now(Runtime& runtime, const Value&, Arguments& arguments) {
  const Parameters given("strftime_now", arguments, {"format"}, 1);
  const Text& format = given.text(0);
  constexpr size_t longest = 1000;
  if (format.size() > longest) fail("strftime_now: the format has more than {} bytes", longest);
  // A character in front, since an empty result cannot be told from one that did not fit.
  std::string text(longest * 50, '\0');
  const std::string pattern = "." + std::string(format.view());
  text.resize(std::strftime(text.data(), text.size(), pattern.c_str(), &runtime.now));
  return runtime.make(Text(text.empty() ? text : text.substr(1), format.any_foreign()));
}

constexpr std::array globals = {Builtin{"cycler", cycler},
                                Builtin{"dict", dict},
                                Builtin{"joiner", joiner},
                                Builtin{"namespace", make_namespace},
                                Builtin{"raise_exception", raise_exception},
                                Builtin{"range", range},
                                Builtin{"strftime_now", strftime_now}};

static_assert(is_sorted_table(globals));

}  // namespace

const Builtin* find_global(std::string_view name) { return find_in(globals, name); }

Value bound(const Builtin& builtin, Value input) {
  return CallablePtr(std::make_shared<Bound>(builtin, std::move(input)));
}

Parameters::Parameters(std::string_view function, Arguments& arguments,
                       std::initializer_list<std::string_view> names, size_t needed)
    : function_(function), given_(names.size()) {
  if (arguments.positional.size() > names.size())
    fail("{}: takes at most {} arguments, {} are given", function, names.size(), arguments.positional.size());
  for (size_t i = 0; i < arguments.positional.size(); ++i) given_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(names.begin(), names.end(), name.view());
    if (found == names.end()) fail("{}: has no parameter {}", function, quote(name.view()));
    const Value*& place = given_[static_cast<size_t>(found - names.begin())];
    if (place) fail("{}: {} is given twice", function, quote(name.view()));
    place = &value;
  }
  for (size_t i = 0; i < needed; ++i)
    if (!given_[i]) fail("{}: the argument {} is missing", function, quote(*(names.begin() + i)));
}

int64_t Parameters::integer(size_t index, int64_t otherwise) const {
  if (!given_[index]) return otherwise;
  require_defined(*given_[index]);
  const auto number = given_[index]->integer();
  if (!number) fail("{}: expected an integer, found {}", function_, given_[index]->type_name());
  return *number;
}

bool Parameters::truth(size_t index, bool otherwise) const {
  return given_[index] ? jinja::truth(*given_[index]) : otherwise;
}

const Text& Parameters::text(size_t index) const {
  const Value none;
  const Value& value = given_[index] ? *given_[index] : none;
  require_defined(value);
  if (!value.text()) fail("{}: expected text, found {}", function_, value.type_name());
  return *value.text();
}

}  // namespace intarsia::jinja
