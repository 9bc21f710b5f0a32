// Linear systems and factorizations. A factorization's results are one recorded array cut into views, so that
// their gradients come back together. The gradients follow Giles 2008 (solve, Cholesky, eigen, svd) and
// Roberts & Roberts 2020 (QR).
#include <algorithm>
#include <array>
#include <vector>

#include "kernel/strided.h"
#include "op/record.h"

namespace intarsia {
namespace {

void require_matrices(const char* op, const char* argument, const Tensor& x) {
  require_float(op, argument, x);
  require_rank(op, argument, x, 2);
}
void require_square(const char* op, const Tensor& a) {
  require_matrices(op, "a", a);
  if (a.dim(-1) != a.dim(-2)) fail("{}: a has shape {}, expected square matrices", op, a.shape().text());
}
void require_system(const char* op, const Tensor& a, const Tensor& b) {
  require_square(op, a);
  require_matrices(op, "b", b);
  bool fits = a.rank() == b.rank() && a.dim(-1) == b.dim(-2);
  for (int i = 0; fits && i < a.rank() - 2; i++) fits = a.dim(i) == b.dim(i);
  if (!fits)
    fail("{}: b has shape {}, expected as many rows as a {} and the same batch axes", op, b.shape().text(),
         a.shape().text());
}

Array wide(const Tensor& x, DType type) { return kernel::cast(x.array(), type); }
DType wide_type(const Tensor& a) { return kernel::wide_of(a.dtype()); }

// A matrix of f(row, column), in x's type.
template <class F>
Tensor matrix_of(int64_t rows, int64_t columns, const Tensor& x, F f) {
  Array m = Array::empty({rows, columns}, DType::f64);
  double* to = m.mutable_data<double>();
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++) *to++ = f(i, j);
  return Tensor(kernel::cast(m, x.dtype()));
}
Tensor lower(const Tensor& x, int64_t below = 0) {
  return where(
      matrix_of(x.dim(-2), x.dim(-1), x, [=](int64_t i, int64_t j) { return j <= i - below ? 1.0 : 0.0; }), x,
      Tensor(Array::zeros({}, x.dtype())));
}
Tensor upper(const Tensor& x, int64_t above = 0) { return transpose(lower(transpose(x), above)); }
Tensor identity(int64_t n, const Tensor& like) {
  return matrix_of(n, n, like, [](int64_t i, int64_t j) { return i == j ? 1.0 : 0.0; });
}
// [..., n] as a row or a column.
Tensor row(const Tensor& v) {
  Shape shape = v.shape();
  shape[-1] = 1;
  shape.append(v.dim(-1));
  return reshape(v, shape);
}
Tensor column(const Tensor& v) { return transpose(row(v)); }

Array triangular(const Tensor& a, const Tensor& b, bool is_upper, bool transposed, bool unit = false) {
  return kernel::triangular_solve(kernel::contiguous(a.array()), kernel::contiguous(b.array()), is_upper,
                                  transposed, unit);
}

// Results of one factorization laid behind each other for each matrix: [..., sum of sizes].
struct Part {
  Array value;
  int axes;  // of one matrix's result, at its end
};
int64_t size_of(const Part& p) {
  int64_t n = 1;
  for (int i = 0; i < p.axes; i++) n *= p.value.dim(-1 - i);
  return n;
}
Shape batch_of(const Array& a, int axes) {
  return Shape(std::span<const int64_t>(a.shape().begin(), a.shape().end() - axes));
}

Array joined(std::span<const Part> parts) {
  std::vector<Tensor> rows;
  for (const Part& p : parts) {
    Shape shape = batch_of(p.value, p.axes);
    shape.append(size_of(p));
    rows.push_back(Tensor(p.value.reshape(shape)));
  }
  return concat(rows, -1).array();
}
// The parts of a joined result or of its gradient.
std::vector<Tensor> cut(const Tensor& x, std::span<const Shape> shapes) {
  std::vector<Tensor> parts;
  int64_t at = 0;
  for (const Shape& matrix : shapes) {
    const int64_t size = matrix.count();
    Shape shape = batch_of(x.array(), 1);
    for (int64_t d : matrix) shape.append(d);
    parts.push_back(reshape(slice(x, -1, at, at + size), shape));
    at += size;
  }
  return parts;
}

// Gradient of a from those of the factors q [m, n] and r [n, n] of a tall or square a.
Tensor qr_gradient(const Tensor& q, const Tensor& r, const Tensor& dq, const Tensor& dr) {
  const Tensor m = matmul(r, transpose(dr)) - matmul(transpose(dq), q);
  const Tensor symmetric = lower(m) + transpose(lower(m, 1));
  const Tensor right = dq + matmul(q, symmetric);
  return transpose(Tensor(triangular(r, transpose(right), true, false)));
}

}  // namespace

