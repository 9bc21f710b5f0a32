// The pointwise operations as functions of tensors; their formulas are the lines of intarsia/pointwise.inl.
#include "kernel/formula.h"
#include "op/record.h"

namespace intarsia {
namespace {

using kernel::Formula;

// The result's type is that of the float inputs; integers and bool only take part (where's condition).
DType result_type(std::initializer_list<const Tensor*> inputs) {
  DType type = DType::boolean;
  for (const Tensor* t : inputs)
    if (is_float(t->dtype())) type = is_float(type) ? promote(type, t->dtype()) : t->dtype();
  return is_float(type) ? type : DType::f32;
}

Array value(Formula formula, std::initializer_list<const Tensor*> inputs, DType type) {
  Array x[4];
  size_t count = 0;
  const char* name = kernel::formula_names[static_cast<int>(formula)];
  for (const Tensor* t : inputs) {
    if (!t->array()) fail("{}: an argument is an empty tensor", name);
    if (count > 0 && t->shape() != x[0].shape())
      broadcast(x[0].shape(), t->shape(), name);  // throws in the operation's name
    x[count++] = t->array();
  }
  return kernel::pointwise(formula, {x, count}, type);
}

Tensor apply(Formula formula, std::initializer_list<const Tensor*> inputs) {
  const char* name = kernel::formula_names[static_cast<int>(formula)];
  Array y = value(formula, inputs, result_type(inputs));
  // Sums pass the gradient on as it is: nothing need be kept.
  const bool keeps_nothing = formula == Formula::add || formula == Formula::sub || formula == Formula::neg;
  if (keeps_nothing)
    return record(name, std::move(y), inputs, [formula](const Array& dy, Gradients& dx) {
      const auto minus = [&] { return kernel::pointwise(Formula::neg, {&dy, 1}, dy.dtype()); };
      dx.add(0, formula == Formula::neg ? minus() : dy);
      if (formula == Formula::add) dx.add(1, dy);
      if (formula == Formula::sub && dx.needs(1)) dx.add(1, minus());
    });

  struct Kept {
    Saved x[4] = {Array(), Array(), Array(), Array()};
    int count = 0;
  } kept;
  for (const Tensor* t : inputs) kept.x[kept.count++] = Saved(*t);
  return record(name, std::move(y), inputs, [formula, kept](const Array& dy, Gradients& dx) {
    Array x[4], d[4];
    unsigned active = 0;
    for (int i = 0; i < kept.count; i++) {
      x[i] = *kept.x[i];
      if (dx.needs(i)) active |= 1u << i;
    }
    kernel::pointwise_backward(formula, active, dy, {x, static_cast<size_t>(kept.count)}, d);
    for (int i = 0; i < kept.count; i++)
      if (active >> i & 1) dx.add(i, std::move(d[i]));
  });
}

// A number beside a tensor does not widen its type and is not rounded to it.
Array scalar(double number, DType beside) {
  Array s = Array::empty({}, beside == DType::f64 ? DType::f64 : DType::f32);
  kernel::fill(s, number);
  return s;
}

}  // namespace

Tensor operator*(const Tensor& x, double factor) {
  require_float("mul", "x", x);
  const auto times = [factor](const Array& a) {
    const Array in[] = {a, scalar(factor, a.dtype())};
    return kernel::pointwise(Formula::mul, in, a.dtype());
  };
  return record("mul", times(x.array()), {&x},
                [times](const Array& dy, Gradients& dx) { dx.add(0, times(dy)); });
}

Tensor operator+(const Tensor& x, double term) {
  require_float("add", "x", x);
  const Array in[] = {x.array(), scalar(term, x.dtype())};
  return record("add", kernel::pointwise(Formula::add, in, x.dtype()), {&x},
                [](const Array& dy, Gradients& dx) { dx.add(0, dy); });
}

#define POINTWISE1(NAME, A, ...) \
  Tensor NAME(const Tensor& A) { return apply(Formula::NAME, {&A}); }
#define POINTWISE2(NAME, A, B, ...) \
  Tensor NAME(const Tensor& A, const Tensor& B) { return apply(Formula::NAME, {&A, &B}); }
#define POINTWISE3(NAME, A, B, C, ...)                             \
  Tensor NAME(const Tensor& A, const Tensor& B, const Tensor& C) { \
    return apply(Formula::NAME, {&A, &B, &C});                     \
  }
#include "intarsia/pointwise.inl"

}  // namespace intarsia
