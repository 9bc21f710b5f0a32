// Reductions over any axes, argmax, sorting.
#include <algorithm>

#include "arrays.h"

namespace intarsia::test {
namespace {

using kernel::Reduction;
using Vector = std::vector<double>;

// By index, from the definition.
Vector expected(Reduction r, const Array& x, unsigned axes) {
  Shape shape = x.shape();
  double count = 1;
  for (int i = 0; i < shape.rank(); i++)
    if (axes >> i & 1) {
      count *= static_cast<double>(shape[i]);
      shape[i] = 1;
    }
  const double start = r == Reduction::max ? -INFINITY : r == Reduction::min ? INFINITY : 0;
  Vector y(static_cast<size_t>(shape.count()), start);
  const Vector v = doubles(x);
  for (size_t i = 0; i < v.size(); i++) {
    int64_t rest = static_cast<int64_t>(i), at = 0, step = 1;
    for (int axis = shape.rank() - 1; axis >= 0; axis--) {
      const int64_t index = rest % x.dim(axis);
      rest /= x.dim(axis);
      if (!(axes >> axis & 1)) at += index * step;
      step *= shape[axis];
    }
    double& out = y[static_cast<size_t>(at)];
    if (r == Reduction::max)
      out = std::max(out, v[i]);
    else if (r == Reduction::min)
      out = std::min(out, v[i]);
    else
      out += r == Reduction::mean ? v[i] / count : v[i];
  }
  return y;
}

TEST(Reduce, EqualsTheDefinitionOverAnyAxesAndStrides) {
  on_every_rung([] {
    for (DType type : float_types) {
      const Array plain = random_array({5, 37, 19}, type, 1);
      const Array views[] = {plain, plain.view({19, 5, 37}, {1, 37 * 19, 19}),
                             plain.view({5, 12, 19}, {37 * 19, 57, 1}),
                             random_array({300, 70}, type, 2).view({70, 1, 300}, {1, 70, 70})};
      for (const Array& x : views)
        for (unsigned axes = 0; axes < 8; axes++)
          for (Reduction r : {Reduction::sum, Reduction::mean, Reduction::max, Reduction::min}) {
            const Array y = kernel::reduce(r, x, axes, type);
            Shape shape = x.shape();
            for (int i = 0; i < 3; i++)
              if (axes >> i & 1) shape[i] = 1;
            ASSERT_EQ(y.shape(), shape);
            const double terms = static_cast<double>(x.size()) / static_cast<double>(y.size());
            expect_close(y, expected(r, x, axes), 4 * rounding(type),
                         x.shape().text() + " axes " + std::to_string(axes), 1 + terms / 16);
          }
    }
  });
}

TEST(Reduce, LongSumsStayAccurate) {
  on_every_rung([] {
    // f32 alone would stop at 2^24.
    Array x = Array::empty({20000000});
    kernel::fill(x, 1);
    EXPECT_EQ(doubles(kernel::reduce(Reduction::sum, x, 1, DType::f32))[0], 20000000);
    EXPECT_EQ(doubles(kernel::reduce(Reduction::sum, x.reshape({10000000, 2}), 1, DType::f32)),
              (Vector{1e7, 1e7}));
  });
}

TEST(Reduce, TakesIntegersAndBool) {
  on_every_rung([] {
    EXPECT_EQ(doubles(kernel::reduce(Reduction::sum, Array::of<bool>({true, false, true}), 1, DType::f32)),
              (Vector{2}));
    EXPECT_EQ(
        doubles(kernel::reduce(Reduction::sum, Array::of<int32_t>({1 << 30, 1 << 30, 3}), 1, DType::i64)),
        (Vector{static_cast<double>((int64_t{1} << 31) + 3)}));
    EXPECT_EQ(doubles(kernel::reduce(Reduction::max, Array::of<int8_t>({-5, 7}), 1, DType::i8)), (Vector{7}));
  });
}

TEST(Reduce, NaNWinsAndEmptySumsAreZero) {
  on_every_rung([] {
    std::vector<float> v(50, 1.0f);
    v[33] = NAN;
    for (const Shape& shape : {Shape{50, 1}, Shape{1, 50}, Shape{25, 2}}) {
      const Array x = Array::copy_of<float>(v, shape);
      EXPECT_TRUE(std::isnan(doubles(kernel::reduce(Reduction::max, x, 3, DType::f32))[0]));
      EXPECT_TRUE(std::isnan(doubles(kernel::reduce(Reduction::min, x, 3, DType::f32))[0]));
    }
    const Array columns = Array::copy_of<float>(v, {25, 2});
    expect_close(kernel::reduce(Reduction::max, columns, 1, DType::f32), {1, NAN}, 0);
    const Array none = Array::empty({3, 0});
    EXPECT_EQ(doubles(kernel::reduce(Reduction::sum, none, 2, DType::f32)), (Vector{0, 0, 0}));
    expect_close(kernel::reduce(Reduction::mean, none, 2, DType::f32), {NAN, NAN, NAN}, 0);
    EXPECT_THROW(kernel::reduce(Reduction::max, none, 2, DType::f32), Error);
  });
}

TEST(Reduce, TheGradientOfMaxIsSharedByEquals) {
  on_every_rung([] {
    for (DType type : float_types) {
      const Array x = from_doubles({1, 5, 5, 2, 9, 3}, {2, 3}, type), dy = from_doubles({4, 8}, {2, 1}, type);
      const Array y = kernel::reduce(Reduction::max, x, 2, type);
      EXPECT_EQ(doubles(kernel::extreme_backward(x, y, dy, 2)), (Vector{0, 2, 2, 0, 8, 0}));
      const Array turned = x.view({3, 2}, {1, 3});
      const Array dt = dy.view({1, 2}, {1, 1});
      EXPECT_EQ(
          doubles(kernel::extreme_backward(turned, kernel::reduce(Reduction::max, turned, 1, type), dt, 1)),
          (Vector{0, 0, 2, 8, 2, 0}));
    }
  });
}

TEST(Argmax, IsTheFirstOfEqualsAndNaNWins) {
  on_every_rung([] {
    for (DType type : float_types)
      for (int64_t n : {1, 5, 16, 33, 1000}) {
        std::vector<double> v = doubles(random_array({n}, type, 1));
        const auto most = std::max_element(v.begin(), v.end()) - v.begin();
        EXPECT_EQ(doubles(kernel::argmax(from_doubles(v, {n}, type), 0))[0], static_cast<double>(most));
        v.push_back(v[static_cast<size_t>(most)]);
        EXPECT_EQ(doubles(kernel::argmax(from_doubles(v, {n + 1}, type), -1))[0], static_cast<double>(most));
        v[v.size() / 2] = NAN;
        EXPECT_EQ(doubles(kernel::argmax(from_doubles(v, {n + 1}, type), 0))[0],
                  static_cast<double>(v.size() / 2));
      }
    const Array x = Array::copy_of<int32_t>(std::vector<int32_t>{1, 9, 3, 4, 2, 6}, {2, 3});
    EXPECT_EQ(doubles(kernel::argmax(x, 0)), (Vector{1, 0, 1}));
    EXPECT_EQ(doubles(kernel::argmax(x, 1)), (Vector{1, 2}));
    EXPECT_EQ(kernel::argmax(x, 1).shape(), (Shape{2, 1}));
    EXPECT_EQ(doubles(kernel::argmax(Array::of<float>({-INFINITY, -INFINITY}), 0))[0], 0);
  });
}

TEST(Sort, IsStableBothWaysAndKeepsTheFirst) {
  on_every_rung([] {
    for (DType type : {DType::f32, DType::f64, DType::bf16, DType::f16, DType::i64, DType::u8})
      for (bool descending : {false, true})
        for (int64_t keep : {0, 1, 10, 100}) {
          std::vector<double> v(300);
          for (size_t i = 0; i < v.size(); i++) v[i] = static_cast<double>(i * 7919 % 41);
          const Array x = from_doubles(v, {3, 100}, type);
          Array values, indices;
          kernel::sort(x, descending, keep, values, indices);
          ASSERT_EQ(values.shape(), (Shape{3, keep}));
          ASSERT_EQ(values.dtype(), type);
          for (size_t row = 0; row < 3; row++) {
            std::vector<int64_t> order(100);
            for (size_t i = 0; i < 100; i++) order[i] = static_cast<int64_t>(i);
            std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
              const double p = v[row * 100 + static_cast<size_t>(a)],
                           q = v[row * 100 + static_cast<size_t>(b)];
              return descending ? p > q : p < q;
            });
            for (size_t i = 0; i < static_cast<size_t>(keep); i++) {
              ASSERT_EQ(indices.data<int64_t>()[row * static_cast<size_t>(keep) + i], order[i]);
              ASSERT_EQ(doubles(values)[row * static_cast<size_t>(keep) + i],
                        v[row * 100 + static_cast<size_t>(order[i])]);
            }
          }
        }
  });
}

