// Operations on tokens and positions: embedding, rotary positions, attention, dropout.
#include <cmath>

#include "op/record.h"

namespace intarsia {

namespace {
// x, or a copy where its last axis is not contiguous: the kernels take any other strides.
Array rows_contiguous(const Array& x) {
  return x.dim(-1) == 1 || x.strides()[-1] == 1 ? x : kernel::contiguous(x);
}
}  // namespace

Array checked_ids(const char* op, const char* argument, const Tensor& ids, int64_t bound, int64_t also) {
  if (is_float(ids.dtype()) || is_quantized(ids.dtype()))
    fail("{}: {} have type {}, expected integers", op, argument, info(ids.dtype()).name);
  const Array wide = kernel::cast(ids.array(), DType::i64);
  for (int64_t id : wide.span<int64_t>())
    if ((id < 0 || id >= bound) && id != also)
      fail("{}: {} hold {}, expected 0 to {}", op, argument, id, bound - 1);
  return wide;
}

Tensor embedding(const Tensor& w, const Tensor& ids) {
  if (w.rank() != 2) fail("embedding: w has shape {}, expected [vocabulary, width]", w.shape().text());
  const Array wide = checked_ids("embedding", "ids", ids, w.dim(0));
  Shape shape = ids.shape();
  shape.append(w.dim(1));
  const Array flat = wide.reshape({wide.size()});
  Array y = kernel::embedding(is_quantized(w.dtype()) ? w.array() : kernel::contiguous(w.array()), flat)
                .reshape(shape);
  return record(
      tag::embedding, y, {&w}, [flat = Saved(flat), rows = w.shape()](const Array& dy, Gradients& dx) {
        dx.add(0, kernel::embedding_backward(rows, *flat, dy.reshape({flat->size(), rows[1]}), dx.dtype(0)));
      });
}

RopeTable rope_table(std::span<const double> frequencies, int64_t positions, bool interleaved,
                     double magnitude) {
  const auto pairs = static_cast<int64_t>(frequencies.size());
  RopeTable table{Array::empty({positions, pairs}), Array::empty({positions, pairs}), interleaved};
  float* cosines = table.cos.mutable_data<float>();
  float* sines = table.sin.mutable_data<float>();
  for (int64_t p = 0; p < positions; p++)
    for (int64_t i = 0; i < pairs; i++) {
      const double angle = static_cast<double>(p) * frequencies[static_cast<size_t>(i)];
      cosines[p * pairs + i] = static_cast<float>(magnitude * std::cos(angle));
      sines[p * pairs + i] = static_cast<float>(magnitude * std::sin(angle));
    }
  return table;
}

Tensor rope(const Tensor& x, const RopeTable& table, int64_t first) {
  require_float("rope", "x", x);
  if (x.rank() != 4) fail("rope: x has shape {}, expected [batch, time, heads, head size]", x.shape().text());
  if (2 * table.cos.dim(1) > x.dim(3))
    fail("rope: the table rotates {} features, but x {} has heads of {}", 2 * table.cos.dim(1),
         x.shape().text(), x.dim(3));
  if (first < 0 || first + x.dim(1) > table.cos.dim(0))
    fail("rope: positions {} to {} asked for, the table holds {}", first, first + x.dim(1) - 1,
         table.cos.dim(0));
  Array y = kernel::rope(rows_contiguous(x.array()), table.cos, table.sin, table.interleaved, first, false);
  return record(tag::rope, y, {&x}, [table, first](const Array& dy, Gradients& dx) {
    dx.add(0, kernel::rope(dy, table.cos, table.sin, table.interleaved, first, true));
  });
}

namespace {

void check_heads(const Tensor& q, const Shape& k, const Shape& v) {
  if (q.rank() != 4)
    fail("attention: q has shape {}, expected [batch, time, heads, head size]", q.shape().text());
  if (k.rank() != 4 || k[3] != q.dim(3) || k[2] < 1 || q.dim(2) % k[2])
    fail("attention: k has shape {}, expected [{}, keys, a divisor of {} heads, {}]", k.text(), q.dim(0),
         q.dim(2), q.dim(3));
  if (!(v == k)) fail("attention: v has shape {}, expected {}, as k", v.text(), k.text());
}

double scale_of(const AttentionOptions& options, int64_t head_size) {
  return options.scale != 0 ? options.scale : 1 / std::sqrt(static_cast<double>(head_size));
}

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, AttentionOptions options) {
  require_float("attention", "q", q);
  check_heads(q, k.shape(), v.shape());
  if (k.dim(0) != q.dim(0))
    fail("attention: k has shape {}, expected a batch of {}", k.shape().text(), q.dim(0));
  if (k.dtype() != q.dtype() || v.dtype() != q.dtype())
    fail("attention: types are {}, {}, {}, expected one for q, k and v", info(q.dtype()).name,
         info(k.dtype()).name, info(v.dtype()).name);
  if (options.causal && k.dim(1) < q.dim(1))
    fail("attention: {} keys for {} queries; causal attention needs at least as many keys", k.dim(1),
         q.dim(1));
  const kernel::AttentionShape shape{scale_of(options, q.dim(3)), options.causal};
  const Array qa = rows_contiguous(q.array()), ka = rows_contiguous(k.array()),
              va = rows_contiguous(v.array());
  Array o = Array::empty(q.shape(), q.dtype());
  Array lse = Array::empty({q.dim(0), q.dim(2), q.dim(1)}, q.dtype() == DType::f64 ? DType::f64 : DType::f32);
  kernel::attention(qa, {{&ka, 1}, {&va, 1}, k.dim(1), k.dim(1)}, shape, o, &lse);
  return record(tag::attention, o, {&q, &k, &v},
                [q = Saved(qa), k = Saved(ka), v = Saved(va), o = Saved(o), lse, shape](const Array& dy,
                                                                                        Gradients& dx) {
                  Array dq = Array::empty(q->shape(), q->dtype());
                  Array dk = Array::empty(k->shape(), k->dtype()), dv = Array::empty(v->shape(), v->dtype());
                  kernel::attention_backward(*q, *k, *v, *o, lse, dy, shape, dq, dk, dv);
                  dx.add(0, std::move(dq));
                  dx.add(1, std::move(dk));
                  dx.add(2, std::move(dv));
                });
}

Tensor attention(const Tensor& q, std::span<const Array> k_blocks, std::span<const Array> v_blocks,
                 int64_t block, int64_t keys, AttentionOptions options) {
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
  if (options.causal && keys < q.dim(1)) fail("attention: {} keys for {} queries", keys, q.dim(1));
  std::vector<Array> k, v;
  const auto with_batch = [](const Array& x) {
    return x.rank() == 4 ? x
                         : x.view({1, x.dim(0), x.dim(1), x.dim(2)},
                                  {x.size(), x.strides()[0], x.strides()[1], x.strides()[2]});
  };
  for (const Array& x : k_blocks) k.push_back(with_batch(x));
  for (const Array& x : v_blocks) v.push_back(with_batch(x));
  Array o = Array::empty(q.shape(), q.dtype());
  kernel::attention(rows_contiguous(q.array()), {k, v, block, keys},
                    {scale_of(options, q.dim(3)), options.causal}, o, nullptr);
  return Tensor(std::move(o));
}

Tensor dropout(const Tensor& x, double p, const Random& random) {
  require_float("dropout", "x", x);
  if (!(p >= 0 && p < 1)) fail("dropout: p is {}, expected 0 <= p < 1", p);
  if (p == 0) return x;
  const Array in = kernel::contiguous(x.array());
  Array y = kernel::dropout(in, p, random.seed, random.stream, random.index);
  return record(tag::dropout, y, {&x}, [p, random](const Array& dy, Gradients& dx) {
    dx.add(0, kernel::dropout(dy, p, random.seed, random.stream, random.index));
  });
}

}  // namespace intarsia
