// Normalizations over channels: group_norm and batch_norm.
#include "op/record.h"

namespace intarsia {
namespace {

void check(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  require_float(op, "x", x);
  require_rank(op, "x", x, 2);
  const auto require_channels = [&](const char* name, const Tensor& v) {
    if (v && (v.rank() != 1 || v.dim(0) != x.dim(1)))
      fail("{}: {} has shape {}, expected [{}], the channels of x {}", op, name, v.shape().text(), x.dim(1),
           x.shape().text());
  };
  require_channels("weight", weight);
  require_channels("bias", bias);
}

const Array* pointer(const Tensor& t) { return t ? &t.array() : nullptr; }

struct Results {  // of a backward, as far as they are wanted
  Array dx, dw, db;
  Array* wanted(const Gradients& g, int i) {
    return g.needs(i) ? i == 0 ? &dx : i == 1 ? &dw : &db : nullptr;
  }
  void add_to(Gradients& g) {
    if (dx) g.add(0, std::move(dx));
    if (dw) g.add(1, std::move(dw));
    if (db) g.add(2, std::move(db));
  }
};

// Empty arrays become the moments of a normal distribution.
void check_running(const Tensor& x, RunningMoments& running) {
  const Shape shape{x.dim(1)};
  const DType wide = x.dtype() == DType::f64 ? DType::f64 : DType::f32;
  if (!running.mean) running.mean = Array::zeros(shape, wide);
  if (!running.variance) {
    running.variance = Array::zeros(shape, wide);
    kernel::fill(running.variance, 1);
  }
  for (const Array* a : {&running.mean, &running.variance})
    if (a->shape() != shape || !is_float(a->dtype()))
      fail("batch_norm: a running moment has shape {} and type {}, expected floats {}, the channels of x {}",
           a->shape().text(), info(a->dtype()).name, shape.text(), x.shape().text());
}

// Moves a running moment towards a batch's. The result is a new array: a graph may have kept the old one.
void move(Array& running, const Array& batch, double momentum, double factor) {
  const Tensor moved =
      Tensor(kernel::cast(running, DType::f64)) * (1 - momentum) + Tensor(batch) * (momentum * factor);
  running = kernel::cast(moved.array(), running.dtype());
}

}  // namespace

Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps) {
  check(tag::group_norm, x, weight, bias);
  if (groups < 1 || x.dim(1) % groups)
    fail("group_norm: {} groups for the {} channels of x {}", groups, x.dim(1), x.shape().text());
  const Array in = kernel::contiguous(x.array());
  kernel::Normed n = kernel::group_norm(in, groups, pointer(weight), pointer(bias), eps);
  return record(tag::group_norm, n.y, {&x, &weight, &bias},
                [x = Saved(in), w = Saved(weight), mean = n.mean, rstd = n.rstd, groups](const Array& dy,
                                                                                         Gradients& dx) {
                  Results r;
                  kernel::group_norm_backward(*x, groups, *w ? &*w : nullptr, mean, rstd, dy, r.wanted(dx, 0),
                                              r.wanted(dx, 1), r.wanted(dx, 2));
                  r.add_to(dx);
                });
}

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, RunningMoments& running,
                  bool training, double momentum, double eps) {
  check(tag::batch_norm, x, weight, bias);
  check_running(x, running);
  const Array in = kernel::contiguous(x.array());
  const int64_t count = x.dim(1) ? in.size() / x.dim(1) : 0;
  kernel::Moments moments;
  if (training) {
    if (count < 2)
      fail("batch_norm: x {} has {} value for each channel, expected more than 1 in training",
           x.shape().text(), count);
    moments = kernel::batch_moments(in);
    move(running.mean, moments.mean, momentum, 1);
    move(running.variance, moments.variance, momentum,
         static_cast<double>(count) / static_cast<double>(count - 1));
  } else {
    moments = {kernel::cast(running.mean, DType::f64), kernel::cast(running.variance, DType::f64)};
  }
  Array y = kernel::batch_norm(in, pointer(weight), pointer(bias), moments, eps);
  return record(tag::batch_norm, std::move(y), {&x, &weight, &bias},
                [x = Saved(in), w = Saved(weight), moments, training, eps](const Array& dy, Gradients& dx) {
                  Results r;
                  kernel::batch_norm_backward(*x, *w ? &*w : nullptr, moments, eps, training, dy,
                                              r.wanted(dx, 0), r.wanted(dx, 1), r.wanted(dx, 2));
                  r.add_to(dx);
                });
}

}  // namespace intarsia
