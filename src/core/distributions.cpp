// Distributions by counter: element i of an array draws from the sequences of (seed, stream, i). Counts with
// many expected events come by Hoermann's transformed rejection (PTRS and BTRS, 1993), whose constants they
// carry.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "core/fail.h"
#include "core/threads.h"
#include "intarsia/random.h"

namespace intarsia {
namespace {

// std::lgamma writes a global sign: a race between threads.
double log_gamma(double x) {
  int sign;
  return ::lgamma_r(x, &sign);
}

// The numbers of one element, as many as it needs: try t stands in the sequence of seed + t * odd constant.
class Draws {
 public:
  Draws(uint64_t seed, uint64_t stream, uint64_t index) : seed_(seed), stream_(stream), index_(index) {}
  double uniform() {  // in (0, 1): the middle of one of 2^52 intervals
    if (used_ == 2) {
      bits_ = philox(seed_, stream_, index_);
      seed_ += 0x9E3779B97F4A7C15;
      used_ = 0;
    }
    const uint32_t* word = bits_.word + 2 * used_++;
    return (static_cast<double>((uint64_t{word[0]} << 32 | word[1]) >> 12) + 0.5) * 0x1p-52;
  }
  double normal() {  // Box and Muller
    const double radius = std::sqrt(-2 * std::log(uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }

 private:
  uint64_t seed_, stream_, index_;
  Philox bits_{};
  size_t used_ = 2;
};

template <class T, class F>
Array drawn(const Shape& shape, uint64_t seed, uint64_t stream, F f) {
  Array a = Array::empty(shape, dtype_of<T>::value);
  T* x = a.mutable_data<T>();
  parallel_for(a.size(), 1024, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      Draws draws(seed, stream, static_cast<uint64_t>(i));
      x[i] = static_cast<T>(f(draws));
    }
  });
  return a;
}

void require_positive(const char* op, const char* name, double value) {
  if (!(value > 0) || !std::isfinite(value))
    fail("{}: {} is {}, expected a positive number", op, name, value);
}
void require_probability(const char* op, double p) {
  if (!(p >= 0 && p <= 1)) fail("{}: p is {}, expected 0 to 1", op, p);
}

// A standard normal in [low, high].
double truncated(Draws& draws, double low, double high) {
  if (high < 0) return -truncated(draws, -high, -low);
  const double width = high - low;
  if (low <= 0) {
    for (const bool narrow = width < 2.5;;) {
      const double x = narrow ? low + width * draws.uniform() : draws.normal();
      if (narrow ? draws.uniform() <= std::exp(-x * x / 2) : x >= low && x <= high) return x;
    }
  }
  // A tail: an exponential through the same edge lies above it.
  const double rate = (low + std::sqrt(low * low + 4)) / 2;
  for (const bool narrow = width * rate < 1;;) {
    const double x = low + (narrow ? width * draws.uniform() : -std::log(draws.uniform()) / rate);
    const double accept = narrow ? (low * low - x * x) / 2 : -(x - rate) * (x - rate) / 2;
    if (x <= high && std::log(draws.uniform()) <= accept) return x;
  }
}

// The logarithm of a gamma variate of scale 1: small concentrations give numbers below the least double.
double log_gamma_variate(Draws& draws, double concentration) {
  double boost = 0;
  if (concentration < 1) {
    boost = std::log(draws.uniform()) / concentration;
    concentration += 1;
  }
  const double d = concentration - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = draws.normal(), root = 1 + c * x;
    if (root <= 0) continue;
    const double v = root * root * root;
    if (std::log(draws.uniform()) < x * x / 2 + d - d * v + d * std::log(v)) return std::log(d * v) + boost;
  }
}

// The k of the first partial sum of probabilities p(0), p(0) ratio(1), ... above a uniform number.
template <class Ratio>
int64_t by_inversion(Draws& draws, double first, int64_t most, Ratio ratio) {
  double p = first, rest = draws.uniform();
  int64_t k = 0;
  while (rest > p && k < most) {
    rest -= p;
    k++;
    p *= ratio(static_cast<double>(k));
    if (p == 0) break;  // what is left is less than rounding
  }
  return k;
}

std::vector<double> numbers_of(const char* op, const char* name, const Array& x) {
  if (x.rank() != 1 || x.dim(0) < 1 || !x.contiguous() ||
      (x.dtype() != DType::f32 && x.dtype() != DType::f64))
    fail("{}: {} has shape {} and type {}, expected [K] in f32 or f64", op, name, x.shape().text(),
         info(x.dtype()).name);
  std::vector<double> v(static_cast<size_t>(x.dim(0)));
  for (size_t i = 0; i < v.size(); i++)
    v[i] = x.dtype() == DType::f64 ? x.data<double>()[i] : static_cast<double>(x.data<float>()[i]);
  return v;
}

}  // namespace

