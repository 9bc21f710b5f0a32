// Pointwise formulas on arrays: broadcasting, conversion of element types and threads around the range
// kernels. Runs that a kernel cannot read directly (other types, other strides) go through blocks that stay
// in the first-level cache.
#include <algorithm>

#include "core/threads.h"
#include "kernel/kernels.h"
#include "kernel/strided.h"
#include "kernel/table.h"

namespace intarsia::kernel {
namespace {

constexpr int64_t block = 512;
constexpr int max_inputs = 4, max_operands = max_inputs + 1;  // the inputs and dy

struct Operand {
  const void* data;
  DType dtype;
};

// One pointwise computation with the kernels for elements of type S: operands that broadcast to contiguous
// results of one shape.
template <class S, class Call>
class Job {
 public:
  static constexpr DType type = dtype_of<S>::value;

  Job(const Shape& shape, DType out, Call call)
      : walk_(shape), out_(out), call_(call), count_(shape.count()) {}

  void input(const Array& x) {
    if (is_quantized(x.dtype()))
      fail("pointwise: {} cannot be read elementwise; cast it first", info(x.dtype()).name);
    operands_[walk_.arrays] = {x.raw(), x.dtype()};
    walk_.add(x);
  }
  void output(int index, Array& y) { results_[index] = y.raw_mutable(); }

  void run() {
    if (count_ == 0) return;
    walk_.collapse();
    parallel_for(count_, thread_grain, [this](int64_t begin, int64_t end) {
      if (walk_.rank == 1 || walk_.inner() >= 32)
        run_rows(begin, end);
      else
        run_short_rows(begin, end);
    });
  }

 private:
  struct Buffers {
    S in[max_operands][block], out[max_inputs][block];
    double raw[block];  // strided elements before their conversion
  };

  bool reads_directly(int k) const {
    return operands_[k].dtype == type && walk_.stride[k][walk_.rank - 1] == 1;
  }

  // n elements of a row of operand k to `to`.
  void load(int k, int64_t offset, S* to, int64_t n, Buffers& buffers) const {
    const Operand& x = operands_[k];
    const int64_t stride = walk_.stride[k][walk_.rank - 1];
    const char* from = address(x.data, x.dtype, offset);
    if (stride == 0) {
      convert_run(x.dtype, from, type, to, 1);
      for (int64_t i = 1; i < n; i++) to[i] = to[0];
    } else if (stride == 1) {
      convert_run(x.dtype, from, type, to, n);
    } else {
      gather_run(x.dtype, from, stride, buffers.raw, n);
      convert_run(x.dtype, buffers.raw, type, to, n);
    }
  }

  void compute(int64_t position, const S* const* x, int64_t n, Buffers& buffers) const {
    S* y[max_inputs] = {};
    for (int i = 0; i < max_inputs; i++)
      if (results_[i]) y[i] = out_ == type ? static_cast<S*>(results_[i]) + position : buffers.out[i];
    call_(y, x, n);
    if (out_ == type) return;
    for (int i = 0; i < max_inputs; i++)
      if (results_[i]) convert_run(type, buffers.out[i], out_, address(results_[i], out_, position), n);
  }

  void run_rows(int64_t begin, int64_t end) const {
    Buffers buffers;
    const int64_t inner = walk_.inner();
    bool direct = out_ == type;
    for (int k = 0; k < walk_.arrays; k++) direct &= reads_directly(k);
    RowCursor<max_operands> row(walk_, begin / inner);
    int64_t column = begin % inner;
    const S* x[max_operands];
    for (int64_t position = begin; position < end;) {
      int64_t n = std::min(inner - column, end - position);
      if (!direct) n = std::min(n, block);
      for (int k = 0; k < walk_.arrays; k++) {
        const int64_t stride = walk_.stride[k][walk_.rank - 1];
        if (reads_directly(k)) {
          x[k] = static_cast<const S*>(operands_[k].data) + row.offset[k] + column;
        } else {
          // A repeated value stays in its block until the row ends.
          if (stride != 0 || column == 0 || position == begin)
            load(k, row.offset[k] + column * stride, buffers.in[k], stride ? n : std::min(inner, block),
                 buffers);
          x[k] = buffers.in[k];
        }
      }
      compute(position, x, n, buffers);
      position += n;
      column += n;
      if (column == inner) {
        column = 0;
        row.next();
      }
    }
  }

