// The loss of a language model's last layer without its logits: rows of x meet w a block at a time, and what
// the gradients need of a block is taken before the next one overwrites it.
#include <algorithm>

#include "op/linear/views.h"
#include "op/policy.h"

namespace intarsia {

namespace {

// Of a block: 200 MB of f32. Each block packs w twice and adds to w's gradient, which pass through memory:
// with a third of this a step of GPT-2 takes 5 % longer.
constexpr int64_t block_elements = int64_t{3} << 24, fewest_rows = 64;

Array rows_of(const Array& x, int64_t first, int64_t count) {
  if (x.rank() == 1) return x.view({count}, {1}, first);
  return x.view({count, x.dim(1)}, {x.dim(1), 1}, first * x.dim(1));
}

bool wanted(const Tensor& x) { return recording() && x.needs_gradient(); }

struct HeadLoss {
  const CrossEntropy& options;
  double soft_cap, z_loss;
  double share;  // of a row in the gradient

  // The sum over the rows; d logits in the place of the logits, if `gradient`.
  double of(Array& logits, const Array& targets, bool gradient) const {
    if (soft_cap > 0) kernel::soft_cap(logits, soft_cap);
    const kernel::CrossEntropyRows rows =
        kernel::cross_entropy(logits, targets, options.ignore, options.smoothing);
    const Array losses = kernel::cast(rows.loss, DType::f64), norms = kernel::cast(rows.lse, DType::f64);
    const auto loss = losses.span<double>(), norm = norms.span<double>();
    const auto target = targets.span<int64_t>();
    Array weights = Array::empty({targets.size()}, DType::f64),
          excess = Array::empty({targets.size()}, DType::f64);
    double *weight = weights.mutable_data<double>(), *extra = excess.mutable_data<double>();
    double total = 0;
    for (size_t i = 0; i < target.size(); i++) {
      const bool counts = target[i] != options.ignore;
      total += loss[i] + (counts ? z_loss * norm[i] * norm[i] : 0);
      // z lse^2 has the gradient 2 z lse p: the weight of p, but not that of the target.
      extra[i] = counts ? share * 2 * z_loss * norm[i] : 0;
      weight[i] = share + extra[i];
    }
    if (!gradient) return total;
    Array d =
        kernel::cross_entropy_backward(logits, targets, rows.lse, weights, options.ignore, options.smoothing);
    if (z_loss != 0) kernel::add_targets(d, targets, excess, options.ignore, options.smoothing);
    if (soft_cap > 0) kernel::soft_cap_backward(logits, soft_cap, d);
    logits = std::move(d);
    return total;
  }
};

Array times(const Array& x, double factor) { return factor == 1 ? x : (Tensor(x) * factor).array(); }

}  // namespace

Tensor linear_cross_entropy(const Tensor& x, const Tensor& w, const Tensor& targets, CrossEntropy options,
                            double soft_cap, double z_loss) {
  if (const auto type = recast(tag::linear, {&x, &w}))
    return linear_cross_entropy(recast_to(*type, x), recast_to(*type, w), targets, options, soft_cap, z_loss);
  const char* op = tag::linear_cross_entropy;
  require_float(op, "x", x);
  require_float(op, "w", w);
  require_rank(op, "x", x, 1);
  if (w.rank() != 2 || w.dim(1) != x.dim(-1) || w.dim(0) < 1)
    fail("{}: w has shape {}, expected [classes, {}], the last axis of x", op, w.shape().text(), x.dim(-1));
  if (!(soft_cap >= 0) || !(z_loss >= 0))
    fail("{}: soft_cap is {} and z_loss {}, expected at least 0", op, soft_cap, z_loss);
  const Shape rows_shape(std::span<const int64_t>(x.shape().begin(), x.shape().end() - 1));
  if (targets.shape() != rows_shape)
    fail("{}: targets have shape {}, expected {}, the axes of x before the last", op, targets.shape().text(),
         rows_shape.text());
  const int64_t rows = rows_shape.count(), classes = w.dim(0), width = w.dim(1);
  const Array ids = checked_ids(op, "targets", targets, classes, options.ignore).reshape({rows});
  const Array in = kernel::contiguous(x.array()).reshape({rows, width}),
              weight = kernel::contiguous(w.array());
  int64_t counted = 0;
  for (const int64_t id : ids.span<int64_t>()) counted += id != options.ignore;
  const double share = counted ? 1.0 / static_cast<double>(counted) : 0;

  const bool for_x = wanted(x), for_w = wanted(w);
  const DType wide = wide_type(promote(x.dtype(), w.dtype()));
  // In f16 a row's share of the mean could be too small; there it comes last, with the loss scale.
  const double now = x.dtype() == DType::f16 ? 1 : share, later = x.dtype() == DType::f16 ? share : 1;
  const HeadLoss loss{options, soft_cap, z_loss, now};
  Array dx = for_x ? Array::empty({rows, width}, x.dtype()) : Array();
  Array dw = for_w ? Array::empty({classes, width}, wide) : Array();
  if (for_w && rows == 0) kernel::fill(dw, 0);
  double total = 0;
  const int64_t most = std::max(fewest_rows, block_elements / classes),
                blocks = std::max<int64_t>(1, (rows + most - 1) / most);
  const int64_t block = (rows + blocks - 1) / blocks;
  for (int64_t first = 0; first < rows; first += block) {
    const int64_t count = std::min(block, rows - first);
    const Array part = rows_of(in, first, count);
    Array logits = Array::empty({count, classes}, wide);
    kernel::matmul(part, transposed(weight), logits);
    total += loss.of(logits, rows_of(ids, first, count), for_x || for_w);
    if (!for_x && !for_w) continue;
    const Array d = kernel::cast(logits, x.dtype());
    if (for_x) {
      Array to = rows_of(dx, first, count);
      kernel::matmul(d, weight, to);
    }
    if (for_w) kernel::matmul(transposed(d), part, dw, first > 0);
  }
  Array y = Array::empty({}, wide);
  kernel::fill(y, total * share);
  return record(
      op, y, {&x, &w},
      [dx = std::move(dx), dw = std::move(dw), later, shape = x.shape()](const Array& dy, Gradients& to) {
        const double factor = later * Tensor(dy).item();
        if (to.needs(0)) to.add(0, times(dx, factor).reshape(shape));
        if (to.needs(1)) to.add(1, times(dw, factor));
      });
}

}  // namespace intarsia
