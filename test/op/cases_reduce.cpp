// Cases of the walk: reductions and scans.
#include <numeric>

#include "op/definitions.h"

namespace intarsia::walk::cases {

void sum(Walk& w) {
  w.check({"sum of all",
           {w.normal({3, 5, 4})},
           {true},
           [](In x) { return intarsia::sum(x[0]); },
           [](Defs x) { return Values{std::accumulate(x[0].begin(), x[0].end(), 0.0)}; },
           4});
  w.check({"sum over the middle",
           {w.normal({3, 5, 4})},
           {true},
           [](In x) { return intarsia::sum(x[0], {1}, true); },
           [](Defs x) {
             Values y(12);
             for (size_t i = 0; i < 60; i++) y[i / 20 * 4 + i % 4] += x[0][i];
             return y;
           }});
}

void mean(Walk& w) {
  w.check({"mean over the ends",
           {w.normal({3, 5, 4})},
           {true},
           [](In x) {
             return intarsia::mean(x[0], {0, 2});
           },
           [](Defs x) {
             Values y(5);
             for (size_t i = 0; i < 60; i++) y[i / 4 % 5] += x[0][i] / 12;
             return y;
           },
           4});
}

void max(Walk& w) {
  w.check({"max over the last",
           {w.normal({3, 5, 7})},
           {true},
           [](In x) { return intarsia::max(x[0], {-1}); },
           [](Defs x) {
             Values y;
             for (size_t r = 0; r < 15; r++) y.push_back(*std::max_element(&x[0][r * 7], &x[0][r * 7] + 7));
             return y;
           }});
}

namespace {

// A reduction over the middle axis, over all, and over a single element, by what it makes of a line.
struct Reducing {
  const char* name;
  std::function<Tensor(const Tensor&, const Axes&, bool)> op;
  std::function<double(const Values&)> line;
  double tolerance = 4;
  bool near_one = false;  // inputs of which a product neither overflows nor vanishes
};
void check(Walk& w, const Reducing& r) {
  const auto draw = [&](const Shape& s) { return r.near_one ? w.uniform(s, 0.6, 1.4) : w.normal(s); };
  const auto of_line = [r](const Values& v) { return Values{r.line(v)}; };
  w.check({std::string(r.name) + " over the middle",
           {draw({3, 5, 4})},
           {true},
           [r](In x) { return r.op(x[0], {1}, true); },
           [=](Defs x) {
             return per_line(x[0], {3, 5, 4}, 1, of_line);
           },
           r.tolerance});
  w.check({std::string(r.name) + " of all",
           {draw({3, 7})},
           {true},
           [r](In x) { return r.op(x[0], {}, false); },
           [=](Defs x) { return of_line(x[0]); },
           r.tolerance});
  w.check({std::string(r.name) + " over the ends",
           {draw({2, 3, 4})},
           {true},
           [r](In x) {
             return r.op(x[0], {0, -1}, false);
           },
           [=](Defs x) {
             Values y;
             for (size_t k = 0; k < 3; k++) {
               Values line;
               for (size_t i = 0; i < 24; i++)
                 if (i / 4 % 3 == k) line.push_back(x[0][i]);
               y.push_back(r.line(line));
             }
             return y;
           },
           r.tolerance});
}

double mean_of(const Values& v) {
  return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
}
double squares_about_mean(const Values& v) {
  double s = 0;
  for (double x : v) s += (x - mean_of(v)) * (x - mean_of(v));
  return s;
}

}  // namespace

void min(Walk& w) {
  check(w, {"min", [](const auto&... x) { return intarsia::min(x...); },
            [](const Values& v) { return *std::min_element(v.begin(), v.end()); }});
}

void prod(Walk& w) {
  const auto line = [](const Values& v) {
    return std::accumulate(v.begin(), v.end(), 1.0, std::multiplies<>());
  };
  check(w, {"prod", [](const auto&... x) { return intarsia::prod(x...); }, line, 4, true});
  w.check({"prod with zeros",
           {Array::of<double>({2, 0, 3, 0, 5, 0, 7, 8, 9}).reshape({3, 3})},
           {true},
           [](In x) { return intarsia::prod(x[0], {1}); },
           [=](Defs x) {
             return per_line(x[0], {3, 3}, 1, [=](const Values& v) { return Values{line(v)}; });
           }});
}

void logsumexp(Walk& w) {
  check(w, {"logsumexp", [](const auto&... x) { return intarsia::logsumexp(x...); },
            [](const Values& v) {
              double s = 0;
              for (double x : v) s += std::exp(x);
              return std::log(s);
            }});
}

void variance(Walk& w) {
  check(w, {"variance", [](const auto&... x) { return intarsia::variance(x...); },
            [](const Values& v) { return squares_about_mean(v) / static_cast<double>(v.size() - 1); }});
}

void standard_deviation(Walk& w) {
  check(w,
        {"standard_deviation",
         [](const Tensor& x, const Axes& axes, bool keep) {
           return intarsia::standard_deviation(x, axes, keep, 0);
         },
         [](const Values& v) { return std::sqrt(squares_about_mean(v) / static_cast<double>(v.size())); }});
}

void norm(Walk& w) {
  for (double p : {1.0, 2.0, 3.5, 0.5, -1.0, static_cast<double>(INFINITY)})
    check(w, {"norm",
              [p](const Tensor& x, const Axes& axes, bool keep) { return intarsia::norm(x, p, axes, keep); },
              [p](const Values& v) {
                double s = 0;
                for (double x : v)
                  s = std::isinf(p) ? std::max(s, std::abs(x)) : s + std::pow(std::abs(x), p);
                return std::isinf(p) ? s : std::pow(s, 1 / p);
              },
              8, p < 1});
}

namespace {

// A scan along the first, a middle and the last axis.
void check_scan(Walk& w, const char* name, const std::function<Tensor(const Tensor&, int)>& op,
                const std::function<Values(const Values&)>& line) {
  for (int axis : {0, 1, 2})
    w.check({std::string(name) + " along " + std::to_string(axis),
             {w.normal({4, 5, 3})},
             {true},
             [=](In x) { return op(x[0], axis); },
             [=](Defs x) {
               return per_line(x[0], {4, 5, 3}, axis, line);
             },
             4});
}

}  // namespace

void cumsum(Walk& w) {
  check_scan(w, "cumsum", intarsia::cumsum, [](const Values& v) {
    Values y = v;
    for (size_t i = 1; i < y.size(); i++) y[i] += y[i - 1];
    return y;
  });
}

void cumprod(Walk& w) {
  const auto line = [](const Values& v) {
    Values y = v;
    for (size_t i = 1; i < y.size(); i++) y[i] *= y[i - 1];
    return y;
  };
  check_scan(w, "cumprod", intarsia::cumprod, line);
  w.check({"cumprod with zeros",
           {Array::of<double>({2, 0, 3, 0, 5, 0, 7, 8, 9}).reshape({3, 3})},
           {true},
           [](In x) { return intarsia::cumprod(x[0], -1); },
           [=](Defs x) {
             return per_line(x[0], {3, 3}, 1, line);
           }});
}

void cummax(Walk& w) {
  check_scan(
      w, "cummax", [](const Tensor& x, int axis) { return intarsia::cummax(x, axis).values; },
      [](const Values& v) {
        Values y = v;
        for (size_t i = 1; i < y.size(); i++) y[i] = std::max(y[i], y[i - 1]);
        return y;
      });
}

}  // namespace intarsia::walk::cases
