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

// Everything is computed in double, f32 too: each algorithm is compiled once, and this file is the slowest to
// compile as it is. In columns, Eigen's own order: half the code of rows.
using Matrix = Eigen::MatrixXd;
template <class T>
using Rows = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Matrix i of a batch that lies contiguous in f32 or f64.
Matrix read(const Array& a, int64_t i, int64_t rows, int64_t columns) {
  const int64_t at = i * rows * columns;
  if (a.dtype() == DType::f64) return Eigen::Map<const Rows<double>>(a.data<double>() + at, rows, columns);
  return Eigen::Map<const Rows<float>>(a.data<float>() + at, rows, columns).cast<double>();
}
// Where matrices are written: the pointer is taken once, before the threads begin.
class Results {
 public:
  explicit Results(Array& a) : data_(a.raw_mutable()), f64_(a.dtype() == DType::f64) {}
  void write(int64_t i, const Matrix& m) const {
    const int64_t at = i * m.size();
    if (f64_)
      Eigen::Map<Rows<double>>(static_cast<double*>(data_) + at, m.rows(), m.cols()) = m;
    else
      Eigen::Map<Rows<float>>(static_cast<float*>(data_) + at, m.rows(), m.cols()) = m.cast<float>();
  }

 private:
  void* data_;
  bool f64_;
};

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

}  // namespace

Array solve(const Array& a, const Array& b) {
  const int64_t n = b.dim(-2), k = b.dim(-1);
  Array x = Array::empty(b.shape(), b.dtype());
  const Results to(x);
  for_matrices(batch_of(a.shape()), n * n * (n + k), [&](int64_t i) {
    const Eigen::PartialPivLU<Matrix> lu(read(a, i, n, n));
    if (n > 0 && (lu.matrixLU().diagonal().array() == 0).any())
      fail_hint("solve the least-squares problem by qr or svd", "solve: matrix {} of the batch is singular",
                i);
    to.write(i, lu.solve(read(b, i, n, k)));
  });
  return x;
}

Array triangular_solve(const Array& a, const Array& b, bool upper, bool transposed, bool unit) {
  const int64_t n = b.dim(-2), k = b.dim(-1);
  Array x = Array::empty(b.shape(), b.dtype());
  const Results to(x);
  for_matrices(batch_of(a.shape()), n * n * k, [&](int64_t i) {
    Matrix triangle = read(a, i, n, n), result = read(b, i, n, k);
    if (transposed) triangle.transposeInPlace();
    if (unit) triangle.diagonal().setOnes();
    if (upper != transposed)
      triangle.triangularView<Eigen::Upper>().solveInPlace(result);
    else
      triangle.triangularView<Eigen::Lower>().solveInPlace(result);
    to.write(i, result);
  });
  return x;
}

Array cholesky(const Array& a) {
  const int64_t n = a.dim(-1);
  Array l = Array::empty(a.shape(), a.dtype());
  const Results to(l);
  for_matrices(batch_of(a.shape()), n * n * n / 3 + 1, [&](int64_t i) {
    const Eigen::LLT<Matrix> llt(read(a, i, n, n));
    if (llt.info() != Eigen::Success) fail("cholesky: matrix {} of the batch is not positive definite", i);
    to.write(i, llt.matrixL());
  });
  return l;
}

Factors qr(const Array& a) {
  const int64_t m = a.dim(-2), n = a.dim(-1), k = std::min(m, n);
  Factors f{Array::empty(with_matrix(a.shape(), {m, k}), a.dtype()),
            Array::empty(with_matrix(a.shape(), {k, n}), a.dtype()),
            {}};
  if (k == 0) return f;
  const Results q(f.first), r(f.second);
  for_matrices(batch_of(a.shape()), m * n * k, [&](int64_t i) {
    const Eigen::HouseholderQR<Matrix> h(read(a, i, m, n));
    q.write(i, h.householderQ() * Matrix::Identity(m, k));
    r.write(i, h.matrixQR().topRows(k).triangularView<Eigen::Upper>());
  });
  return f;
}

Factors symmetric_eigen(const Array& a) {
  const int64_t n = a.dim(-1);
  Factors f{Array::empty(with_matrix(a.shape(), {n}), a.dtype()), Array::empty(a.shape(), a.dtype()), {}};
  if (n == 0) return f;
  const Results values(f.first), vectors(f.second);
  for_matrices(batch_of(a.shape()), 9 * n * n * n, [&](int64_t i) {
    const Matrix matrix = read(a, i, n, n);
    if (!matrix.allFinite()) fail("symmetric_eigen: matrix {} of the batch is not finite", i);
    const Eigen::SelfAdjointEigenSolver<Matrix> solver(matrix);
    if (solver.info() != Eigen::Success)
      fail("symmetric_eigen: no convergence for matrix {} of the batch", i);
    values.write(i, solver.eigenvalues());
    vectors.write(i, solver.eigenvectors());
  });
  return f;
}

Factors svd(const Array& a) {
  const int64_t m = a.dim(-2), n = a.dim(-1), k = std::min(m, n);
  Factors f{Array::empty(with_matrix(a.shape(), {m, k}), a.dtype()),
            Array::empty(with_matrix(a.shape(), {k}), a.dtype()),
            Array::empty(with_matrix(a.shape(), {k, n}), a.dtype())};
  if (k == 0) return f;
  const Results u(f.first), s(f.second), vt(f.third);
  for_matrices(batch_of(a.shape()), 20 * m * n * k, [&](int64_t i) {
    const Matrix matrix = read(a, i, m, n);
    if (!matrix.allFinite()) fail("svd: matrix {} of the batch is not finite", i);
    const Eigen::BDCSVD<Matrix> solver(matrix, Eigen::ComputeThinU | Eigen::ComputeThinV);
    if (solver.info() != Eigen::Success) fail("svd: no convergence for matrix {} of the batch", i);
    u.write(i, solver.matrixU());
    s.write(i, solver.singularValues());
    vt.write(i, solver.matrixV().transpose());
  });
  return f;
}

}  // namespace intarsia::kernel
