// Copies between layouts and element types, filling, accumulation, dropout.
#include <limits>

#include "arrays.h"

namespace intarsia::test {
namespace {

const std::vector<DType> plain_types = {DType::f32, DType::f64, DType::bf16, DType::f16,
                                        DType::i8,  DType::u8,  DType::i16,  DType::u16,
                                        DType::i32, DType::u32, DType::i64,  DType::boolean};

// By definition of the format: 1 sign, 5 exponent, 10 mantissa bits.
double half_value(uint16_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double sign = bits >> 15 ? -1 : 1;
  if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
  return sign * (exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24));
}

// The nearest of the numbers of a 16-bit format, ties to the even one; `value` must be increasing on positive
// bits.
uint16_t nearest(double x, uint16_t infinity, const std::function<double(uint16_t)>& value, double overflow) {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  const double magnitude = std::fabs(x);
  if (magnitude >= overflow) return sign | infinity;
  int low = 0, high = infinity - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (value(static_cast<uint16_t>(middle)) <= magnitude)
      low = middle;
    else
      high = middle - 1;
  }
  const double below = magnitude - value(static_cast<uint16_t>(low));
  const double above = (low + 1 == infinity ? INFINITY : value(static_cast<uint16_t>(low + 1))) - magnitude;
  if (low + 1 < infinity && (above < below || (above == below && low % 2))) low++;
  return static_cast<uint16_t>(sign | low);
}
double bf16_value(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float x;
  std::memcpy(&x, &wide, 4);
  return x;
}

TEST(Convert, EveryHalfBecomesItsValueAndComesBack) {
  std::vector<f16> all(65536);
  for (size_t i = 0; i < all.size(); i++) all[i].bits = static_cast<uint16_t>(i);
  const Array halves = Array::copy_of<f16>(all, {65536});
  on_every_rung([&] {
    const Array wide = kernel::cast(halves, DType::f32), back = kernel::cast(wide, DType::f16);
    for (int i = 0; i < 65536; i++) {
      const double want = half_value(static_cast<uint16_t>(i)), got = wide.data<float>()[i];
      if (std::isnan(want)) {
        EXPECT_TRUE(std::isnan(got) && std::isnan(half_value(back.data<f16>()[i].bits)));
      } else {
        EXPECT_EQ(got, want) << i;
        EXPECT_EQ(back.data<f16>()[i].bits, i);
      }
    }
  });
}

TEST(Convert, RoundsToTheNearestEven) {
  std::vector<double> x = {
      0,       -0.0,    1,         1 + 0x1p-8, 1 + 0x1.8p-8, 1 + 0x1p-11, 1 + 0x1.8p-10, 65519.99, 65520, 1e6,
      0x1p-24, 0x1p-25, 0x1.8p-25, 0x1.1p-25,  6.1e-5,       INFINITY,    -INFINITY,     3.39e38,  3.4e38};
  for (double v : doubles(random_array({2000}, DType::f32, 1))) x.push_back(v * 1000), x.push_back(v * 1e-6);
  // Doubles close to a tie: rounding through f32 twice would go wrong.
  for (double tie : {1 + 0x1p-11, 1 + 0x1p-9, 1.5 + 0x1p-11})
    x.push_back(tie + 0x1p-40), x.push_back(tie - 0x1p-40);
  on_every_rung([&] {
    const Array wide = Array::copy_of<double>(x, {static_cast<int64_t>(x.size())});
    const Array half = kernel::cast(wide, DType::f16), brain = kernel::cast(wide, DType::bf16);
    const Array single = kernel::cast(wide, DType::f32);
    const Array half_of_single = kernel::cast(single, DType::f16),
                brain_of_single = kernel::cast(single, DType::bf16);
    for (size_t i = 0; i < x.size(); i++) {
      EXPECT_EQ(half.data<f16>()[i].bits, nearest(x[i], 0x7c00, half_value, 65520)) << x[i];
      EXPECT_EQ(half_of_single.data<f16>()[i].bits,
                nearest(single.data<float>()[i], 0x7c00, half_value, 65520))
          << x[i];
      if (std::fabs(x[i]) < 0x1p-126 && x[i] != 0) continue;
      const double limit = 0x1.ffp127;  // half way from the greatest bf16 to 2^128
      EXPECT_EQ(brain.data<bf16>()[i].bits, nearest(x[i], 0x7f80, bf16_value, limit)) << x[i];
      EXPECT_EQ(brain_of_single.data<bf16>()[i].bits,
                nearest(single.data<float>()[i], 0x7f80, bf16_value, limit))
          << x[i];
    }
    for (DType type : {DType::f16, DType::bf16})
      EXPECT_TRUE(std::isnan(doubles(kernel::cast(Array::of<float>({NAN}), type))[0]));
  });
}

