// The backward pass computes the scores again from the saved norms. Tiles of keys go down, queries along, so
// that the norms are a plain vector and P^T and dS^T are at once left operands of dV and dK.
#pragma once
#include "kernel/cpu/attention/mask.h"
#include "kernel/cpu/attention/score.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

// queries_along is a multiple of MR and of NR on every rung: the tiles of dQ (MR queries high) end where the
// panels of scores end, and no tile reads columns that nobody wrote.
constexpr int64_t keys_together = 16 * MR, queries_along = 192, along_words = queries_along + 32;
static_assert(queries_along % MR == 0 && queries_along % NR == 0);

template <class T>
struct BackwardScratch {
  static constexpr int per = T::From::Word::elements;
  using E = typename T::Element;
  int64_t d_words, width, panels, padded_queries, query_panels, bias_length;
  uint32_t *k_rows, *v_rows;        // [word of d][MR], tile by tile: left operands
  uint32_t* k_columns;              // [word of key][NR of d]: right operand of dQ
  uint32_t *q_rows, *g_rows;        // [word of d][NR of queries]: right operands of S^T and dP^T
  uint32_t *q_columns, *g_columns;  // [word of query][NR of d]: right operands of dK and dV
  float *shifts, *dots, *dq, *dk, *dv, *d_bias;
  Diagonals* diagonals;
  E* scaled_d_o;       // [queries][d], see pack_queries_along
  E *p, *ds;           // [keys][along_words]
  uint32_t* ds_pairs;  // [word of key][along_words]: left operand of dQ
  int64_t columns_panel_q, columns_panel_k, bytes;

  BackwardScratch(void* memory, const AttentionHeads& h)
      : d_words(divide_up(h.head_size, per)),
        width(divide_up(h.head_size, NR) * NR),
        panels(width / NR),
        padded_queries(divide_up(h.mask.queries, NR) * NR),
        query_panels(padded_queries / NR),
        bias_length(h.score.bias ? h.mask.queries + h.mask.keys - 1 + 2 * attention_slack : 0) {
    Pieces pieces(memory);
    const int64_t group = h.mask.group;
    columns_panel_q = divide_up(padded_queries, per) * NR;
    columns_panel_k = divide_up(keys_together, per) * NR;
    k_rows = pieces.take<uint32_t>(keys_together * d_words);
    v_rows = pieces.take<uint32_t>(keys_together * d_words);
    k_columns = pieces.take<uint32_t>(panels * columns_panel_k);
    q_rows = pieces.take<uint32_t>(group * query_panels * d_words * NR);
    g_rows = pieces.take<uint32_t>(group * query_panels * d_words * NR);
    q_columns = pieces.take<uint32_t>(group * panels * columns_panel_q);
    g_columns = pieces.take<uint32_t>(group * panels * columns_panel_q);
    shifts = pieces.take<float>(group * padded_queries);
    dots = pieces.take<float>(group * padded_queries);
    dq = pieces.take<float>(group * (padded_queries + MR) * width);
    dk = pieces.take<float>(keys_together * width);
    dv = pieces.take<float>(keys_together * width);
    d_bias = pieces.take<float>(group * bias_length);
    diagonals = pieces.take<Diagonals>(1);
    scaled_d_o = pieces.take<E>(T::exact ? h.mask.queries * h.head_size : 0);
    p = pieces.take<E>(keys_together * along_words);
    ds = pieces.take<E>(keys_together * along_words);
    ds_pairs = pieces.take<uint32_t>(keys_together / per * along_words);
    bytes = pieces.used;
  }
  float* dq_of(int64_t g, int64_t query) const { return dq + (g * (padded_queries + MR) + query) * width; }
};

template <class T>
int64_t backward_scratch(const AttentionHeads& h) {
  return BackwardScratch<T>(nullptr, h).bytes;
}

// One tile of scores: MR keys from `key` on, which are the rows from `row` on of the block, and NR queries of
// head g from `query` on, which are the columns from `column` on.
struct ScoreTile {
  int64_t g, key, row, query, column;
};

