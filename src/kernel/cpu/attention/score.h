// The steps between the product of a query and a key and the softmax, on one tile of scores while it lies in
// the first-level cache, and their derivative. A plain attention never comes here.
#pragma once
#include "kernel/cpu/attention/vectors.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

// y = formula(score, query position, key position) for NR scores of one row; slope, if asked for, is
// multiplied by the derivative. A formula works in natural units.
inline void apply_formula(const PointwiseKernel& formula, float* score, const float* query, const float* key,
                          float* slope) {
  alignas(64) float natural[NR], changed[NR];
  for (int j = 0; j < NR; j++) natural[j] = score[j] * ln_2;
  const float* x[] = {natural, query, key};
  formula.f32.forward(formula.formula, changed, x, NR);
  for (int j = 0; j < NR; j++) score[j] = changed[j] * log2_e;
  if (!slope) return;
  float* dx[] = {slope, nullptr, nullptr};
  formula.f32.backward[1](formula.formula, dx, slope, x, NR);
}

struct Positions {
  alignas(64) float of[NR];
  explicit Positions(int64_t first, int64_t step) {
    for (int j = 0; j < NR; j++) of[j] = static_cast<float>(first + j * step);
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

// Columns are NR keys from `key` on.
template <class T, int rows>
void score_steps(const AttentionHeads& h, float* scores, int64_t distance, const TileRows& of, int64_t key) {
  const AttentionScore& s = h.score;
  const float inverse = 1 / s.cap;
  for (int r = 0; r < rows; r++) {
    const int64_t i = of.query[r], g = of.head[r];
    float* score = scores + r * distance;
    const float factor = s.query_scale ? s.query_scale[i] : 1;
    Floats x[2] = {load(score) * all(factor), load(score + W) * all(factor)};
    if (s.cap > 0) each<2>([&](auto j) INTARSIA_INLINE { x[j] = all(s.cap) * T::tanh(x[j] * all(inverse)); });
    if (s.formula) {
      store(score, x[0]), store(score + W, x[1]);
      apply_formula(*s.formula, score, Positions(h.mask.first + i, 0).of, Positions(key, 1).of, nullptr);
      x[0] = load(score), x[1] = load(score + W);
    }
    if (s.bias) {
      const float* bias = s.bias + g * s.bias_head + h.mask.queries - 1 + key - i;
      x[0] = x[0] + load(bias), x[1] = x[1] + load(bias + W);
    }
    store(score, x[0]), store(score + W, x[1]);
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
  for (int r = 0; r < MR; r++) {
    Floats x[2], slope[2];
    each<2>([&](auto j) INTARSIA_INLINE {
      x[j] = load(&scores[r][j * W]) * factor[j];
      slope[j] = factor[j];
    });
    if (s.cap > 0)
      each<2>([&](auto j) INTARSIA_INLINE {
        const Floats t = T::tanh(x[j] * all(inverse));
        x[j] = all(s.cap) * t;
        slope[j] = slope[j] * (all(1) - t * t);
      });
    if (slopes) each<2>([&](auto j) INTARSIA_INLINE { store(&slopes[r][j * W], slope[j]); });
    if (s.formula) {
      each<2>([&](auto j) INTARSIA_INLINE { store(&scores[r][j * W], x[j]); });
      apply_formula(*s.formula, scores[r], Positions(h.mask.first + query, 1).of, Positions(key + r, 0).of,
                    slopes[r]);
      each<2>([&](auto j) INTARSIA_INLINE { x[j] = load(&scores[r][j * W]); });
    }
    if (s.bias) {
      const float* bias = s.bias + g * s.bias_head + h.mask.keys - 1 + query - key - r;
      each<2>([&](auto j) INTARSIA_INLINE { x[j] = x[j] + load(bias + j * W); });
    }
    each<2>([&](auto j) INTARSIA_INLINE { store(&scores[r][j * W], T::exp2(x[j] + load(shifts + j * W))); });
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