TEST(Convert, SmallIntegersPassThroughEveryPairOfTypes) {
  on_every_rung([] {
    for (DType from : plain_types)
      for (DType to : plain_types) {
        const std::vector<double> values = {0, 1, 1, 0, 1};
        const Array x = from_doubles(values, {5}, from);
        EXPECT_EQ(doubles(kernel::cast(x, to)), values) << info(from).name << " to " << info(to).name;
      }
    for (DType from : {DType::f32, DType::f64, DType::i16, DType::i32, DType::i64})
      for (DType to : {DType::f32, DType::f64, DType::bf16, DType::f16, DType::i8, DType::i64})
        EXPECT_EQ(doubles(kernel::cast(from_doubles({-100, 96, 3}, {3}, from), to)),
                  (std::vector<double>{-100, 96, 3}));
  });
}

TEST(Convert, IntegersTruncateAndSaturate) {
  on_every_rung([] {
    const Array x = Array::of<float>({1.9f, -1.9f, 300, -300, NAN, INFINITY, -INFINITY, 1e30f});
    EXPECT_EQ(doubles(kernel::cast(x, DType::i8)),
              (std::vector<double>{1, -1, 127, -128, 0, 127, -128, 127}));
    EXPECT_EQ(doubles(kernel::cast(x, DType::u8)), (std::vector<double>{1, 0, 255, 0, 0, 255, 0, 255}));
    const Array wide = kernel::cast(x, DType::i64);
    EXPECT_EQ(wide.data<int64_t>()[7], std::numeric_limits<int64_t>::max());
    EXPECT_EQ(wide.data<int64_t>()[6], std::numeric_limits<int64_t>::min());
    EXPECT_EQ(doubles(kernel::cast(x, DType::boolean)), (std::vector<double>{1, 1, 1, 1, 1, 1, 1, 1}));
    const int64_t large = (int64_t{1} << 53) + 1;
    EXPECT_EQ(
        kernel::cast(kernel::cast(Array::of<int64_t>({large}), DType::i64), DType::i64).data<int64_t>()[0],
        large);
    EXPECT_EQ(kernel::cast(Array::of<int64_t>({(int64_t{1} << 32) + 5}), DType::u32).data<uint32_t>()[0], 5u);
  });
}

// Every pair of layouts of a 3-axis array.
TEST(Copy, GoesBetweenAnyLayouts) {
  on_every_rung([] {
    const Shape shapes[] = {{3, 4, 5}, {70, 33, 2}, {2, 65, 130}, {1, 1, 7}, {40, 1, 50}};
    const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}};
    for (const Shape& shape : shapes)
      for (DType type : {DType::f32, DType::bf16, DType::f64, DType::u8})
        for (const auto& order : orders)
          for (int64_t gap : {1, 2}) {
            // An array whose memory runs in `order`, with unused elements between if gap is 2.
            auto layout = [&] {
              Shape strides = shape;
              int64_t step = gap;
              for (int i = 2; i >= 0; i--) {
                strides[order[i]] = step;
                step *= shape[order[i]];
              }
              return Array::zeros({step}, type).view(shape, strides);
            };
            std::vector<double> values(static_cast<size_t>(shape.count()));
            for (size_t i = 0; i < values.size(); i++) values[i] = static_cast<double>(i % 251);
            const Array x = from_doubles(values, shape, type);
            Array turned = layout();
            kernel::copy(x, turned);
            ASSERT_TRUE(same_bits(kernel::contiguous(turned), x)) << shape.text() << info(type).name;
            Array wide = Array::empty(shape, DType::f32);
            kernel::copy(turned, wide);
            ASSERT_EQ(doubles(wide), doubles(x));
            Array back = layout();
            kernel::copy(wide, back);
            ASSERT_TRUE(same_bits(back, x));
          }
  });
}

