#include "intarsia/digits.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>

#include "intarsia/error.h"

namespace intarsia {
namespace {

TEST(Digits, AreTheSameForTheSameSeedAndThreads) {
  const int before = thread_count();
  const Digits a = draw_digits(300, 5);
  set_thread_count(before == 1 ? 2 : 1);
  const Digits b = draw_digits(300, 5);
  set_thread_count(before);
  EXPECT_EQ(std::memcmp(a.images.raw(), b.images.raw(), a.images.bytes()), 0);
  EXPECT_EQ(std::memcmp(a.labels.raw(), b.labels.raw(), a.labels.bytes()), 0);
  const Digits other = draw_digits(300, 6);
  EXPECT_NE(std::memcmp(a.images.raw(), other.images.raw(), a.images.bytes()), 0);
}

TEST(Digits, StartWithTheShorterDraw) {
  const Digits few = draw_digits(10, 3), many = draw_digits(200, 3);
  EXPECT_EQ(std::memcmp(few.images.raw(), many.images.raw(), few.images.bytes()), 0);
  EXPECT_EQ(std::memcmp(few.labels.raw(), many.labels.raw(), few.labels.bytes()), 0);
}

TEST(Digits, AreTenKindsOfImagesWithInkOnPaper) {
  const Digits digits = draw_digits(2000, 1);
  ASSERT_EQ(digits.images.shape(), (Shape{2000, 784}));
  ASSERT_EQ(digits.labels.shape(), (Shape{2000}));
  std::array<int, 10> counts{};
  for (int64_t i = 0; i < 2000; i++) {
    const int label = digits.labels.data<int32_t>()[i];
    ASSERT_GE(label, 0);
    ASSERT_LE(label, 9);
    counts[static_cast<size_t>(label)]++;
    double ink = 0;
    for (int64_t p = 0; p < 784; p++) {
      const float value = digits.images.data<float>()[i * 784 + p];
      ASSERT_GE(value, 0.0f);
      ASSERT_LE(value, 1.0f);
      ink += value;
    }
    EXPECT_GT(ink, 10) << "digit " << i;
    EXPECT_LT(ink, 350) << "digit " << i;
  }
  for (int count : counts) EXPECT_NEAR(count, 200, 60);
}

// The nearest mean image: far better than guessing, far from perfect. So there is something to learn.
TEST(Digits, CanBeToldApartButNotByTheirMeans) {
  const Digits train = draw_digits(3000, 1), test = draw_digits(1000, 2);
  std::vector<double> means(10 * 784, 0.0), counts(10, 0.0);
  for (int64_t i = 0; i < 3000; i++) {
    const auto label = static_cast<size_t>(train.labels.data<int32_t>()[i]);
    counts[label]++;
    for (size_t p = 0; p < 784; p++)
      means[label * 784 + p] +=
          static_cast<double>(train.images.data<float>()[static_cast<size_t>(i) * 784 + p]);
  }
  int right = 0;
  for (int64_t i = 0; i < 1000; i++) {
    size_t best = 0;
    double least = 1e30;
    for (size_t label = 0; label < 10; label++) {
      double sum = 0;
      for (size_t p = 0; p < 784; p++) {
        const double difference =
            static_cast<double>(test.images.data<float>()[static_cast<size_t>(i) * 784 + p]) -
            means[label * 784 + p] / counts[label];
        sum += difference * difference;
      }
      if (sum < least) {
        least = sum;
        best = label;
      }
    }
    right += static_cast<int>(best) == test.labels.data<int32_t>()[i];
  }
  EXPECT_GT(right, 400);
  EXPECT_LT(right, 900);
}

TEST(Digits, RefusesANegativeCount) {
  EXPECT_THROW(draw_digits(-1, 1), Error);
  EXPECT_EQ(draw_digits(0, 1).images.shape(), (Shape{0, 784}));
}

}  // namespace
}  // namespace intarsia
