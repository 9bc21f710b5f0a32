// Normalization over channels: batch_norm (over batch and pixels, a channel at a time) and group_norm (over
// the channels and pixels of a group, an image at a time). Each set of pixels that shares a mean is read by
// one thread, again and again while it lies in its cache.
#include <cmath>

#include "core/fail.h"
#include "core/threads.h"
#include "kernel/kernels.h"
#include "kernel/strided.h"
#include "kernel/table.h"

namespace intarsia::kernel {
namespace {

// x as [batch][channels][pixels].
struct Channels {
  int64_t batch, channels, pixels;
  DType type;
  int slot;
  explicit Channels(const Array& x)
      : batch(x.dim(0)),
        channels(x.dim(1)),
        pixels(x.size() > 0 ? x.size() / (batch * channels) : 0),
        type(x.dtype()),
        slot(float_slot(x.dtype(), "norm")) {}
  int64_t at(int64_t n, int64_t c) const { return (n * channels + c) * pixels; }
};

double parameter_at(const double* values, int64_t i, double otherwise) {
  return values ? values[i] : otherwise;
}

// The weights and biases of channels in f64, or nothing.
struct Parameters {
  Array weight, bias;
  const double *w, *b;
  Parameters(const Array* given_weight, const Array* given_bias)
      : weight(given_weight ? cast(*given_weight, DType::f64) : Array()),
        bias(given_bias ? cast(*given_bias, DType::f64) : Array()),
        w(weight ? weight.data<double>() : nullptr),
        b(bias ? bias.data<double>() : nullptr) {}
};

}  // namespace

Moments batch_moments(const Array& x) {
  const Channels s(x);
  Moments m{Array::empty({s.channels}, DType::f64), Array::empty({s.channels}, DType::f64)};
  double *mean = m.mean.mutable_data<double>(), *variance = m.variance.mutable_data<double>();
  const auto count = static_cast<double>(s.batch * s.pixels);
  const void* from = x.raw();
  parallel_for(s.channels, row_grain(s.batch * s.pixels), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; c++) {
      double sum = 0, squares = 0;
      for (int64_t n = 0; n < s.batch; n++)
        sum += table().rows.sum[s.slot](address(from, s.type, s.at(n, c)), s.pixels);
      mean[c] = sum / count;
      for (int64_t n = 0; n < s.batch; n++)
        squares += table().channels.squared_differences[s.slot](address(from, s.type, s.at(n, c)), s.pixels,
                                                                mean[c]);
      variance[c] = squares / count;
    }
  });
  return m;
}

Array batch_norm(const Array& x, const Array* weight, const Array* bias, const Moments& m, double eps) {
  const Channels s(x);
  const Parameters p(weight, bias);
  Array y = Array::empty(x.shape(), x.dtype());
  const double *mean = m.mean.data<double>(), *variance = m.variance.data<double>();
  const void* from = x.raw();
  void* to = y.raw_mutable();
  // Channel by channel as in batch_moments, so that a thread finds what it has just read.
  parallel_for(s.channels, row_grain(s.batch * s.pixels), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; c++) {
      const double factor = parameter_at(p.w, c, 1) / std::sqrt(variance[c] + eps);
      for (int64_t n = 0; n < s.batch; n++)
        table().channels.scale[s.slot](address(from, s.type, s.at(n, c)), address(to, s.type, s.at(n, c)),
                                       s.pixels, mean[c], factor, parameter_at(p.b, c, 0));
    }
  });
  return y;
}

void batch_norm_backward(const Array& x, const Array* weight, const Moments& m, double eps, bool of_batch,
                         const Array& dy_given, Array* dx, Array* dw, Array* db) {
  const Channels s(x);
  const Parameters p(weight, nullptr);
  const Array dy = cast(dy_given, x.dtype());
  const double *mean = m.mean.data<double>(), *variance = m.variance.data<double>();
  if (dx) *dx = Array::empty(x.shape(), x.dtype());
  Array weight_gradient = Array::empty({s.channels}, DType::f64),
        bias_gradient = Array::empty({s.channels}, DType::f64);
  double *to_w = weight_gradient.mutable_data<double>(), *to_b = bias_gradient.mutable_data<double>();
  const auto count = static_cast<double>(s.batch * s.pixels);
  const void *from = x.raw(), *gradient = dy.raw();
  void* to = dx ? dx->raw_mutable() : nullptr;
  parallel_for(s.channels, row_grain(s.batch * s.pixels), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; c++) {
      double sum = 0, product = 0;
      for (int64_t n = 0; n < s.batch; n++) {
        double part[2];
        table().channels.gradient_sums[s.slot](address(from, s.type, s.at(n, c)),
                                               address(gradient, s.type, s.at(n, c)), s.pixels, mean[c],
                                               part);
        sum += part[0];
        product += part[1];
      }
      const double rstd = 1 / std::sqrt(variance[c] + eps), w = parameter_at(p.w, c, 1);
      to_w[c] = product * rstd;
      to_b[c] = sum;
      if (!to) continue;
      // With moments of the batch: w rstd (dy - mean(dy) - normalized mean(dy normalized)).
      const double a = w * rstd, b = of_batch ? -w * rstd * rstd * rstd * product / count : 0,
                   shift = of_batch ? -w * rstd * sum / count : 0;
      for (int64_t n = 0; n < s.batch; n++)
        table().channels.gradient[s.slot](address(from, s.type, s.at(n, c)),
                                          address(gradient, s.type, s.at(n, c)),
                                          address(to, s.type, s.at(n, c)), s.pixels, mean[c], a, b, shift);
    }
  });
  if (dw) *dw = cast(weight_gradient, wide_of(x.dtype()));
  if (db) *db = cast(bias_gradient, wide_of(x.dtype()));
}

