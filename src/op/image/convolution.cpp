// Convolutions in one and two dimensions, and their transposes.
#include "op/record.h"

namespace intarsia {
namespace {

constexpr int64_t largest = int64_t{1} << 31;  // of an option: products with it stay far from overflow

kernel::Convolution checked(const char* op, const Conv2d& o) {
  const auto require = [op](const char* name, const Size2& value, int64_t least) {
    if (value.height < least || value.width < least || value.height >= largest || value.width >= largest)
      fail("{}: {} is {} x {}, expected at least {}", op, name, value.height, value.width, least);
  };
  require("stride", o.stride, 1);
  require("padding", o.padding, 0);
  require("dilation", o.dilation, 1);
  require("output_padding", o.output_padding, 0);
  if (o.groups < 1) fail("{}: groups is {}, expected at least 1", op, o.groups);
  kernel::Convolution c;
  c.stride[0] = o.stride.height, c.stride[1] = o.stride.width;
  c.padding[0] = o.padding.height, c.padding[1] = o.padding.width;
  c.dilation[0] = o.dilation.height, c.dilation[1] = o.dilation.width;
  c.groups = o.groups;
  return c;
}

void check_operands(const char* op, const Tensor& x, const Tensor& w, const Tensor& bias, int64_t outputs) {
  require_float(op, "x", x);
  require_float(op, "w", w);
  if (w.dim(2) < 1 || w.dim(3) < 1) fail("{}: w has shape {}, an empty kernel", op, w.shape().text());
  if (bias && (bias.rank() != 1 || bias.dim(0) != outputs))
    fail("{}: bias has shape {}, expected [{}]", op, bias.shape().text(), outputs);
}

void require_rank_4(const char* op, const char* argument, const Tensor& x, const char* expected) {
  if (x.rank() != 4) fail("{}: {} has shape {}, expected {}", op, argument, x.shape().text(), expected);
}

struct Operands {
  Array x, w, bias;
  const Array* bias_pointer() const { return bias ? &bias : nullptr; }
};
Operands common_type(const Tensor& x, const Tensor& w, const Tensor& bias) {
  const DType type = promote(x.dtype(), w.dtype());
  return {kernel::cast(x.array(), type), kernel::cast(w.array(), type), bias ? bias.array() : Array()};
}

Array sum_of_channels(const Array& dy, DType type) {
  return kernel::reduce(kernel::Reduction::sum, dy, 0b1101, type).reshape({dy.dim(1)});
}

// [N, C, L] as an image of one row.
Tensor as_image(const char* op, const char* argument, const Tensor& x) {
  if (x.rank() != 3) fail("{}: {} has shape {}, expected three axes", op, argument, x.shape().text());
  return reshape(x, {x.dim(0), x.dim(1), 1, x.dim(2)});
}
Conv2d as_image(const Conv1d& o) {
  return {{1, o.stride}, {0, o.padding}, {1, o.dilation}, o.groups, {0, o.output_padding}};
}
Tensor as_line(const Tensor& y) { return reshape(y, {y.dim(0), y.dim(1), y.dim(3)}); }

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv2d& options) {
  const char* op = tag::conv2d;
  require_rank_4(op, "x", x, "[N, C, H, W]");
  require_rank_4(op, "w", w, "[O, C / groups, KH, KW]");
  const kernel::Convolution c = checked(op, options);
  check_operands(op, x, w, bias, w.dim(0));
  if (x.dim(1) % c.groups || w.dim(0) % c.groups || w.dim(1) != x.dim(1) / c.groups)
    fail("{}: w has shape {} in {} groups, expected {} channels of x {} over the groups on its second axis",
         op, w.shape().text(), c.groups, x.dim(1), x.shape().text());
  int64_t size[2];
  for (int i = 0; i < 2; i++) {
    const int64_t reach = c.dilation[i] * (w.dim(2 + i) - 1) + 1, padded = x.dim(2 + i) + 2 * c.padding[i];
    if (reach > padded)
      fail("{}: the kernel reaches over {} pixels of axis {}, x {} with padding has {}", op, reach, 2 + i,
           x.shape().text(), padded);
    size[i] = (padded - reach) / c.stride[i] + 1;
  }
  const Operands in = common_type(x, w, bias);
  Array y = kernel::convolution(in.x, in.w, in.bias_pointer(), c, size[0], size[1]);
  return record(op, std::move(y), {&x, &w, &bias},
                [x = Saved(in.x), w = Saved(in.w), c](const Array& dy_given, Gradients& dx) {
                  const Array dy = kernel::cast(dy_given, x->dtype());
                  if (dx.needs(0))
                    dx.add(0, kernel::convolution_input_gradient(dy, *w, nullptr, c, x->dim(2), x->dim(3)));
                  if (dx.needs(1))
                    dx.add(1, kernel::convolution_weight_gradient(*x, dy, c, w->dim(2), w->dim(3)));
                  if (dx.needs(2)) dx.add(2, sum_of_channels(dy, dx.dtype(2)));
                });
}

Tensor conv_transpose2d(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv2d& options) {
  const char* op = tag::conv_transpose2d;
  require_rank_4(op, "x", x, "[N, C, H, W]");
  require_rank_4(op, "w", w, "[C, O / groups, KH, KW]");
  const kernel::Convolution c = checked(op, options);
  check_operands(op, x, w, bias, w.dim(1) * c.groups);
  if (x.dim(1) % c.groups || w.dim(0) != x.dim(1))
    fail("{}: w has shape {} in {} groups, expected the {} channels of x {} on its first axis", op,
         w.shape().text(), c.groups, x.dim(1), x.shape().text());
  const int64_t more[2] = {options.output_padding.height, options.output_padding.width};
  int64_t size[2];
  for (int i = 0; i < 2; i++) {
    if (more[i] >= c.stride[i] && more[i] >= c.dilation[i])
      fail("{}: output_padding is {}, expected less than the stride {} or the dilation {}", op, more[i],
           c.stride[i], c.dilation[i]);
    size[i] = (x.dim(2 + i) - 1) * c.stride[i] - 2 * c.padding[i] + c.dilation[i] * (w.dim(2 + i) - 1) +
              more[i] + 1;
    if (size[i] < 1) fail("{}: x {} gives {} pixels on axis {}", op, x.shape().text(), size[i], 2 + i);
  }
  const Operands in = common_type(x, w, bias);
  Array y = kernel::convolution_input_gradient(in.x, in.w, in.bias_pointer(), c, size[0], size[1]);
  return record(op, std::move(y), {&x, &w, &bias},
                [x = Saved(in.x), w = Saved(in.w), c](const Array& dy_given, Gradients& dx) {
                  const Array dy = kernel::cast(dy_given, x->dtype());
                  if (dx.needs(0)) dx.add(0, kernel::convolution(dy, *w, nullptr, c, x->dim(2), x->dim(3)));
                  if (dx.needs(1))
                    dx.add(1, kernel::convolution_weight_gradient(dy, *x, c, w->dim(2), w->dim(3)));
                  if (dx.needs(2)) dx.add(2, sum_of_channels(dy, dx.dtype(2)));
                });
}

Tensor conv1d(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv1d& options) {
  return as_line(conv2d(as_image("conv1d", "x", x), as_image("conv1d", "w", w), bias, as_image(options)));
}

Tensor conv_transpose1d(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv1d& options) {
  const char* op = "conv_transpose1d";
  return as_line(conv_transpose2d(as_image(op, "x", x), as_image(op, "w", w), bias, as_image(options)));
}

}  // namespace intarsia
