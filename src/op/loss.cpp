// Losses. Most are means of pointwise errors or short compositions; cross entropy and CTC have kernels.
#include <cmath>

#include "op/policy.h"

namespace intarsia {

Tensor cross_entropy(const Tensor& logits, const Tensor& targets, CrossEntropy options) {
  if (const auto type = recast(tag::cross_entropy, {&logits}))
    return cross_entropy(recast_to(*type, logits), targets, options);
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
                [flat = Saved(flat), ids = Saved(ids), lse = result.lse, scale, options,
                 shape = logits.shape()](const Array& dy, Gradients& dx) {
                  Array weight = Array::empty({flat->dim(0)}, lse.dtype());
                  kernel::fill(weight, scale * Tensor(dy).item());
                  Array g = kernel::cross_entropy_backward(*flat, *ids, lse, weight, options.ignore,
                                                           options.smoothing);
                  dx.add(0, g.reshape(shape));
                });
}

Tensor mse_loss(const Tensor& x, const Tensor& target) {
  require_same_shape(tag::mse_loss, "target", target, "x", x);
  return mean(squared_error(x, target));
}

Tensor mae_loss(const Tensor& x, const Tensor& target) {
  require_same_shape(tag::mae_loss, "target", target, "x", x);
  return mean(absolute_error(x, target));
}

Tensor huber_loss(const Tensor& x, const Tensor& target, double delta) {
  require_same_shape(tag::huber_loss, "target", target, "x", x);
  if (!(delta > 0)) fail("huber_loss: delta is {}, expected above 0", delta);
  return mean(huber_error(x, target, scalar(delta, promote(x.dtype(), target.dtype()))));
}

Tensor bce_with_logits(const Tensor& logits, const Tensor& target) {
  require_same_shape(tag::bce_with_logits, "target", target, "logits", logits);
  return mean(bce_error(logits, target));
}

Tensor kl_loss(const Tensor& log_q, const Tensor& p) {
  require_same_shape(tag::kl_loss, "p", p, "log_q", log_q);
  require_rank(tag::kl_loss, "log_q", log_q, 1);
  return sum(kl_error(log_q, p)) * (1 / static_cast<double>(log_q.dim(0)));
}

Tensor nll_loss(const Tensor& log_p, const Tensor& targets, int64_t ignore) {
  require_float(tag::nll_loss, "log_p", log_p);
  require_rank(tag::nll_loss, "log_p", log_p, 1);
  const Shape rows(std::span<const int64_t>(log_p.shape().begin(), log_p.shape().end() - 1));
  if (targets.shape() != rows)
    fail("nll_loss: targets have shape {}, expected {}, the axes of log_p {} before the last",
         targets.shape().text(), rows.text(), log_p.shape().text());
  Array ids = checked_ids(tag::nll_loss, "targets", targets, log_p.dim(-1), ignore);
  Array counted = Array::empty(rows, DType::boolean), places = Array::empty(rows, DType::i64);
  int64_t count = 0;
  for (int64_t i = 0; i < ids.size(); i++) {
    const int64_t id = ids.data<int64_t>()[i];
    counted.mutable_data<bool>()[i] = id != ignore;
    places.mutable_data<int64_t>()[i] = id != ignore ? id : 0;
    count += id != ignore;
  }
  Shape column = rows;
  column.append(1);
  const Tensor picked = reshape(gather(log_p, -1, places.reshape(column)), rows);
  return sum(where(counted, picked, scalar(0, log_p.dtype()))) *
         (count ? -1.0 / static_cast<double>(count) : 0.0);
}

Tensor hinge_loss(const Tensor& scores, const Tensor& target) {
  require_same_shape(tag::hinge_loss, "target", target, "scores", scores);
  return mean(hinge_error(scores, target));
}

