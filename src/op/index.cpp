// Operations that pick, repeat and mask elements. Whatever picks slices along an axis by number is one
// function here: index_select, repeat, reflect and replicate padding.
#include "op/record.h"

namespace intarsia {
namespace {

Tensor taken(const char* op, const Tensor& x, int axis, const Array& ids) {
  return record(op, kernel::take(x.array(), axis, ids), {&x},
                [axis, ids = Saved(ids), from = x.shape()](const Array& dy, Gradients& dx) {
                  dx.add(0, kernel::take_backward(from, axis, *ids, dy));
                });
}

// The numbers id(0), id(1) ... id(count - 1).
template <class F>
Array numbers(int64_t count, F id) {
  Array ids = Array::empty({count}, DType::i64);
  for (int64_t i = 0; i < count; i++) ids.mutable_data<int64_t>()[i] = id(i);
  return ids;
}

// Runs backwards along the axes of the mask: a copy of a view with negative strides.
Array flipped(const Array& x, unsigned mask) {
  Shape strides = x.strides();
  int64_t start = 0;
  for (int axis = 0; axis < x.rank(); axis++) {
    if (!(mask >> axis & 1) || x.dim(axis) == 0) continue;
    start += (x.dim(axis) - 1) * strides[axis];
    strides[axis] = -strides[axis];
  }
  Array y = Array::empty(x.shape(), x.dtype());
  kernel::copy(x.view(x.shape(), strides, x.size() ? start : 0), y);
  return y;
}

// The last `shift` slices along an axis and those before them change places.
Array rolled(const Array& x, int64_t shift, int axis) {
  const int64_t length = x.dim(axis);
  Array y = Array::empty(x.shape(), x.dtype());
  if (x.size() == 0) return y;
  const int64_t behind = (shift % length + length) % length;
  const auto slices = [axis](const Array& array, int64_t begin, int64_t end) {
    Shape shape = array.shape();
    shape[axis] = end - begin;
    return array.view(shape, array.strides(), begin * array.strides()[axis]);
  };
  Array front = slices(y, 0, behind), back = slices(y, behind, length);
  kernel::copy(slices(x, length - behind, length), front);
  kernel::copy(slices(x, 0, length - behind), back);
  return y;
}

}  // namespace

Tensor index_select(const Tensor& x, int axis, const Tensor& ids) {
  const int a = axis_of(tag::index_select, axis, x.rank());
  if (ids.rank() != 1) fail("index_select: ids have shape {}, expected one axis", ids.shape().text());
  return taken(tag::index_select, x, a, checked_ids(tag::index_select, "ids", ids, x.dim(a)));
}

Tensor flip(const Tensor& x, const Axes& axes) {
  unsigned mask = 0;
  for (int64_t given : axes) mask ^= 1u << axis_of(tag::flip, given, x.rank());
  return record(tag::flip, flipped(x.array(), mask), {&x},
                [mask](const Array& dy, Gradients& dx) { dx.add(0, flipped(dy, mask)); });
}

Tensor roll(const Tensor& x, int64_t shift, int axis) {
  const int a = axis_of(tag::roll, axis, x.rank());
  return record(tag::roll, rolled(x.array(), shift, a), {&x},
                [shift, a](const Array& dy, Gradients& dx) { dx.add(0, rolled(dy, -shift, a)); });
}

Tensor repeat(const Tensor& x, const Shape& times) {
  const int extra = times.rank() - x.rank();
  if (extra < 0)
    fail("repeat: {} numbers given for x {}, expected one for each axis", times.text(), x.shape().text());
  Shape shape;
  for (int i = 0; i < times.rank(); i++) {
    if (times[i] < 0) fail("repeat: {} times along axis {}, expected 0 or more", times[i], i);
    shape.append(i < extra ? 1 : x.dim(i - extra));
  }
  Tensor y = reshape(x, shape);
  for (int i = 0; i < times.rank(); i++)
    if (times[i] != 1)
      y = taken(tag::repeat, y, i, numbers(shape[i] * times[i], [n = shape[i]](int64_t k) { return k % n; }));
  return y;
}

namespace {

Tensor padded_with(const Tensor& x, int axis, int64_t before, int64_t behind, double value) {
  Shape shape = x.shape();
  shape[axis] += before + behind;
  Array y = Array::empty(shape, x.dtype());
  kernel::fill(y, value);
  const auto inside = [=, length = x.dim(axis)](const Array& whole) {
    Shape part = whole.shape();
    part[axis] = length;
    return whole.view(part, whole.strides(), before * whole.strides()[axis]);
  };
  Array middle = inside(y);
  kernel::copy(x.array(), middle);
  return record(tag::pad, std::move(y), {&x},
                [inside](const Array& dy, Gradients& dx) { dx.add(0, inside(dy)); });
}

}  // namespace

Tensor pad(const Tensor& x, int axis, int64_t before, int64_t behind, PadMode mode, double value) {
  const int a = axis_of(tag::pad, axis, x.rank());
  const int64_t n = x.dim(a);
  if (before < 0 || behind < 0) fail("pad: {} before and {} behind, expected 0 or more", before, behind);
  if (mode == PadMode::constant) return padded_with(x, a, before, behind, value);
  if (mode == PadMode::reflect && (before >= n || behind >= n))
    fail("pad: {} before and {} behind, but axis {} of x {} mirrors at most {}", before, behind, a,
         x.shape().text(), n - 1);
  if (n == 0) fail("pad: x {} has nothing along axis {} to repeat", x.shape().text(), a);
  return taken(tag::pad, x, a, numbers(before + n + behind, [=](int64_t i) {
                 const int64_t at = i - before;
                 if (mode == PadMode::replicate) return std::clamp<int64_t>(at, 0, n - 1);
                 return at < 0 ? -at : at < n ? at : 2 * (n - 1) - at;
               }));
}

Tensor scatter_add(const Tensor& x, int axis, const Tensor& index, const Tensor& source) {
  require_float(tag::scatter_add, "x", x);
  require_float(tag::scatter_add, "source", source);
  const int a = axis_of(tag::scatter_add, axis, x.rank());
  require_same_shape(tag::scatter_add, "source", source, "index", index);
  if (index.rank() != x.rank())
    fail("scatter_add: index has shape {}, expected {} axes as x {}", index.shape().text(), x.rank(),
         x.shape().text());
  const Array ids = checked_ids(tag::scatter_add, "index", index, x.dim(a));
  const Array sums = kernel::gather_backward(x.shape(), a, ids, kernel::cast(source.array(), x.dtype()));
  const Array terms[] = {x.array(), sums};
  return record(tag::scatter_add, kernel::pointwise(kernel::Formula::add, terms, x.dtype()), {&x, &source},
                [a, ids = Saved(ids)](const Array& dy, Gradients& dx) {
                  dx.add(0, dy);
                  if (dx.needs(1)) dx.add(1, kernel::gather(dy, a, *ids));
                });
}

namespace {

// x where the mask is not 0, else 0: its own derivative.
Array kept_by(const Array& mask, const Array& x) {
  const Array in[] = {mask, x, scalar(0, x.dtype())};
  return kernel::pointwise(kernel::Formula::where, in, x.dtype());
}

Tensor triangle(const char* op, const Tensor& x, int64_t diagonal, bool lower) {
  require_float(op, "x", x);
  require_rank(op, "x", x, 2);
  const int64_t rows = x.dim(-2), columns = x.dim(-1);
  Array mask = Array::empty({rows, columns}, DType::boolean);
  bool* keep = mask.mutable_data<bool>();
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++)
      keep[i * columns + j] = lower ? j - i <= diagonal : j - i >= diagonal;
  return record(op, kept_by(mask, x.array()), {&x},
                [mask](const Array& dy, Gradients& dx) { dx.add(0, kept_by(mask, dy)); });
}

}  // namespace