Tensor solve(const Tensor& a, const Tensor& b) {
  require_system(tag::solve, a, b);
  const DType type = promote(wide_type(a), wide_type(b));
  const Array in = wide(a, type), x = kernel::solve(in, wide(b, type));
  return record(tag::solve, x, {&a, &b}, [a = Saved(in), x = Saved(x)](const Array& dy, Gradients& dx) {
    const Array turned = kernel::contiguous(transpose(Tensor(*a)).array());
    const Tensor db(kernel::solve(turned, kernel::contiguous(dy)));
    if (dx.needs(0)) dx.add(0, (-matmul(db, transpose(Tensor(*x)))).array());
    if (dx.needs(1)) dx.add(1, db.array());
  });
}

Tensor triangular_solve(const Tensor& a, const Tensor& b, bool is_upper, bool unit) {
  require_system(tag::triangular_solve, a, b);
  const DType type = promote(wide_type(a), wide_type(b));
  const Array in = wide(a, type), x = kernel::triangular_solve(in, wide(b, type), is_upper, false, unit);
  return record(tag::triangular_solve, x, {&a, &b},
                [a = Saved(in), x = Saved(x), is_upper, unit](const Array& dy, Gradients& dx) {
                  const Tensor db(kernel::triangular_solve(*a, kernel::contiguous(dy), is_upper, true, unit));
                  if (dx.needs(0)) {
                    const Tensor full = -matmul(db, transpose(Tensor(*x)));
                    dx.add(0, (is_upper ? upper(full, unit) : lower(full, unit)).array());
                  }
                  if (dx.needs(1)) dx.add(1, db.array());
                });
}

Tensor cholesky(const Tensor& a) {
  require_square(tag::cholesky, a);
  const Array l = kernel::cholesky(wide(a, wide_type(a)));
  return record(tag::cholesky, l, {&a}, [l = Saved(l)](const Array& dy, Gradients& dx) {
    const Tensor factor(*l);
    const int64_t n = factor.dim(-1);
    const Tensor product = matmul(transpose(factor), lower(Tensor(dy)));
    const Tensor half =
        lower(product) * matrix_of(n, n, factor, [](int64_t i, int64_t j) { return i == j ? 0.5 : 1.0; });
    // l^-T half l^-1, made symmetric
    const Tensor left(triangular(factor, half, false, true));
    const Tensor full(triangular(factor, transpose(left), false, true));
    dx.add(0, ((full + transpose(full)) * 0.5).array());
  });
}

QR qr(const Tensor& a) {
  require_matrices(tag::qr, "a", a);
  const Array in = wide(a, wide_type(a));
  kernel::Factors f = kernel::qr(in);
  const int64_t m = a.dim(-2), n = a.dim(-1), k = std::min(m, n);
  const std::array<Shape, 2> shapes = {Shape{m, k}, Shape{k, n}};
  const Part parts[] = {{f.first, 2}, {f.second, 2}};
  const Tensor both = record(
      tag::qr, joined(parts), {&a},
      [a = Saved(in), q = Saved(f.first), r = Saved(f.second), shapes](const Array& dy, Gradients& dx) {
        const std::vector<Tensor> d = cut(Tensor(dy), shapes);
        const int64_t square = shapes[0][1], columns = shapes[1][1];
        const Tensor dr = upper(d[1]);
        if (columns == square) return dx.add(0, qr_gradient(Tensor(*q), Tensor(*r), d[0], dr).array());
        // A wide a = [first, rest] = q [r1, r2]: the rest is q r2, with q that of the first.
        const Tensor rest = slice(Tensor(*a), -1, square, columns), dr2 = slice(dr, -1, square, columns);
        const Tensor dq = d[0] + matmul(rest, transpose(dr2));
        const Tensor first =
            qr_gradient(Tensor(*q), slice(Tensor(*r), -1, 0, square), dq, slice(dr, -1, 0, square));
        const Tensor both_parts[] = {first, matmul(Tensor(*q), dr2)};
        dx.add(0, concat(both_parts, -1).array());
      });
  const std::vector<Tensor> results = cut(both, shapes);
  return {results[0], results[1]};
}

