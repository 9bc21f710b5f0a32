// Connectionist temporal classification by the forward-backward algorithm in log space (Graves et al. 2006,
// section 4.1), in f64. One sequence is one thread's work.
#include <cmath>
#include <limits>
#include <vector>

#include "core/threads.h"
#include "kernel/kernels.h"
#include "kernel/strided.h"

namespace intarsia::kernel {
namespace {

constexpr double nothing = -std::numeric_limits<double>::infinity();  // log of 0

double log_add(double a, double b) {
  const double most = std::max(a, b);
  return most == nothing ? nothing : most + std::log1p(std::exp(std::min(a, b) - most));
}

// The target with a blank before, between and after its labels.
struct Labels {
  const int64_t* target;
  int64_t count, blank;  // count = 2 * length + 1
  int64_t operator[](int64_t s) const { return s % 2 ? target[s / 2] : blank; }
  // Whether a path may step from s - 2 to s: over a blank between two different labels.
  bool skips(int64_t s) const { return s >= 2 && s % 2 && target[s / 2] != target[s / 2 - 1]; }
};

// alpha[t, s]: log of the sum over all paths that stand at s at time t, of what they emitted up to t.
std::vector<double> forward_sums(const double* log_p, int64_t steps, int64_t classes, const Labels& l) {
  std::vector<double> alpha(static_cast<size_t>(steps * l.count), nothing);
  for (int64_t t = 0; t < steps; t++) {
    double* now = &alpha[static_cast<size_t>(t * l.count)];
    const double* before = now - l.count;
    for (int64_t s = 0; s < l.count; s++) {
      double sum = t == 0 && s < 2 ? 0 : nothing;
      if (t > 0) {
        sum = before[s];
        if (s > 0) sum = log_add(sum, before[s - 1]);
        if (l.skips(s)) sum = log_add(sum, before[s - 2]);
      }
      now[s] = sum + log_p[t * classes + l[s]];
    }
  }
  return alpha;
}

// beta[s] at time t from that at t + 1: the same sum of what is emitted after t.
void step_back(const double* log_p_next, const Labels& l, const std::vector<double>& next,
               std::vector<double>& now) {
  const auto at = [&](int64_t s) { return next[static_cast<size_t>(s)] + log_p_next[l[s]]; };
  for (int64_t s = 0; s < l.count; s++) {
    double sum = at(s);
    if (s + 1 < l.count) sum = log_add(sum, at(s + 1));
    if (s + 2 < l.count && l.skips(s + 2)) sum = log_add(sum, at(s + 2));
    now[static_cast<size_t>(s)] = sum;
  }
}

double log_likelihood(const std::vector<double>& alpha, const Labels& l) {
  if (alpha.empty()) return l.count == 1 ? 0 : nothing;  // no time: only the empty target fits
  const double last = alpha.back();
  return l.count > 1 ? log_add(last, alpha[alpha.size() - 2]) : last;
}

// d loss / d log_p[t, k] = -P(the path stands at label k at time t | target); zero where no path fits.
void gradient_of(const double* log_p, int64_t steps, int64_t classes, const Labels& l,
                 const std::vector<double>& alpha, double weight, double* gradient) {
  const double total = log_likelihood(alpha, l);
  if (total == nothing) return;
  std::vector<double> beta(static_cast<size_t>(l.count), nothing), next;
  for (int64_t s = std::max<int64_t>(0, l.count - 2); s < l.count; s++) beta[static_cast<size_t>(s)] = 0;
  for (int64_t t = steps - 1; t >= 0; t--) {
    if (t < steps - 1) {
      next = beta;
      step_back(log_p + (t + 1) * classes, l, next, beta);
    }
    for (int64_t s = 0; s < l.count; s++)
      gradient[t * classes + l[s]] -= weight * std::exp(alpha[static_cast<size_t>(t * l.count + s)] +
                                                        beta[static_cast<size_t>(s)] - total);
  }
}

}  // namespace

Array ctc(const Array& log_p, const Array& targets, const Array& steps, const Array& lengths, int64_t blank,
          const Array* weight, Array* gradient) {
  const Array wide = cast(log_p, DType::f64);
  const int64_t batch = log_p.dim(0), time = log_p.dim(1), classes = log_p.dim(2), width = targets.dim(1);
  Array loss = Array::empty({batch}, DType::f64);
  Array slope = gradient ? Array::zeros(log_p.shape(), DType::f64) : Array();
  double* to = loss.mutable_data<double>();
  double* slopes = gradient ? slope.mutable_data<double>() : nullptr;
  parallel_for(batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; b++) {
      const Labels l = {targets.data<int64_t>() + b * width, 2 * lengths.data<int64_t>()[b] + 1, blank};
      const double* rows = wide.data<double>() + b * time * classes;
      const int64_t t = steps.data<int64_t>()[b];
      const std::vector<double> alpha = forward_sums(rows, t, classes, l);
      to[b] = -log_likelihood(alpha, l);
      if (slopes)
        gradient_of(rows, t, classes, l, alpha, weight->data<double>()[b], slopes + b * time * classes);
    }
  });
  if (gradient) *gradient = cast(slope, log_p.dtype());
  return loss;
}

}  // namespace intarsia::kernel
