// Comparison and arithmetic.
#include <algorithm>
#include <cmath>

#include "core/fail.h"
#include "data/file.h"
#include "text/template/python.h"

namespace intarsia::jinja {

namespace {

[[noreturn]] void fail_operands(std::string_view operation, const Value& a, const Value& b) {
  require_defined(a);
  require_defined(b);
  fail("unsupported operand types for {}: {} and {}", operation, a.type_name(), b.type_name());
}

bool has_order(const Sequence& sequence) {
  return sequence.kind == SequenceKind::list || sequence.kind == SequenceKind::tuple;
}

}  // namespace

bool less(Runtime& runtime, const Value& a, const Value& b) {
  runtime.work(1);
  if (const auto i = a.integer(), j = b.integer(); i && j) return *i < *j;
  if (const auto x = a.number(), y = b.number(); x && y) return *x < *y;
  if (const Text *s = a.text(), *t = b.text(); s && t) return s->view() < t->view();
  if (const Sequence *s = a.get<Sequence>(), *t = b.get<Sequence>();
      s && t && s->kind == t->kind && has_order(*s)) {
    for (size_t i = 0; i < std::min(s->items.size(), t->items.size()); ++i) {
      runtime.work(1);
      if (!equal(s->items[i], t->items[i])) return less(runtime, s->items[i], t->items[i]);
    }
    return s->items.size() < t->items.size();
  }
  fail_operands("an order", a, b);
}

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  if (const Text* text = container.text()) {
    const Text* part = item.text();
    if (!part) fail("only text can be in text, found {}", item.type_name());
    runtime.work(text->size() / 16);
    return text->view().find(part->view()) != std::string_view::npos;
  }
  if (const Dict* dict = container.get<Dict>()) return dict->find(item) != nullptr;
  for (const Value& each : items_of(runtime, container)) {
    runtime.work(static_cast<size_t>(std::min(each.extent().values, item.extent().values)));
    if (equal(each, item)) return true;
  }
  return false;
}

bool compare(Runtime& runtime, Comparing how, const Value& a, const Value& b) {
  const auto same = [&] {
    runtime.work(static_cast<size_t>(std::min(a.extent().values, b.extent().values)));
    if (a.text() && b.text()) runtime.work(std::min(a.text()->size(), b.text()->size()) / 64);
    return equal(a, b);
  };
  switch (how) {
    case Comparing::equal:
      return same();
    case Comparing::unequal:
      return !same();
    case Comparing::less:
      return less(runtime, a, b);
    case Comparing::greater:
      return less(runtime, b, a);
    // Of numbers, a <= b is not the contrary of b < a: neither holds for what is not a number.
    case Comparing::less_equal:
      return less(runtime, a, b) || same();
    case Comparing::greater_equal:
      return less(runtime, b, a) || same();
    case Comparing::in:
      return contains(runtime, b, a);
    case Comparing::not_in:
      return !contains(runtime, b, a);
  }
  return false;
}

// ---- arithmetic

namespace {

[[noreturn]] void fail_overflow() { fail("an integer does not fit into 64 bits"); }

// Both operands as integers, or as numbers if one of them is none.
template <class Whole, class Real>
Value arithmetic(std::string_view name, const Value& a, const Value& b, Whole whole, Real real) {
  const auto i = a.integer(), j = b.integer();
  if (i && j) return whole(*i, *j);
  const auto x = a.number(), y = b.number();
  if (!x || !y) fail_operands(name, a, b);
  return real(*x, *y);
}

Value repeated(Runtime& runtime, const Value& what, int64_t times) {
  times = std::max<int64_t>(times, 0);
  constexpr int64_t most = int64_t{1} << 26;
  if (const Text* text = what.text()) {
    if (!text->empty() && times > most / static_cast<int64_t>(text->size()))
      fail("a repeated text is too long");
    runtime.work(static_cast<size_t>(times) * (text->size() / 64 + 1));
    Text out;
    for (int64_t i = 0; i < times && !text->empty(); ++i) out.add(*text);
    return runtime.make(std::move(out), what.get<TextObject>()->markup);
  }
  const Sequence& sequence = *what.get<Sequence>();
  const auto count = static_cast<int64_t>(sequence.items.size());
  if (count > 0 && times > value_limit / count) fail("a repeated list is too long");
  runtime.work(static_cast<size_t>(times * count));
  std::vector<Value> items;
  for (int64_t i = 0; i < times && count > 0; ++i)
    items.insert(items.end(), sequence.items.begin(), sequence.items.end());
  return runtime.list(std::move(items), sequence.kind);
}

bool repeatable(const Value& value) {
  const Sequence* sequence = value.get<Sequence>();
  return value.text() || (sequence && has_order(*sequence));
}

}  // namespace