// Cuts a tile to the scores whose bits are set: bit r of word i is for key r and query i.
inline void cut(float (*p)[NR], const uint32_t* words) {
  for (int r = 0; r < MR; r++)
    each<2>([&](auto j) INTARSIA_INLINE {
      float* x = &p[r][j * W];
      store(x, where_bit(load_words(words + j * W), all_words(1u << r), load(x), zeros()));
    });
}

// P^T and dS^T of a tile of which something is seen; `whole`: all of it; `plain`: neither steps nor dropout.
template <class T, bool plain>
void backward_scores(const AttentionHeads& h, const BackwardScratch<T>& m, const ScoreTile& x, bool whole,
                     float scale2) {
  using Word = typename T::From::Word;
  constexpr int per = Word::elements;
  const int64_t panel = (x.g * m.query_panels + x.query / NR) * m.d_words * NR;
  const float* shifts = m.shifts + x.g * m.padded_queries + x.query;
  const float* dots = m.dots + x.g * m.padded_queries + x.query;
  const bool steps = !plain && h.score.any(), dropout = !plain && h.dropout.on;
  const bool biased = !plain && h.score.bias, sloped = !plain && h.score.sloped();
  alignas(64) float p[MR][NR], slopes[MR][NR], survived[MR][NR];
  tile<Word, MR, 2, MR>(
      m.k_rows + x.row * m.d_words, 0, m.q_rows + panel, m.d_words,
      [](auto, auto) INTARSIA_INLINE { return zeros(); },
      [&](auto& c) INTARSIA_INLINE {
        const Floats scale = all(scale2);
        if (steps) {
          each<MR>([&](auto r) INTARSIA_INLINE {
            each<2>([&](auto j) INTARSIA_INLINE { store(&p[r][j * W], c[r][j] * scale); });
          });
        } else {
          each<MR>([&](auto r) INTARSIA_INLINE {
            each<2>([&](auto j) INTARSIA_INLINE {
              store(&p[r][j * W], T::exp2(multiply_add(load(shifts + j * W), c[r][j], scale)));
            });
          });
        }
      });
  if (steps) probabilities_turned<T>(h, p, sloped ? slopes : nullptr, shifts, x.g, x.query, x.key);
  alignas(64) uint32_t words[NR];
  if (!whole) {
    for (int i = 0; i < NR; i++) words[i] = seen_bits(h.mask, x.g, x.query + i, x.key);
    cut(p, words);
  }
  const float(*kept)[NR] = p;
  if (dropout) {
    surviving_queries(h, x.g, x.query, x.key, MR, words);
    for (int r = 0; r < MR; r++)
      for (int j = 0; j < NR; j += W) store(&survived[r][j], load(&p[r][j]) * all(h.dropout.factor));
    cut(survived, words);
    kept = survived;
  }
  each<MR>([&](auto r) INTARSIA_INLINE {
    T::put_row(m.p + (x.row + r) * along_words + x.column, load(&kept[r][0]), load(&kept[r][W]));
  });

  tile<Word, MR, 2, MR>(
      m.v_rows + x.row * m.d_words, 0, m.g_rows + panel, m.d_words,
      [](auto, auto) INTARSIA_INLINE { return zeros(); },
      [&](auto& c) INTARSIA_INLINE {
        each<MR / per>([&](auto group) INTARSIA_INLINE {
          Floats ds[per][2];
          each<per>([&](auto e) INTARSIA_INLINE {
            constexpr int r = group * per + e;
            each<2>([&](auto j) INTARSIA_INLINE {
              const Floats probability = load(&p[r][j * W]), dot = load(dots + j * W);
              ds[e][j] = dropout ? load(&kept[r][j * W]) * c[r][j] - probability * dot
                                 : probability * (c[r][j] - dot);
              if (biased) m.diagonals->put(r, j, ds[e][j]);
              if (sloped) ds[e][j] = ds[e][j] * load(&slopes[r][j * W]);
            });
            T::put_row(m.ds + (x.row + r) * along_words + x.column, ds[e][0], ds[e][1]);
          });
          uint32_t* pairs = m.ds_pairs + (x.row / per + group) * along_words + x.column;
          each<2>([&](auto j) INTARSIA_INLINE {
            if constexpr (per == 1)
              store_words(pairs + j * W, as_words(ds[0][j]));
            else
              store_words(pairs + j * W, bf16_pairs(ds[0][j], ds[per - 1][j]));
          });
        });
      });
  if (biased)
    m.diagonals->add_to(m.d_bias + x.g * m.bias_length + attention_slack + h.mask.keys - 1 + x.query - x.key -
                        (MR - 1));
}