TEST(Copy, RepeatsBroadcastViewsAndRefusesOtherShapes) {
  const Array x = Array::of<float>({1, 2, 3});
  EXPECT_EQ(doubles(kernel::contiguous(x.view({2, 3}, {0, 1}))), (std::vector<double>{1, 2, 3, 1, 2, 3}));
  EXPECT_EQ(doubles(kernel::contiguous(x.view({3, 2}, {1, 0}))), (std::vector<double>{1, 1, 2, 2, 3, 3}));
  Array y = Array::empty({4});
  EXPECT_THROW(kernel::copy(x, y), Error);
  Array none = Array::empty({0, 3});
  kernel::copy(Array::empty({0, 3}, DType::i8), none);
}

TEST(Fill, WritesEveryTypeAndView) {
  on_every_rung([] {
    for (DType type : plain_types) {
      Array x = Array::zeros({5, 6}, type);
      Array column = x.view({5, 2}, {6, 3}, 1);
      kernel::fill(column, 1);
      std::vector<double> want(30);
      for (size_t row = 0; row < 5; row++) want[row * 6 + 1] = want[row * 6 + 4] = 1;
      EXPECT_EQ(doubles(x), want) << info(type).name;
      kernel::fill(x, 1);
      EXPECT_EQ(doubles(x), std::vector<double>(30, 1.0));
    }
  });
}

TEST(Accumulate, AddsAnyTypeAndLayout) {
  on_every_rung([] {
    for (DType into : float_types)
      for (DType type : float_types) {
        Array sum = random_array({13, 40}, into, 1);
        const Array x = random_array({40, 13}, type, 2).view({13, 40}, {1, 13});
        std::vector<double> want = doubles(sum);
        const std::vector<double> add = doubles(x);
        for (size_t i = 0; i < want.size(); i++) want[i] += add[i];
        kernel::accumulate(sum, x);
        expect_close(sum, want, rounding(into));
      }
  });
}

TEST(Dropout, IsAFunctionOfSeedStreamAndIndex) {
  const int64_t n = 5000;
  const uint64_t index = (uint64_t{1} << 32) - 1000;  // the low word of the counter runs over
  on_every_rung([&] {
    for (DType type : float_types) {
      const Array x = random_array({n}, type, 1), y = kernel::dropout(x, 0.25, 5, 6, index);
      const std::vector<double> in = doubles(x), out = doubles(y);
      int64_t kept = 0;
      for (int64_t i = 0; i < n; i++) {
        const bool keep = philox(5, 6, index + static_cast<uint64_t>(i)).word[0] < 0xC0000000u;
        const auto at = static_cast<size_t>(i);
        ASSERT_NEAR(out[at], keep ? in[at] / 0.75 : 0, std::fabs(in[at]) * 2 * rounding(type)) << i;
        kept += keep;
      }
      EXPECT_NEAR(static_cast<double>(kept) / n, 0.75, 0.03);
      // The second half computed alone is the same.
      const Array half = kernel::contiguous(x.view({n / 2}, {1}, n / 2));
      EXPECT_TRUE(same_bits(kernel::dropout(half, 0.25, 5, 6, index + n / 2),
                            kernel::contiguous(y.view({n / 2}, {1}, n / 2))));
    }
    const Array x = Array::of<float>({1, INFINITY, NAN});
    EXPECT_EQ(doubles(kernel::dropout(x, 1, 1, 1, 0)), (std::vector<double>{0, 0, 0}));
    expect_close(kernel::dropout(x, 0, 1, 1, 0), {1, INFINITY, NAN}, 0);
  });
}

TEST(Dropout, BitsDoNotDependOnThreads) {
  const Array x = random_array({70001}, DType::f32, 1);
  Array one, two;
  {
    Threads threads(1);
    one = kernel::dropout(x, 0.1, 1, 2, 3);
  }
  {
    Threads threads(2);
    two = kernel::dropout(x, 0.1, 1, 2, 3);
  }
  EXPECT_TRUE(same_bits(one, two));
}

}  // namespace
}  // namespace intarsia::test