  // Rows too short for a call each: blocks are filled from many of them.
  void run_short_rows(int64_t begin, int64_t end) const {
    Buffers buffers;
    const int64_t inner = walk_.inner();
    RowCursor<max_operands> row(walk_, begin / inner);
    int64_t column = begin % inner;
    const S* x[max_operands];
    for (int k = 0; k < walk_.arrays; k++) x[k] = buffers.in[k];
    for (int64_t position = begin; position < end; position += block) {
      const int64_t n = std::min(block, end - position);
      for (int64_t filled = 0; filled < n;) {
        const int64_t run = std::min(inner - column, n - filled);
        for (int k = 0; k < walk_.arrays; k++)
          load(k, row.offset[k] + column * walk_.stride[k][walk_.rank - 1], buffers.in[k] + filled, run,
               buffers);
        filled += run;
        column += run;
        if (column == inner) {
          column = 0;
          row.next();
        }
      }
      compute(position, x, n, buffers);
    }
  }

  Walk<max_operands> walk_;
  DType out_;
  Call call_;
  int64_t count_;
  Operand operands_[max_operands];
  void* results_[max_inputs] = {};
};

Shape common_shape(std::span<const Array> x) {
  Shape shape = x[0].shape();
  for (size_t i = 1; i < x.size(); i++)
    if (!(x[i].shape() == shape)) shape = broadcast(shape, x[i].shape(), "pointwise");
  return shape;
}

void check_arguments(const PointwiseKernel& kernel, std::span<const Array> x, DType out) {
  if (static_cast<int>(x.size()) != kernel.inputs)
    fail("pointwise: {} arguments, the formula takes {}", x.size(), kernel.inputs);
  if (!is_float(out)) fail("pointwise: the result cannot be {}", info(out).name);
}

template <class S>
Array forward(const PointwiseKernel& kernel, const PointwiseRange<S>& range, std::span<const Array> x,
              DType out) {
  auto call = [&](S* const* y, const S* const* in, int64_t n) { range.forward(kernel.formula, y[0], in, n); };
  Array y = Array::empty(common_shape(x), out);
  Job<S, decltype(call)> job(y.shape(), out, call);
  for (const Array& a : x) job.input(a);
  job.output(0, y);
  job.run();
  return y;
}

template <class S>
void backward(const PointwiseKernel& kernel, const PointwiseRange<S>& range, unsigned active, const Array& dy,
              std::span<const Array> x, Array* dx) {
  auto call = [&](S* const* y, const S* const* in, int64_t n) {
    range.backward[active](kernel.formula, y, in[kernel.inputs], in, n);
  };
  Job<S, decltype(call)> job(dy.shape(), dy.dtype(), call);
  for (const Array& a : x) job.input(a);
  job.input(dy);
  for (int i = 0; i < kernel.inputs; i++) {
    if (!(active >> i & 1)) continue;
    dx[i] = Array::empty(dy.shape(), dy.dtype());
    job.output(i, dx[i]);
  }
  job.run();
}

// Whether the kernels that read and write bf16 themselves will do: any other input would lose digits.
bool all_bf16(std::span<const Array> x, DType result) {
  for (const Array& a : x)
    if (a.dtype() != DType::bf16) return false;
  return result == DType::bf16;
}

}  // namespace

Array pointwise(const PointwiseKernel& kernel, std::span<const Array> x, DType out) {
  check_arguments(kernel, x, out);
  if (out == DType::f64) return forward(kernel, kernel.f64, x, out);
  return all_bf16(x, out) ? forward(kernel, kernel.bf16s, x, out) : forward(kernel, kernel.f32, x, out);
}

void pointwise_backward(const PointwiseKernel& kernel, unsigned active, const Array& dy,
                        std::span<const Array> x, Array* dx) {
  check_arguments(kernel, x, dy.dtype());
  active &= (1u << kernel.inputs) - 1;
  if (!active) return;
  if (dy.dtype() == DType::f64)
    backward(kernel, kernel.f64, active, dy, x, dx);
  else if (all_bf16(x, dy.dtype()))
    backward(kernel, kernel.bf16s, active, dy, x, dx);
  else
    backward(kernel, kernel.f32, active, dy, x, dx);
}

namespace {
const PointwiseKernel& kernel_of(Formula formula) {
  return table().pointwise.formula[static_cast<int>(formula)];
}
}  // namespace

int arity(Formula formula) { return kernel_of(formula).inputs; }
auto activation(Formula formula) -> void (*)(float* row, int64_t count) {
  return table().pointwise.in_place[static_cast<int>(formula)];
}
Array pointwise(Formula formula, std::span<const Array> x, DType out) {
  return pointwise(kernel_of(formula), x, out);
}
void pointwise_backward(Formula formula, unsigned active, const Array& dy, std::span<const Array> x,
                        Array* dx) {
  pointwise_backward(kernel_of(formula), active, dy, x, dx);
}

}  // namespace intarsia::kernel