Array truncated_normal(const Shape& shape, double mean, double deviation, double low, double high,
                       uint64_t seed, uint64_t stream) {
  require_positive("truncated_normal", "deviation", deviation);
  if (!(low < high)) fail("truncated_normal: low is {} and high {}, expected low < high", low, high);
  const double a = (low - mean) / deviation, b = (high - mean) / deviation;
  return drawn<float>(shape, seed, stream, [=](Draws& draws) {
    return std::clamp(mean + deviation * truncated(draws, a, b), low, high);
  });
}

Array bernoulli(const Shape& shape, double p, uint64_t seed, uint64_t stream) {
  require_probability("bernoulli", p);
  return drawn<float>(shape, seed, stream, [=](Draws& draws) { return draws.uniform() < p ? 1 : 0; });
}

Array categorical(const Shape& shape, const Array& weights, uint64_t seed, uint64_t stream) {
  std::vector<double> sums = numbers_of("categorical", "weights", weights);
  double total = 0;
  for (double& w : sums) {
    if (!(w >= 0) || !std::isfinite(w))
      fail("categorical: a weight is {}, expected a number of at least 0", w);
    w = total += w;
  }
  require_positive("categorical", "the sum of the weights", total);
  return drawn<int64_t>(shape, seed, stream, [&](Draws& draws) {
    return std::upper_bound(sums.begin(), sums.end() - 1, draws.uniform() * total) - sums.begin();
  });
}

Array gumbel(const Shape& shape, uint64_t seed, uint64_t stream) {
  return drawn<float>(shape, seed, stream,
                      [](Draws& draws) { return -std::log(-std::log(draws.uniform())); });
}

Array exponential(const Shape& shape, double rate, uint64_t seed, uint64_t stream) {
  require_positive("exponential", "rate", rate);
  return drawn<float>(shape, seed, stream, [=](Draws& draws) { return -std::log(draws.uniform()) / rate; });
}

Array poisson(const Shape& shape, double rate, uint64_t seed, uint64_t stream) {
  constexpr double most = 0x1p53;
  if (!(rate >= 0 && rate <= most / 2)) fail("poisson: rate is {}, expected 0 to 2^52", rate);
  return drawn<int64_t>(shape, seed, stream, [=](Draws& draws) {
    if (rate < 10) return by_inversion(draws, std::exp(-rate), 1000, [=](double k) { return rate / k; });
    const double b = 0.931 + 2.53 * std::sqrt(rate), inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    const double a = -0.059 + 0.02483 * b, inner = 0.9277 - 3.6224 / (b - 2);
    for (;;) {
      const double u = draws.uniform() - 0.5, v = draws.uniform(), us = 0.5 - std::abs(u);
      const double k = std::floor((2 * a / us + b) * u + rate + 0.43);
      if (us >= 0.07 && v <= inner) return static_cast<int64_t>(k);
      if (k < 0 || (us < 0.013 && v > us)) continue;
      if (std::log(v * inverse_alpha / (a / (us * us) + b)) <= k * std::log(rate) - rate - log_gamma(k + 1))
        return static_cast<int64_t>(k);
    }
  });
}

Array gamma(const Shape& shape, double concentration, double scale, uint64_t seed, uint64_t stream) {
  require_positive("gamma", "concentration", concentration);
  require_positive("gamma", "scale", scale);
  return drawn<float>(shape, seed, stream, [=](Draws& draws) {
    return scale * std::exp(log_gamma_variate(draws, concentration));
  });
}