Tensor tril(const Tensor& x, int64_t diagonal) { return triangle(tag::tril, x, diagonal, true); }
Tensor triu(const Tensor& x, int64_t diagonal) { return triangle(tag::triu, x, diagonal, false); }

Tensor masked_fill(const Tensor& x, const Tensor& mask, double value) {
  require_float(tag::masked_fill, "x", x);
  if (broadcast(x.shape(), mask.shape(), tag::masked_fill) != x.shape())
    fail("masked_fill: mask {} does not broadcast to x {}", mask.shape().text(), x.shape().text());
  const auto fill_into = [mask = Saved(mask)](const Array& a, double number) {
    const Array in[] = {*mask, scalar(number, a.dtype()), a};
    return kernel::pointwise(kernel::Formula::where, in, a.dtype());
  };
  return record(tag::masked_fill, fill_into(x.array(), value), {&x},
                [fill_into](const Array& dy, Gradients& dx) { dx.add(0, fill_into(dy, 0)); });
}

Tensor one_hot(const Tensor& ids, int64_t classes, DType dtype) {
  const Array wide = checked_ids(tag::one_hot, "ids", ids, classes);
  Shape shape = ids.shape();
  shape.append(classes);
  Array places = Array::zeros(shape, DType::boolean);
  bool* at = places.mutable_data<bool>();
  for (int64_t i = 0; i < wide.size(); i++) at[i * classes + wide.data<int64_t>()[i]] = true;
  return nondifferentiable(tag::one_hot, kernel::cast(places, dtype), {&ids});
}

}  // namespace intarsia
