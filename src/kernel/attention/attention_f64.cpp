#include "kernel/attention/attention_f64.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/threads.h"
#include "intarsia/random.h"

namespace intarsia::kernel {
namespace {

// One query of one head: what it sees, and how its scores change.
class Query {
 public:
  Query(const AttentionRule& rule, const PointwiseKernel* formula, int64_t queries, int64_t keys,
        int64_t heads, int64_t b, int64_t head, int64_t i)
      : rule_(rule),
        formula_(formula),
        queries_(queries),
        keys_(keys),
        heads_(heads),
        b_(b),
        head_(head),
        i_(i),
        position_(keys - queries + i) {}

  bool sees(int64_t j) const {
    const int64_t prefix = rule_.prefix ? rule_.prefix.data<int64_t>()[b_] : 0;
    if (rule_.causal && j > position_ && j >= prefix) return false;
    if (rule_.window && std::abs(position_ - j) >= rule_.window && j >= rule_.sinks) return false;
    if (rule_.key_mask && !rule_.key_mask.data<uint8_t>()[b_ * keys_ + j]) return false;
    if (rule_.documents) {
      const int32_t* document = rule_.documents.data<int32_t>() + b_ * keys_;
      if (document[j] < 0 || document[j] != document[position_]) return false;
    }
    if (const Array& cells = rule_.cells) {
      const int64_t head = cells.dim(0) == 1 ? 0 : head_;
      return cells.data<uint8_t>()[(head * cells.dim(1) + i_ / rule_.cell) * cells.dim(2) + j / rule_.cell];
    }
    return true;
  }

  // The score made of q k scale; slope becomes its derivative.
  double score(double x, int64_t j, double& slope) const {
    slope = rule_.query_scale ? rule_.query_scale.data<double>()[i_] : 1;
    x *= slope;
    if (rule_.soft_cap > 0) {
      const double t = std::tanh(x / rule_.soft_cap);
      x = rule_.soft_cap * t;
      slope *= 1 - t * t;
    }
    if (formula_) {
      const double in[] = {x, static_cast<double>(position_), static_cast<double>(j)};
      const double* inputs[] = {&in[0], &in[1], &in[2]};
      const double dy = slope;
      double* gradients[] = {&slope, nullptr, nullptr};
      formula_->f64.backward[1](formula_->formula, gradients, &dy, inputs, 1);
      formula_->f64.forward(formula_->formula, &x, inputs, 1);
    }
    if (rule_.bias) x += rule_.bias.data<double>()[bias_place(j)];
    return x;
  }
  int64_t bias_place(int64_t j) const {
    const int64_t width = rule_.bias.dim(1), reach = width / 2, head = rule_.bias.dim(0) == 1 ? 0 : head_;
    return head * width + reach + std::clamp(j - position_, -reach, reach);
  }

  // By what dropout multiplies the probability of key j.
  double kept(int64_t j) const {
    if (rule_.dropout == 0) return 1;
    const int64_t row = (b_ * heads_ + head_) * queries_ + i_;
    const Philox words = philox(rule_.seed, rule_.stream,
                                rule_.index + static_cast<uint64_t>(row * ((keys_ + 3) / 4) + j / 4));
    const double threshold = std::round((1 - rule_.dropout) * 0x1p32);
    return words.word[j % 4] < threshold ? 1 / (1 - rule_.dropout) : 0;
  }

