// Cases of the walk: losses.
#include <numeric>

#include "op/definitions.h"

namespace intarsia::walk::cases {

void cross_entropy(Walk& w) {
  for (double smoothing : {0.0, 0.1})
    for (int64_t ignore : {int64_t{-100}, int64_t{2}})
      w.check({"cross_entropy",
               {w.normal({4, 5, 37}), w.integers({4, 5}, 37)},
               {true, false},
               [=](In x) {
                 return intarsia::cross_entropy(x[0], x[1], {ignore, smoothing});
               },
               [=](Defs x) {
                 const Values logp = softmax_rows(x[0], 37, true);
                 double total = 0;
                 int count = 0;
                 for (int r = 0; r < 20; r++) {
                   const auto target = static_cast<int64_t>(x[1][size(r)]);
                   if (target == ignore) continue;
                   count++;
                   double all = 0;
                   for (int i = 0; i < 37; i++) all -= logp[size(r * 37 + i)] / 37;
                   total += -(1 - smoothing) * logp[size(r * 37 + target)] + smoothing * all;
                 }
                 return Values{total / count};
               }});
}

void linear_cross_entropy(Walk& w) {
  struct Form {
    int64_t ignore;
    double smoothing, soft_cap, z_loss;
  };
  for (const Form& f :
       {Form{-100, 0, 0, 0}, Form{2, 0.1, 0, 0}, Form{-100, 0, 1.5, 0}, Form{2, 0.1, 1.5, 0.05}})
    w.check({"linear_cross_entropy",
             {w.normal({4, 5, 9}), w.normal({37, 9}), w.integers({4, 5}, 37)},
             {true, true, false},
             [=](In x) {
               return intarsia::linear_cross_entropy(x[0], x[1], x[2], {f.ignore, f.smoothing}, f.soft_cap,
                                                     f.z_loss);
             },
             [=](Defs x) {
               double total = 0;
               int count = 0;
               for (int r = 0; r < 20; r++) {
                 const auto target = static_cast<int64_t>(x[2][size(r)]);
                 if (target == f.ignore) continue;
                 count++;
                 Values l(37);
                 double sum = 0, all = 0;
                 for (int v = 0; v < 37; v++) {
                   for (int t = 0; t < 9; t++) l[size(v)] += x[0][size(r * 9 + t)] * x[1][size(v * 9 + t)];
                   if (f.soft_cap > 0) l[size(v)] = f.soft_cap * std::tanh(l[size(v)] / f.soft_cap);
                   sum += std::exp(l[size(v)]);
                   all += l[size(v)] / 37;
                 }
                 const double norm = std::log(sum);
                 total +=
                     norm - (1 - f.smoothing) * l[size(target)] - f.smoothing * all + f.z_loss * norm * norm;
               }
               return Values{total / count};
             },
             2});
}

namespace {

using Loss = std::function<Tensor(const Tensor&, const Tensor&)>;

// The mean of error(x, target) over all elements.
void check_mean(Walk& w, const char* name, const Array& x, const Array& target, const Loss& op,
                const std::function<double(double, double)>& error) {
  w.check({name,
           {x, target},
           {true, true},
           [=](In v) { return op(v[0], v[1]); },
           [=](Defs v) {
             double s = 0;
             for (size_t i = 0; i < v[0].size(); i++) s += error(v[0][i], v[1][i]);
             return Values{s / static_cast<double>(v[0].size())};
           },
           4});
}

// -1 and 1
Array signs(Walk& w, const Shape& shape) {
  Array s = w.uniform(shape, 0, 1);
  double* p = s.mutable_data<double>();
  for (int64_t i = 0; i < s.size(); i++) p[i] = i % 3 == 0 ? -1 : 1;
  return s;
}

}  // namespace

void mse_loss(Walk& w) {
  check_mean(w, "mse_loss", w.normal({4, 5}), w.normal({4, 5}), intarsia::mse_loss,
             [](double x, double t) { return (x - t) * (x - t); });
}

void mae_loss(Walk& w) {
  check_mean(w, "mae_loss", w.normal({4, 5}), w.normal({4, 5}), intarsia::mae_loss,
             [](double x, double t) { return std::abs(x - t); });
}

void huber_loss(Walk& w) {
  for (double delta : {1.0, 0.4})
    check_mean(
        w, "huber_loss", w.normal({4, 5}), w.normal({4, 5}),
        [=](const Tensor& x, const Tensor& t) { return intarsia::huber_loss(x, t, delta); },
        [=](double x, double t) {
          const double e = std::abs(x - t);
          return e < delta ? e * e / 2 : delta * (e - delta / 2);
        });
}

void bce_with_logits(Walk& w) {
  check_mean(w, "bce_with_logits", w.normal({4, 5}), w.uniform({4, 5}, 0, 1), intarsia::bce_with_logits,
             [](double x, double t) {
               const double p = 1 / (1 + std::exp(-x));
               return -t * std::log(p) - (1 - t) * std::log(1 - p);
             });
}

void kl_loss(Walk& w) {
  w.check({"kl_loss",
           {w.normal({3, 5}), w.uniform({3, 5}, 0.1, 1)},
           {true, true},
           [](In x) { return intarsia::kl_loss(x[0], x[1]); },
           [](Defs x) {
             double s = 0;
             for (size_t i = 0; i < 15; i++) s += x[1][i] * (std::log(x[1][i]) - x[0][i]);
             return Values{s / 3};
           },
           4});
}

void nll_loss(Walk& w) {
  for (int64_t ignore : {-100, 2})
    w.check({"nll_loss",
             {w.normal({2, 5, 7}), w.integers({2, 5}, 7)},
             {true, false},
             [=](In x) { return intarsia::nll_loss(x[0], x[1], ignore); },
             [=](Defs x) {
               double s = 0;
               int count = 0;
               for (size_t i = 0; i < 10; i++) {
                 if (static_cast<int64_t>(x[1][i]) == ignore) continue;
                 s -= x[0][i * 7 + static_cast<size_t>(x[1][i])];
                 count++;
               }
               return Values{s / count};
             },
             4});
}

void hinge_loss(Walk& w) {
  const Array scores = w.normal({4, 5}), target = signs(w, {4, 5});
  check_mean(w, "hinge_loss", scores, target, intarsia::hinge_loss,
             [](double x, double t) { return std::max(0.0, 1 - t * x); });
}

namespace {

double dot(const double* a, const double* b, int64_t n) { return std::inner_product(a, a + n, b, 0.0); }
double cosine(const double* a, const double* b, int64_t n) {
  return dot(a, b, n) / std::sqrt(dot(a, a, n) * dot(b, b, n));
}

}  // namespace

void cosine_similarity(Walk& w) {
  w.check({"cosine_similarity",
           {w.normal({3, 2, 5}), w.normal({3, 2, 5})},
           {true, true},
           [](In x) { return intarsia::cosine_similarity(x[0], x[1]); },
           [](Defs x) {
             Values y;
             for (size_t r = 0; r < 30; r += 5) y.push_back(cosine(&x[0][r], &x[1][r], 5));
             return y;
           },
           8});
}

void cosine_loss(Walk& w) {
  w.check({"cosine_loss",
           {w.normal({6, 5}), w.normal({6, 5}), signs(w, {6})},
           {true, true, false},
           [](In x) { return intarsia::cosine_loss(x[0], x[1], x[2], -0.2); },
           [](Defs x) {
             double s = 0;
             for (size_t r = 0; r < 6; r++) {
               const double c = cosine(&x[0][r * 5], &x[1][r * 5], 5);
               s += x[2][r] > 0 ? 1 - c : std::max(0.0, c + 0.2);
             }
             return Values{s / 6};
           },
           8});
}

void triplet_loss(Walk& w) {
  w.check({"triplet_loss",
           {w.normal({6, 5}), w.normal({6, 5}), w.normal({6, 5})},
           {true, true, true},
           [](In x) { return intarsia::triplet_loss(x[0], x[1], x[2]); },
           [](Defs x) {
             double s = 0;
             for (size_t r = 0; r < 30; r += 5) {
               Values p, n;
               for (size_t i = r; i < r + 5; i++) {
                 p.push_back(x[0][i] - x[1][i] + 1e-6);
                 n.push_back(x[0][i] - x[2][i] + 1e-6);
               }
               s += std::max(
                   0.0, std::sqrt(dot(p.data(), p.data(), 5)) - std::sqrt(dot(n.data(), n.data(), 5)) + 1);
             }
             return Values{s / 6};
           },
           8});
}

namespace {

// p(target) by its definition: the sum over all alignments of `steps` labels that collapse to the target.
double alignments(const double* log_p, int64_t steps, int64_t classes, const std::vector<int64_t>& target) {
  double total = 0;
  const auto paths = static_cast<int64_t>(std::pow(classes, steps));
  for (int64_t path = 0; path < paths; path++) {
    std::vector<int64_t> collapsed;
    int64_t rest = path, last = 0;  // 0 is the blank
    double log_path = 0;
    for (int64_t t = 0; t < steps; t++) {
      const int64_t label = rest % classes;
      rest /= classes;
      log_path += log_p[t * classes + label];
      if (label != last && label != 0) collapsed.push_back(label);
      last = label;
    }
    if (collapsed == target) total += std::exp(log_path);
  }
  return total;
}

}  // namespace

void ctc_loss(Walk& w) {
  w.check({"ctc_loss",
           {w.normal({3, 5, 3})},
           {true},
           [](In x) {
             const Array labels = Array::of<int64_t>({1, 2, 2, 2, 2, 1, 1, 1, 1}).reshape({3, 3});
             return intarsia::ctc_loss(x[0], labels, Array::of<int64_t>({5, 4, 3}),
                                       Array::of<int64_t>({3, 2, 0}));
           },
           [](Defs x) {
             const std::vector<int64_t> labels[] = {{1, 2, 2}, {2, 2}, {}};
             double s = 0;
             for (size_t b = 0; b < 3; b++) {
               const auto length = std::max<double>(1, static_cast<double>(labels[b].size()));
               s -= std::log(alignments(&x[0][b * 15], 5 - static_cast<int64_t>(b), 3, labels[b])) / length;
             }
             return Values{s / 3};
           },
           4});
}

}  // namespace intarsia::walk::cases
