// Grouped products, products of int8, and f32 products from bf16 parts, on every rung.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "intarsia/array.h"
#include "kernel/kernels.h"
#include "kernel/table.h"

namespace intarsia {
namespace {

template <class F>
void on_every_rung(F f) {
  for (const kernel::Kernels* rung : kernel::rungs()) {
    SCOPED_TRACE(rung->name);
    kernel::use_rung(rung->name);
    for (const int threads : {1, 2}) {
      set_thread_count(threads);
      f();
    }
  }
  kernel::use_rung(kernel::rungs().back()->name);
}

// Uniform in (-1, 1), or integers from -128 to 127.
Array random_array(const Shape& shape, DType type, unsigned seed) {
  std::mt19937 engine(seed);
  if (type == DType::i8) {
    Array x = Array::empty(shape, type);
    auto* p = static_cast<int8_t*>(x.raw_mutable());
    for (int64_t i = 0; i < x.size(); i++) p[i] = static_cast<int8_t>(engine());
    return x;
  }
  Array x = Array::empty(shape, DType::f32);
  float* p = x.mutable_data<float>();
  for (int64_t i = 0; i < x.size(); i++) p[i] = static_cast<float>((engine() - 2147483647.5) * 0x1p-31);
  return kernel::cast(x, type);
}

// x stored with its last two axes the other way round.
Array stored_transposed(const Array& x) {
  Shape shape = x.shape(), strides = x.strides();
  std::swap(shape[-1], shape[-2]);
  std::swap(strides[-1], strides[-2]);
  const Array turned = kernel::contiguous(x.view(shape, strides));
  strides = turned.strides();
  std::swap(strides[-1], strides[-2]);
  return turned.view(x.shape(), strides);
}

bool same_bytes(const Array& a, const Array& b) { return std::memcmp(a.raw(), b.raw(), a.bytes()) == 0; }

TEST(GroupedProduct, EachGroupHasTheBitsOfItsOwnProduct) {
  const std::vector<std::vector<int64_t>> groupings = {
      {0, 5, 200, 1, 0, 37}, {1, 1, 1, 1, 1, 1}, {300, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 2}};
  on_every_rung([&] {
    for (const DType type : {DType::f32, DType::bf16, DType::f64}) {
      for (const auto& sizes : groupings) {
        const int64_t k = 70, n = 45, groups = 6;
        int64_t rows = 0;
        for (const int64_t size : sizes) rows += size;
        const Array x = random_array({rows, k}, type, 1), w = random_array({groups, k, n}, type, 2);
        for (const bool transposed : {false, true}) {
          const Array weights = transposed ? stored_transposed(w) : w;
          Array c = Array::empty({rows, n}, type);
          kernel::grouped_matmul(x, sizes, weights, c);
          int64_t row = 0;
          for (int64_t g = 0; g < groups; g++) {
            const int64_t size = sizes[static_cast<size_t>(g)];
            Array own = Array::empty({size, n}, type);
            kernel::matmul(
                x.view({size, k}, {k, 1}, row * k),
                weights.view({k, n}, {weights.strides()[1], weights.strides()[2]}, g * weights.strides()[0]),
                own);
            const Array of_group = kernel::contiguous(c.view({size, n}, {n, 1}, row * n));
            EXPECT_TRUE(size == 0 || same_bytes(own, of_group)) << info(type).name << " group " << g;
            row += size;
          }
        }
        Array dw = random_array({groups, k, n}, type, 3), expected = Array::empty({groups, k, n}, type);
        const Array dy = random_array({rows, n}, type, 4);
        kernel::grouped_matmul_backward(x, sizes, dy, dw);
        int64_t row = 0;
        for (int64_t g = 0; g < groups; g++) {
          const int64_t size = sizes[static_cast<size_t>(g)];
          Array own = expected.view({k, n}, {n, 1}, g * k * n);
          kernel::matmul(x.view({k, size}, {1, k}, row * k), dy.view({size, n}, {n, 1}, row * n), own);
          row += size;
        }
        EXPECT_TRUE(same_bytes(dw, expected)) << info(type).name << " gradient";
      }
    }
  });
}

TEST(Int8Product, SumsAreExactInAllForms) {
  const int64_t sizes[][3] = {{1, 1, 1},       {1, 64, 32},   {3, 7, 33},    {5, 33, 31},
                              {37, 96, 70},    {97, 515, 2},  {13, 301, 40}, {200, 130, 50},
                              {205, 6500, 19}, {193, 64, 64}, {2, 131071, 3}};
  on_every_rung([&] {
    for (const auto& [m, k, n] : sizes) {
      Array a = random_array({m, k}, DType::i8, 5), b = random_array({k, n}, DType::i8, 6);
      if (k > 100000) {  // the largest sum there is
        std::memset(a.raw_mutable(), 0x80, a.bytes());
        std::memset(b.raw_mutable(), 0x80, b.bytes());
      }
      std::vector<int64_t> expected(static_cast<size_t>(m * n));
      const auto *left = static_cast<const int8_t*>(a.raw()), *right = static_cast<const int8_t*>(b.raw());
      for (int64_t i = 0; i < m; i++)
        for (int64_t l = 0; l < k; l++)
          for (int64_t j = 0; j < n; j++)
            expected[static_cast<size_t>(i * n + j)] += left[i * k + l] * right[l * n + j];
      const Array row_scale = random_array({m}, DType::f32, 7),
                  column_scale = random_array({n}, DType::f32, 8);
      for (const int form : {0, 1, 2, 3}) {
        Array c = Array::empty({m, n}, DType::i32), scaled = Array::empty({m, n}, DType::f32);
        const Array x = form & 1 ? stored_transposed(a) : a, y = form & 2 ? stored_transposed(b) : b;
        kernel::matmul_int8(x, y, c, nullptr, nullptr);
        kernel::matmul_int8(x, y, scaled, row_scale.data<float>(), column_scale.data<float>());
        int64_t wrong = 0;
        for (int64_t i = 0; i < m * n; i++) {
          const int64_t sum = expected[static_cast<size_t>(i)];
          wrong += static_cast<const int32_t*>(c.raw())[i] != sum;
          const float scale = row_scale.data<float>()[i / n] * column_scale.data<float>()[i % n];
          wrong += scaled.data<float>()[i] != static_cast<float>(sum) * scale;
        }
        EXPECT_EQ(wrong, 0) << m << " x " << k << " x " << n << " form " << form;
      }
    }
  });
}

TEST(Int8Product, QuantizedRowsAreTheNearestInTheirUnit) {
  on_every_rung([&] {
    for (const int64_t k : {1, 5, 64, 131}) {
      Array x = random_array({9, k}, DType::f32, 9);
      float* p = x.mutable_data<float>();
      for (int64_t i = 0; i < k; i++) {
        p[i] = 0;                              // a row of zeros
        p[k + i] *= 1e30f;                     // large
        p[2 * k + i] *= 1e-30f;                // small
        p[3 * k + i] = i == 0 ? INFINITY : 1;  // not finite
      }
      Array q = Array::empty({9, k}, DType::i8), scales = Array::empty({9}, DType::f32);
      kernel::quantize_rows(x, q, scales);
      const auto* values = static_cast<const int8_t*>(q.raw());
      for (int64_t r = 0; r < 9; r++) {
        float most = 0;
        for (int64_t i = 0; i < k; i++) most = std::max(most, std::fabs(p[r * k + i]));
        const float scale = scales.data<float>()[r];
        if (r == 3) {
          EXPECT_TRUE(std::isnan(scale));
          continue;
        }
        EXPECT_FLOAT_EQ(scale, most / 127);
        for (int64_t i = 0; i < k; i++) {
          const float exact = r == 0 ? 0 : p[r * k + i] / scale;
          EXPECT_LE(std::fabs(values[r * k + i] - exact), 0.5001f) << r << " " << i;
        }
      }
    }
  });
}

TEST(ProductOfParts, ErrorsStayBelowTheirBounds) {
  on_every_rung([&] {
    for (const auto& [m, k, n] : {std::array<int64_t, 3>{1, 1, 1}, {7, 33, 20}, {200, 301, 35}}) {
      for (const float size : {1.0f, 1e13f, 1e-12f}) {
        const auto scaled = [&](const Shape& shape, unsigned seed) {
          Array x = random_array(shape, DType::f32, seed);
          float* p = x.mutable_data<float>();
          std::mt19937 engine(seed);
          for (int64_t i = 0; i < x.size(); i++) p[i] *= size * std::exp2(static_cast<float>(engine() % 16));
          return x;
        };
        const Array a = scaled({m, k}, 10), b = scaled({k, n}, 11);
        for (const bool transposed : {false, true}) {
          const Array x = transposed ? stored_transposed(a) : a, y = transposed ? stored_transposed(b) : b;
          Array three = Array::empty({m, n}, DType::f32), six = Array::empty({m, n}, DType::f32);
          kernel::matmul_of_parts(x, y, three, 3);
          kernel::matmul_of_parts(x, y, six, 6);
          double worst_three = 0, worst_six = 0;
          for (int64_t i = 0; i < m; i++) {
            for (int64_t j = 0; j < n; j++) {
              double sum = 0, magnitude = 0;
              for (int64_t l = 0; l < k; l++) {
                const double t = static_cast<double>(a.data<float>()[i * k + l]) *
                                 static_cast<double>(b.data<float>()[l * n + j]);
                sum += t;
                magnitude += std::fabs(t);
              }
              const auto error = [&](const Array& c) {
                return std::fabs(static_cast<double>(c.data<float>()[i * n + j]) - sum) / magnitude;
              };
              worst_three = std::max(worst_three, error(three));
              worst_six = std::max(worst_six, error(six));
            }
          }
          EXPECT_LE(worst_three, 0x1p-15);
          // What f32 sums of so many terms have at most; a hundredth of it for long ones is usual.
          EXPECT_LE(worst_six, static_cast<double>(k + 4) * 0x1p-24)
              << m << " " << k << " " << n << " " << size;
        }
      }
    }
  });
}

TEST(ProductOfParts, LargestNumbersDoNotOverflowAndInfinityStaysNotFinite) {
  on_every_rung([&] {
    Array a = Array::empty({1, 2}, DType::f32), b = Array::empty({2, 1}, DType::f32);
    a.mutable_data<float>()[0] = 0x1.fffffep127f;
    a.mutable_data<float>()[1] = 0;
    b.mutable_data<float>()[0] = 0.5f;
    b.mutable_data<float>()[1] = 1;
    Array c = Array::empty({1, 1}, DType::f32);
    kernel::matmul_of_parts(a, b, c, 6);
    EXPECT_FLOAT_EQ(c.data<float>()[0], 0x1.fffffep126f);
    a.mutable_data<float>()[1] = INFINITY;
    Array d = Array::empty({1, 1}, DType::f32);
    kernel::matmul_of_parts(a, b, d, 3);
    EXPECT_FALSE(std::isfinite(d.data<float>()[0]));
  });
}

}  // namespace
}  // namespace intarsia
