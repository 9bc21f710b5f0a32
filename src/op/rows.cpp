// Operations on the last axis: softmax, losses, normalization.
#include "op/record.h"

namespace intarsia {

Tensor softmax(const Tensor& x) {
  require_float("softmax", "x", x);
  require_rank("softmax", "x", x, 1);
  Array y = kernel::softmax(kernel::contiguous(x.array()));
  return record(tag::softmax, y, {&x}, [y = Saved(y)](const Array& dy, Gradients& dx) {
    dx.add(0, kernel::softmax_backward(*y, dy));
  });
}

Tensor log_softmax(const Tensor& x) {
  require_float("log_softmax", "x", x);
  require_rank("log_softmax", "x", x, 1);
  Array y = kernel::log_softmax(kernel::contiguous(x.array()));
  return record(tag::log_softmax, y, {&x}, [y = Saved(y)](const Array& dy, Gradients& dx) {
    dx.add(0, kernel::log_softmax_backward(*y, dy));
  });
}

Tensor cross_entropy(const Tensor& logits, const Tensor& targets, CrossEntropy options) {
  require_float("cross_entropy", "logits", logits);
  require_rank("cross_entropy", "logits", logits, 1);
  const int64_t classes = logits.dim(-1);
  const Shape rows(std::span<const int64_t>(logits.shape().begin(), logits.shape().end() - 1));
  if (targets.shape() != rows)
    fail("cross_entropy: targets have shape {}, expected {}, the axes of logits {} before the last",
         targets.shape().text(), rows.text(), logits.shape().text());
  const int64_t count = rows.count();
  const Array ids =
      checked_ids("cross_entropy", "targets", targets, classes, options.ignore).reshape({count});
  const Array flat = kernel::contiguous(logits.array()).reshape({count, classes});
  const kernel::CrossEntropyRows result = kernel::cross_entropy(flat, ids, options.ignore, options.smoothing);

  int64_t counted = 0;
  for (int64_t id : ids.span<int64_t>()) counted += id != options.ignore;
  // In f64 and in order: the loss is compared between runs, and this loop is short.
  double total = 0;
  const Array losses = kernel::cast(result.loss, DType::f64);
  for (double loss : losses.span<double>()) total += loss;
  const double scale = counted ? 1.0 / static_cast<double>(counted) : 0;
  Array y = Array::empty({}, result.loss.dtype());
  kernel::fill(y, total * scale);

  return record(tag::cross_entropy, y, {&logits},
                [flat = Saved(flat), ids, lse = result.lse, scale, options, shape = logits.shape()](
                    const Array& dy, Gradients& dx) {
                  Array weight = Array::empty({flat->dim(0)}, lse.dtype());
                  kernel::fill(weight, scale * Tensor(dy).item());
                  Array g = kernel::cross_entropy_backward(*flat, ids, lse, weight, options.ignore,
                                                           options.smoothing);
                  dx.add(0, g.reshape(shape));
                });
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
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
