// Operations that move elements: views where strides allow, copies where not.
#include <vector>

#include "op/record.h"

namespace intarsia {

Tensor reshape(const Tensor& x, const Shape& shape) {
  Array y = kernel::contiguous(x.array()).reshape(shape);
  return record(tag::reshape, std::move(y), {&x},
                [from = x.shape()](const Array& dy, Gradients& dx) { dx.add(0, dy.reshape(from)); });
}

Tensor contiguous(const Tensor& x) { return x.array().contiguous() ? x : reshape(x, x.shape()); }

Tensor permute(const Tensor& x, const Axes& axes) {
  if (axes.rank() != x.rank()) fail("permute: {} axes given for x {}", axes.rank(), x.shape().text());
  Shape shape, strides, inverse = x.shape();
  unsigned seen = 0;
  for (int64_t given : axes) {
    const int axis = axis_of("permute", given, x.rank());
    if (seen >> axis & 1) fail("permute: axis {} occurs twice", axis);
    seen |= 1u << axis;
    inverse[axis] = shape.rank();
    shape.append(x.dim(axis));
    strides.append(x.array().strides()[axis]);
  }
  return record(tag::permute, x.array().view(shape, strides), {&x},
                [inverse](const Array& dy, Gradients& dx) {
                  Shape s, t;
                  for (int64_t axis : inverse) {
                    s.append(dy.dim(static_cast<int>(axis)));
                    t.append(dy.strides()[static_cast<int>(axis)]);
                  }
                  dx.add(0, dy.view(s, t));
                });
}

Tensor transpose(const Tensor& x, int axis0, int axis1) {
  const int a = axis_of("transpose", axis0, x.rank()), b = axis_of("transpose", axis1, x.rank());
  const auto swapped = [a, b](const Array& from) {
    Shape shape = from.shape(), strides = from.strides();
    std::swap(shape[a], shape[b]);
    std::swap(strides[a], strides[b]);
    return from.view(shape, strides);
  };
  return record(tag::permute, swapped(x.array()), {&x},
                [swapped](const Array& dy, Gradients& dx) { dx.add(0, swapped(dy)); });
}

Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end, int64_t step) {
  const int a = axis_of("slice", axis, x.rank());
  if (begin < 0 || end < begin || end > x.dim(a) || step < 1)
    fail("slice: {} to {} by {} is outside axis {} of x {}", begin, end, step, a, x.shape().text());
  const auto part = [=](const Array& from) {
    Shape shape = from.shape(), strides = from.strides();
    const int64_t offset = begin * strides[a];
    shape[a] = (end - begin + step - 1) / step;
    strides[a] *= step;
    return from.view(shape, strides, offset);
  };
  return record(tag::slice, part(x.array()), {&x},
                [part](const Array& dy, Gradients& dx) { dx.add_part(0, part, dy); });
}

Tensor concat(std::span<const Tensor> parts, int axis) {
  if (parts.empty()) fail("concat: no parts given");
  const int a = axis_of("concat", axis, parts[0].rank());
  Shape shape = parts[0].shape();
  shape[a] = 0;
  std::vector<const Tensor*> inputs;
  for (const Tensor& p : parts) {
    Shape expected = parts[0].shape();
    if (p.rank() == expected.rank()) expected[a] = p.dim(a);
    if (p.shape() != expected || p.dtype() != parts[0].dtype())
      fail("concat: a part is {} {}, expected {} {} but for axis {}", info(p.dtype()).name, p.shape().text(),
           info(parts[0].dtype()).name, parts[0].shape().text(), a);
    shape[a] += p.dim(a);
    inputs.push_back(&p);
  }
  Array y = Array::empty(shape, parts[0].dtype());
  const auto region = [a](const Array& whole, int64_t at, int64_t length) {
    Shape s = whole.shape();
    s[a] = length;
    return whole.view(s, whole.strides(), at * whole.strides()[a]);
  };
  std::vector<int64_t> lengths;
  int64_t at = 0;
  for (const Tensor& p : parts) {
    Array into = region(y, at, p.dim(a));
    kernel::copy(p.array(), into);
    at += p.dim(a);
    lengths.push_back(p.dim(a));
  }
  return record(tag::concat, std::move(y), inputs, [region, lengths](const Array& dy, Gradients& dx) {
    int64_t from = 0;
    for (size_t i = 0; i < lengths.size(); i++) {
      dx.add(static_cast<int>(i), region(dy, from, lengths[i]));
      from += lengths[i];
    }
  });
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  if (broadcast(x.shape(), shape, "broadcast_to") != shape)
    fail("broadcast_to: x {} does not broadcast to {}", x.shape().text(), shape.text());
  Shape strides;
  const int extra = shape.rank() - x.rank();
  for (int i = 0; i < shape.rank(); i++)
    strides.append(i < extra || x.dim(i - extra) == 1 ? 0 : x.array().strides()[i - extra]);
  return record(tag::broadcast_to, x.array().view(shape, strides), {&x}, [](const Array& dy, Gradients& dx) {
    dx.add(0, dy);
  });  // the tape sums over what was broadcast
}

Tensor gather(const Tensor& x, int axis, const Tensor& index) {
  const int a = axis_of("gather", axis, x.rank());
  if (index.rank() != x.rank())
    fail("gather: index has shape {}, expected {} axes as x {}", index.shape().text(), x.rank(),
         x.shape().text());
  for (int i = 0; i < x.rank(); i++)
    if (i != a && index.dim(i) > x.dim(i))
      fail("gather: index has shape {}, which exceeds x {} on axis {}", index.shape().text(),
           x.shape().text(), i);
  const Array ids = checked_ids("gather", "index", index, x.dim(a));
  Array y = kernel::gather(kernel::contiguous(x.array()), a, ids);
  return record(tag::gather, std::move(y), {&x},
                [a, ids = Saved(ids), from = x.shape()](const Array& dy, Gradients& dx) {
                  dx.add(0, kernel::gather_backward(from, a, *ids, dy));
                });
}

Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  Array y = kernel::cast(x.array(), dtype);
  if (!is_float(dtype)) return nondifferentiable(tag::cast, std::move(y), {&x});
  return record(tag::cast, std::move(y), {&x},
                [](const Array& dy, Gradients& dx) { dx.add(0, dy); });  // the tape casts
}

}  // namespace intarsia
