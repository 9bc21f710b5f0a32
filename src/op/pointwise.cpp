// The pointwise operations as functions of tensors; their formulas are the lines of intarsia/pointwise.inl.
#include <optional>

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

// Some gradients are cheaper from the result y than from the formula: what to compute of (y, dy) for them.
std::optional<Formula> backward_from_result(Formula formula) {
  if (formula == Formula::exp) return Formula::mul;
  if (formula == Formula::tanh) return Formula::tanh_backward;
  if (formula == Formula::sigmoid) return Formula::sigmoid_backward;
  return {};
}

Tensor apply(Formula formula, std::initializer_list<const Tensor*> inputs, DType type) {
  const char* name = kernel::formula_names[static_cast<int>(formula)];
  Array y = value(formula, inputs, type);
  if (const auto from_result = backward_from_result(formula)) {
    Saved kept(y);
    return record(name, std::move(y), inputs, [from_result, kept](const Array& dy, Gradients& dx) {
      const Array in[] = {*kept, dy};
      dx.add(0, kernel::pointwise(*from_result, in, dy.dtype()));
    });
  }
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

// A function of steps: its derivative is zero or does not exist.
Tensor step(Formula formula, const Tensor& x) {
  const char* name = kernel::formula_names[static_cast<int>(formula)];
  return nondifferentiable(name, value(formula, {&x}, result_type({&x})), {&x});
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

Tensor pow(const Tensor& x, double exponent) {
  require_float("pow", "x", x);
  const Tensor e = scalar(exponent, x.dtype());
  return apply(Formula::pow, {&x, &e}, x.dtype());
}

Tensor clamp(const Tensor& x, double low, double high) {
  require_float("clamp", "x", x);
  const Tensor least = scalar(low, x.dtype()), most = scalar(high, x.dtype());
  return apply(Formula::clamp, {&x, &least, &most}, x.dtype());
}

#define POINTWISE1(NAME, A, ...) \
  Tensor NAME(const Tensor& A) { return apply(Formula::NAME, {&A}, result_type({&A})); }
#define POINTWISE2(NAME, A, B, ...)                               \
  Tensor NAME(const Tensor& A, const Tensor& B) {                 \
    return apply(Formula::NAME, {&A, &B}, result_type({&A, &B})); \
  }
#define POINTWISE3(NAME, A, B, C, ...)                                    \
  Tensor NAME(const Tensor& A, const Tensor& B, const Tensor& C) {        \
    return apply(Formula::NAME, {&A, &B, &C}, result_type({&A, &B, &C})); \
  }
#define STEP1(NAME, A, ...) \
  Tensor NAME(const Tensor& A) { return step(Formula::NAME, A); }
#define BACKWARD2(...)
#include "intarsia/pointwise.inl"

}  // namespace intarsia
