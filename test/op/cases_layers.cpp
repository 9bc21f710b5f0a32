// The walk's cases of convolutions, pooling, normalizations over channels, Fourier transforms and linear
// algebra.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "op/walk.h"

namespace intarsia::walk::cases {

namespace {

using In = std::span<const Tensor>;
using Defs = std::span<const Values>;

size_t size(int64_t n) { return static_cast<size_t>(n); }

struct Sizes {
  int64_t n, c, h, w, o, kh, kw;
  Conv2d options;
  int64_t rows() const {
    return (h + 2 * options.padding.height - options.dilation.height * (kh - 1) - 1) / options.stride.height +
           1;
  }
  int64_t columns() const {
    return (w + 2 * options.padding.width - options.dilation.width * (kw - 1) - 1) / options.stride.width + 1;
  }
};

// Calls body(place in x, place in w, place in y) for every product of a convolution.
template <class Body>
void for_products(const Sizes& z, Body body) {
  const Conv2d& p = z.options;
  const int64_t rows = z.rows(), columns = z.columns(), cg = z.c / p.groups, og = z.o / p.groups;
  for (int64_t n = 0; n < z.n; n++)
    for (int64_t o = 0; o < z.o; o++)
      for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
          for (int64_t c = 0; c < cg; c++)
            for (int64_t r = 0; r < z.kh; r++)
              for (int64_t s = 0; s < z.kw; s++) {
                const int64_t h = i * p.stride.height + r * p.dilation.height - p.padding.height;
                const int64_t w = j * p.stride.width + s * p.dilation.width - p.padding.width;
                if (h < 0 || h >= z.h || w < 0 || w >= z.w) continue;
                body(size(((n * z.c + o / og * cg + c) * z.h + h) * z.w + w),
                     size(((o * cg + c) * z.kh + r) * z.kw + s),
                     size(((n * z.o + o) * rows + i) * columns + j));
              }
}

const Sizes convolutions[] = {
    {2, 3, 5, 6, 4, 3, 2, {}},
    {1, 5, 7, 18, 27, 3, 3, {1, 1}},
    {2, 4, 9, 7, 6, 3, 3, {{2, 3}, {1, 2}, 1, 2}},
    {1, 3, 8, 9, 3, 3, 3, {1, 2, 2, 3}},
    {3, 13, 3, 3, 9, 1, 1, {}},
    {2, 3, 5, 37, 9, 3, 3, {2, 1}},
};

}  // namespace

void conv2d(Walk& w) {
  for (const Sizes& z : convolutions)
    w.check({"conv2d of " + std::to_string(z.c) + " channels",
             {w.normal({z.n, z.c, z.h, z.w}), w.normal({z.o, z.c / z.options.groups, z.kh, z.kw}),
              w.normal({z.o})},
             {true, true, true},
             [=](In x) { return intarsia::conv2d(x[0], x[1], x[2], z.options); },
             [=](Defs x) {
               const int64_t pixels = z.rows() * z.columns();
               Values y(size(z.n * z.o * pixels));
               for (size_t i = 0; i < y.size(); i++) y[i] = x[2][i / size(pixels) % size(z.o)];
               for_products(z, [&](size_t a, size_t b, size_t to) { y[to] += x[0][a] * x[1][b]; });
               return y;
             },
             3});
}

void conv_transpose2d(Walk& w) {
  for (const Sizes& z : convolutions) {
    // The transpose of a convolution of z's image; rows that its windows do not reach are output padding.
    const Conv2d& p = z.options;
    Conv2d options = p;
    options.output_padding = {
        z.h - ((z.rows() - 1) * p.stride.height - 2 * p.padding.height + p.dilation.height * (z.kh - 1) + 1),
        z.w - ((z.columns() - 1) * p.stride.width - 2 * p.padding.width + p.dilation.width * (z.kw - 1) + 1)};
    w.check({"conv_transpose2d to " + std::to_string(z.c) + " channels",
             {w.normal({z.n, z.o, z.rows(), z.columns()}), w.normal({z.o, z.c / p.groups, z.kh, z.kw}),
              w.normal({z.c})},
             {true, true, true},
             [=](In x) { return intarsia::conv_transpose2d(x[0], x[1], x[2], options); },
             [=](Defs x) {
               Values y(size(z.n * z.c * z.h * z.w));
               for (size_t i = 0; i < y.size(); i++) y[i] = x[2][i / size(z.h * z.w) % size(z.c)];
               for_products(z, [&](size_t to, size_t b, size_t a) { y[to] += x[0][a] * x[1][b]; });
               return y;
             },
             3});
  }
}

void max_pool2d(Walk& w) {
  w.check({"max_pool2d",
           {w.normal({2, 3, 6, 7})},
           {true},
           [](In x) {
             return intarsia::max_pool2d(x[0], {.kernel = {2, 3}, .stride = {2, 1}});
           },
           [](Defs x) {
             Values y;
             for (size_t image = 0; image < 6; image++)
               for (size_t i = 0; i < 6; i += 2)
                 for (size_t j = 0; j < 5; j++) {
                   double top = -INFINITY;
                   for (size_t r = 0; r < 2; r++)
                     for (size_t s = 0; s < 3; s++)
                       top = std::max(top, x[0][(image * 6 + i + r) * 7 + j + s]);
                   y.push_back(top);
                 }
             return y;
           }});
}

void avg_pool2d(Walk& w) {
  w.check({"adaptive_avg_pool2d",
           {w.normal({2, 3, 7, 5})},
           {true},
           [](In x) {
             return intarsia::adaptive_avg_pool2d(x[0], {3, 2});
           },
           [](Defs x) {
             Values y;
             for (size_t image = 0; image < 6; image++)
               for (size_t i = 0; i < 3; i++)
                 for (size_t j = 0; j < 2; j++) {
                   const size_t top = i * 7 / 3, bottom = ((i + 1) * 7 + 2) / 3, left = j * 5 / 2,
                                right = ((j + 1) * 5 + 1) / 2;
                   double total = 0;
                   for (size_t r = top; r < bottom; r++)
                     for (size_t s = left; s < right; s++) total += x[0][(image * 7 + r) * 5 + s];
                   y.push_back(total / static_cast<double>((bottom - top) * (right - left)));
                 }
             return y;
           }});
}

namespace {

// (x - mean) / sqrt(var + eps) * weight + bias, where set(n, c) numbers the pixels that share a mean.
template <class Set>
Values normalized(Defs x, size_t batch, size_t channels, size_t pixels, size_t sets, Set set) {
  Values mean(sets), variance(sets), count(sets), y(x[0].size());
  const auto each = [&](auto body) {
    for (size_t n = 0; n < batch; n++)
      for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < pixels; i++) body((n * channels + c) * pixels + i, c, set(n, c));
  };
  each([&](size_t at, size_t, size_t s) { mean[s] += x[0][at], count[s]++; });
  for (size_t s = 0; s < sets; s++) mean[s] /= count[s];
  each([&](size_t at, size_t, size_t s) { variance[s] += std::pow(x[0][at] - mean[s], 2) / count[s]; });
  each([&](size_t at, size_t c, size_t s) {
    y[at] = (x[0][at] - mean[s]) / std::sqrt(variance[s] + 1e-3) * x[1][c] + x[2][c];
  });
  return y;
}

}  // namespace

void group_norm(Walk& w) {
  w.check(
      {"group_norm",
       {w.normal({3, 6, 4, 5}), w.normal({6}), w.normal({6})},
       {true, true, true},
       [](In x) { return intarsia::group_norm(x[0], 2, x[1], x[2], 1e-3); },
       [](Defs x) { return normalized(x, 3, 6, 20, 6, [](size_t n, size_t c) { return n * 2 + c / 3; }); },
       4});
}

void batch_norm(Walk& w) {
  w.check({"batch_norm in training",
           {w.normal({4, 3, 5, 7}), w.normal({3}), w.normal({3})},
           {true, true, true},
           [](In x) {
             RunningMoments running;
             return intarsia::batch_norm(x[0], x[1], x[2], running, true, 0.1, 1e-3);
           },
           [](Defs x) { return normalized(x, 4, 3, 35, 3, [](size_t, size_t c) { return c; }); },
           4});
}

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