Value add(Runtime& runtime, const Value& a, const Value& b) {
  if (const TextObject *s = a.get<TextObject>(), *t = b.get<TextObject>(); s && t) {
    const bool markup = s->markup || t->markup;
    Text sum = markup ? markup_of(runtime, a) : s->text;
    sum.add(markup ? markup_of(runtime, b) : t->text);
    return runtime.make(std::move(sum), markup);
  }
  if (const Sequence *s = a.get<Sequence>(), *t = b.get<Sequence>();
      s && t && s->kind == t->kind && has_order(*s)) {
    std::vector<Value> items = s->items;
    items.insert(items.end(), t->items.begin(), t->items.end());
    return runtime.list(std::move(items), s->kind);
  }
  return arithmetic(
      "+", a, b,
      [](int64_t x, int64_t y) -> Value {
        int64_t sum;
        if (__builtin_add_overflow(x, y, &sum)) fail_overflow();
        return sum;
      },
      [](double x, double y) -> Value { return x + y; });
}

Value subtract(Runtime&, const Value& a, const Value& b) {
  return arithmetic(
      "-", a, b,
      [](int64_t x, int64_t y) -> Value {
        int64_t difference;
        if (__builtin_sub_overflow(x, y, &difference)) fail_overflow();
        return difference;
      },
      [](double x, double y) -> Value { return x - y; });
}

Value multiply(Runtime& runtime, const Value& a, const Value& b) {
  if (const auto times = b.integer(); times && repeatable(a)) return repeated(runtime, a, *times);
  if (const auto times = a.integer(); times && repeatable(b)) return repeated(runtime, b, *times);
  return arithmetic(
      "*", a, b,
      [](int64_t x, int64_t y) -> Value {
        int64_t product;
        if (__builtin_mul_overflow(x, y, &product)) fail_overflow();
        return product;
      },
      [](double x, double y) -> Value { return x * y; });
}

Value divide(const Value& a, const Value& b) {
  const auto quotient = [](double x, double y) -> Value {
    if (y == 0) fail("division by zero");
    return x / y;
  };
  return arithmetic(
      "/", a, b,
      [&](int64_t x, int64_t y) { return quotient(static_cast<double>(x), static_cast<double>(y)); },
      quotient);
}

Value floor_divide(const Value& a, const Value& b) {
  return arithmetic(
      "//", a, b,
      [](int64_t x, int64_t y) -> Value {
        if (y == 0) fail("division by zero");
        if (y == -1) return negative(x);
        return x / y - ((x % y != 0 && (x < 0) != (y < 0)) ? 1 : 0);
      },
      [](double x, double y) -> Value {
        if (y == 0) fail("division by zero");
        return std::floor(x / y);
      });
}

Value modulo(Runtime& runtime, const Value& a, const Value& b) {
  if (const Text* format = a.text())
    return runtime.make(printf_text(runtime, *format, b, a.get<TextObject>()->markup),
                        a.get<TextObject>()->markup);
  return arithmetic(
      "%", a, b,
      [](int64_t x, int64_t y) -> Value {
        if (y == 0) fail("division by zero");
        if (y == -1) return int64_t{0};
        const int64_t rest = x % y;
        return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
      },
      [](double x, double y) -> Value {
        if (y == 0) fail("division by zero");
        const double rest = std::fmod(x, y);
        if (rest == 0) return std::copysign(0.0, y);
        return (rest < 0) != (y < 0) ? rest + y : rest;
      });
}

Value power(const Value& a, const Value& b) {
  return arithmetic(
      "**", a, b,
      [](int64_t x, int64_t y) -> Value {
        if (y < 0) {
          if (x == 0) fail("0 cannot be raised to a negative power");
          return std::pow(static_cast<double>(x), static_cast<double>(y));
        }
        int64_t result = 1;
        for (int64_t square = x; y > 0; y >>= 1) {
          if ((y & 1) && __builtin_mul_overflow(result, square, &result)) fail_overflow();
          if (y > 1 && __builtin_mul_overflow(square, square, &square)) fail_overflow();
        }
        return result;
      },
      [](double x, double y) -> Value {
        if (x == 0 && y < 0) fail("0 cannot be raised to a negative power");
        if (x < 0 && y != std::floor(y)) fail("a complex number is not supported");
        return std::pow(x, y);
      });
}

Value negative(const Value& a) {
  if (const auto whole = a.integer()) {
    if (*whole == INT64_MIN) fail_overflow();
    return -*whole;
  }
  if (const double* real = a.get<double>()) return -*real;
  require_defined(a);
  fail("bad operand type for unary -: {}", a.type_name());
}

}  // namespace intarsia::jinja
