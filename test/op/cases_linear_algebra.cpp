// The walk's cases of Fourier transforms and linear algebra.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "op/walk.h"

namespace intarsia::walk::cases {

namespace {
using In = std::span<const Tensor>;
using Defs = std::span<const Values>;

size_t size(int64_t n) { return static_cast<size_t>(n); }
}  // namespace

namespace {
// One number k of the transform of n complex numbers, sign -1 forward.
void transform(const double* x, size_t n, double sign, size_t k, double* y) {
  for (size_t j = 0; j < n; j++) {
    const double angle =
        sign * 2 * std::numbers::pi * static_cast<double>(j * k % n) / static_cast<double>(n);
    y[0] += x[2 * j] * std::cos(angle) - x[2 * j + 1] * std::sin(angle);
    y[1] += x[2 * j] * std::sin(angle) + x[2 * j + 1] * std::cos(angle);
  }
}
}  // namespace

void fft(Walk& w) {
  for (int64_t n : {1, 6, 11, 16})
    for (bool inverse : {false, true})
      w.check({"fft of " + std::to_string(n),
               {w.normal({3, n, 2})},
               {true},
               [=](In x) { return inverse ? intarsia::ifft(x[0]) : intarsia::fft(x[0]); },
               [=](Defs x) {
                 Values y(x[0].size());
                 for (size_t at = 0; at < y.size(); at += size(2 * n))
                   for (size_t k = 0; k < size(n); k++)
                     transform(&x[0][at], size(n), inverse ? 1 : -1, k, &y[at + 2 * k]);
                 if (inverse)
                   for (double& v : y) v /= static_cast<double>(n);
                 return y;
               },
               2});
}

void rfft(Walk& w) {
  for (int64_t n : {1, 7, 12})
    w.check({"rfft of " + std::to_string(n),
             {w.normal({2, n})},
             {true},
             [](In x) { return intarsia::rfft(x[0]); },
             [=](Defs x) {
               const size_t m = size(n / 2 + 1);
               Values y(2 * m * 2);
               for (size_t row = 0; row < 2; row++) {
                 Values complex(size(2 * n));
                 for (size_t i = 0; i < size(n); i++) complex[2 * i] = x[0][row * size(n) + i];
                 for (size_t k = 0; k < m; k++)
                   transform(complex.data(), size(n), -1, k, &y[(row * m + k) * 2]);
               }
               return y;
             },
             2});
}

void irfft(Walk& w) {
  for (int64_t n : {1, 7, 12})
    w.check({"irfft to " + std::to_string(n),
             {w.normal({2, n / 2 + 1, 2})},
             {true},
             [=](In x) { return intarsia::irfft(x[0], n); },
             [=](Defs x) {
               const size_t m = size(n / 2 + 1);
               Values y;
               for (size_t row = 0; row < 2; row++) {
                 const double* from = &x[0][row * m * 2];
                 Values full(size(2 * n));
                 for (size_t k = 0; k < m; k++) {
                   full[2 * k] = from[2 * k];
                   if (k == 0 || 2 * k == size(n)) continue;
                   full[2 * k + 1] = from[2 * k + 1];
                   full[2 * (size(n) - k)] = from[2 * k];
                   full[2 * (size(n) - k) + 1] = -from[2 * k + 1];
                 }
                 for (size_t k = 0; k < size(n); k++) {
                   double number[2] = {};
                   transform(full.data(), size(n), 1, k, number);
                   y.push_back(number[0] / static_cast<double>(n));
                 }
               }
               return y;
             },
             2});
}

namespace {

// Square matrices [2, n, n] as the definitions use them: plain elimination, no pivot, on matrices that need
// none.
using Matrix = std::vector<Values>;

Matrix matrix_at(const Values& x, size_t batch, size_t rows, size_t columns) {
  Matrix m(rows);
  for (size_t i = 0; i < rows; i++) {
    const double* row = &x[(batch * rows + i) * columns];
    m[i].assign(row, row + columns);
  }
  return m;
}

Matrix eliminated(Matrix a, Matrix b) {
  const size_t n = a.size();
  for (size_t p = 0; p < n; p++)
    for (size_t i = 0; i < n; i++) {
      if (i == p) continue;
      const double f = a[i][p] / a[p][p];
      for (size_t j = 0; j < n; j++) a[i][j] -= f * a[p][j];
      for (size_t j = 0; j < b[i].size(); j++) b[i][j] -= f * b[p][j];
    }
  for (size_t i = 0; i < n; i++)
    for (double& v : b[i]) v /= a[i][i];
  return b;
}

void append(Values& y, const Matrix& m) {
  for (const Values& row : m) y.insert(y.end(), row.begin(), row.end());
}

// Random matrices with `diagonal` added: well conditioned.
Array strong(Walk& w, int64_t n, double diagonal) {
  Array x = w.uniform({2, n, n}, -1, 1);
  for (int64_t b = 0; b < 2; b++)
    for (int64_t i = 0; i < n; i++)
      x.mutable_data<double>()[(b * n + i) * n + i] += diagonal * static_cast<double>(i + 1);
  return x;
}

Tensor symmetric(const Tensor& x) { return x + transpose(x); }
Matrix symmetric(Matrix m) {
  Matrix s = m;
  for (size_t i = 0; i < m.size(); i++)
    for (size_t j = 0; j < m.size(); j++) s[i][j] = m[i][j] + m[j][i];
  return s;
}

// Singular values and vectors, or those of a symmetric matrix, are walked through a function of them that has
// no free signs and is known without them.
constexpr double conditioned = 30;  // factor on tolerances: elimination loses digits

}  // namespace

void solve(Walk& w) {
  w.check({"solve",
           {strong(w, 5, 3), w.normal({2, 5, 3})},
           {true, true},
           [](In x) { return intarsia::solve(x[0], x[1]); },
           [](Defs x) {
             Values y;
             for (size_t b = 0; b < 2; b++)
               append(y, eliminated(matrix_at(x[0], b, 5, 5), matrix_at(x[1], b, 5, 3)));
             return y;
           },
           conditioned});
}

void triangular_solve(Walk& w) {
  for (bool upper : {false, true})
    w.check({"triangular_solve",
             {strong(w, 5, 2), w.normal({2, 5, 3})},
             {true, true},
             [=](In x) { return intarsia::triangular_solve(x[0], x[1], upper); },
             [=](Defs x) {
               Values y;
               for (size_t b = 0; b < 2; b++) {
                 Matrix a = matrix_at(x[0], b, 5, 5);
                 for (size_t i = 0; i < 5; i++)
                   for (size_t j = 0; j < 5; j++)
                     if (upper ? j < i : j > i) a[i][j] = 0;
                 append(y, eliminated(a, matrix_at(x[1], b, 5, 3)));
               }
               return y;
             },
             conditioned});
}

void cholesky(Walk& w) {
  w.check({"cholesky",
           {strong(w, 4, 4)},
           {true},
           [](In x) { return intarsia::cholesky(symmetric(x[0])); },
           [](Defs x) {
             Values y;
             for (size_t b = 0; b < 2; b++) {
               const Matrix a = symmetric(matrix_at(x[0], b, 4, 4));
               Matrix l(4, Values(4));
               for (size_t i = 0; i < 4; i++)
                 for (size_t j = 0; j <= i; j++) {
                   double rest = a[i][j];
                   for (size_t k = 0; k < j; k++) rest -= l[i][k] * l[j][k];
                   l[i][j] = i == j ? std::sqrt(rest) : rest / l[j][j];
                 }
               append(y, l);
             }
             return y;
           },
           conditioned});
}

void qr(Walk& w) {
  // Householder's reflections make the diagonal of r negative where a's is positive; |r| by Gram and Schmidt.
  w.check({"qr",
           {strong(w, 4, 3)},
           {true},
           [](In x) {
             const QR f = intarsia::qr(x[0]);
             const Tensor product = matmul(f.q, f.r), squares = f.r * f.r;
             const Tensor both[] = {product, squares};
             return intarsia::concat(both, -1);
           },
           [](Defs x) {
             Values y;
             for (size_t b = 0; b < 2; b++) {
               const Matrix a = matrix_at(x[0], b, 4, 4);
               Matrix q = a, r(4, Values(4));
               for (size_t j = 0; j < 4; j++) {
                 for (size_t p = 0; p < j; p++) {
                   for (size_t i = 0; i < 4; i++) r[p][j] += q[i][p] * a[i][j];
                   for (size_t i = 0; i < 4; i++) q[i][j] -= r[p][j] * q[i][p];
                 }
                 for (size_t i = 0; i < 4; i++) r[j][j] += q[i][j] * q[i][j];
                 r[j][j] = std::sqrt(r[j][j]);
                 for (size_t i = 0; i < 4; i++) q[i][j] /= r[j][j];
               }
               for (size_t i = 0; i < 4; i++) {
                 y.insert(y.end(), a[i].begin(), a[i].end());
                 for (size_t j = 0; j < 4; j++) y.push_back(r[i][j] * r[i][j]);
               }
             }
             return y;
           },
           conditioned});
}

namespace {

// Eigenvalues by Jacobi's rotations, ascending.
Values eigenvalues(Matrix a) {
  const size_t n = a.size();
  for (int sweep = 0; sweep < 30; sweep++)
    for (size_t p = 0; p < n; p++)
      for (size_t q = p + 1; q < n; q++) {
        if (a[p][q] == 0) continue;
        const double theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const double t = (theta < 0 ? -1 : 1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        for (size_t k = 0; k < n; k++) {
          const double x = a[k][p], y = a[k][q];
          a[k][p] = c * x - s * y, a[k][q] = s * x + c * y;
        }
        for (size_t k = 0; k < n; k++) {
          const double x = a[p][k], y = a[q][k];
          a[p][k] = c * x - s * y, a[q][k] = s * x + c * y;
        }
      }
  Values v;
  for (size_t i = 0; i < n; i++) v.push_back(a[i][i]);
  std::sort(v.begin(), v.end());
  return v;
}

}  // namespace

void symmetric_eigen(Walk& w) {
  // values, and vectors diag(values^2) vectors^T = a a.
  w.check({"symmetric_eigen",
           {strong(w, 4, 2)},
           {true},
           [](In x) {
             const SymmetricEigen f = intarsia::symmetric_eigen(symmetric(x[0]));
             const Tensor row = intarsia::reshape(f.values, {2, 1, 4});
             const Tensor both[] = {row, matmul(f.vectors * row * row, transpose(f.vectors))};
             return intarsia::concat(both, -2);
           },
           [](Defs x) {
             Values y;
             for (size_t b = 0; b < 2; b++) {
               const Matrix a = symmetric(matrix_at(x[0], b, 4, 4));
               append(y, {eigenvalues(a)});
               for (size_t i = 0; i < 4; i++)
                 for (size_t j = 0; j < 4; j++) {
                   double s = 0;
                   for (size_t k = 0; k < 4; k++) s += a[i][k] * a[k][j];
                   y.push_back(s);
                 }
             }
             return y;
           },
           conditioned});
}

void svd(Walk& w) {
  // s, and u diag(s^3) vt = a a^T a.
  w.check({"svd",
           {strong(w, 4, 2)},
           {true},
           [](In x) {
             const SVD f = intarsia::svd(x[0]);
             const Tensor row = intarsia::reshape(f.s, {2, 1, 4});
             const Tensor both[] = {row, matmul(f.u * row * row * row, f.vt)};
             return intarsia::concat(both, -2);
           },
           [](Defs x) {
             Values y;
             for (size_t b = 0; b < 2; b++) {
               const Matrix a = matrix_at(x[0], b, 4, 4);
               Matrix gram(4, Values(4)), cube(4, Values(4));
               for (size_t i = 0; i < 4; i++)
                 for (size_t j = 0; j < 4; j++)
                   for (size_t k = 0; k < 4; k++) gram[i][j] += a[i][k] * a[j][k];
               Values s = eigenvalues(gram);
               std::reverse(s.begin(), s.end());
               for (double& v : s) v = std::sqrt(v);
               for (size_t i = 0; i < 4; i++)
                 for (size_t j = 0; j < 4; j++)
                   for (size_t k = 0; k < 4; k++) cube[i][j] += gram[i][k] * a[k][j];
               append(y, {s});
               append(y, cube);
             }
             return y;
           },
           conditioned});
}

}  // namespace intarsia::walk::cases
