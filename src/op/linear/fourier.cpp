// Fourier transforms along the last axis of signals. Each is a linear map, so its gradient is the transform
// by the transposed one, which for complex numbers as pairs is the other direction without its scale.
#include <algorithm>

#include "kernel/strided.h"
#include "op/record.h"

namespace intarsia {
namespace {

int64_t checked_length(const char* op, const Tensor& x, int axis) {
  constexpr int64_t longest = int64_t{1} << 30;
  const int64_t n = x.dim(axis);
  if (n < 1 || n > longest)
    fail("{}: x has shape {}, expected 1 to {} values", op, x.shape().text(), longest);
  return n;
}

void require_complex(const char* op, const Tensor& x) {
  require_float(op, "x", x);
  require_rank(op, "x", x, 2);
  if (x.dim(-1) != 2)
    fail("{}: x has shape {}, expected a last axis of 2, real and imaginary parts", op, x.shape().text());
}

// The transform in f32 or f64, in the type `out`.
Array transformed(const Array& x, bool inverse, double scale, DType out) {
  return kernel::cast(kernel::fourier(kernel::cast(x, kernel::wide_of(x.dtype())), inverse, scale), out);
}

Tensor complex_transform(const Tensor& x, bool inverse) {
  require_complex(tag::fft, x);
  const int64_t n = checked_length(tag::fft, x, -2);
  const double scale = inverse ? 1 / static_cast<double>(n) : 1;
  return record(tag::fft, transformed(x.array(), inverse, scale, x.dtype()), {&x},
                [inverse, scale](const Array& dy, Gradients& dx) {
                  dx.add(0, transformed(dy, !inverse, scale, dy.dtype()));
                });
}

// Calls body(row of x, row of y) for each row of numbers, in the wide type of both.
template <class Body>
Array for_rows(const Array& x, int64_t x_row, const Shape& y_shape, int64_t y_row, Body body) {
  Array y = Array::empty(y_shape, x.dtype());
  const int64_t rows = y_row ? y.size() / y_row : 0;
  const auto run = [&](const auto* from, auto* to) {
    for (int64_t i = 0; i < rows; i++) body(from + i * x_row, to + i * y_row);
  };
  x.dtype() == DType::f64 ? run(x.data<double>(), y.mutable_data<double>())
                          : run(x.data<float>(), y.mutable_data<float>());
  return y;
}

Array as_complex(const Array& x) {
  Shape shape = x.shape();
  shape.append(2);
  return for_rows(x, 1, shape, 2, [](const auto* from, auto* to) {
    to[0] = from[0];
    to[1] = 0;
  });
}
Array real_part(const Array& x) {
  const Shape shape(std::span<const int64_t>(x.shape().begin(), x.shape().end() - 1));
  return for_rows(x, 2, shape, 1, [](const auto* from, auto* to) { to[0] = from[0]; });
}

// The first m of n complex numbers.
Array first_half(const Array& x) {
  const int64_t n = x.dim(-2), m = n / 2 + 1;
  Shape shape = x.shape();
  shape[-2] = m;
  return for_rows(x, 2 * n, shape, 2 * m,
                  [m](const auto* from, auto* to) { std::copy(from, from + 2 * m, to); });
}
// n numbers from the first m of them; the others are zeros.
Array padded(const Array& x, int64_t n) {
  const int64_t m = x.dim(-2);
  Shape shape = x.shape();
  shape[-2] = n;
  return for_rows(x, 2 * m, shape, 2 * n, [m, n](const auto* from, auto* to) {
    std::fill(std::copy(from, from + 2 * m, to), to + 2 * n, 0);
  });
}
// The same where the others are the conjugates that a real signal has, and where those that have no other are
// real.
Array with_conjugates(const Array& x, int64_t n) {
  const int64_t m = x.dim(-2);
  Shape shape = x.shape();
  shape[-2] = n;
  return for_rows(x, 2 * m, shape, 2 * n, [m, n](const auto* from, auto* to) {
    for (int64_t k = 0; k < m; k++) {
      const bool alone = k == 0 || 2 * k == n;
      to[2 * k] = from[2 * k];
      to[2 * k + 1] = alone ? 0 : from[2 * k + 1];
      if (alone) continue;
      to[2 * (n - k)] = from[2 * k];
      to[2 * (n - k) + 1] = -from[2 * k + 1];
    }
  });
}
// The transpose of that map, for the conjugate-symmetric dy of a real signal: inner numbers count twice.
Array from_conjugates(const Array& dy) {
  const int64_t n = dy.dim(-2), m = n / 2 + 1;
  Shape shape = dy.shape();
  shape[-2] = m;
  return for_rows(dy, 2 * n, shape, 2 * m, [m, n](const auto* from, auto* to) {
    for (int64_t k = 0; k < m; k++) {
      const bool alone = k == 0 || 2 * k == n;
      to[2 * k] = alone ? from[2 * k] : 2 * from[2 * k];
      to[2 * k + 1] = alone ? 0 : 2 * from[2 * k + 1];
    }
  });
}

}  // namespace

Tensor fft(const Tensor& x) { return complex_transform(x, false); }
Tensor ifft(const Tensor& x) { return complex_transform(x, true); }

Tensor rfft(const Tensor& x) {
  require_float(tag::rfft, "x", x);
  require_rank(tag::rfft, "x", x, 1);
  const int64_t n = checked_length(tag::rfft, x, -1);
  const DType type = x.dtype(), wide = kernel::wide_of(type);
  const Array full = kernel::fourier(as_complex(kernel::cast(x.array(), wide)), false, 1);
  return record(tag::rfft, kernel::cast(first_half(full), type), {&x},
                [n, wide](const Array& dy, Gradients& dx) {
                  dx.add(0, real_part(kernel::fourier(padded(kernel::cast(dy, wide), n), true, 1)));
                });
}

Tensor irfft(const Tensor& x, int64_t n_given) {
  require_complex(tag::irfft, x);
  const int64_t m = checked_length(tag::irfft, x, -2), n = n_given ? n_given : 2 * (m - 1);
  if (n < 1 || n / 2 + 1 != m)
    fail("irfft: x has shape {}, and a signal of {} values has {}", x.shape().text(), n, n / 2 + 1);
  const DType wide = kernel::wide_of(x.dtype());
  const double scale = 1 / static_cast<double>(n);
  const Array y = real_part(kernel::fourier(with_conjugates(kernel::cast(x.array(), wide), n), true, scale));
  return record(tag::irfft, kernel::cast(y, x.dtype()), {&x}, [scale, wide](const Array& dy, Gradients& dx) {
    dx.add(0, from_conjugates(kernel::fourier(as_complex(kernel::cast(dy, wide)), false, scale)));
  });
}

}  // namespace intarsia