// A tile of which nothing is seen, where its neighbours are multiplied together with it.
template <class T>
void clear_scores(const BackwardScratch<T>& m, int64_t row, int64_t column) {
  constexpr int per = T::From::Word::elements;
  for (int64_t r = row; r < row + MR; r++) {
    T::put_row(m.p + r * along_words + column, zeros(), zeros());
    T::put_row(m.ds + r * along_words + column, zeros(), zeros());
  }
  for (int64_t r = row / per; r < (row + MR) / per; r++)
    std::memset(m.ds_pairs + r * along_words + column, 0, NR * 4);
}

// out[MR rows][width] += left x right, panel by panel of d.
template <class Word, int width_of_left>
inline INTARSIA_INLINE void add_product(const uint32_t* left, int64_t distance, const uint32_t* right,
                                        int64_t panel, int64_t panels, int64_t words, float* out,
                                        int64_t width) {
  for (int64_t c0 = 0; c0 < panels; c0++) {
    float* to = out + c0 * NR;
    tile<Word, MR, 2, width_of_left>(
        left, distance, right + c0 * panel, words,
        [&](auto r, auto j) INTARSIA_INLINE { return load(to + r * width + j * W); },
        [&](auto& c) INTARSIA_INLINE {
          each<MR>([&](auto r) INTARSIA_INLINE {
            each<2>([&](auto j) INTARSIA_INLINE { store(to + r * width + j * W, c[r][j]); });
          });
        });
  }
}

// From the first to the last of something seen.
struct Hull {
  int64_t first = INT64_MAX, end = 0;
  void add(int64_t i) { first = smaller(first, i), end = larger(end, i + 1); }
  void add(const Hull& other) { first = smaller(first, other.first), end = larger(end, other.end); }
};

