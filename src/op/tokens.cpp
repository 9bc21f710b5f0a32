// Operations on tokens and positions: embedding, rotary positions, dropout.
#include <cmath>

#include "op/record.h"

namespace intarsia {

Array checked_ids(const char* op, const char* argument, const Tensor& ids, int64_t bound, int64_t also) {
  if (is_float(ids.dtype()) || is_quantized(ids.dtype()))
    fail("{}: {} have type {}, expected integers", op, argument, info(ids.dtype()).name);
  Array wide = kernel::cast(ids.array(), DType::i64);
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
