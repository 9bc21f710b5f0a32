// The cases of attention: its masks, score steps and dropout one by one, then together, on few numbers.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "intarsia/map.h"
#include "op/definitions.h"

namespace intarsia::walk::cases {

namespace {

struct Sizes {
  int64_t queries, keys, heads, kv_heads, d;
};

// Integers computed from their place.
template <class F>
Array integers(const Shape& shape, F f) {
  Array x = Array::empty(shape, DType::i64);
  for (int64_t i = 0; i < x.size(); i++) x.mutable_data<int64_t>()[i] = f(i);
  return x;
}
int64_t integer(const Array& x, int64_t i) { return x.data<int64_t>()[i]; }

bool sees(const AttentionOptions& o, const Sizes& z, int64_t b, int64_t h, int64_t i, int64_t j) {
  const int64_t p = z.keys - z.queries + i;
  if (o.causal && j > p && !(o.prefix && j < integer(o.prefix, b))) return false;
  if (o.window && std::max(p - j, j - p) >= o.window && j >= o.sinks) return false;
  if (o.key_mask && !integer(o.key_mask, b * z.keys + j)) return false;
  if (o.documents) {
    const int64_t mine = integer(o.documents, b * z.keys + p), its = integer(o.documents, b * z.keys + j);
    if (mine < 0 || mine != its) return false;
  }
  if (o.pattern) {
    const int64_t rows = (z.queries + o.cell - 1) / o.cell, columns = (z.keys + o.cell - 1) / o.cell;
    return integer(o.pattern, (h * rows + i / o.cell) * columns + j / o.cell);
  }
  return true;
}

// `formula` is that of the options, in f64.
Values defined(Defs x, const AttentionOptions& o, const Sizes& z,
               const std::function<double(double, double, double)>& formula) {
  Values y(x[0].size());
  for (int64_t b = 0; b < 2; b++)
    for (int64_t h = 0; h < z.heads; h++)
      for (int64_t i = 0; i < z.queries; i++) {
        const int64_t p = z.keys - z.queries + i;
        const double* q = &x[0][size(((b * z.queries + i) * z.heads + h) * z.d)];
        Values weight;
        for (int64_t j = 0; j < z.keys; j++) {
          const double* k = &x[1][size(((b * z.keys + j) * z.kv_heads + h * z.kv_heads / z.heads) * z.d)];
          double score = 0.4 * std::inner_product(q, q + z.d, k, 0.0);
          if (o.query_scale) score *= o.query_scale.data<double>()[i];
          if (o.soft_cap > 0) score = o.soft_cap * std::tanh(score / o.soft_cap);
          if (formula) score = formula(score, static_cast<double>(p), static_cast<double>(j));
          if (x.size() > 3) {
            const int64_t width = static_cast<int64_t>(x[3].size()) / z.heads, reach = width / 2;
            score += x[3][size(h * width + reach + std::clamp(j - p, -reach, reach))];
          }
          weight.push_back(sees(o, z, b, h, i, j) ? std::exp(score) : 0);
        }
        const double sum = std::accumulate(weight.begin(), weight.end(), 0.0);
        for (int64_t j = 0; j < z.keys && sum > 0; j++) {
          double kept = 1;
          if (o.dropout > 0) {
            const int64_t row = (b * z.heads + h) * z.queries + i, counter = row * ((z.keys + 3) / 4) + j / 4;
            const Philox bits =
                philox(o.random.seed, o.random.stream, o.random.index + static_cast<uint64_t>(counter));
            kept = bits.word[j % 4] < (1 - o.dropout) * 0x1p32 ? 1 / (1 - o.dropout) : 0;
          }
          for (int64_t e = 0; e < z.d; e++)
            y[size(((b * z.queries + i) * z.heads + h) * z.d + e)] +=
                weight[size(j)] / sum * kept *
                x[2][size(((b * z.keys + j) * z.kv_heads + h * z.kv_heads / z.heads) * z.d + e)];
        }
      }
  return y;
}

void check(Walk& w, const std::string& name, const Sizes& z, AttentionOptions options, int64_t reach = -1,
           std::function<double(double, double, double)> formula = {}) {
  options.scale = 0.4;
  std::vector<Array> inputs = {w.normal({2, z.queries, z.heads, z.d}), w.normal({2, z.keys, z.kv_heads, z.d}),
                               w.normal({2, z.keys, z.kv_heads, z.d})};
  if (reach >= 0) inputs.push_back(w.normal({z.heads, 2 * reach + 1}));
  w.check({"attention, " + name, inputs, std::vector<bool>(inputs.size(), true),
           [=](In x) {
             AttentionOptions o = options;
             if (reach >= 0) o.bias = x[3];
             return intarsia::attention(x[0], x[1], x[2], o);
           },
           [=](Defs x) { return defined(x, options, z, formula); }, 2});
}

}  // namespace

void attention(Walk& w) {
  AttentionOptions full;
  full.causal = false;
  for (const Sizes& z :
       {Sizes{1, 1, 1, 1, 3}, {5, 5, 2, 2, 8}, {3, 7, 4, 2, 6}, {37, 37, 3, 1, 33}, {20, 300, 2, 1, 5}})
    check(w, std::to_string(z.queries) + "x" + std::to_string(z.keys), z, {});
  check(w, "full", {4, 9, 2, 1, 16}, full);

  const Sizes some = {17, 23, 4, 2, 5};
  AttentionOptions o;
  o.window = 6, o.sinks = 2;
  check(w, "window and sinks", some, o);
  o = full;
  o.window = 4;
  check(w, "window both ways", some, o);
  o = {};
  o.prefix = Array::of<int64_t>({11, 0});
  check(w, "prefix", some, o);
  o = full;  // the second batch element sees nothing
  o.key_mask = integers({2, 23}, [](int64_t i) { return i < 23 && i % 3 != 1; });
  check(w, "key mask", some, o);
  o = {};
  o.documents = integers({2, 23}, [](int64_t i) { return i % 23 < 9 ? -1 : i / 16; });
  check(w, "documents", some, o);
  o = full;
  o.cell = 5;
  o.pattern = integers({4, 4, 5}, [](int64_t i) { return i % 3 > 0; });
  check(w, "pattern", some, o);
  o = {};
  o.soft_cap = 1.5;
  check(w, "soft cap", some, o);
  o = {};
  o.query_scale = Array::empty({17}, DType::f64);
  for (int64_t i = 0; i < 17; i++)
    o.query_scale.mutable_data<double>()[i] = 0.5 + 0.1 * static_cast<double>(i);
  const AttentionOptions scaled = o;
  check(w, "query scale", some, scaled);
  check(w, "bias", some, {}, 7);
  check(w, "bias of few distances", some, full, 1);
  o = {};
  o.formula = score_formula([](auto s, auto i, auto j) { return s * s * 0.3 - 0.05 * abs(i - j); });
  const auto formula = [](double s, double i, double j) { return s * s * 0.3 - 0.05 * std::abs(i - j); };
  check(w, "formula", some, o, -1, formula);
  o = {};
  o.dropout = 0.3;
  o.random = Random(7, 8, 9);
  check(w, "dropout", some, o);

  o = scaled;
  o.window = 9, o.sinks = 1;
  o.prefix = Array::of<int64_t>({3, 13});
  o.key_mask = integers({2, 23}, [](int64_t i) { return i % 7 != 2; });
  o.documents = integers({2, 23}, [](int64_t i) { return i % 23 / 18; });
  o.cell = 4;
  o.pattern = integers({4, 5, 6}, [](int64_t i) { return i % 5 > 0; });
  o.soft_cap = 2;
  o.formula = score_formula([](auto s, auto i, auto j) { return s * s * 0.3 - 0.05 * abs(i - j); });
  o.dropout = 0.2;
  o.random = Random(1, 2, 3);
  check(w, "all at once", some, o, 5, formula);
}

}  // namespace intarsia::walk::cases