 private:
  const AttentionRule& rule_;
  const PointwiseKernel* formula_;
  int64_t queries_, keys_, heads_, b_, head_, i_, position_;
};

const double* row_of(const Array& x, int64_t b, int64_t time, int64_t head) {
  return static_cast<const double*>(x.raw()) + b * x.strides()[0] + time * x.strides()[1] +
         head * x.strides()[2];
}

double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

}  // namespace

void attention_f64(const Array& q, const AttentionBlocks& kv, const AttentionRule& rule, Array& o,
                   Array* norms) {
  const int64_t queries = q.dim(1), heads = q.dim(2), d = q.dim(3), group = heads / kv.k[0].dim(2);
  const PointwiseKernel formula = rule.formula ? rule.formula() : PointwiseKernel();
  auto* out = static_cast<double*>(o.raw_mutable());
  double* lse_out = norms ? norms->mutable_data<double>() : nullptr;
  parallel_for(q.dim(0) * heads, 1, [&](int64_t begin, int64_t end) {
    std::vector<double> p(static_cast<size_t>(kv.keys));
    for (int64_t unit = begin; unit < end; unit++)
      for (int64_t i = 0; i < queries; i++) {
        const int64_t b = unit / heads, head = unit % heads;
        const Query query(rule, rule.formula ? &formula : nullptr, queries, kv.keys, heads, b, head, i);
        const auto run = [&](int64_t j) { return static_cast<size_t>(j / kv.block); };
        double top = -INFINITY, sum = 0, slope;
        for (int64_t j = 0; j < kv.keys; j++) {
          const double* key = row_of(kv.k[run(j)], b, j % kv.block, head / group);
          double& score = p[static_cast<size_t>(j)];
          score = query.sees(j) ? query.score(dot(row_of(q, b, i, head), key, d) * rule.scale, j, slope)
                                : -INFINITY;
          top = std::max(top, score);
        }
        double* to = out + (row_of(o, b, i, head) - static_cast<const double*>(o.raw()));
        std::fill_n(to, d, 0.0);
        for (double& x : p) sum += x = top == -INFINITY ? 0 : std::exp(x - top);
        for (int64_t j = 0; j < kv.keys && sum > 0; j++) {
          const double* value = row_of(kv.v[run(j)], b, j % kv.block, head / group);
          const double weight = p[static_cast<size_t>(j)] / sum * query.kept(j);
          for (int64_t c = 0; c < d; c++) to[c] += weight * value[c];
        }
        if (lse_out) lse_out[unit * queries + i] = top + std::log(sum);
      }
  });
}

void attention_backward_f64(const Array& q, const Array& k, const Array& v, const Array& o,
                            const Array& norms, const Array& d_o, const AttentionRule& rule, Array& dq,
                            Array& dk, Array& dv, Array* d_bias) {
  const int64_t queries = q.dim(1), heads = q.dim(2), d = q.dim(3), keys = k.dim(1), kv_heads = k.dim(2);
  const PointwiseKernel formula = rule.formula ? rule.formula() : PointwiseKernel();
  for (Array* x : {&dq, &dk, &dv, d_bias})
    if (x) fill(*x, 0);
  double *dq_out = dq.mutable_data<double>(), *dk_out = dk.mutable_data<double>(),
         *dv_out = dv.mutable_data<double>();
  double* d_bias_out = d_bias ? d_bias->mutable_data<double>() : nullptr;
  // In order: several heads and batches add to one bias.
  for (int64_t b = 0; b < q.dim(0); b++)
    for (int64_t head = 0; head < heads; head++)
      for (int64_t i = 0; i < queries; i++) {
        const Query query(rule, rule.formula ? &formula : nullptr, queries, keys, heads, b, head, i);
        const int64_t kv_head = head / (heads / kv_heads);
        const double *q_row = row_of(q, b, i, head), *do_row = row_of(d_o, b, i, head);
        double* dq_row = dq_out + ((b * queries + i) * heads + head) * d;
        const double rest = dot(row_of(o, b, i, head), do_row, d);
        for (int64_t j = 0; j < keys; j++) {
          if (!query.sees(j)) continue;
          const double *k_row = row_of(k, b, j, kv_head), *v_row = row_of(v, b, j, kv_head);
          const int64_t key_row = ((b * keys + j) * kv_heads + kv_head) * d;
          double slope;
          const double score = query.score(dot(q_row, k_row, d) * rule.scale, j, slope);
          const double p = std::exp(score - norms.data<double>()[(b * heads + head) * queries + i]);
          const double kept = query.kept(j), d_score = p * (kept * dot(do_row, v_row, d) - rest);
          if (d_bias_out) d_bias_out[query.bias_place(j)] += d_score;
          for (int64_t c = 0; c < d; c++) {
            dq_row[c] += d_score * slope * rule.scale * k_row[c];
            dk_out[key_row + c] += d_score * slope * rule.scale * q_row[c];
            dv_out[key_row + c] += p * kept * do_row[c];
          }
        }
      }
}

}  // namespace intarsia::kernel
