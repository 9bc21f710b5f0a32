// Reductions.
#include <cmath>
#include <limits>

#include "op/record.h"

namespace intarsia {
namespace {

struct Reduced {
  unsigned mask = 0;
  Shape kept, result;  // the shape with axes of length 1, and the shape that the caller gets
};

Reduced reduced(const char* op, const Tensor& x, const Axes& axes, bool keep) {
  Reduced r;
  for (int64_t given : axes) r.mask |= 1u << axis_of(op, given, x.rank());
  if (axes.rank() == 0) r.mask = (1u << x.rank()) - 1;
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

// For what has no value over nothing.
void require_elements(const char* op, const Tensor& x, unsigned mask) {
  for (int i = 0; i < x.rank(); i++)
    if ((mask >> i & 1) && x.dim(i) == 0) fail("{}: x {} has nothing along axis {}", op, x.shape().text(), i);
}

}  // namespace

Tensor sum(const Tensor& x, const Axes& axes, bool keep) {
  require_float("sum", "x", x);
  const Reduced r = reduced("sum", x, axes, keep);
  Array y = kernel::reduce(kernel::Reduction::sum, x.array(), r.mask, x.dtype()).reshape(r.result);
  return record(tag::sum, std::move(y), {&x},
                [kept = r.kept, shape = x.shape()](const Array& dy, Gradients& dx) {
                  dx.add(0, spread(dy, kept, shape));
                });
}

Tensor mean(const Tensor& x, const Axes& axes, bool keep) {
  require_float("mean", "x", x);
  const Reduced r = reduced("mean", x, axes, keep);
  Array y = kernel::reduce(kernel::Reduction::mean, x.array(), r.mask, x.dtype()).reshape(r.result);
  const double count =
      static_cast<double>(x.array().size()) / static_cast<double>(std::max<int64_t>(1, y.size()));
  return record(tag::mean, std::move(y), {&x},
                [kept = r.kept, shape = x.shape(), count](const Array& dy, Gradients& dx) {
                  dx.add(0, spread((Tensor(dy) * (1 / count)).array(), kept, shape));
                });
}

namespace {

Tensor extreme(const char* op, kernel::Reduction which, const Tensor& x, const Axes& axes, bool keep) {
  require_float(op, "x", x);
  const Reduced r = reduced(op, x, axes, keep);
  require_elements(op, x, r.mask);
  const Array in = kernel::contiguous(x.array());
  Array y = kernel::reduce(which, in, r.mask, x.dtype());
  return record(op, y.reshape(r.result), {&x},
                [x = Saved(in), y = Saved(y), mask = r.mask](const Array& dy, Gradients& dx) {
                  dx.add(0, kernel::extreme_backward(*x, *y, dy.reshape(y->shape()), mask));
                });
}

}  // namespace

Tensor max(const Tensor& x, const Axes& axes, bool keep) {
  return extreme(tag::max, kernel::Reduction::max, x, axes, keep);
}
Tensor min(const Tensor& x, const Axes& axes, bool keep) {
  return extreme(tag::min, kernel::Reduction::min, x, axes, keep);
}

Tensor prod(const Tensor& x, const Axes& axes, bool keep) {
  require_float(tag::prod, "x", x);
  const Reduced r = reduced(tag::prod, x, axes, keep);
  Array y = kernel::reduce(kernel::Reduction::product, x.array(), r.mask, x.dtype()).reshape(r.result);
  return record(tag::prod, std::move(y), {&x},
                [x = Saved(x), kept = r.kept, mask = r.mask](const Array& dy, Gradients& dx) {
                  dx.add(0, kernel::product_backward(*x, dy.reshape(kept), mask));
                });
}

// max + log(sum(exp(x - max))); an infinite maximum is taken for the greatest number, so that no inf - inf
// arises.
Tensor logsumexp(const Tensor& x, const Axes& axes, bool keep) {
  require_float(tag::logsumexp, "x", x);
  const Reduced r = reduced(tag::logsumexp, x, axes, keep);
  const double most = x.dtype() == DType::f64 ? std::numeric_limits<double>::max()
                                              : static_cast<double>(std::numeric_limits<float>::max());
  const Tensor in = kernel::cast(x.array(), wide_type(x.dtype()));
  Tensor y;
  if (in.array().size() == 0) {
    Array nothing = Array::empty(r.kept, in.dtype());
    kernel::fill(nothing, -INFINITY);
    y = nothing;
  } else {
    const Tensor top =
        clamp(kernel::reduce(kernel::Reduction::max, in.array(), r.mask, in.dtype()), -most, most);
    y = top + log(kernel::reduce(kernel::Reduction::sum, exp(in - top).array(), r.mask, in.dtype()));
  }
  return record(tag::logsumexp, kernel::cast(y.array(), x.dtype()).reshape(r.result), {&x},
                [x = Saved(x), y = Saved(y), most](const Array& dy, Gradients& dx) {
                  const Tensor share = exp(Tensor(*x) - clamp(*y, -most, INFINITY));
                  dx.add(0, (share * Tensor(dy.reshape(y->shape()))).array());
                });
}

namespace {

struct Moments {
  Reduced r;
  Array mean, variance;  // of shape r.kept, in the wide type
  double divisor;
};

Moments moments(const char* op, const Tensor& x, const Axes& axes, bool keep, double correction) {
  require_float(op, "x", x);
  Moments m{reduced(op, x, axes, keep), {}, {}, 0};
  const Tensor in = kernel::cast(x.array(), wide_type(x.dtype()));
  m.mean = kernel::reduce(kernel::Reduction::mean, in.array(), m.r.mask, in.dtype());
  double count = 1;
  for (int i = 0; i < x.rank(); i++)
    if (m.r.mask >> i & 1) count *= static_cast<double>(x.dim(i));
  m.divisor = std::max(0.0, count - correction);
  const Tensor squares = squared_error(in, m.mean);
  const Tensor sum = kernel::reduce(kernel::Reduction::sum, squares.array(), m.r.mask, in.dtype());
  m.variance = (sum / Tensor(scalar(m.divisor, in.dtype()))).array();
  return m;
}

}  // namespace

Tensor variance(const Tensor& x, const Axes& axes, bool keep, double correction) {
  const Moments m = moments(tag::variance, x, axes, keep, correction);
  return record(tag::variance, kernel::cast(m.variance, x.dtype()).reshape(m.r.result), {&x},
                [x = Saved(x), mean = m.mean, divisor = m.divisor](const Array& dy, Gradients& dx) {
                  const Tensor slope = Tensor(dy.reshape(mean.shape())) * (2 / divisor);
                  dx.add(0, (slope * (Tensor(*x) - Tensor(mean))).array());
                });
}

Tensor standard_deviation(const Tensor& x, const Axes& axes, bool keep, double correction) {
  const Moments m = moments(tag::standard_deviation, x, axes, keep, correction);
  const Tensor root = sqrt(m.variance);
  return record(
      tag::standard_deviation, kernel::cast(root.array(), x.dtype()).reshape(m.r.result), {&x},
      [x = Saved(x), root = Saved(root), mean = m.mean, divisor = m.divisor](const Array& dy, Gradients& dx) {
        const Tensor slope = Tensor(dy.reshape(mean.shape())) * (1 / divisor) / Tensor(*root);
        const Tensor zero = scalar(0, mean.dtype());
        dx.add(0, (where(*root, slope, zero) * (Tensor(*x) - Tensor(mean))).array());
      });
}

Tensor norm(const Tensor& x, double p, const Axes& axes, bool keep) {
  require_float(tag::norm, "x", x);
  if (std::isnan(p)) fail("norm: p is {}, expected a number", p);
  if (p == 0) return sum(cast(not_equal(x, scalar(0, x.dtype())), x.dtype()), axes, keep);
  if (p == 1) return sum(abs(x), axes, keep);
  if (p == INFINITY) return max(abs(x), axes, keep);
  if (p == -INFINITY) return min(abs(x), axes, keep);
  const Reduced r = reduced(tag::norm, x, axes, keep);
  if (p < 0) require_elements(tag::norm, x, r.mask);
  const Tensor in = kernel::cast(x.array(), wide_type(x.dtype()));
  const Tensor powers = p == 2 ? in * in : pow(abs(in), p);
  const Tensor total = kernel::reduce(kernel::Reduction::sum, powers.array(), r.mask, in.dtype());
  const Tensor y = p == 2 ? sqrt(total) : pow(total, 1 / p);
  return record(tag::norm, kernel::cast(y.array(), x.dtype()).reshape(r.result), {&x},
                [x = Saved(x), y = Saved(y), p](const Array& dy, Gradients& dx) {
                  const Tensor unit = Tensor(*x) / Tensor(*y), zero = scalar(0, y->dtype());
                  Tensor slope = p == 2 ? unit : sign(unit) * pow(abs(unit), p - 1);
                  if (p < 1) slope = where(*x, slope, zero);  // infinite at 0
                  const Tensor from = Tensor(dy.reshape(y->shape()));
                  dx.add(0, where(*y, slope * from, zero).array());
                });
}

}  // namespace intarsia
