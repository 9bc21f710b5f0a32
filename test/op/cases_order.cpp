// Cases of the walk: orderings, comparisons and counting.
#include <numeric>

#include "op/definitions.h"

namespace intarsia::walk::cases {

void argmax(Walk& w) {
  w.check({"argmax",
           {w.normal({3, 5, 4})},
           {false},
           [](In x) { return intarsia::argmax(x[0], 1); },
           [](Defs x) {
             Values y(12);
             for (size_t a = 0; a < 3; a++)
               for (size_t c = 0; c < 4; c++)
                 for (size_t b = 0; b < 5; b++)
                   if (x[0][(a * 5 + b) * 4 + c] > x[0][(a * 5 + static_cast<size_t>(y[a * 4 + c])) * 4 + c])
                     y[a * 4 + c] = static_cast<double>(b);
             return y;
           }});
}

namespace {
Values ordered(const Values& x, size_t width, size_t keep, bool descending) {
  Values y;
  for (size_t r = 0; r < x.size(); r += width) {
    Values row(&x[r], &x[r] + width);
    std::sort(row.begin(), row.end());
    if (descending) std::reverse(row.begin(), row.end());
    y.insert(y.end(), row.begin(), row.begin() + static_cast<std::ptrdiff_t>(keep));
  }
  return y;
}
}  // namespace

void topk(Walk& w) {
  w.check({"topk",
           {w.normal({3, 11})},
           {true},
           [](In x) { return intarsia::topk(x[0], 4).values; },
           [](Defs x) { return ordered(x[0], 11, 4, true); }});
}

void sort(Walk& w) {
  w.check({"sort",
           {w.normal({3, 11})},
           {true},
           [](In x) { return intarsia::sort(x[0]).values; },
           [](Defs x) { return ordered(x[0], 11, 11, false); }});
}

void unique(Walk& w) {
  w.check({"unique",
           {w.integers({3, 7}, 9)},
           {false},
           [](In x) { return intarsia::unique(x[0]).values; },
           [](Defs x) {
             Values y = x[0];
             std::sort(y.begin(), y.end());
             y.erase(std::unique(y.begin(), y.end()), y.end());
             return y;
           }});
}

void bincount(Walk& w) {
  w.check({"bincount",
           {w.integers({3, 7}, 6)},
           {false},
           [](In x) { return intarsia::bincount(x[0], 9); },
           [](Defs x) {
             Values y(9);
             for (double id : x[0]) y[static_cast<size_t>(id)]++;
             return y;
           }});
}

namespace {

void check_comparison(Walk& w, const std::function<Tensor(const Tensor&, const Tensor&)>& op,
                      const std::function<bool(double, double)>& test) {
  w.check({"comparison of integers with broadcasting",
           {w.integers({7, 1}, 3), w.integers({5}, 3)},
           {false, false},
           [=](In x) { return op(x[0], x[1]); },
           [=](Defs x) {
             Values y;
             for (double a : x[0])
               for (double b : x[1]) y.push_back(test(a, b));
             return y;
           }});
}

}  // namespace

void equal(Walk& w) { check_comparison(w, intarsia::equal, std::equal_to<>()); }
void not_equal(Walk& w) { check_comparison(w, intarsia::not_equal, std::not_equal_to<>()); }
void less(Walk& w) { check_comparison(w, intarsia::less, std::less<>()); }
void less_equal(Walk& w) { check_comparison(w, intarsia::less_equal, std::less_equal<>()); }
void greater(Walk& w) { check_comparison(w, intarsia::greater, std::greater<>()); }
void greater_equal(Walk& w) { check_comparison(w, intarsia::greater_equal, std::greater_equal<>()); }

}  // namespace intarsia::walk::cases
