// Linear systems and factorizations of batches of small matrices: Eigen behind one file. Each matrix is one
// thread's, so no result depends on the others.
#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/LU>
#include <Eigen/QR>
#include <Eigen/SVD>
#include <algorithm>

#include "core/fail.h"
#include "core/threads.h"
#include "kernel/kernels.h"
#include "kernel/strided.h"

namespace intarsia::kernel {
namespace {

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using In = Eigen::Map<const Matrix<T>>;
template <class T>
using Out = Eigen::Map<Matrix<T>>;

Shape with_matrix(const Shape& batch_of, std::initializer_list<int64_t> matrix) {
  Shape s(std::span<const int64_t>(batch_of.begin(), batch_of.end() - 2));
  for (int64_t d : matrix) s.append(d);
  return s;
}
int64_t batch_of(const Shape& s) {
  int64_t count = 1;
  for (int i = 0; i < s.rank() - 2; i++) count *= s[i];
  return count;
}

// body(matrix number) over the threads, if there is enough to do.
template <class Body>
void for_matrices(int64_t count, int64_t work, Body body) {
  parallel_for(count, row_grain(work), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) body(i);
  });
}

template <class Body>
void by_type(DType type, Body body) {
  type == DType::f64 ? body(double{}) : body(float{});
}

}  // namespace

Array solve(const Array& a, const Array& b) {
  const int64_t n = b.dim(-2), k = b.dim(-1);
  Array x = Array::empty(b.shape(), b.dtype());
  by_type(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *from_a = a.data<T>(), *from_b = b.data<T>();
    T* to = x.mutable_data<T>();
    for_matrices(batch_of(a.shape()), n * n * (n + k), [&](int64_t i) {
      const Eigen::PartialPivLU<Matrix<T>> lu(In<T>(from_a + i * n * n, n, n));
      if (n > 0 && (lu.matrixLU().diagonal().array() == T{0}).any())
        fail_hint("solve the least-squares problem by qr or svd", "solve: matrix {} of the batch is singular",
                  i);
      Out<T>(to + i * n * k, n, k) = lu.solve(In<T>(from_b + i * n * k, n, k));
    });
  });
  return x;
}

Array triangular_solve(const Array& a, const Array& b, bool upper, bool transposed, bool unit) {
  const int64_t n = b.dim(-2), k = b.dim(-1);
  Array x = Array::empty(b.shape(), b.dtype());
  by_type(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *from_a = a.data<T>(), *from_b = b.data<T>();
    T* to = x.mutable_data<T>();
    for_matrices(batch_of(a.shape()), n * n * k, [&](int64_t i) {
      Out<T> result(to + i * n * k, n, k);
      result = In<T>(from_b + i * n * k, n, k);
      const In<T> triangle(from_a + i * n * n, n, n);
      const auto run = [&](const auto& m, auto mode) {
        m.template triangularView<decltype(mode)::value>().solveInPlace(result);
      };
      const auto either = [&](const auto& m, bool is_upper) {
        if (is_upper)
          unit ? run(m, std::integral_constant<unsigned, Eigen::UnitUpper>{})
               : run(m, std::integral_constant<unsigned, Eigen::Upper>{});
        else
          unit ? run(m, std::integral_constant<unsigned, Eigen::UnitLower>{})
               : run(m, std::integral_constant<unsigned, Eigen::Lower>{});
      };
      transposed ? either(triangle.transpose(), !upper) : either(triangle, upper);
    });
  });
  return x;
}

Array cholesky(const Array& a) {
  const int64_t n = a.dim(-1);
  Array l = Array::empty(a.shape(), a.dtype());
  by_type(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = a.data<T>();
    T* to = l.mutable_data<T>();
    for_matrices(batch_of(a.shape()), n * n * n / 3 + 1, [&](int64_t i) {
      const Eigen::LLT<Matrix<T>> llt(In<T>(from + i * n * n, n, n));
      if (llt.info() != Eigen::Success) fail("cholesky: matrix {} of the batch is not positive definite", i);
      Out<T>(to + i * n * n, n, n) = llt.matrixL();
    });
  });
  return l;
}

Factors qr(const Array& a) {
  const int64_t m = a.dim(-2), n = a.dim(-1), k = std::min(m, n);
  Factors f{Array::empty(with_matrix(a.shape(), {m, k}), a.dtype()),
            Array::empty(with_matrix(a.shape(), {k, n}), a.dtype()),
            {}};
  by_type(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = a.data<T>();
    T *q = f.first.mutable_data<T>(), *r = f.second.mutable_data<T>();
    if (k == 0) return;
    for_matrices(batch_of(a.shape()), m * n * k, [&](int64_t i) {
      const Eigen::HouseholderQR<Matrix<T>> h(In<T>(from + i * m * n, m, n));
      Out<T>(q + i * m * k, m, k) = h.householderQ() * Matrix<T>::Identity(m, k);
      Out<T>(r + i * k * n, k, n) = h.matrixQR().topRows(k).template triangularView<Eigen::Upper>();
    });
  });
  return f;
}

Factors symmetric_eigen(const Array& a) {
  const int64_t n = a.dim(-1);
  Factors f{Array::empty(with_matrix(a.shape(), {n}), a.dtype()), Array::empty(a.shape(), a.dtype()), {}};
  by_type(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = a.data<T>();
    T *values = f.first.mutable_data<T>(), *vectors = f.second.mutable_data<T>();
    if (n == 0) return;
    for_matrices(batch_of(a.shape()), 9 * n * n * n, [&](int64_t i) {
      const In<T> matrix(from + i * n * n, n, n);
      if (!matrix.allFinite()) fail("symmetric_eigen: matrix {} of the batch is not finite", i);
      const Eigen::SelfAdjointEigenSolver<Matrix<T>> solver(matrix);
      if (solver.info() != Eigen::Success)
        fail("symmetric_eigen: no convergence for matrix {} of the batch", i);
      Out<T>(values + i * n, n, 1) = solver.eigenvalues();
      Out<T>(vectors + i * n * n, n, n) = solver.eigenvectors();
    });
  });
  return f;
}

Factors svd(const Array& a) {
  const int64_t m = a.dim(-2), n = a.dim(-1), k = std::min(m, n);
  Factors f{Array::empty(with_matrix(a.shape(), {m, k}), a.dtype()),
            Array::empty(with_matrix(a.shape(), {k}), a.dtype()),
            Array::empty(with_matrix(a.shape(), {k, n}), a.dtype())};
  by_type(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = a.data<T>();
    T *u = f.first.mutable_data<T>(), *s = f.second.mutable_data<T>(), *v = f.third.mutable_data<T>();
    if (k == 0) return;
    for_matrices(batch_of(a.shape()), 20 * m * n * k, [&](int64_t i) {
      const In<T> matrix(from + i * m * n, m, n);
      if (!matrix.allFinite()) fail("svd: matrix {} of the batch is not finite", i);
      const Eigen::BDCSVD<Matrix<T>> solver(matrix, Eigen::ComputeThinU | Eigen::ComputeThinV);
      if (solver.info() != Eigen::Success) fail("svd: no convergence for matrix {} of the batch", i);
      Out<T>(u + i * m * k, m, k) = solver.matrixU();
      Out<T>(s + i * k, k, 1) = solver.singularValues();
      Out<T>(v + i * k * n, k, n) = solver.matrixV().transpose();
    });
  });
  return f;
}

}  // namespace intarsia::kernel