Array beta(const Shape& shape, double a, double b, uint64_t seed, uint64_t stream) {
  require_positive("beta", "a", a);
  require_positive("beta", "b", b);
  return drawn<float>(shape, seed, stream, [=](Draws& draws) {
    const double x = log_gamma_variate(draws, a), y = log_gamma_variate(draws, b);
    return 1 / (1 + std::exp(y - x));
  });
}

Array dirichlet(const Shape& shape, const Array& concentration, uint64_t seed, uint64_t stream) {
  const std::vector<double> c = numbers_of("dirichlet", "concentration", concentration);
  for (double v : c) require_positive("dirichlet", "a concentration", v);
  Shape full = shape;
  full.append(static_cast<int64_t>(c.size()));
  Array points = Array::empty(full);
  float* x = points.mutable_data<float>();
  parallel_for(shape.count(), 256, [&](int64_t begin, int64_t end) {
    std::vector<double> logs(c.size());
    for (int64_t i = begin; i < end; i++) {
      Draws draws(seed, stream, static_cast<uint64_t>(i));
      for (size_t k = 0; k < c.size(); k++) logs[k] = log_gamma_variate(draws, c[k]);
      const double top = *std::max_element(logs.begin(), logs.end());
      double sum = 0;
      for (double& v : logs) sum += v = std::exp(v - top);
      for (size_t k = 0; k < c.size(); k++)
        x[static_cast<size_t>(i) * c.size() + k] = static_cast<float>(logs[k] / sum);
    }
  });
  return points;
}

Array binomial(const Shape& shape, int64_t count, double p, uint64_t seed, uint64_t stream) {
  require_probability("binomial", p);
  if (count < 0 || count > int64_t{1} << 52) fail("binomial: count is {}, expected 0 to 2^52", count);
  // Drawn with the smaller of the two probabilities.
  const double q = std::min(p, 1 - p), n = static_cast<double>(count), odds = q / (1 - q);
  const double spread = std::sqrt(n * q * (1 - q)), summit = std::floor((n + 1) * q);
  const auto log_p = [=](double k) {  // up to that of the summit
    return log_gamma(summit + 1) + log_gamma(n - summit + 1) - log_gamma(k + 1) - log_gamma(n - k + 1) +
           (k - summit) * std::log(odds);
  };
  const double b = 1.15 + 2.53 * spread, a = -0.0873 + 0.0248 * b + 0.01 * q, inner = 0.92 - 4.2 / b;
  const double alpha = (2.83 + 5.1 / b) * spread;
  const auto draw = [=](Draws& draws) -> int64_t {
    if (n * q < 10)
      return by_inversion(draws, std::exp(n * std::log1p(-q)), count,
                          [=](double i) { return odds * (n - i + 1) / i; });
    for (;;) {
      const double v = draws.uniform(), u = draws.uniform() - 0.5, us = 0.5 - std::abs(u);
      const double k = std::floor((2 * a / us + b) * u + n * q + 0.5);
      if (k < 0 || k > n) continue;
      if (us >= 0.07 && v <= inner) return static_cast<int64_t>(k);
      if (std::log(v * alpha / (a / (us * us) + b)) <= log_p(k)) return static_cast<int64_t>(k);
    }
  };
  return drawn<int64_t>(shape, seed, stream,
                        [=](Draws& draws) { return p <= 0.5 ? draw(draws) : count - draw(draws); });
}

Array permutation(int64_t n, uint64_t seed, uint64_t stream) {
  if (n < 0) fail("permutation: n is {}", n);
  Array order = Array::empty({n}, DType::i64);
  int64_t* x = order.mutable_data<int64_t>();
  Random random(seed, stream);
  for (int64_t i = 0; i < n; i++) {
    const auto j = static_cast<int64_t>(random.below(static_cast<uint64_t>(i) + 1));
    x[i] = x[j];
    x[j] = i;
  }
  return order;
}

}  // namespace intarsia