SymmetricEigen symmetric_eigen(const Tensor& a) {
  require_square(tag::symmetric_eigen, a);
  kernel::Factors f = kernel::symmetric_eigen(wide(a, wide_type(a)));
  const int64_t n = a.dim(-1);
  const std::array<Shape, 2> shapes = {Shape{n}, Shape{n, n}};
  const Part parts[] = {{f.first, 1}, {f.second, 2}};
  const Tensor both =
      record(tag::symmetric_eigen, joined(parts), {&a},
             [values = Saved(f.first), vectors = Saved(f.second), shapes](const Array& dy, Gradients& dx) {
               const std::vector<Tensor> d = cut(Tensor(dy), shapes);
               const Tensor v(*vectors), w(*values), unit = identity(v.dim(-1), v);
               // v (diag(dw) + (v^T dv) / (w_j - w_i) off the diagonal) v^T
               const Tensor gaps = row(w) - column(w) + unit;
               const Tensor inner = matmul(transpose(v), d[1]) / gaps;
               const Tensor middle = where(unit, broadcast_to(row(d[0]), inner.shape()), inner);
               dx.add(0, matmul(matmul(v, middle), transpose(v)).array());
             });
  const std::vector<Tensor> results = cut(both, shapes);
  return {results[0], results[1]};
}

SVD svd(const Tensor& a) {
  require_matrices(tag::svd, "a", a);
  kernel::Factors f = kernel::svd(wide(a, wide_type(a)));
  const int64_t m = a.dim(-2), n = a.dim(-1), k = std::min(m, n);
  const std::array<Shape, 3> shapes = {Shape{m, k}, Shape{k}, Shape{k, n}};
  const Part parts[] = {{f.first, 2}, {f.second, 1}, {f.third, 2}};
  const Tensor all = record(tag::svd, joined(parts), {&a},
                            [u_saved = Saved(f.first), s_saved = Saved(f.second), vt_saved = Saved(f.third),
                             shapes](const Array& dy, Gradients& dx) {
                              const std::vector<Tensor> d = cut(Tensor(dy), shapes);
                              const Tensor u(*u_saved), s(*s_saved), vt(*vt_saved),
                                  v = transpose(vt), unit = identity(s.dim(-1), s);
                              const Tensor &du = d[0], dv = transpose(d[2]);
                              const Tensor squares = s * s, gaps = row(squares) - column(squares) + unit;
                              const auto turning = [&](const Tensor& factor, const Tensor& gradient) {
                                const Tensor x = matmul(transpose(factor), gradient);
                                return (x - transpose(x)) / gaps;
                              };
                              const Tensor middle =
                                  turning(u, du) * row(s) + column(s) * turning(v, dv) + unit * row(d[1]);
                              Tensor g = matmul(matmul(u, middle), vt);
                              // The parts of du and dv outside the spaces that u and v span.
                              if (u.dim(-2) > u.dim(-1)) {
                                const Tensor outside = du - matmul(u, matmul(transpose(u), du));
                                g = g + matmul(outside / row(s), vt);
                              }
                              if (v.dim(-2) > v.dim(-1)) {
                                const Tensor outside = dv - matmul(v, matmul(vt, dv));
                                g = g + matmul(u, transpose(outside / row(s)));
                              }
                              dx.add(0, g.array());
                            });
  const std::vector<Tensor> results = cut(all, shapes);
  return {results[0], results[1], results[2]};
}

}  // namespace intarsia