// All that the keys k0 .. k0 + keys, padded to whole tiles, and the queries q0 .. of head g give each other.
template <class T>
void backward_square(const AttentionHeads& h, const BackwardScratch<T>& m, int64_t g, int64_t k0,
                     int64_t keys, int64_t q0, float scale2) {
  using Word = typename T::From::Word;
  constexpr int per = Word::elements;
  const int64_t padded = divide_up(keys, MR) * MR, span = smaller(queries_along, m.padded_queries - q0);
  const Seen together = seen(h.mask, g, g + 1, q0, q0 + span, k0, k0 + padded);
  if (together == Seen::none) return;
  const bool plain = !h.score.any() && !h.dropout.on;
  Hull of_tile[keys_together / MR], of_panel[queries_along / NR];
  for (int64_t t = 0; t < padded; t += MR)
    for (int64_t column = 0; column < span; column += NR) {
      const ScoreTile x = {g, k0 + t, t, q0 + column, column};
      const Seen s = together == Seen::all ? Seen::all
                                           : seen(h.mask, g, g + 1, x.query, x.query + NR, x.key, x.key + MR);
      if (s == Seen::none) {
        clear_scores(m, t, column);
        continue;
      }
      if (plain)
        backward_scores<T, true>(h, m, x, s == Seen::all, scale2);
      else
        backward_scores<T, false>(h, m, x, s == Seen::all, scale2);
      of_tile[t / MR].add(column / NR);
      of_panel[column / NR].add(t / MR);
    }
  const auto columns_of = [&](const uint32_t* all_heads, int64_t query) {
    return all_heads + g * m.panels * m.columns_panel_q + query / per * NR;
  };
  for (int64_t t = 0; t < padded; t += MR) {
    const Hull& hull = of_tile[t / MR];
    if (hull.end == 0) continue;
    const int64_t column = hull.first * NR, words = (hull.end - hull.first) * NR / per;
    const auto left = [&](const auto* rows) {
      return reinterpret_cast<const uint32_t*>(rows + t * along_words + column);
    };
    add_product<Word, 0>(left(m.p), along_words / per, columns_of(m.g_columns, q0 + column),
                         m.columns_panel_q, m.panels, words, m.dv + t * m.width, m.width);
    add_product<Word, 0>(left(m.ds), along_words / per, columns_of(m.q_columns, q0 + column),
                         m.columns_panel_q, m.panels, words, m.dk + t * m.width, m.width);
  }
  for (int64_t column = 0; column < span; column += MR) {
    Hull hull = of_panel[column / NR];
    if (column + MR - 1 < span) hull.add(of_panel[(column + MR - 1) / NR]);
    if (hull.end == 0) continue;
    const int64_t word = hull.first * MR / per, end = smaller(hull.end * MR / per, divide_up(keys, per));
    add_product<Word, along_words>(m.ds_pairs + word * along_words + column, 0, m.k_columns + word * NR,
                                   m.columns_panel_k, m.panels, end - word, m.dq_of(g, q0 + column), m.width);
  }
}

// Queries and gradients of o as the operands of four products; what is added to scores before the
// exponential; sum(o d_o). The row's sum divides d_o in f32, where that loses nothing, and is part of the
// exponent in bf16.
template <class T>
void pack_queries_along(const AttentionBackward& w, const BackwardScratch<T>& m, int64_t g) {
  using E = typename T::Element;
  using From = typename T::From;
  constexpr int per = From::Word::elements;
  const AttentionHeads& h = w.heads;
  const int64_t d = h.head_size, queries = h.mask.queries;
  const E* q = static_cast<const E*>(h.q) + g * h.q_head;
  const E* d_o = static_cast<const E*>(w.d_o) + g * w.do_head;
  const E* o = static_cast<const E*>(w.o) + g * w.o_head;
  int64_t do_time = w.do_time;
  const AttentionNorm* norms = w.norms + g * queries;
  float* shifts = m.shifts + g * m.padded_queries;
  float* dots = m.dots + g * m.padded_queries;
  for (int64_t i = 0; i < m.padded_queries; i++) {
    shifts[i] = minus_infinity;  // a query that sees nothing, or does not exist, has no probabilities
    dots[i] = 0;
    if (i >= queries) continue;
    Floats sum = zeros();
    for (int64_t j = 0; j < d; j += W)
      sum = multiply_add(sum, T::widen(o + i * w.o_time + j, d - j), T::widen(d_o + i * do_time + j, d - j));
    dots[i] = lanes_sum(sum);
    if (norms[i].sum != 0) shifts[i] = -norms[i].top - (T::exact ? 0 : __builtin_log2f(norms[i].sum));
    if constexpr (T::exact) {
      const float inverse = norms[i].sum == 0 ? 0 : 1 / norms[i].sum;
      dots[i] *= inverse;
      put_scaled<T>(d_o + i * do_time, inverse, d, m.scaled_d_o + i * d);
    }
  }
  if (T::exact) d_o = m.scaled_d_o, do_time = d;
  for (int64_t panel = 0; panel < m.query_panels; panel++) {
    const int64_t first = panel * NR, at = (g * m.query_panels + panel) * m.d_words * NR;
    pack_rows<From, NR>(q + first * h.q_time, h.q_time, smaller(NR, queries - first), d, m.q_rows + at);
    pack_rows<From, NR>(d_o + first * do_time, do_time, smaller(NR, queries - first), d, m.g_rows + at);
  }
  uint32_t* q_columns = m.q_columns + g * m.panels * m.columns_panel_q;
  uint32_t* g_columns = m.g_columns + g * m.panels * m.columns_panel_q;
  // Queries that fill the last panel do not exist: their rows of the right operands are zero.
  const int64_t written = queries / per * NR;
  const auto tail = static_cast<size_t>(m.columns_panel_q - written) * 4;
  for (int64_t c = 0; c < m.panels; c++) {
    std::memset(q_columns + c * m.columns_panel_q + written, 0, tail);
    std::memset(g_columns + c * m.columns_panel_q + written, 0, tail);
  }
  pack_columns<From, NR>(q, h.q_time, d, queries, m.panels, m.columns_panel_q, q_columns);
  pack_columns<From, NR>(d_o, do_time, d, queries, m.panels, m.columns_panel_q, g_columns);
}

