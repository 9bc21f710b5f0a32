// Distributions: by moments and by Kolmogorov and Smirnov's or Pearson's test at a level of 1 in 1,000, with
// fixed seeds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "core/fail.h"
#include "intarsia/random.h"

namespace intarsia {
namespace {

constexpr int64_t count = 20000;
constexpr double infinity = std::numeric_limits<double>::infinity();

template <class T>
std::vector<double> as_doubles(const Array& x) {
  const auto s = x.span<T>();
  return std::vector<double>(s.begin(), s.end());
}
std::vector<double> reals(const Array& x) { return as_doubles<float>(x); }
std::vector<double> integers(const Array& x) { return as_doubles<int64_t>(x); }

void expect_moments(const std::vector<double>& x, double mean, double variance) {
  const auto n = static_cast<double>(x.size());
  double sum = 0, squares = 0, fourth = 0;
  for (double v : x) sum += v;
  for (double v : x) squares += std::pow(v - sum / n, 2);
  for (double v : x) fourth += std::pow(v - sum / n, 4);
  EXPECT_NEAR(sum / n, mean, 4 * std::sqrt(variance / n));
  EXPECT_NEAR(squares / n, variance, 4 * std::sqrt((fourth / n - variance * variance) / n));
}

void expect_distribution(std::vector<double> x, const std::function<double(double)>& cdf) {
  std::sort(x.begin(), x.end());
  const auto n = static_cast<double>(x.size());
  double distance = 0;
  for (size_t i = 0; i < x.size(); i++) {
    const double p = cdf(x[i]), at = static_cast<double>(i);
    distance = std::max({distance, p - at / n, (at + 1) / n - p});
  }
  EXPECT_LT(distance * std::sqrt(n), 1.95);  // 1 in 1,000
}

// Pearson's statistic over the numbers of the support that are expected at least 10 times.
void expect_frequencies(const std::vector<double>& x, const std::function<double(int64_t)>& p, int64_t most) {
  const auto n = static_cast<double>(x.size());
  double statistic = 0, rest_expected = n, rest_found = n;
  int cells = 0;
  for (int64_t k = 0; k <= most; k++) {
    const double expected = n * p(k);
    if (expected < 10) continue;
    const auto found = static_cast<double>(std::count(x.begin(), x.end(), static_cast<double>(k)));
    statistic += std::pow(found - expected, 2) / expected;
    rest_expected -= expected;
    rest_found -= found;
    cells++;
  }
  if (rest_expected >= 5) {
    statistic += std::pow(rest_found - rest_expected, 2) / rest_expected;
    cells++;
  }
  ASSERT_GE(cells, 2);
  const double freedom = cells - 1;  // Wilson and Hilferty: 3.09 deviations are 1 in 1,000
  const double limit = freedom * std::pow(1 - 2 / (9 * freedom) + 3.09 * std::sqrt(2 / (9 * freedom)), 3);
  EXPECT_LT(statistic, limit) << cells << " cells";
}

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

// The regularized incomplete gamma function by its series.
double gamma_cdf(double a, double x) {
  if (x <= 0) return 0;
  double term = 1 / a, sum = term;
  for (int n = 1; n < 2000 && term > sum * 1e-15; n++) sum += term *= x / (a + n);
  return sum * std::exp(a * std::log(x) - x - std::lgamma(a));
}

double log_choose(double n, double k) {
  return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1);
}

TEST(Distributions, UniformAndNormal) {
  const auto u = reals(uniform({count}, -2, 3, 5, 1));
  expect_moments(u, 0.5, 25.0 / 12);
  expect_distribution(u, [](double x) { return (x + 2) / 5; });
  const auto z = reals(normal({count}, 2, 5, 2));
  expect_moments(z, 0, 4);
  expect_distribution(z, [](double x) { return normal_cdf(x / 2); });
}

TEST(Distributions, TruncatedNormal) {
  struct Bounds {
    double low, high;
  };
  for (auto [low, high] : {Bounds{-1, 2}, Bounds{-0.3, 0.2}, Bounds{1, infinity}, Bounds{-infinity, -3},
                           Bounds{4, 4.1}, Bounds{-infinity, infinity}, Bounds{0, 9}}) {
    SCOPED_TRACE(low);
    const auto x = reals(truncated_normal({count}, 0.5, 2, 0.5 + 2 * low, 0.5 + 2 * high, 6, 1));
    const double from = normal_cdf(low), all = normal_cdf(high) - from;
    // In the upper tail the differences of 1 - cdf keep their digits.
    const auto cdf = [=](double v) {
      const double z = (v - 0.5) / 2;
      return low > 0 ? (normal_cdf(-low) - normal_cdf(-z)) / (normal_cdf(-low) - normal_cdf(-high))
                     : (normal_cdf(z) - from) / all;
    };
    expect_distribution(x, cdf);
    for (double v : x) EXPECT_TRUE(v >= 0.5 + 2 * low - 1e-6 && v <= 0.5 + 2 * high + 1e-6);
  }
}

TEST(Distributions, BernoulliAndCategorical) {
  const auto b = reals(bernoulli({count}, 0.3, 7, 1));
  expect_frequencies(
      b, [](int64_t k) { return k ? 0.3 : 0.7; }, 1);
  EXPECT_EQ(std::accumulate(b.begin(), b.end(), 0.0), std::count(b.begin(), b.end(), 1.0));
  for (double v : reals(bernoulli({100}, 1, 7))) EXPECT_EQ(v, 1);
  for (double v : reals(bernoulli({100}, 0, 7))) EXPECT_EQ(v, 0);
  const double weights[] = {0, 2, 5, 0, 1, 0};
  const auto c = integers(categorical({count}, Array::copy_of<double>(weights, {6}), 7, 2));
  expect_frequencies(
      c, [&](int64_t k) { return weights[k] / 8; }, 5);
  for (double v : c) EXPECT_GT(weights[static_cast<size_t>(v)], 0);
}

TEST(Distributions, GumbelAndExponential) {
  const auto g = reals(gumbel({count}, 8, 1));
  expect_moments(g, 0.5772156649, M_PI * M_PI / 6);
  expect_distribution(g, [](double x) { return std::exp(-std::exp(-x)); });
  const auto e = reals(exponential({count}, 2.5, 8, 2));
  expect_moments(e, 0.4, 0.16);
  expect_distribution(e, [](double x) { return -std::expm1(-2.5 * x); });
}

TEST(Distributions, Poisson) {
  for (double rate : {0.02, 0.7, 9.5, 10.5, 40.0, 300.0}) {
    SCOPED_TRACE(rate);
    const auto x = integers(poisson({count}, rate, 9, 1));
    expect_moments(x, rate, rate);
    expect_frequencies(
        x,
        [=](int64_t k) {
          return std::exp(static_cast<double>(k) * std::log(rate) - rate - std::lgamma(k + 1.0));
        },
        600);
  }
  for (double v : integers(poisson({100}, 0, 9))) EXPECT_EQ(v, 0);
}

TEST(Distributions, Gamma) {
  for (double a : {0.05, 0.6, 1.0, 4.5, 60.0}) {
    SCOPED_TRACE(a);
    const auto x = reals(gamma({count}, a, 2, 10, 1));
    if (a > 0.5) expect_moments(x, 2 * a, 4 * a);
    expect_distribution(x, [=](double v) { return gamma_cdf(a, v / 2); });
  }
}

TEST(Distributions, Beta) {
  const auto x = reals(beta({count}, 2, 3, 11, 1));
  expect_moments(x, 0.4, 0.04);
  const auto two_three = [](double v) {
    return 6 * v * v * (1 - v) * (1 - v) + 4 * v * v * v * (1 - v) + v * v * v * v;
  };
  expect_distribution(x, two_three);
  expect_distribution(reals(beta({count}, 0.5, 0.5, 11, 2)),
                      [](double v) { return 2 / M_PI * std::asin(std::sqrt(v)); });
  for (double v : reals(beta({1000}, 1e-3, 1e-3, 11, 3))) EXPECT_TRUE(v >= 0 && v <= 1);
}

TEST(Distributions, Dirichlet) {
  const float concentration[] = {2, 1, 2};
  const Array points = dirichlet({count}, Array::copy_of<float>(concentration, {3}), 12, 1);
  ASSERT_EQ(points.shape(), Shape({count, 3}));
  const auto all = reals(points);
  std::vector<double> first, second;
  for (size_t i = 0; i < all.size(); i += 3) {
    EXPECT_NEAR(all[i] + all[i + 1] + all[i + 2], 1, 1e-6);
    first.push_back(all[i]);
    second.push_back(all[i + 1]);
  }
  // Each number is a beta variate: of (2, 3) and (1, 4).
  expect_moments(first, 0.4, 0.04);
  expect_distribution(second, [](double v) { return 1 - std::pow(1 - v, 4); });
}

TEST(Distributions, Binomial) {
  struct Tries {
    int64_t n;
    double p;
  };
  for (auto [n, p] : {Tries{1, 0.4}, Tries{12, 0.3}, Tries{40, 0.9}, Tries{100, 0.5}, Tries{1000, 0.02},
                      Tries{500, 0.7}, Tries{3000, 0.001}}) {
    SCOPED_TRACE(n);
    const auto x = integers(binomial({count}, n, p, 13, 1));
    const auto tries = static_cast<double>(n);
    expect_moments(x, tries * p, tries * p * (1 - p));
    expect_frequencies(
        x,
        [=](int64_t k) {
          const auto i = static_cast<double>(k);
          return std::exp(log_choose(tries, i) + i * std::log(p) + (tries - i) * std::log1p(-p));
        },
        n);
  }
  for (double v : integers(binomial({100}, 7, 1, 13))) EXPECT_EQ(v, 7);
  for (double v : integers(binomial({100}, 7, 0, 13))) EXPECT_EQ(v, 0);
}

TEST(Distributions, PermutationsAreUniform) {
  std::vector<double> numbers;
  for (uint64_t seed = 0; seed < 6000; seed++) {
    const Array order = permutation(4, seed, 3);
    const int64_t* x = order.data<int64_t>();
    int64_t number = 0;
    for (int64_t i = 0; i < 4; i++) {
      EXPECT_EQ(std::count(x, x + 4, i), 1);
      int64_t smaller = 0;
      for (int64_t j = i + 1; j < 4; j++) smaller += x[j] < x[i];
      number = number * (4 - i) + smaller;
    }
    numbers.push_back(static_cast<double>(number));
  }
  expect_frequencies(
      numbers, [](int64_t) { return 1.0 / 24; }, 23);
}

TEST(Distributions, AnElementDependsOnItsIndexAndNotOnTheShapeOrTheThreads) {
  const int before = thread_count();
  set_thread_count(1);
  const auto x = reals(gamma({5000}, 0.4, 1, 14, 2));
  set_thread_count(2);
  const auto y = reals(gamma({2, 2500}, 0.4, 1, 14, 2)), z = reals(gamma({100}, 0.4, 1, 14, 2));
  set_thread_count(before);
  EXPECT_EQ(x, y);
  EXPECT_TRUE(std::equal(z.begin(), z.end(), x.begin()));
  EXPECT_NE(x, reals(gamma({5000}, 0.4, 1, 14, 3)));
}

TEST(Distributions, RefuseWhatIsNoParameter) {
  EXPECT_THROW(truncated_normal({1}, 0, 1, 1, 1, 1), Error);
  EXPECT_THROW(bernoulli({1}, 1.5, 1), Error);
  EXPECT_THROW(categorical({1}, Array::of<float>({1, -1}), 1), Error);
  EXPECT_THROW(categorical({1}, Array::of<float>({0, 0}), 1), Error);
  EXPECT_THROW(exponential({1}, 0, 1), Error);
  EXPECT_THROW(poisson({1}, NAN, 1), Error);
  EXPECT_THROW(gamma({1}, -1, 1, 1), Error);
  EXPECT_THROW(binomial({1}, -1, 0.5, 1), Error);
}

}  // namespace
}  // namespace intarsia
