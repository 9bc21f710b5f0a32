// Discrete Fourier transforms. Of the libraries in Debian FFTW is GPL; Eigen's port of kissfft (MPL-2) takes
// any length, in n times the sum of its prime factors, and comes with a package that is needed anyway.
#include <complex>
#include <unsupported/Eigen/FFT>

#include "core/threads.h"
#include "kernel/kernels.h"
#include "kernel/strided.h"

namespace intarsia::kernel {
namespace {

template <class T>
void transform(const T* x, T* y, int64_t rows, int64_t n, bool inverse, T scale) {
  parallel_for(rows, row_grain(n * 16), [&](int64_t begin, int64_t end) {
    Eigen::FFT<T> fft(typename Eigen::FFT<T>::impl_type(), Eigen::FFT<T>::Unscaled);
    for (int64_t i = begin; i < end; i++) {
      const auto* from = reinterpret_cast<const std::complex<T>*>(x) + i * n;
      auto* to = reinterpret_cast<std::complex<T>*>(y) + i * n;
      if (n == 1)
        to[0] = from[0];  // the library has no plan for it
      else if (inverse)
        fft.inv(to, from, n);
      else
        fft.fwd(to, from, n);
      for (int64_t k = 0; k < n; k++) to[k] *= scale;
    }
  });
}

}  // namespace

Array fourier(const Array& x, bool inverse, double scale) {
  Array y = Array::empty(x.shape(), x.dtype());
  const int64_t n = x.dim(-2), rows = n ? x.size() / (2 * n) : 0;
  if (x.dtype() == DType::f64)
    transform(x.data<double>(), y.mutable_data<double>(), rows, n, inverse, scale);
  else
    transform(x.data<float>(), y.mutable_data<float>(), rows, n, inverse, static_cast<float>(scale));
  return y;
}

}  // namespace intarsia::kernel
