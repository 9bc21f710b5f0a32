// Reductions and orderings.
#include "op/record.h"

namespace intarsia {
namespace {

struct Axes {
  unsigned mask = 0;
  Shape kept, result;  // the shape with axes of length 1, and the shape that the caller gets
};

Axes reduced(const char* op, const Tensor& x, std::initializer_list<int> axes, bool keep) {
  Axes r;
  for (int given : axes) r.mask |= 1u << axis_of(op, given, x.rank());
  if (axes.size() == 0) r.mask = (1u << x.rank()) - 1;
  for (int i = 0; i < x.rank(); i++) {
    const bool gone = r.mask >> i & 1;
    r.kept.append(gone ? 1 : x.dim(i));
    if (!gone || keep) r.result.append(gone ? 1 : x.dim(i));
  }
  return r;
}

// dy of the reduced shape, seen as an array of x's shape.
Array spread(const Array& dy, const Shape& kept, const Shape& shape) {
  return broadcast_to(Tensor(dy.reshape(kept)), shape).array();
}

}  // namespace

Tensor sum(const Tensor& x, std::initializer_list<int> axes, bool keep) {
  require_float("sum", "x", x);
  const Axes r = reduced("sum", x, axes, keep);
  Array y = kernel::reduce(kernel::Reduction::sum, x.array(), r.mask, x.dtype()).reshape(r.result);
  return record(tag::sum, std::move(y), {&x},
                [kept = r.kept, shape = x.shape()](const Array& dy, Gradients& dx) {
                  dx.add(0, spread(dy, kept, shape));
                });
}

Tensor mean(const Tensor& x, std::initializer_list<int> axes, bool keep) {
  require_float("mean", "x", x);
  const Axes r = reduced("mean", x, axes, keep);
  Array y = kernel::reduce(kernel::Reduction::mean, x.array(), r.mask, x.dtype()).reshape(r.result);
  const double count =
      static_cast<double>(x.array().size()) / static_cast<double>(std::max<int64_t>(1, y.size()));
  return record(tag::mean, std::move(y), {&x},
                [kept = r.kept, shape = x.shape(), count](const Array& dy, Gradients& dx) {
                  dx.add(0, spread((Tensor(dy) * (1 / count)).array(), kept, shape));
                });
}

Tensor max(const Tensor& x, std::initializer_list<int> axes, bool keep) {
  require_float("max", "x", x);
  const Axes r = reduced("max", x, axes, keep);
  for (int i = 0; i < x.rank(); i++)
    if ((r.mask >> i & 1) && x.dim(i) == 0) fail("max: x {} has nothing along axis {}", x.shape().text(), i);
  const Array in = kernel::contiguous(x.array());
  Array y = kernel::reduce(kernel::Reduction::max, in, r.mask, x.dtype());
  return record(tag::max, y.reshape(r.result), {&x},
                [x = Saved(in), y = Saved(y), mask = r.mask](const Array& dy, Gradients& dx) {
                  dx.add(0, kernel::max_backward(*x, *y, dy.reshape(y->shape()), mask));
                });
}

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
  Tensor v = record(op, std::move(values), {&x}, [indices, from = x.shape()](const Array& dy, Gradients& dx) {
    dx.add(0, kernel::gather_backward(from, from.rank() - 1, indices, dy));
  });
  return {std::move(v), Tensor(std::move(indices))};
}

}  // namespace

Sorted topk(const Tensor& x, int64_t k) { return ordered(tag::topk, x, true, k); }
Sorted sort(const Tensor& x, bool descending) {
  return ordered(tag::sort, x, descending, x.rank() ? x.dim(-1) : 0);
}

}  // namespace intarsia
