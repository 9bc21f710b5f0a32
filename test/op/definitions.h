// What the definitions in the cases share.
#pragma once
#include <algorithm>
#include <cmath>

#include "op/walk.h"

namespace intarsia::walk::cases {

using In = std::span<const Tensor>;
using Defs = std::span<const Values>;

inline size_t size(int64_t n) { return static_cast<size_t>(n); }

inline Values softmax_rows(const Values& x, size_t width, bool logarithm) {
  Values y(x.size());
  for (size_t r = 0; r < x.size(); r += width) {
    const double top = *std::max_element(&x[r], &x[r] + width);
    double sum = 0;
    for (size_t i = 0; i < width; i++) sum += std::exp(x[r + i] - top);
    for (size_t i = 0; i < width; i++)
      y[r + i] = logarithm ? x[r + i] - top - std::log(sum) : std::exp(x[r + i] - top) / sum;
  }
  return y;
}

// Applies f to every line of x along an axis and puts the results, all of one length, in the lines' places.
template <class F>
Values per_line(const Values& x, const Shape& shape, int axis, F f) {
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < axis; i++) outer *= shape[i];
  for (int i = axis + 1; i < shape.rank(); i++) inner *= shape[i];
  Values y;
  for (int64_t o = 0; o < outer; o++) {
    std::vector<Values> results;
    for (int64_t j = 0; j < inner; j++) {
      Values line;
      for (int64_t k = 0; k < shape[axis]; k++) line.push_back(x[size((o * shape[axis] + k) * inner + j)]);
      results.push_back(f(line));
    }
    for (size_t k = 0; k < results[0].size(); k++)
      for (const Values& r : results) y.push_back(r[k]);
  }
  return y;
}

}  // namespace intarsia::walk::cases