template <class T>
void backward(const AttentionBackward& w) {
  using E = typename T::Element;
  using From = typename T::From;
  const AttentionHeads& h = w.heads;
  const BackwardScratch<T> m(w.scratch, h);
  const int64_t d = h.head_size, group = h.mask.group;
  const float scale2 = base_2_scale(h);
  const auto scale = static_cast<float>(h.scale);

  for (int64_t g = 0; g < group; g++) pack_queries_along<T>(w, m, g);
  std::memset(m.dq, 0, static_cast<size_t>(group * (m.padded_queries + MR) * m.width) * 4);
  std::memset(static_cast<void*>(m.diagonals), 0, sizeof(Diagonals));
  std::memset(m.d_bias, 0, static_cast<size_t>(group * m.bias_length) * 4);
  for (int64_t k0 = 0; k0 < h.mask.keys; k0 += keys_together) {
    const int64_t keys = smaller(keys_together, h.mask.keys - k0);
    const E* k = static_cast<const E*>(w.k) + k0 * w.k_time;
    const E* v = static_cast<const E*>(w.v) + k0 * w.v_time;
    for (int64_t t = 0; t < keys; t += MR) {
      pack_rows<From, MR>(k + t * w.k_time, w.k_time, smaller(MR, keys - t), d, m.k_rows + t * m.d_words);
      pack_rows<From, MR>(v + t * w.v_time, w.v_time, smaller(MR, keys - t), d, m.v_rows + t * m.d_words);
    }
    std::memset(m.k_columns, 0, static_cast<size_t>(m.panels * m.columns_panel_k) * 4);
    pack_columns<From, NR>(k, w.k_time, d, keys, m.panels, m.columns_panel_k, m.k_columns);
    std::memset(m.dk, 0, static_cast<size_t>(keys_together * m.width) * 4);
    std::memset(m.dv, 0, static_cast<size_t>(keys_together * m.width) * 4);
    for (int64_t g = 0; g < group; g++)
      for (int64_t q0 = 0; q0 < h.mask.queries; q0 += queries_along)
        backward_square(h, m, g, k0, keys, q0, scale2);
    for (int64_t i = 0; i < keys; i++) {
      put_scaled<T>(m.dk + i * m.width, scale, d, static_cast<E*>(w.dk) + (k0 + i) * w.dk_time);
      put_scaled<T>(m.dv + i * m.width, 1, d, static_cast<E*>(w.dv) + (k0 + i) * w.dv_time);
    }
  }
  for (int64_t g = 0; g < group; g++) {
    for (int64_t i = 0; i < h.mask.queries; i++)
      put_scaled<T>(m.dq_of(g, i), scale, d, static_cast<E*>(w.dq) + g * w.dq_head + i * w.dq_time);
    const int64_t distances = h.mask.queries + h.mask.keys - 1;
    if (w.d_bias)
      std::memcpy(w.d_bias + g * distances, m.d_bias + g * m.bias_length + attention_slack,
                  static_cast<size_t>(distances) * 4);
  }
}

}  // namespace
}  // namespace intarsia::kernel::INTARSIA_RUNG