TEST(Sort, CountsNaNAsTheGreatest) {
  Array values, indices;
  const Array x = Array::of<float>({1, NAN, INFINITY, -INFINITY, NAN});
  kernel::sort(x, true, 5, values, indices);
  EXPECT_EQ(doubles(indices), (Vector{1, 4, 2, 0, 3}));
  kernel::sort(x, false, 5, values, indices);
  EXPECT_EQ(doubles(indices), (Vector{3, 0, 2, 1, 4}));
}

TEST(Reduce, BitsDoNotDependOnThreads) {
  on_every_rung([] {
    const Array x = random_array({200003}, DType::f32, 1), rows = random_array({700, 300}, DType::bf16, 2);
    auto all = [&] {
      Array values, indices;
      kernel::sort(rows, true, 20, values, indices);
      return std::vector<Array>{kernel::reduce(Reduction::sum, x, 1, DType::f32),
                                kernel::reduce(Reduction::sum, rows, 1, DType::f32),
                                kernel::reduce(Reduction::mean, rows, 2, DType::f32),
                                kernel::reduce(Reduction::max, rows, 3, DType::f32),
                                values,
                                indices};
    };
    std::vector<Array> one, two;
    {
      Threads threads(1);
      one = all();
    }
    {
      Threads threads(2);
      two = all();
    }
    for (size_t i = 0; i < one.size(); i++) EXPECT_TRUE(same_bits(one[i], two[i])) << i;
  });
}

}  // namespace
}  // namespace intarsia::test