Normed group_norm(const Array& x, int64_t groups, const Array* weight, const Array* bias, double eps) {
  const Channels s(x);
  const Parameters p(weight, bias);
  const int64_t size = s.channels / groups, run = size * s.pixels;
  Normed result{Array::empty(x.shape(), x.dtype()), Array::empty({s.batch, groups}, DType::f64),
                Array::empty({s.batch, groups}, DType::f64)};
  double *mean = result.mean.mutable_data<double>(), *rstd = result.rstd.mutable_data<double>();
  const void* from = x.raw();
  void* to = result.y.raw_mutable();
  parallel_for(s.batch * groups, row_grain(run), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const void* start = address(from, s.type, i * run);
      mean[i] = table().rows.sum[s.slot](start, run) / static_cast<double>(run);
      const double squares = table().channels.squared_differences[s.slot](start, run, mean[i]);
      rstd[i] = 1 / std::sqrt(squares / static_cast<double>(run) + eps);
      for (int64_t k = 0; k < size; k++) {
        const int64_t c = i % groups * size + k, at = i * run + k * s.pixels;
        table().channels.scale[s.slot](address(from, s.type, at), address(to, s.type, at), s.pixels, mean[i],
                                       parameter_at(p.w, c, 1) * rstd[i], parameter_at(p.b, c, 0));
      }
    }
  });
  return result;
}

void group_norm_backward(const Array& x, int64_t groups, const Array* weight, const Array& means,
                         const Array& rstds, const Array& dy_given, Array* dx, Array* dw, Array* db) {
  const Channels s(x);
  const Parameters p(weight, nullptr);
  const Array dy = cast(dy_given, x.dtype());
  const int64_t size = s.channels / groups, run = size * s.pixels;
  const double *mean = means.data<double>(), *rstd = rstds.data<double>();
  if (dx) *dx = Array::empty(x.shape(), x.dtype());
  // Of each image and channel: the sums of dy and of dy (x - mean).
  Array sums_memory = Array::empty({s.batch, s.channels, 2}, DType::f64);
  double* sums = sums_memory.mutable_data<double>();
  const void *from = x.raw(), *gradient = dy.raw();
  void* to = dx ? dx->raw_mutable() : nullptr;
  parallel_for(s.batch * groups, row_grain(run), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      double sum = 0, product = 0;
      for (int64_t k = 0; k < size; k++) {
        const int64_t at = i * run + k * s.pixels;
        double* part = sums + (i * size + k) * 2;
        table().channels.gradient_sums[s.slot](address(from, s.type, at), address(gradient, s.type, at),
                                               s.pixels, mean[i], part);
        const double w = parameter_at(p.w, i % groups * size + k, 1);
        sum += w * part[0];
        product += w * part[1];
      }
      if (!to) continue;
      const auto count = static_cast<double>(run);
      for (int64_t k = 0; k < size; k++) {
        const int64_t at = i * run + k * s.pixels;
        const double w = parameter_at(p.w, i % groups * size + k, 1);
        table().channels.gradient[s.slot](
            address(from, s.type, at), address(gradient, s.type, at), address(to, s.type, at), s.pixels,
            mean[i], w * rstd[i], -rstd[i] * rstd[i] * rstd[i] * product / count, -rstd[i] * sum / count);
      }
    }
  });
  Array weight_gradient = Array::zeros({s.channels}, DType::f64),
        bias_gradient = Array::zeros({s.channels}, DType::f64);
  double *to_w = weight_gradient.mutable_data<double>(), *to_b = bias_gradient.mutable_data<double>();
  for (int64_t n = 0; n < s.batch; n++)
    for (int64_t c = 0; c < s.channels; c++) {
      to_w[c] += sums[(n * s.channels + c) * 2 + 1] * rstd[n * groups + c / size];
      to_b[c] += sums[(n * s.channels + c) * 2];
    }
  if (dw) *dw = cast(weight_gradient, wide_of(x.dtype()));
  if (db) *db = cast(bias_gradient, wide_of(x.dtype()));
}

}  // namespace intarsia::kernel
