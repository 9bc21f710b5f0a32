// The walk's cases of convolutions, pooling and normalizations over channels.
#include <algorithm>
#include <cmath>

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

}  // namespace intarsia::walk::cases
