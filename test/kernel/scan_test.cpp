// Scans, products, comparisons and slices on arrays large enough for strips of columns and several threads,
// against plain loops. Small ones are walked in test/op.
#include "arrays.h"

namespace intarsia::test {
namespace {

using Vector = std::vector<double>;

struct View {
  int64_t outer, n, inner;
};
const std::pair<Shape, View> views[] = {{{900, 70}, {1, 900, 70}}, {{3, 70, 150}, {3, 70, 150}}};

// y = f(line) for every line along the axis.
template <class F>
Vector per_line(const Vector& x, View v, F f) {
  Vector y(x.size());
  for (int64_t o = 0; o < v.outer; o++)
    for (int64_t j = 0; j < v.inner; j++) {
      const auto at = [&](int64_t k) { return static_cast<size_t>((o * v.n + k) * v.inner + j); };
      Vector line;
      for (int64_t k = 0; k < v.n; k++) line.push_back(x[at(k)]);
      f(line);
      for (int64_t k = 0; k < v.n; k++) y[at(k)] = line[static_cast<size_t>(k)];
    }
  return y;
}

TEST(Scan, LargeArraysEqualLoopsForAnyThreads) {
  for (const auto& [shape, view] : views)
    for (int threads : {1, 3}) {
      const Threads guard(threads);
      const int axis = shape.rank() - 2;
      const Array x = random_array(shape, DType::f64, 1);
      const auto sums = [](Vector& v) {
        for (size_t i = 1; i < v.size(); i++) v[i] += v[i - 1];
      };
      const auto maxima = [](Vector& v) {
        for (size_t i = 1; i < v.size(); i++) v[i] = std::max(v[i], v[i - 1]);
      };
      Array places;
      expect_close(kernel::cumulative_sum(x, axis, false), per_line(doubles(x), view, sums), 1e-13);
      expect_close(kernel::cumulative_max(x, axis, places), per_line(doubles(x), view, maxima), 0);
      expect_close(kernel::gather(x, axis, places), per_line(doubles(x), view, maxima), 0);

      const Array near_one = from_doubles(
          [&] {
            Vector v = doubles(x);
            for (double& e : v) e = 1 + e / 100;
            return v;
          }(),
          shape, DType::f64);
      const Array dy = random_array(shape, DType::f64, 2);
      expect_close(kernel::cumulative_product(near_one, axis),
                   per_line(doubles(near_one), view,
                            [](Vector& v) {
                              for (size_t i = 1; i < v.size(); i++) v[i] *= v[i - 1];
                            }),
                   1e-12);
      // Without zeros: dx_i = (sum over k >= i of dy_k y_k) / x_i.
      const Array y = kernel::cumulative_product(near_one, axis);
      Vector products = doubles(dy);
      for (size_t i = 0; i < products.size(); i++) products[i] *= y.data<double>()[i];
      Vector slopes = per_line(products, view, [](Vector& v) {
        for (size_t i = v.size() - 1; i-- > 0;) v[i] += v[i + 1];
      });
      for (size_t i = 0; i < slopes.size(); i++) slopes[i] /= near_one.data<double>()[i];
      expect_close(kernel::cumulative_product_backward(near_one, dy, axis), slopes, 1e-11);
    }
}

TEST(Take, LargeArraysComeBackInTheOrderOfTheIds) {
  const Shape shape = {3, 70, 150};
  const Array ids = Array::of<int64_t>({5, 69, 5, 0, 5});
  const Array dy = random_array({3, 5, 150}, DType::f32, 3);
  const Array x = random_array(shape, DType::f32, 4);
  Array results[2];
  for (int threads : {1, 2}) {
    const Threads guard(threads);
    const Array picked = kernel::take(x, 1, ids);
    for (int64_t o = 0; o < 3; o++)
      for (int64_t k = 0; k < 5; k++)
        for (int64_t j = 0; j < 150; j++)
          ASSERT_EQ(picked.data<float>()[(o * 5 + k) * 150 + j],
                    x.data<float>()[(o * 70 + ids.data<int64_t>()[k]) * 150 + j]);
    results[threads - 1] = kernel::take_backward(shape, 1, ids, dy);
  }
  EXPECT_TRUE(same_bits(results[0], results[1]));
  for (int64_t j = 0; j < 150; j++) {
    const float* d = dy.data<float>() + 5 * 150 + j;
    EXPECT_EQ(results[0].data<float>()[(70 + 5) * 150 + j], d[0] + d[300] + d[600]);
    EXPECT_EQ(results[0].data<float>()[(70 + 6) * 150 + j], 0);
  }
}

TEST(Compare, IntegersExactlyAndFloatsBesideThemInF64) {
  const int64_t large = (int64_t{1} << 53) + 1;
  const Array a = Array::of<int64_t>({large, 3}), b = Array::of<int64_t>({large - 1, 3});
  const auto result = [](kernel::Comparison c, const Array& p, const Array& q) {
    return doubles(kernel::compare(c, p, q, "test"));
  };
  EXPECT_EQ(result(kernel::Comparison::greater, a, b), (Vector{1, 0}));
  EXPECT_EQ(result(kernel::Comparison::equal, a, b), (Vector{0, 1}));
  const Array f = Array::of<float>({3, NAN}), i = Array::of<int32_t>({16777217, 3});
  EXPECT_EQ(result(kernel::Comparison::less, f, i), (Vector{1, 0}));
  EXPECT_EQ(result(kernel::Comparison::not_equal, f, i), (Vector{1, 1}));
  const Array wide = random_array({200, 300}, DType::f32, 1), row = random_array({300}, DType::f32, 2);
  const Vector got = result(kernel::Comparison::less_equal, wide, row);
  for (size_t k = 0; k < got.size(); k++)
    ASSERT_EQ(got[k], wide.data<float>()[k] <= row.data<float>()[k % 300]);
}

}  // namespace
}  // namespace intarsia::test