Tensor cosine_similarity(const Tensor& a, const Tensor& b, double eps) {
  require_same_shape(tag::cosine_similarity, "b", b, "a", a);
  require_rank(tag::cosine_similarity, "a", a, 1);
  const auto length = [eps](const Tensor& x) { return clamp(norm(x, 2, {-1}), eps, INFINITY); };
  return sum(a * b, {-1}) / (length(a) * length(b));
}

Tensor cosine_loss(const Tensor& a, const Tensor& b, const Tensor& target, double margin) {
  const Tensor cosine = cosine_similarity(a, b);
  require_same_shape(tag::cosine_loss, "target", target, "a without its last axis", cosine);
  return mean(where(greater(target, scalar(0, DType::f64)), 1 - cosine, relu(cosine - margin)));
}

Tensor triplet_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative, double margin) {
  require_same_shape(tag::triplet_loss, "positive", positive, "anchor", anchor);
  require_same_shape(tag::triplet_loss, "negative", negative, "anchor", anchor);
  require_rank(tag::triplet_loss, "anchor", anchor, 1);
  const auto distance = [&](const Tensor& other) { return norm(anchor - other + 1e-6, 2, {-1}); };
  return mean(relu(distance(positive) - distance(negative) + margin));
}

Tensor ctc_loss(const Tensor& log_p, const Tensor& targets, const Tensor& steps, const Tensor& lengths,
                int64_t blank) {
  require_float(tag::ctc_loss, "log_p", log_p);
  if (log_p.rank() != 3)
    fail("ctc_loss: log_p has shape {}, expected [batch, time, classes]", log_p.shape().text());
  const int64_t batch = log_p.dim(0), classes = log_p.dim(2);
  if (blank < 0 || blank >= classes) fail("ctc_loss: blank is {}, expected 0 to {}", blank, classes - 1);
  if (targets.rank() != 2 || targets.dim(0) != batch)
    fail("ctc_loss: targets have shape {}, expected [{}, labels]", targets.shape().text(), batch);
  if (steps.shape() != Shape{batch} || lengths.shape() != Shape{batch})
    fail("ctc_loss: steps and lengths have shapes {} and {}, expected [{}]", steps.shape().text(),
         lengths.shape().text(), batch);
  const Array labels = checked_ids(tag::ctc_loss, "targets", targets, classes);
  const Array times = checked_ids(tag::ctc_loss, "steps", steps, log_p.dim(1) + 1);
  const Array counts = checked_ids(tag::ctc_loss, "lengths", lengths, targets.dim(1) + 1);
  Array weight = Array::empty({batch}, DType::f64);
  for (int64_t b = 0; b < batch; b++) {
    const int64_t count = counts.data<int64_t>()[b];
    for (int64_t s = 0; s < count; s++)
      if (labels.data<int64_t>()[b * targets.dim(1) + s] == blank)
        fail("ctc_loss: target {} of sequence {} is the blank, {}", s, b, blank);
    weight.mutable_data<double>()[b] = 1.0 / static_cast<double>(batch * std::max<int64_t>(1, count));
  }
  const Array losses = kernel::ctc(log_p.array(), labels, times, counts, blank, nullptr, nullptr);
  Array y = Array::empty({}, wide_type(log_p.dtype()));
  double total = 0;
  for (int64_t b = 0; b < batch; b++) total += losses.data<double>()[b] * weight.data<double>()[b];
  kernel::fill(y, total);
  return record(tag::ctc_loss, std::move(y), {&log_p},
                [log_p = Saved(log_p), labels = Saved(labels), times = Saved(times), counts = Saved(counts),
                 blank, weight](const Array& dy, Gradients& dx) {
                  Array gradient;
                  const Array scaled = kernel::cast((Tensor(weight) * Tensor(dy)).array(), DType::f64);
                  kernel::ctc(*log_p, *labels, *times, *counts, blank, &scaled, &gradient);
                  dx.add(0, std::move(gradient));
                });
}

}  // namespace intarsia
