// Cases of the walk: picking, repeating and masking; sums of products.
#include <numeric>

#include "op/definitions.h"

namespace intarsia::walk::cases {

void einsum(Walk& w) {
  w.check({"einsum with a batch and a letter of each operand's own",
           {w.normal({2, 3, 4, 5}), w.normal({4, 2, 6})},
           {true, true},
           [](In x) { return intarsia::einsum("bikx, kbj -> jbi", x[0], x[1]); },
           [](Defs x) {
             Values y(6 * 2 * 3);
             for (int b = 0; b < 2; b++)
               for (int i = 0; i < 3; i++)
                 for (int k = 0; k < 4; k++)
                   for (int e = 0; e < 5; e++)
                     for (int j = 0; j < 6; j++)
                       y[size((j * 2 + b) * 3 + i)] +=
                           x[0][size(((b * 3 + i) * 4 + k) * 5 + e)] * x[1][size((k * 2 + b) * 6 + j)];
             return y;
           },
           4});
  w.check({"einsum of axes without letters that broadcast",
           {w.normal({2, 3, 4}), w.normal({1, 4, 5})},
           {true, true},
           [](In x) { return intarsia::einsum("...i,...ij->j...", x[0], x[1]); },
           [](Defs x) {
             Values y(5 * 2 * 3);
             for (int b = 0; b < 6; b++)
               for (int i = 0; i < 4; i++)
                 for (int j = 0; j < 5; j++)
                   y[size(j * 6 + b)] += x[0][size(b * 4 + i)] * x[1][size(i * 5 + j)];
             return y;
           },
           4});
  w.check({"einsum to one number",
           {w.normal({3, 4}), w.normal({4, 3})},
           {true, true},
           [](In x) { return intarsia::einsum("ij,ji->", x[0], x[1]); },
           [](Defs x) {
             Values y(1);
             for (int i = 0; i < 3; i++)
               for (int j = 0; j < 4; j++) y[0] += x[0][size(i * 4 + j)] * x[1][size(j * 3 + i)];
             return y;
           },
           4});
}

void outer(Walk& w) {
  w.check({"outer",
           {w.normal({5}), w.normal({3})},
           {true, true},
           [](In x) { return intarsia::outer(x[0], x[1]); },
           [](Defs x) {
             Values y;
             for (double a : x[0])
               for (double b : x[1]) y.push_back(a * b);
             return y;
           }});
}

void scatter_add(Walk& w) {
  w.check({"scatter_add",
           {w.normal({3, 5, 2}), w.integers({2, 7, 2}, 5), w.normal({2, 7, 2})},
           {true, false, true},
           [](In x) { return intarsia::scatter_add(x[0], 1, x[1], x[2]); },
           [](Defs x) {
             Values y = x[0];
             for (size_t i = 0; i < 28; i++)
               y[i / 14 * 10 + static_cast<size_t>(x[1][i]) * 2 + i % 2] += x[2][i];
             return y;
           },
           4});
}

namespace {

// An operation that picks along an axis: element i of a line becomes line[pick(i, n)], for i below count(n).
void check_picks(Walk& w, const char* name, const std::function<Tensor(const Tensor&, int)>& op,
                 const std::function<int64_t(int64_t)>& count,
                 const std::function<int64_t(int64_t, int64_t)>& pick) {
  for (int axis : {0, 1, 2})
    w.check({std::string(name) + " along " + std::to_string(axis),
             {w.normal({3, 4, 5})},
             {true},
             [=](In x) { return op(x[0], axis); },
             [=](Defs x) {
               return per_line(x[0], {3, 4, 5}, axis, [=](const Values& v) {
                 const auto n = static_cast<int64_t>(v.size());
                 Values y;
                 for (int64_t i = 0; i < count(n); i++) y.push_back(v[size(pick(i, n))]);
                 return y;
               });
             },
             4});
}

int64_t same(int64_t n) { return n; }

}  // namespace

void index_select(Walk& w) {
  const int64_t ids[] = {2, 0, 2, 1};
  check_picks(
      w, "index_select",
      [=](const Tensor& x, int axis) {
        return intarsia::index_select(x, axis, Array::copy_of(std::span<const int64_t>(ids), {4}));
      },
      [](int64_t) { return 4; }, [=](int64_t i, int64_t) { return ids[i]; });
}

void flip(Walk& w) {
  check_picks(
      w, "flip", [](const Tensor& x, int axis) { return intarsia::flip(x, {axis}); }, same,
      [](int64_t i, int64_t n) { return n - 1 - i; });
}

void roll(Walk& w) {
  for (int64_t shift : {1, -8})
    check_picks(
        w, "roll", [=](const Tensor& x, int axis) { return intarsia::roll(x, shift, axis); }, same,
        [=](int64_t i, int64_t n) { return ((i - shift) % n + n) % n; });
}

void repeat(Walk& w) {
  check_picks(
      w, "repeat",
      [](const Tensor& x, int axis) {
        Shape times = {1, 1, 1};
        times[axis] = 3;
        return intarsia::repeat(x, times);
      },
      [](int64_t n) { return 3 * n; }, [](int64_t i, int64_t n) { return i % n; });
  w.check({"repeat along a new axis",
           {w.normal({2, 3})},
           {true},
           [](In x) {
             return intarsia::repeat(x[0], {2, 1, 1});
           },
           [](Defs x) {
             Values y = x[0];
             y.insert(y.end(), x[0].begin(), x[0].end());
             return y;
           }});
}

void pad(Walk& w) {
  const auto with = [](PadMode mode) {
    return [mode](const Tensor& x, int axis) { return intarsia::pad(x, axis, 2, 1, mode); };
  };
  const auto longer = [](int64_t n) { return n + 3; };
  check_picks(w, "pad reflect", with(PadMode::reflect), longer, [](int64_t i, int64_t n) {
    const int64_t at = std::abs(i - 2);
    return at < n ? at : 2 * n - 2 - at;
  });
  check_picks(w, "pad replicate", with(PadMode::replicate), longer,
              [](int64_t i, int64_t n) { return std::clamp<int64_t>(i - 2, 0, n - 1); });
  w.check({"pad with a number",
           {w.normal({3, 4})},
           {true},
           [](In x) { return intarsia::pad(x[0], 1, 2, 1, PadMode::constant, 0.5); },
           [](Defs x) {
             return per_line(x[0], {3, 4}, 1, [](Values v) {
               v.insert(v.begin(), 2, 0.5);
               v.push_back(0.5);
               return v;
             });
           }});
}

namespace {

void check_triangle(Walk& w, const std::function<Tensor(const Tensor&, int64_t)>& op, bool lower) {
  for (int64_t diagonal : {-1, 0, 2})
    w.check({"triangle from " + std::to_string(diagonal),
             {w.normal({2, 4, 5})},
             {true},
             [=](In x) { return op(x[0], diagonal); },
             [=](Defs x) {
               Values y = x[0];
               for (int64_t i = 0; i < 40; i++) {
                 const int64_t row = i / 5 % 4, column = i % 5;
                 if (lower ? column - row > diagonal : column - row < diagonal) y[size(i)] = 0;
               }
               return y;
             }});
}

}  // namespace

void tril(Walk& w) { check_triangle(w, intarsia::tril, true); }
void triu(Walk& w) { check_triangle(w, intarsia::triu, false); }

void masked_fill(Walk& w) {
  w.check({"masked_fill",
           {w.normal({3, 5}), w.integers({5}, 2)},
           {true, false},
           [](In x) { return intarsia::masked_fill(x[0], x[1], -0.75); },
           [](Defs x) {
             Values y = x[0];
             for (size_t i = 0; i < 15; i++)
               if (x[1][i % 5] != 0) y[i] = -0.75;
             return y;
           }});
}

void one_hot(Walk& w) {
  w.check({"one_hot",
           {w.integers({2, 3}, 4)},
           {false},
           [](In x) { return intarsia::one_hot(x[0], 4); },
           [](Defs x) {
             Values y(24);
             for (size_t i = 0; i < 6; i++) y[i * 4 + static_cast<size_t>(x[0][i])] = 1;
             return y;
           }});
}

}  // namespace intarsia::walk::cases
