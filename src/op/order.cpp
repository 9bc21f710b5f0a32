// Orderings: where the greatest stands, sorting, scans, comparisons, counting.
#include <algorithm>

#include "op/record.h"

namespace intarsia {

Tensor argmax(const Tensor& x, int axis) {
  require_float("argmax", "x", x);
  const int a = axis_of("argmax", axis, x.rank());
  if (x.dim(a) == 0) fail("argmax: x {} has nothing along axis {}", x.shape().text(), a);
  Shape shape;
  for (int i = 0; i < x.rank(); i++)
    if (i != a) shape.append(x.dim(i));
  return nondifferentiable(tag::argmax, kernel::argmax(x.array(), a).reshape(shape), {&x});
}

namespace {

// The first k of the sorted last axis; the values' gradient goes back to where they stood.
Sorted ordered(const char* op, const Tensor& x, bool descending, int64_t k) {
  require_float(op, "x", x);
  require_rank(op, "x", x, 1);
  if (k < 0 || k > x.dim(-1))
    fail("{}: {} values asked for, the last axis of x {} holds {}", op, k, x.shape().text(), x.dim(-1));
  Shape shape = x.shape();
  shape[-1] = k;
  Array values = Array::empty(shape, x.dtype()), indices = Array::empty(shape, DType::i64);
  kernel::sort(kernel::contiguous(x.array()), descending, k, values, indices);
  Tensor v = record(op, std::move(values), {&x},
                    [indices = Saved(indices), from = x.shape()](const Array& dy, Gradients& dx) {
                      dx.add(0, kernel::gather_backward(from, from.rank() - 1, *indices, dy));
                    });
  return {std::move(v), Tensor(std::move(indices))};
}

}  // namespace

Sorted topk(const Tensor& x, int64_t k) { return ordered(tag::topk, x, true, k); }
Sorted sort(const Tensor& x, bool descending) {
  return ordered(tag::sort, x, descending, x.rank() ? x.dim(-1) : 0);
}

Tensor cumsum(const Tensor& x, int axis) {
  require_float(tag::cumsum, "x", x);
  const int a = axis_of(tag::cumsum, axis, x.rank());
  return record(tag::cumsum, kernel::cumulative_sum(x.array(), a, false), {&x},
                [a](const Array& dy, Gradients& dx) { dx.add(0, kernel::cumulative_sum(dy, a, true)); });
}

Tensor cumprod(const Tensor& x, int axis) {
  require_float(tag::cumprod, "x", x);
  const int a = axis_of(tag::cumprod, axis, x.rank());
  return record(tag::cumprod, kernel::cumulative_product(x.array(), a), {&x},
                [x = Saved(x), a](const Array& dy, Gradients& dx) {
                  dx.add(0, kernel::cumulative_product_backward(*x, dy, a));
                });
}

Sorted cummax(const Tensor& x, int axis) {
  require_float(tag::cummax, "x", x);
  const int a = axis_of(tag::cummax, axis, x.rank());
  Array indices, values = kernel::cumulative_max(x.array(), a, indices);
  Tensor v = record(tag::cummax, std::move(values), {&x},
                    [a, indices = Saved(indices), from = x.shape()](const Array& dy, Gradients& dx) {
                      dx.add(0, kernel::gather_backward(from, a, *indices, dy));
                    });
  return {std::move(v), Tensor(std::move(indices))};
}

namespace {

Tensor compared(const char* op, kernel::Comparison c, const Tensor& a, const Tensor& b) {
  for (const Tensor* x : {&a, &b})
    if (is_quantized(x->dtype()))
      fail("{}: {} cannot be read elementwise; cast it first", op, info(x->dtype()).name);
  return nondifferentiable(op, kernel::compare(c, a.array(), b.array(), op), {&a, &b});
}

}  // namespace

#define COMPARISON(NAME)                                        \
  Tensor NAME(const Tensor& a, const Tensor& b) {               \
    return compared(tag::NAME, kernel::Comparison::NAME, a, b); \
  }
COMPARISON(equal)
COMPARISON(not_equal)
COMPARISON(less)
COMPARISON(less_equal)
COMPARISON(greater)
COMPARISON(greater_equal)
#undef COMPARISON

namespace {

Array integers_of(const char* op, const char* argument, const Tensor& x) {
  if (is_float(x.dtype()) || is_quantized(x.dtype()))
    fail("{}: {} have type {}, expected integers", op, argument, info(x.dtype()).name);
  return kernel::cast(x.array(), DType::i64);
}

}  // namespace

Unique unique(const Tensor& x) {
  const Array in = integers_of(tag::unique, "values", x);
  const auto from = in.span<int64_t>();
  std::vector<int64_t> values(from.begin(), from.end());
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  Array inverse = Array::empty(x.shape(), DType::i64);
  Array counts = Array::zeros({static_cast<int64_t>(values.size())}, DType::i64);
  int64_t *places = inverse.mutable_data<int64_t>(), *count = counts.mutable_data<int64_t>();
  for (size_t i = 0; i < from.size(); i++) {
    places[i] = std::lower_bound(values.begin(), values.end(), from[i]) - values.begin();
    count[places[i]]++;
  }
  Array distinct = Array::copy_of(std::span<const int64_t>(values), counts.shape());
  return {nondifferentiable(tag::unique, std::move(distinct), {&x}), Tensor(std::move(inverse)),
          Tensor(std::move(counts))};
}

Tensor bincount(const Tensor& ids, int64_t least) {
  const Array in = integers_of(tag::bincount, "ids", ids);
  int64_t bins = std::max<int64_t>(0, least);
  for (int64_t id : in.span<int64_t>()) {
    if (id < 0) fail("bincount: ids hold {}, expected 0 or more", id);
    bins = std::max(bins, id + 1);
  }
  Array counts = Array::zeros({bins}, DType::i64);
  int64_t* count = counts.mutable_data<int64_t>();
  for (int64_t id : in.span<int64_t>()) count[id]++;
  return nondifferentiable(tag::bincount, std::move(counts), {&ids});
}

}  // namespace intarsia
