// Attention: what its options mean, checked, for the kernels.
#include <algorithm>
#include <cmath>

#include "op/policy.h"

namespace intarsia {

namespace {

struct Sizes {
  int64_t batch, queries, keys, heads;
};

void check_heads(const Tensor& q, const Shape& k, const Shape& v) {
  if (q.rank() != 4)
    fail("attention: q has shape {}, expected [batch, time, heads, head size]", q.shape().text());
  if (k.rank() != 4 || k[3] != q.dim(3) || k[2] < 1 || q.dim(2) % k[2])
    fail("attention: k has shape {}, expected [{}, keys, a divisor of {} heads, {}]", k.text(), q.dim(0),
         q.dim(2), q.dim(3));
  if (!(v == k)) fail("attention: v has shape {}, expected {}, as k", v.text(), k.text());
}

void require_shape(const char* name, const Shape& found, const Shape& expected) {
  if (!(found == expected))
    fail("attention: {} has shape {}, expected {}", name, found.text(), expected.text());
}
void require_not_negative(const char* name, double value) {
  if (!(value >= 0 && value < 1e18)) fail("attention: {} is {}, expected 0 or more", name, value);
}

// 0 or 1 in each element: of any plain type.
Array as_flags(const Array& x) {
  const Array zero = Array::zeros({}, is_float(x.dtype()) ? DType::f64 : DType::i64);
  return kernel::cast(kernel::compare(kernel::Comparison::not_equal, x, zero, "attention"), DType::u8);
}

void check_masks(const AttentionOptions& options, const Sizes& s, kernel::AttentionRule& rule) {
  if (options.causal && s.keys < s.queries)
    fail("attention: {} keys for {} queries; causal attention needs at least as many keys", s.keys,
         s.queries);
  require_not_negative("window", static_cast<double>(options.window));
  require_not_negative("sinks", static_cast<double>(options.sinks));
  rule.window = options.window, rule.sinks = options.sinks;
  if (const Array& prefix = options.prefix) {
    if (!(prefix.shape() == Shape{1} || prefix.shape() == Shape{s.batch}))
      fail("attention: prefix has shape {}, expected [{}] or [1]", prefix.shape().text(), s.batch);
    rule.prefix = Array::empty({s.batch}, DType::i64);
    const Array lengths = checked_ids("attention", "prefix", Tensor(prefix), s.keys + 1);
    for (int64_t b = 0; b < s.batch; b++)
      rule.prefix.mutable_data<int64_t>()[b] = lengths.data<int64_t>()[prefix.dim(0) == 1 ? 0 : b];
  }
  if (options.key_mask) {
    require_shape("key_mask", options.key_mask.shape(), {s.batch, s.keys});
    rule.key_mask = as_flags(options.key_mask);
  }
  if (options.documents) {
    require_shape("documents", options.documents.shape(), {s.batch, s.keys});
    if (is_float(options.documents.dtype()))
      fail("attention: documents have type {}, expected integers", info(options.documents.dtype()).name);
    if (s.keys < s.queries)
      fail("attention: {} keys for {} queries; queries have no documents of their own", s.keys, s.queries);
    rule.documents = kernel::cast(options.documents, DType::i32);
  }
  if (const Array& pattern = options.pattern) {
    if (options.cell < 1) fail("attention: cell is {}, expected 1 or more", options.cell);
    const auto cells = [&](int64_t n) { return (n + options.cell - 1) / options.cell; };
    require_shape(
        "pattern", pattern.shape(),
        {pattern.rank() == 3 && pattern.dim(0) == 1 ? 1 : s.heads, cells(s.queries), cells(s.keys)});
    rule.cells = as_flags(pattern);
    rule.cell = options.cell;
  }
}

void check_scores(const AttentionOptions& options, const Sizes& s, kernel::AttentionRule& rule) {
  if (options.query_scale) {
    require_shape("query_scale", options.query_scale.shape(), {s.queries});
    rule.query_scale = kernel::cast(options.query_scale, DType::f64);
  }
  require_not_negative("soft_cap", options.soft_cap);
  rule.soft_cap = options.soft_cap;
  rule.formula = options.formula;
  if (options.bias) {
    const Tensor& bias = options.bias;
    require_float("attention", "bias", bias);
    if (bias.rank() != 2 || (bias.dim(0) != 1 && bias.dim(0) != s.heads) || bias.dim(1) % 2 == 0)
      fail("attention: bias has shape {}, expected [{} or 1, an odd number]", bias.shape().text(), s.heads);
    rule.bias = kernel::cast(bias.array(), DType::f64);
  }
  if (!(options.dropout >= 0 && options.dropout < 1))
    fail("attention: dropout is {}, expected 0 <= p < 1", options.dropout);
  rule.dropout = options.dropout;
  rule.seed = options.random.seed, rule.stream = options.random.stream, rule.index = options.random.index;
}

kernel::AttentionRule checked_rule(const AttentionOptions& options, const Tensor& q, int64_t keys) {
  const Sizes s = {q.dim(0), q.dim(1), keys, q.dim(2)};
  kernel::AttentionRule rule;
  rule.scale = options.scale != 0 ? options.scale : 1 / std::sqrt(static_cast<double>(q.dim(3)));
  rule.causal = options.causal;
  check_masks(options, s, rule);
  check_scores(options, s, rule);
  return rule;
}

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  if (const auto type = recast(tag::attention, {&q, &k, &v}))
    return attention(recast_to(*type, q), recast_to(*type, k), recast_to(*type, v), options);
  require_float("attention", "q", q);
  check_heads(q, k.shape(), v.shape());
  if (k.dim(0) != q.dim(0))
    fail("attention: k has shape {}, expected a batch of {}", k.shape().text(), q.dim(0));
  if (k.dtype() != q.dtype() || v.dtype() != q.dtype())
    fail("attention: types are {}, {}, {}, expected one for q, k and v", info(q.dtype()).name,
         info(k.dtype()).name, info(v.dtype()).name);
  const kernel::AttentionRule rule = checked_rule(options, q, k.dim(1));
  const Array qa = rows_contiguous(q.array()), ka = rows_contiguous(k.array()),
              va = rows_contiguous(v.array());
  Array o = Array::empty(q.shape(), q.dtype());
  Array norms = Array::empty({q.dim(0), q.dim(2), q.dim(1)}, DType::f64);
  kernel::attention(qa, {{&ka, 1}, {&va, 1}, k.dim(1), k.dim(1)}, rule, o, &norms);
  const auto gradient = [q = Saved(qa), k = Saved(ka), v = Saved(va), o = Saved(o), norms, rule](
                            const Array& dy, Gradients& dx) {
    Array dq = Array::empty(q->shape(), q->dtype());
    Array dk = Array::empty(k->shape(), k->dtype()), dv = Array::empty(v->shape(), v->dtype());
    const bool learned = rule.bias && dx.needs(3);
    Array d_bias = learned ? Array::empty(rule.bias.shape(), DType::f64) : Array();
    kernel::attention_backward(*q, *k, *v, *o, norms, dy, rule, dq, dk, dv, learned ? &d_bias : nullptr);
    dx.add(0, std::move(dq));
    dx.add(1, std::move(dk));
    dx.add(2, std::move(dv));
    if (learned) dx.add(3, std::move(d_bias));
  };
  if (options.bias) return record(tag::attention, o, {&q, &k, &v, &options.bias}, gradient);
  return record(tag::attention, o, {&q, &k, &v}, gradient);
}

Tensor attention(const Tensor& q, std::span<const Array> k_blocks, std::span<const Array> v_blocks,
                 int64_t block, int64_t keys, const AttentionOptions& options) {
  if (q.needs_gradient() && recording())
    fail("attention: keys from a block table take no gradient; use NoGradient");
  if (k_blocks.empty() || k_blocks.size() != v_blocks.size() ||
      keys > block * static_cast<int64_t>(k_blocks.size()))
    fail("attention: {} key blocks and {} value blocks of {} positions do not hold {} keys", k_blocks.size(),
         v_blocks.size(), block, keys);
  for (size_t i = 0; i < k_blocks.size(); i++) {
    Shape k = k_blocks[i].shape(), v = v_blocks[i].shape();
    if (k.rank() == 3 && v.rank() == 3) {
      k = {1, k[0], k[1], k[2]};
      v = {1, v[0], v[1], v[2]};
    }
    check_heads(q, k, v);
  }
  std::vector<Array> k, v;
  const auto with_batch = [](const Array& x) {
    return x.rank() == 4 ? x
                         : x.view({1, x.dim(0), x.dim(1), x.dim(2)},
                                  {x.size(), x.strides()[0], x.strides()[1], x.strides()[2]});
  };
  for (const Array& x : k_blocks) k.push_back(with_batch(x));
  for (const Array& x : v_blocks) v.push_back(with_batch(x));
  Array o = Array::empty(q.shape(), q.dtype());
  kernel::attention(rows_contiguous(q.array()), {k, v, block, keys}, checked_rule(options, q, keys), o,
                    nullptr);
  return Tensor(std::move(o));
}

Array alibi(int64_t heads, int64_t reach) {
  if (heads < 1 || reach < 0)
    fail("alibi: {} heads and a reach of {}, expected 1 and 0 or more", heads, reach);
  int64_t power = 1;  // the greatest power of two up to `heads`; the rest takes every other slope of twice it
  while (power * 2 <= heads) power *= 2;
  Array bias = Array::empty({heads, 2 * reach + 1});
  float* out = bias.mutable_data<float>();
  for (int64_t h = 0; h < heads; h++) {
    const double step = h < power
                            ? 8.0 / static_cast<double>(power) * static_cast<double>(h + 1)
                            : 4.0 / static_cast<double>(power) * static_cast<double>(2 * (h - power) + 1);
    for (int64_t distance = -reach; distance <= reach; distance++)
      *out++ = static_cast<float>(-std::exp2(-step) * static_cast<double>(std::abs(distance)));
  }
  return bias;
}

Array t5_buckets(int64_t reach, bool bidirectional, int64_t buckets, int64_t max_distance) {
  const int64_t side = bidirectional ? buckets / 2 : buckets, exact = side / 2;
  if (reach < 0 || exact < 1 || max_distance <= exact)
    fail("t5_buckets: reach {}, {} buckets, max_distance {}", reach, buckets, max_distance);
  Array ids = Array::empty({2 * reach + 1}, DType::i64);
  for (int64_t distance = -reach; distance <= reach; distance++) {
    // Keys behind the query are counted from 0, keys before it from `side` or all as distance 0.
    const int64_t far = bidirectional ? std::abs(distance) : std::max<int64_t>(0, -distance);
    int64_t bucket = far;
    if (far >= exact) {
      // In f32, as the models that use it were trained.
      const float part =
          std::log(static_cast<float>(far) / static_cast<float>(exact)) /
          static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact)));
      bucket = std::min(side - 1, exact + static_cast<int64_t>(part * static_cast<float>(side - exact)));
    }
    ids.mutable_data<int64_t>()[reach + distance] = bucket + (bidirectional && distance > 0 ? side : 0);
  }
  return ids;
}

Array log_n_scale(int64_t first, int64_t count, int64_t length) {
  if (first < 0 || count < 0 || length < 2)
    fail("log_n_scale: first {}, count {}, length {}", first, count, length);
  Array scale = Array::empty({count});
  for (int64_t i = 0; i < count; i++)
    scale.mutable_data<float>()[i] = static_cast<float>(
        std::max(1.0, std::log(static_cast<double>(first + i + 1)) / std::log(static_cast<double>(length))));
  return scale;
}

}  // namespace intarsia
