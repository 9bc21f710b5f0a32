// The steps between the product of a query and a key and the softmax, on one tile of scores while it lies in
// the first-level cache, and their derivative. A plain attention never comes here.
#pragma once
#include "kernel/cpu/attention/vectors.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

// score = formula(score, query position, key position) for `count` scores, at most `formula_scores`; slope,
// if asked for, is multiplied by the derivative. A formula works in natural units. It is called for as many
// scores as there are, because a call through a pointer costs as much as some of them.
constexpr int formula_scores = MR * NR > block ? MR* NR : block;
inline void apply_formula(const PointwiseKernel& formula, float* score, const float* query, const float* key,
                          float* slope, int64_t count) {
  alignas(64) float natural[formula_scores], changed[formula_scores];
  for (int64_t j = 0; j < count; j += W) store(natural + j, load(score + j) * all(ln_2));
  const float* x[] = {natural, query, key};
  formula.f32.forward(formula.formula, changed, x, count);
  for (int64_t j = 0; j < count; j += W) store(score + j, load(changed + j) * all(log2_e));
  if (!slope) return;
  float* dx[] = {slope, nullptr, nullptr};
  formula.f32.backward[1](formula.formula, dx, slope, x, count);
}

// Positions of `rows` rows of scores, which grow by `down` from row to row and by `along` within one.
template <int rows, int columns>
struct Positions {
  alignas(64) float of[rows * columns];
  Positions(int64_t first, int64_t down, int64_t along) {
    for (int r = 0; r < rows; r++)
      for (int j = 0; j < columns; j++)
        of[r * columns + j] = static_cast<float>(first + r * down + j * along);
  }
};

// The queries and heads of a tile's rows; those behind the last query count as it.
struct TileRows {
  int64_t query[MR], head[MR];
  TileRows(const AttentionMask& m, int64_t row, int rows) {
    int64_t i = row, g = 0;
    if (m.group > 1) i = row / m.group, g = row % m.group;
    for (int r = 0; r < rows; r++) {
      query[r] = smaller(i, m.queries - 1), head[r] = g;
      if (++g == m.group) i++, g = 0;
    }
  }
};

// Columns are `columns` keys from `key` on, a multiple of NR.
template <class T, int rows>
void score_steps(const AttentionHeads& h, float* scores, int64_t distance, const TileRows& of, int64_t key,
                 int64_t columns) {
  const AttentionScore& s = h.score;
  const float inverse = 1 / s.cap;
  for (int r = 0; r < rows; r++) {
    const int64_t i = of.query[r], g = of.head[r];
    float* score = scores + r * distance;
    const float factor = s.query_scale ? s.query_scale[i] : 1;
    const float* bias = s.bias ? s.bias + g * s.bias_head + h.mask.queries - 1 + key - i : nullptr;
    const auto capped = [&](int64_t j) INTARSIA_INLINE {
      const Floats x = load(score + j) * all(factor);
      return s.cap > 0 ? all(s.cap) * T::tanh(x * all(inverse)) : x;
    };
    const auto put = [&](int64_t j, Floats x)
                         INTARSIA_INLINE { store(score + j, bias ? x + load(bias + j) : x); };
    if (s.formula) {
      for (int64_t j = 0; j < columns; j += W) store(score + j, capped(j));
      const Positions<1, block> query(h.mask.first + i, 0, 0), keys(key, 0, 1);
      apply_formula(*s.formula, score, query.of, keys.of, nullptr, columns);
      for (int64_t j = 0; j < columns; j += W) put(j, load(score + j));
    } else {
      for (int64_t j = 0; j < columns; j += W) put(j, capped(j));
    }
  }
}

// Rows are MR keys from `key` on, columns NR queries of head g from `query` on. Scores become probabilities,
// with `shifts` added before the exponential; `slopes`, if not null, the derivative of the changed scores by
// q k scale.
template <class T>
void probabilities_turned(const AttentionHeads& h, float (*scores)[NR], float (*slopes)[NR],
                          const float* shifts, int64_t g, int64_t query, int64_t key) {
  const AttentionScore& s = h.score;
  const float inverse = 1 / s.cap;
  Floats factor[2] = {all(1), all(1)};
  if (s.query_scale) factor[0] = load(s.query_scale + query), factor[1] = load(s.query_scale + query + W);
  for (int r = 0; r < MR; r++)
    each<2>([&](auto j) INTARSIA_INLINE {
      Floats x = load(&scores[r][j * W]) * factor[j], slope = factor[j];
      if (s.cap > 0) {
        const Floats t = T::tanh(x * all(inverse));
        x = all(s.cap) * t;
        slope = slope * (all(1) - t * t);
      }
      store(&scores[r][j * W], x);
      if (slopes) store(&slopes[r][j * W], slope);
    });
  if (s.formula) {
    const Positions<MR, NR> queries(h.mask.first + query, 0, 1), keys(key, 1, 0);
    apply_formula(*s.formula, scores[0], queries.of, keys.of, slopes[0], MR * NR);
  }
  for (int r = 0; r < MR; r++) {
    const float* bias = s.bias ? s.bias + g * s.bias_head + h.mask.keys - 1 + query - key - r : nullptr;
    each<2>([&](auto j) INTARSIA_INLINE {
      Floats x = load(&scores[r][j * W]);
      if (bias) x = x + load(bias + j * W);
      store(&scores[r][j * W], T::exp2(x + load(shifts + j * W)));
    });
  }
}

// Adds the gradients of MR x NR scores, of keys from `key` and queries from `query` on, to those of the bias:
// sums along the diagonals. Each row is written one place further left than the row before, then columns are
// added; out[0] belongs to the last key and the first query.
struct Diagonals {
  static constexpr int length = (NR + MR - 1 + W - 1) / W * W;
  alignas(64) float rows[MR][length];  // zero before the first tile; what lies beside a row stays it
  INTARSIA_INLINE void put(int r, int j, Floats x) { store(&rows[r][MR - 1 - r + j * W], x); }
  void add_to(float* out) const {
    each<length / W>([&](auto v) INTARSIA_INLINE {
      Floats sum = load(&rows[0][v * W]);
      each<MR - 1>([&](auto r) INTARSIA_INLINE { sum = sum + load(&rows[r + 1][v * W]); });
      store(out + v * W, load(out + v * W) + sum);
    });
  }
};

}  // namespace
}  // namespace intarsia::kernel::INTARSIA_RUNG
