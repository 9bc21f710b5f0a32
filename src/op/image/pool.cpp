// Pooling: the greatest or the mean of windows.
#include "op/record.h"

namespace intarsia {
namespace {

using kernel::Window;
using kernel::Windows;

// The windows of one axis of `size` pixels.
std::vector<Window> windows_of(const char* op, int64_t size, int64_t kernel, int64_t stride, int64_t padding,
                               int64_t dilation, bool ceil, bool count_padding) {
  constexpr int64_t largest = int64_t{1} << 31;
  if (kernel < 1 || kernel >= largest) fail("{}: kernel is {}, expected at least 1", op, kernel);
  if (stride < 0 || stride >= largest)
    fail("{}: stride is {}, expected at least 1, or 0 for the kernel's size", op, stride);
  if (padding < 0 || padding > kernel / 2)
    fail("{}: padding is {}, expected 0 to {}, half the kernel", op, padding, kernel / 2);
  if (dilation < 1 || dilation >= largest) fail("{}: dilation is {}, expected at least 1", op, dilation);
  if (stride == 0) stride = kernel;
  const int64_t reach = dilation * (kernel - 1) + 1, room = size + 2 * padding - reach;
  // A window that reaches over the end must still start inside the image or the padding before it.
  int64_t count =
      room < 0 && !(ceil && room + stride > 0) ? 0 : (room + (ceil ? stride - 1 : 0)) / stride + 1;
  if (ceil && count > 0 && (count - 1) * stride >= size + padding) count--;
  if (count < 1)
    fail("{}: a kernel that reaches over {} pixels for {} with padding", op, reach, size + 2 * padding);
  std::vector<Window> windows;
  for (int64_t i = 0; i < count; i++) {
    int64_t begin = i * stride - padding;
    const int64_t extent = std::min(begin + reach, size + padding) - begin,
                  end = std::min(begin + reach, size);
    while (begin < 0) begin += dilation;
    windows.push_back({begin, end, count_padding ? extent : end - begin});
  }
  return windows;
}

Windows windows_of(const char* op, const Tensor& x, const Pool2d& o) {
  require_float(op, "x", x);
  require_rank(op, "x", x, 2);
  Windows w;
  w.rows = windows_of(op, x.dim(-2), o.kernel.height, o.stride.height, o.padding.height, o.dilation.height,
                      o.ceil, o.count_padding);
  w.columns = windows_of(op, x.dim(-1), o.kernel.width, o.stride.width, o.padding.width, o.dilation.width,
                         o.ceil, o.count_padding);
  w.row_step = o.dilation.height;
  w.column_step = o.dilation.width;
  return w;
}

std::vector<Window> adaptive(const char* op, int64_t size, int64_t count) {
  if (count < 1) fail("{}: size is {}, expected at least 1", op, count);
  if (size < 1) fail("{}: x has no pixels", op);
  std::vector<Window> windows;
  for (int64_t i = 0; i < count; i++) {
    const int64_t begin = i * size / count, end = ((i + 1) * size + count - 1) / count;
    windows.push_back({begin, end, end - begin});
  }
  return windows;
}

Windows adaptive(const char* op, const Tensor& x, Size2 size) {
  require_float(op, "x", x);
  require_rank(op, "x", x, 2);
  Windows w;
  w.rows = adaptive(op, x.dim(-2), size.height);
  w.columns = adaptive(op, x.dim(-1), size.width);
  return w;
}

Tensor max_over(const Tensor& x, const Windows& w) {
  kernel::Pooled p = kernel::max_pool(kernel::contiguous(x.array()), w);
  return record(tag::max_pool2d, p.y, {&x},
                [index = Saved(p.index), shape = x.shape()](const Array& dy, Gradients& dx) {
                  dx.add(0, kernel::max_pool_backward(shape, *index, dy));
                });
}

Tensor mean_over(const Tensor& x, Windows w) {
  Array y = kernel::mean_pool(kernel::contiguous(x.array()), w);
  return record(tag::avg_pool2d, std::move(y), {&x},
                [w = std::move(w), shape = x.shape()](const Array& dy, Gradients& dx) {
                  dx.add(0, kernel::mean_pool_backward(shape, w, dy));
                });
}

// The last axis as an image of one row.
Tensor as_row(const char* op, const Tensor& x) {
  require_rank(op, "x", x, 1);
  Shape shape = x.shape();
  shape[-1] = 1;
  shape.append(x.dim(-1));
  return reshape(x, shape);
}
Tensor as_line(const Tensor& y) {
  Shape shape(std::span<const int64_t>(y.shape().begin(), y.shape().end() - 1));
  shape[-1] = y.dim(-1);
  return reshape(y, shape);
}
Pool2d as_row(const Pool1d& o) {
  return {{1, o.kernel}, {1, o.stride}, {0, o.padding}, {1, o.dilation}, o.ceil, o.count_padding};
}

void no_dilation(const char* op, const Size2& d) {
  if (d.height != 1 || d.width != 1) fail("{}: dilation is {} x {}, expected 1", op, d.height, d.width);
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const Pool2d& options) {
  return max_over(x, windows_of("max_pool2d", x, options));
}
Tensor avg_pool2d(const Tensor& x, const Pool2d& options) {
  no_dilation("avg_pool2d", options.dilation);
  return mean_over(x, windows_of("avg_pool2d", x, options));
}
Tensor adaptive_max_pool2d(const Tensor& x, Size2 size) {
  return max_over(x, adaptive("adaptive_max_pool2d", x, size));
}
Tensor adaptive_avg_pool2d(const Tensor& x, Size2 size) {
  return mean_over(x, adaptive("adaptive_avg_pool2d", x, size));
}

Tensor max_pool1d(const Tensor& x, const Pool1d& options) {
  const Tensor row = as_row("max_pool1d", x);
  return as_line(max_over(row, windows_of("max_pool1d", row, as_row(options))));
}
Tensor avg_pool1d(const Tensor& x, const Pool1d& options) {
  no_dilation("avg_pool1d", options.dilation);
  const Tensor row = as_row("avg_pool1d", x);
  return as_line(mean_over(row, windows_of("avg_pool1d", row, as_row(options))));
}
Tensor adaptive_max_pool1d(const Tensor& x, int64_t size) {
  return as_line(adaptive_max_pool2d(as_row("adaptive_max_pool1d", x), {1, size}));
}
Tensor adaptive_avg_pool1d(const Tensor& x, int64_t size) {
  return as_line(adaptive_avg_pool2d(as_row("adaptive_avg_pool1d", x), {1, size}));
}

}  // namespace intarsia
