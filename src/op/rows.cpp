// Operations on the last axis: softmax, normalization.
#include "op/policy.h"

namespace intarsia {

Tensor softmax(const Tensor& x) {
  if (const auto type = recast(tag::softmax, {&x})) return softmax(recast_to(*type, x));
  require_float("softmax", "x", x);
  require_rank("softmax", "x", x, 1);
  Array y = kernel::softmax(kernel::contiguous(x.array()));
  return record(tag::softmax, y, {&x}, [y = Saved(y)](const Array& dy, Gradients& dx) {
    dx.add(0, kernel::softmax_backward(*y, dy));
  });
}

Tensor log_softmax(const Tensor& x) {
  if (const auto type = recast(tag::log_softmax, {&x})) return log_softmax(recast_to(*type, x));
  require_float("log_softmax", "x", x);
  require_rank("log_softmax", "x", x, 1);
  Array y = kernel::log_softmax(kernel::contiguous(x.array()));
  return record(tag::log_softmax, y, {&x}, [y = Saved(y)](const Array& dy, Gradients& dx) {
    dx.add(0, kernel::log_softmax_backward(*y, dy));
  });
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  if (const auto type = recast(tag::rms_norm, {&x, &weight}))
    return rms_norm(recast_to(*type, x), recast_to(*type, weight), eps);
  require_float("rms_norm", "x", x);
  require_rank("rms_norm", "x", x, 1);
  if (weight) require_last_axis("rms_norm", "weight", weight, "x", x);
  const Array in = kernel::contiguous(x.array());
  kernel::Normed n = kernel::rms_norm(in, weight ? &weight.array() : nullptr, eps);
  return record(tag::rms_norm, n.y, {&x, &weight},
                [x = Saved(in), w = Saved(weight), rstd = n.rstd](const Array& dy, Gradients& dx) {
                  Array dx0, dw;
                  const bool scaled = static_cast<bool>(*w);
                  kernel::rms_norm_backward(*x, scaled ? &*w : nullptr, rstd, dy,
                                            dx.needs(0) ? &dx0 : nullptr, dx.needs(1) ? &dw : nullptr);
                  if (dx.needs(0)) dx.add(0, std::move(dx0));
                  if (dx.needs(1)) dx.add(1, std::move(dw));
                });
}

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  if (const auto type = recast(tag::layer_norm, {&x, &weight, &bias}))
    return layer_norm(recast_to(*type, x), recast_to(*type, weight), recast_to(*type, bias), eps);
  require_float("layer_norm", "x", x);
  require_rank("layer_norm", "x", x, 1);
  if (weight) require_last_axis("layer_norm", "weight", weight, "x", x);
  if (bias) require_last_axis("layer_norm", "bias", bias, "x", x);
  const Array in = kernel::contiguous(x.array());
  kernel::Normed n =
      kernel::layer_norm(in, weight ? &weight.array() : nullptr, bias ? &bias.array() : nullptr, eps);
  return record(
      tag::layer_norm, n.y, {&x, &weight, &bias},
      [x = Saved(in), w = Saved(weight), mean = n.mean, rstd = n.rstd](const Array& dy, Gradients& dx) {
        Array dx0, dw, db;
        const bool scaled = static_cast<bool>(*w);
        kernel::layer_norm_backward(*x, scaled ? &*w : nullptr, mean, rstd, dy, dx.needs(0) ? &dx0 : nullptr,
                                    dx.needs(1) ? &dw : nullptr, dx.needs(2) ? &db : nullptr);
        if (dx.needs(0)) dx.add(0, std::move(dx0));
        if (dx.needs(1)) dx.add(1, std::move(dw));
        if (dx.needs(2)) dx.add(2, std::move(db));
      });
}

}  // namespace intarsia
