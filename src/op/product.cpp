// matmul and linear: everything that multiplies matrices.
#include "kernel/formula.h"
#include "kernel/table.h"
#include "op/record.h"

namespace intarsia {
namespace {

Array transposed(const Array& x) {
  Shape shape = x.shape(), strides = x.strides();
  std::swap(shape[-1], shape[-2]);
  std::swap(strides[-1], strides[-2]);
  return x.view(shape, strides);
}

// x with its batch axes broadcast to `batch`; the two matrix axes stay.
Array with_batch(const Array& x, const Shape& batch) {
  Shape shape = batch, strides;
  for (int i = 0; i < batch.rank(); i++) {
    const int own = i - (batch.rank() - (x.rank() - 2));
    strides.append(own < 0 || x.dim(own) == 1 ? 0 : x.strides()[own]);
  }
  for (int i = -2; i < 0; i++) {
    shape.append(x.dim(i));
    strides.append(x.strides()[i]);
  }
  return x.view(shape, strides);
}

Shape batch_of(const Shape& shape) { return Shape(std::span<const int64_t>(shape.begin(), shape.end() - 2)); }

// a [..., M, K] times b [..., K, N] in the type `out`. One matrix b for all batches is one large product.
Array product(const Array& a, const Array& b, DType out) {
  Shape shape =
      b.rank() == 2 ? batch_of(a.shape()) : broadcast(batch_of(a.shape()), batch_of(b.shape()), "matmul");
  const Shape batch = shape;
  shape.append(a.dim(-2));
  shape.append(b.dim(-1));
  Array c = Array::empty(shape, out);
  if (b.rank() == 2 && a.contiguous()) {
    const int64_t rows = a.dim(-1) ? a.size() / a.dim(-1) : c.size() / std::max<int64_t>(1, c.dim(-1));
    Array flat = c.reshape({rows, c.dim(-1)});
    kernel::matmul(a.reshape({rows, a.dim(-1)}), b, flat);
  } else {
    kernel::matmul(with_batch(a, batch), with_batch(b, batch), c);
  }
  return c;
}

Array rows_of(const Array& x) {
  const Array flat = kernel::contiguous(x);
  return flat.reshape({flat.dim(-1) ? flat.size() / flat.dim(-1) : 0, flat.dim(-1)});
}

void (*row_function(Activation activation))(float*, int64_t) {
  const auto of = [](kernel::Formula f) { return kernel::table().pointwise.in_place[static_cast<int>(f)]; };
  switch (activation) {
    case Activation::none:
      break;
    case Activation::relu:
      return of(kernel::Formula::relu);
    case Activation::silu:
      return of(kernel::Formula::silu);
    case Activation::gelu:
      return of(kernel::Formula::gelu);
    case Activation::gelu_tanh:
      return of(kernel::Formula::gelu_tanh);
  }
  return nullptr;
}

Tensor activate(const Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return relu(x);
    case Activation::silu:
      return silu(x);
    case Activation::gelu:
      return gelu(x);
    case Activation::gelu_tanh:
      return gelu_tanh(x);
  }
  return x;
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) {
  require_float("matmul", "a", a);
  require_float("matmul", "b", b);
  require_rank("matmul", "a", a, 2);
  require_rank("matmul", "b", b, 2);
  if (a.dim(-1) != b.dim(-2))
    fail("matmul: a is {} and b is {}; expected a's last axis to equal b's last but one", a.shape().text(),
         b.shape().text());
  return record(tag::matmul, product(a.array(), b.array(), promote(a.dtype(), b.dtype())), {&a, &b},
                [a = Saved(a), b = Saved(b)](const Array& dy, Gradients& dx) {
                  if (dx.needs(0)) dx.add(0, product(dy, transposed(*b), dy.dtype()));
                  if (!dx.needs(1)) return;
                  if (b->rank() == 2)
                    dx.add(1, product(transposed(rows_of(*a)), rows_of(dy), dx.dtype(1)));
                  else
                    dx.add(1, product(transposed(*a), dy, dy.dtype()));
                });
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias, Activation activation) {
  require_float("linear", "x", x);
  require_rank("linear", "x", x, 1);
  if (w.rank() != 2 || w.dim(1) != x.dim(-1))
    fail("linear: w has shape {}, expected [outputs, {}], the last axis of x {}", w.shape().text(), x.dim(-1),
         x.shape().text());
  if (!is_float(w.dtype()) && !is_quantized(w.dtype()))
    fail("linear: w has type {}, expected a float or block-quantized type", info(w.dtype()).name);
  if (bias && (bias.rank() != 1 || bias.dim(0) != w.dim(0)))
    fail("linear: bias has shape {}, expected [{}], the first axis of w {}", bias.shape().text(), w.dim(0),
         w.shape().text());

  const DType out = is_quantized(w.dtype()) ? x.dtype() : promote(x.dtype(), w.dtype());
  // The activation can ride on the product only where its input need not be kept, and where rounding to `out`
  // between the two would change nothing: training and inference give the same bits.
  const bool recorded =
      recording() && (x.needs_gradient() || w.needs_gradient() || (bias && bias.needs_gradient()));
  const bool fused = activation != Activation::none && !recorded && out == DType::f32;

  Shape shape = x.shape();
  shape[-1] = w.dim(0);
  Array y = Array::empty(shape, out);
  kernel::Epilogue epilogue;
  const Array bias_f32 =
      bias ? kernel::cast(bias.array(), out == DType::f64 ? DType::f64 : DType::f32) : Array();
  const bool fused_bias = bias && out != DType::f64;
  if (fused_bias) epilogue.bias = bias_f32.data<float>();
  if (fused) epilogue.activation = row_function(activation);
  const Array rows = rows_of(x.array());
  Array flat = y.reshape({rows.dim(0), w.dim(0)});
  kernel::matmul(rows, transposed(w.array()), flat, false, epilogue);
  if (bias && !fused_bias) {
    const Array terms[] = {y, bias_f32};
    y = kernel::pointwise(kernel::Formula::add, terms, out);
  }

  const auto backward = [x = Saved(x), w = Saved(w)](const Array& dy, Gradients& dx) {
    const Array d = rows_of(dy);
    if (dx.needs(0)) {
      Array g = Array::empty(x->shape(), x->dtype());
      Array g_rows = g.reshape({d.dim(0), x->dim(-1)});
      kernel::matmul(d, is_quantized(w->dtype()) ? kernel::cast(*w, d.dtype()) : *w, g_rows);
      dx.add(0, std::move(g));
    }
    if (dx.needs(1)) dx.add(1, product(transposed(d), rows_of(*x), dx.dtype(1)));
    if (dx.needs(2)) dx.add(2, dy);
  };
  Tensor result = record(tag::linear, std::move(y), {&x, &w, &bias}, backward);
  return fused ? result : activate(result, activation);
}

}  // namespace intarsia
