// matmul and linear: everything that multiplies matrices.
#include <functional>
#include <vector>

#include "kernel/formula.h"
#include "kernel/table.h"
#include "op/linear/views.h"
#include "op/policy.h"

namespace intarsia {
namespace {

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

void multiply(const Array& a, const Array& b, Array& c, Products form) {
  if (form == Products::own || a.dtype() != DType::f32 || b.dtype() != DType::f32)
    return kernel::matmul(a, b, c);
  kernel::matmul_of_parts(a, b, c, form == Products::three_bf16 ? 3 : 6);
}

// a [..., M, K] times b [..., K, N] in the type `out`. One matrix b for all batches is one large product.
Array product(const Array& a, const Array& b, DType out, Products form = Products::own) {
  Shape shape =
      b.rank() == 2 ? batch_of(a.shape()) : broadcast(batch_of(a.shape()), batch_of(b.shape()), "matmul");
  const Shape batch = shape;
  shape.append(a.dim(-2));
  shape.append(b.dim(-1));
  Array c = Array::empty(shape, out);
  if (b.rank() == 2 && a.contiguous()) {
    const int64_t rows = a.dim(-1) ? a.size() / a.dim(-1) : c.size() / std::max<int64_t>(1, c.dim(-1));
    Array flat = c.reshape({rows, c.dim(-1)});
    multiply(a.reshape({rows, a.dim(-1)}), b, flat, form);
  } else {
    multiply(with_batch(a, batch), with_batch(b, batch), c, form);
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

// What one of the linear operations multiplies with: a matrix [N, K], plain, quantized or packed.
struct LinearWeight {
  int64_t outputs, inputs;
  DType dtype;
  std::function<void(const Array& rows, Array& y, const kernel::Epilogue&)> multiply;
};

LinearWeight weight_of(const char* op, const Tensor& x, const Tensor& w, const Tensor& bias) {
  require_float(op, "x", x);
  require_rank(op, "x", x, 1);
  if (w.rank() != 2 || w.dim(1) != x.dim(-1))
    fail("{}: w has shape {}, expected [outputs, {}], the last axis of x {}", op, w.shape().text(), x.dim(-1),
         x.shape().text());
  if (!is_float(w.dtype()) && !is_quantized(w.dtype()))
    fail("{}: w has type {}, expected a float or block-quantized type", op, info(w.dtype()).name);
  if (bias && (bias.rank() != 1 || bias.dim(0) != w.dim(0)))
    fail("{}: bias has shape {}, expected [{}], the first axis of w {}", op, bias.shape().text(), w.dim(0),
         w.shape().text());
  return {w.dim(0), w.dim(1), is_quantized(w.dtype()) ? x.dtype() : w.dtype(),
          [matrix = transposed(w.array())](const Array& rows, Array& y, const kernel::Epilogue& epilogue) {
            kernel::matmul(rows, matrix, y, false, epilogue);
          }};
}

LinearWeight weight_of(const char* op, const Tensor& x, const PackedWeight& w, const Tensor& bias) {
  require_float(op, "x", x);
  require_rank(op, "x", x, 1);
  if (w.inputs != x.dim(-1) || (bias && (bias.rank() != 1 || bias.dim(0) != w.outputs)))
    fail("{}: the packed weight is [{}, {}]; x has shape {} and bias {}", op, w.outputs, w.inputs,
         x.shape().text(), bias ? bias.shape().text() : "none");
  if (x.dtype() == DType::f64 || (w.dtype == DType::bf16 && x.dtype() != DType::bf16))
    fail("{}: x has type {}, expected {}, the type of the packed weight", op, info(x.dtype()).name,
         info(w.dtype).name);
  return {w.outputs, w.inputs, w.dtype,
          [matrix = kernel::PackedMatrix{w.panels, w.dtype, w.inputs, w.outputs, w.rung}](
              const Array& rows, Array& y, const kernel::Epilogue& epilogue) {
            kernel::matmul(rows, matrix, y, false, epilogue);
          }};
}

// What is recorded as the weight: nothing of a packed one, which takes no gradient.
const Tensor& recorded_weight(const Tensor& w) { return w; }
const Tensor& recorded_weight(const PackedWeight&) {
  static const Tensor none;
  return none;
}

// epilogue(x w^T + bias) in the type `out`.
Array apply_linear(const Tensor& x, const LinearWeight& w, const Tensor& bias, DType out,
                   kernel::Epilogue epilogue) {
  Shape shape = x.shape();
  shape[-1] = w.outputs;
  Array y = Array::empty(shape, out);
  const Array bias_f32 =
      bias ? kernel::cast(bias.array(), out == DType::f64 ? DType::f64 : DType::f32) : Array();
  const bool fused_bias = bias && out != DType::f64;
  if (fused_bias) epilogue.bias = bias_f32.data<float>();
  const Array rows = rows_of(x.array());
  Array flat = y.reshape({rows.dim(0), w.outputs});
  w.multiply(rows, flat, epilogue);
  if (bias && !fused_bias) {
    const Array terms[] = {y, bias_f32};
    y = kernel::pointwise(kernel::Formula::add, terms, out);
  }
  return y;
}

// The gradients of x w^T + bias to inputs number 0, 1 and 2, or the same `first` later.
auto linear_backward(const Tensor& x, const Tensor& w, size_t first = 0) {
  return [x = Saved(x), w = Saved(w), first](const Array& dy, Gradients& dx) {
    const Array d = rows_of(dy);
    if (dx.needs(first)) {
      Array g = Array::empty(x->shape(), x->dtype());
      Array g_rows = g.reshape({d.dim(0), x->dim(-1)});
      kernel::matmul(d, is_quantized(w->dtype()) ? kernel::cast(*w, d.dtype()) : *w, g_rows);
      dx.add(first, std::move(g));
    }
    if (dx.needs(first + 1)) dx.add(first + 1, product(transposed(d), rows_of(*x), dx.dtype(first + 1)));
    if (dx.needs(first + 2)) dx.add(first + 2, dy);
  };
}

auto linear_backward(const Tensor& x, const PackedWeight& w, size_t first = 0) {
  return [shape = x.shape(), dtype = x.dtype(), w, first](const Array& dy, Gradients& dx) {
    if (dx.needs(first)) {
      const Array d = rows_of(dy);
      Array g = Array::empty(shape, dtype);
      Array g_rows = g.reshape({d.dim(0), shape[-1]});
      kernel::matmul(d, unpack(w).array(), g_rows);
      dx.add(first, std::move(g));
    }
    if (dx.needs(first + 2)) dx.add(first + 2, dy);
  };
}

bool recorded(std::initializer_list<const Tensor*> inputs) {
  if (!recording()) return false;
  for (const Tensor* t : inputs)
    if (*t && t->needs_gradient()) return true;
  return false;
}

// The activation can ride on the product only where its input need not be kept, and where rounding to `out`
// between the two would change nothing: training and inference give the same bits.
bool rides(Activation activation, bool is_recorded, DType out) {
  return activation != Activation::none && !is_recorded && out == DType::f32;
}

Array int8_product(const Tensor& a, const Tensor& b, const float* row_scales, const float* column_scales) {
  if (a.dtype() != DType::i8 || b.dtype() != DType::i8)
    fail("matmul_int8: a has type {} and b {}, expected i8", info(a.dtype()).name, info(b.dtype()).name);
  if (a.rank() != 2 || b.rank() != 2 || a.dim(1) != b.dim(0))
    fail("matmul_int8: a is {} and b is {}; expected [M, K] and [K, N]", a.shape().text(), b.shape().text());
  if (a.dim(1) >= int64_t{1} << 17)
    fail("matmul_int8: sums of {} products may not fit 32 bits, expected fewer than 131072", a.dim(1));
  Array c = Array::empty({a.dim(0), b.dim(1)}, row_scales ? DType::f32 : DType::i32);
  kernel::matmul_int8(a.array(), b.array(), c, row_scales, column_scales);
  return c;
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, Products form) {
  if (const auto type = recast(tag::matmul, {&a, &b}))
    return matmul(recast_to(*type, a), recast_to(*type, b), form);
  require_float("matmul", "a", a);
  require_float("matmul", "b", b);
  require_rank("matmul", "a", a, 2);
  require_rank("matmul", "b", b, 2);
  if (a.dim(-1) != b.dim(-2))
    fail("matmul: a is {} and b is {}; expected a's last axis to equal b's last but one", a.shape().text(),
         b.shape().text());
  return record(tag::matmul, product(a.array(), b.array(), promote(a.dtype(), b.dtype()), form), {&a, &b},
                [a = Saved(a), b = Saved(b), form](const Array& dy, Gradients& dx) {
                  if (dx.needs(0)) dx.add(0, product(dy, transposed(*b), dy.dtype(), form));
                  if (!dx.needs(1)) return;
                  if (b->rank() == 2)
                    dx.add(1, product(transposed(rows_of(*a)), rows_of(dy), dx.dtype(1), form));
                  else
                    dx.add(1, product(transposed(*a), dy, dy.dtype(), form));
                });
}

namespace {

template <class Weight>
Tensor any_linear(const Tensor& x, const Weight& w, const Tensor& bias, Activation activation) {
  const LinearWeight weight = weight_of("linear", x, w, bias);
  const DType out = promote(x.dtype(), weight.dtype);
  const bool fused = rides(activation, recorded({&x, &recorded_weight(w), &bias}), out);
  kernel::Epilogue epilogue;
  if (fused) epilogue.activation = row_function(activation);
  Tensor result = record(tag::linear, apply_linear(x, weight, bias, out, epilogue),
                         {&x, &recorded_weight(w), &bias}, linear_backward(x, w));
  return fused ? result : activate(result, activation);
}

template <class Weight>
Tensor any_linear_add(const Tensor& residual, const Tensor& x, const Weight& w, const Tensor& bias) {
  const LinearWeight weight = weight_of("linear_add", x, w, bias);
  Shape shape = x.shape();
  shape[-1] = weight.outputs;
  require_float("linear_add", "residual", residual);
  if (residual.shape() != shape)
    fail("linear_add: residual has shape {}, expected {}, that of x times w", residual.shape().text(),
         shape.text());
  const DType out = promote(residual.dtype(), promote(x.dtype(), weight.dtype));
  const Array base = kernel::cast(residual.array(), out);
  kernel::Epilogue epilogue;
  epilogue.residual = &base;
  const auto of_linear = linear_backward(x, w, 1);
  return record(tag::linear_add, apply_linear(x, weight, bias, out, epilogue),
                {&residual, &x, &recorded_weight(w), &bias}, [of_linear](const Array& dy, Gradients& dx) {
                  of_linear(dy, dx);
                  if (dx.needs(0)) dx.add(0, dy);
                });
}

template <class Weight>
Tensor any_gated_linear(const Tensor& gate, const Tensor& x, const Weight& w, const Tensor& bias,
                        Activation activation) {
  if (activation != Activation::silu && activation != Activation::gelu)
    fail("gated_linear: expected the activation silu or gelu");
  const LinearWeight weight = weight_of("gated_linear", x, w, bias);
  const DType out = promote(x.dtype(), weight.dtype);
  Shape shape = x.shape();
  shape[-1] = weight.outputs;
  if (recorded({&gate, &x, &recorded_weight(w), &bias}) || gate.shape() != shape || gate.dtype() != out ||
      out == DType::f64 || !gate.array().contiguous()) {
    const Tensor up = any_linear(x, w, bias, Activation::none);
    return activation == Activation::silu ? swiglu(gate, up) : geglu(gate, up);
  }
  kernel::Epilogue epilogue;
  epilogue.gate = &gate.array();
  epilogue.gate_activation = row_function(activation);
  return Tensor(apply_linear(x, weight, bias, out, epilogue));
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias, Activation activation) {
  if (const auto type = recast(tag::linear, {&x, &w, &bias}))
    return linear(recast_to(*type, x), recast_to(*type, w), recast_to(*type, bias), activation);
  return any_linear(x, w, bias, activation);
}
Tensor linear(const Tensor& x, const PackedWeight& w, const Tensor& bias, Activation activation) {
  return any_linear(x, w, bias, activation);
}
Tensor linear_add(const Tensor& residual, const Tensor& x, const Tensor& w, const Tensor& bias) {
  if (recast(tag::linear, {&x, &w, &bias})) return residual + linear(x, w, bias);
  return any_linear_add(residual, x, w, bias);
}
Tensor linear_add(const Tensor& residual, const Tensor& x, const PackedWeight& w, const Tensor& bias) {
  return any_linear_add(residual, x, w, bias);
}
Tensor gated_linear(const Tensor& gate, const Tensor& x, const Tensor& w, const Tensor& bias,
                    Activation activation) {
  if (const auto type = recast(tag::linear, {&x, &w, &bias}))
    return gated_linear(gate, recast_to(*type, x), recast_to(*type, w), recast_to(*type, bias), activation);
  return any_gated_linear(gate, x, w, bias, activation);
}
Tensor gated_linear(const Tensor& gate, const Tensor& x, const PackedWeight& w, const Tensor& bias,
                    Activation activation) {
  return any_gated_linear(gate, x, w, bias, activation);
}

PackedWeight pack(const Tensor& w) {
  if (w.rank() != 2 || (w.dtype() != DType::f32 && w.dtype() != DType::bf16))
    fail("pack: w has shape {} and type {}, expected [outputs, inputs] of f32 or bf16", w.shape().text(),
         info(w.dtype()).name);
  kernel::PackedMatrix packed = kernel::pack(transposed(w.array()), w.dtype());
  return {std::move(packed.panels), packed.type, packed.n, packed.k, packed.rung};
}

Tensor unpack(const PackedWeight& w) {
  return Tensor(transposed(kernel::unpack({w.panels, w.dtype, w.inputs, w.outputs, w.rung})));
}

Tensor grouped_matmul(const Tensor& x, std::span<const int64_t> group_sizes, const Tensor& w) {
  require_float("grouped_matmul", "x", x);
  if (!is_quantized(w.dtype())) require_float("grouped_matmul", "w", w);
  if (x.rank() != 2 || w.rank() != 3 || w.dim(1) != x.dim(1))
    fail("grouped_matmul: x is {} and w is {}; expected [T, K] and [E, K, N]", x.shape().text(),
         w.shape().text());
  int64_t rows = 0;
  for (const int64_t size : group_sizes) {
    if (size < 0 || size > x.dim(0) - rows)
      fail("grouped_matmul: the group sizes do not add up to {}, the rows of x {}", x.dim(0),
           x.shape().text());
    rows += size;
  }
  if (rows != x.dim(0) || static_cast<int64_t>(group_sizes.size()) != w.dim(0))
    fail("grouped_matmul: {} groups of {} rows in all; expected {} groups, the first axis of w, of {} rows",
         group_sizes.size(), rows, w.dim(0), x.dim(0));
  Array y =
      Array::empty({x.dim(0), w.dim(2)}, is_quantized(w.dtype()) ? x.dtype() : promote(x.dtype(), w.dtype()));
  kernel::grouped_matmul(x.array(), group_sizes, w.array(), y);
  return record(
      tag::grouped_matmul, std::move(y), {&x, &w},
      [x = Saved(x), w = Saved(w), sizes = std::vector<int64_t>(group_sizes.begin(), group_sizes.end())](
          const Array& dy, Gradients& dx) {
        if (dx.needs(0)) {
          Array g = Array::empty(x->shape(), x->dtype());
          const Array back = is_quantized(w->dtype()) ? kernel::cast(*w, dy.dtype()) : *w;
          kernel::grouped_matmul(dy, sizes, transposed(back), g);
          dx.add(0, std::move(g));
        }
        if (!dx.needs(1)) return;
        Array g = Array::empty(w->shape(), dx.dtype(1));
        kernel::grouped_matmul_backward(*x, sizes, dy, g);
        dx.add(1, std::move(g));
      });
}

QuantizedRows quantize_rows(const Tensor& x) {
  require_float("quantize_rows", "x", x);
  require_rank("quantize_rows", "x", x, 1);
  Array values = Array::empty(x.shape(), DType::i8);
  Array scales =
      Array::empty(Shape(std::span<const int64_t>(x.shape().begin(), x.shape().end() - 1)), DType::f32);
  kernel::quantize_rows(x.array(), values, scales);
  return {nondifferentiable(tag::quantize_rows, std::move(values), {&x}),
          nondifferentiable(tag::quantize_rows, std::move(scales), {&x})};
}

Tensor matmul_int8(const Tensor& a, const Tensor& b) {
  return nondifferentiable(tag::matmul_int8, int8_product(a, b, nullptr, nullptr), {&a, &b});
}

Tensor matmul_int8(const Tensor& a, const Tensor& row_scales, const Tensor& b, const Tensor& column_scales) {
  if (a.rank() == 2 && b.rank() == 2 &&
      (row_scales.shape() != Shape{a.dim(0)} || column_scales.shape() != Shape{b.dim(1)}))
    fail("matmul_int8: the scales are {} and {}, expected [{}] and [{}]", row_scales.shape().text(),
         column_scales.shape().text(), a.dim(0), b.dim(1));
  require_float("matmul_int8", "row_scales", row_scales);
  require_float("matmul_int8", "column_scales", column_scales);
  const Array rows = kernel::cast(row_scales.array(), DType::f32);
  const Array columns = kernel::cast(column_scales.array(), DType::f32);
  return nondifferentiable(tag::matmul_int8, int8_product(a, b, rows.data<float>(), columns.data<float>()),
                           {&a, &row_scales, &b, &column_scales});
}

}  // namespace intarsia
