// The backward pass computes the scores again from the saved norms. Tiles of keys go down, queries along, so
// that the norms are a plain vector and P^T and dS^T are at once left operands of dV and dK.
//
// dS = P (dP - D), where D, the sum of P dP over a row, is sum(o d_o) only up to the rounding of o and of dP:
// where few keys hold a row's weight, or values have a common part, what is left of dP - D is smaller than
// that. So a block of queries meets its keys twice. First come P, X = P (dP - sum(o d_o)) and dV; P and X are
// kept, and the row sums of X say by how much sum(o d_o) missed. Then dS = X - P (row sum of X), dK and dQ.
#pragma once
#include "kernel/cpu/attention/mask.h"
#include "kernel/cpu/attention/score.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

// queries_along is a multiple of MR and of NR on every rung: the tiles of dQ (MR queries high) end where the
// panels of scores end, and no tile reads columns that nobody wrote.
constexpr int64_t keys_together = 16 * MR, queries_along = 96, along_words = queries_along + 32;
static_assert(queries_along % MR == 0 && queries_along % NR == 0);
constexpr int tiles_down = keys_together / MR, panels_along = queries_along / NR;

// From the first to the last of the bits.
struct Hull {
  int first, end;
  explicit Hull(uint32_t bits)
      : first(bits ? __builtin_ctz(bits) : 0), end(bits ? 32 - __builtin_clz(bits) : 0) {}
};

// What the first meeting of a block of keys with a block of queries leaves to the second one.
struct Met {
  int64_t key;                  // the block's first one
  uint32_t panels[tiles_down];  // bit c: of this tile of keys and panel c of the queries something is seen
};

// The blocks of keys of which a block of queries may see something.
inline int64_t blocks_met(const AttentionMask& m) {
  const int64_t all = divide_up(m.keys, keys_together);
  if (m.window == 0) return all;
  const int64_t near = 2 * smaller(m.window, m.keys) + queries_along, sinks = smaller(m.sinks, m.keys);
  return smaller(all, divide_up(near, keys_together) + 1 + divide_up(sinks, keys_together));
}

template <class T>
struct BackwardScratch {
  static constexpr int per = T::From::Word::elements;
  using E = typename T::Element;
  int64_t d_words, width, panels, padded_keys, bias_length;
  uint32_t *k_rows, *v_rows;        // [word of d][MR], tile by tile: left operands
  uint32_t* k_columns;              // [word of key][NR of d]: right operand of dQ
  uint32_t *q_rows, *g_rows;        // [word of d][NR of queries]: right operands of S^T and dP^T
  uint32_t *q_columns, *g_columns;  // [word of query][NR of d]: right operands of dK and dV
  float *shifts, *dots, *inverses, *misses, *rounded;  // [queries_along], see pack_queries_along
  float *mean_key, *dq, *d_bias;
  Diagonals* diagonals;
  E* scaled_d_o;       // [queries_along][d]
  E *p, *ds;           // [keys][along_words]
  uint32_t* ds_pairs;  // [word of key][along_words]: left operand of dQ
  Met* met;
  float (
      *kept)[NR];  // tiles of P, of X and, if scores have slopes, of these: [block][tile down][panel along]
  int64_t columns_panel_q, columns_panel_k, kept_rows, bytes;

  BackwardScratch(void* memory, const AttentionHeads& h)
      : d_words(divide_up(h.head_size, per)),
        width(divide_up(h.head_size, NR) * NR),
        panels(width / NR),
        padded_keys(divide_up(h.mask.keys, MR) * MR),
        bias_length(h.score.bias ? h.mask.queries + h.mask.keys - 1 + 2 * attention_slack : 0) {
    Pieces pieces(memory);
    columns_panel_q = queries_along / per * NR;
    columns_panel_k = divide_up(h.mask.keys, per) * NR;
    kept_rows = (h.score.sloped() ? 3 : 2) * MR;
    const int64_t blocks = blocks_met(h.mask);
    k_rows = pieces.take<uint32_t>(padded_keys * d_words);
    v_rows = pieces.take<uint32_t>(padded_keys * d_words);
    k_columns = pieces.take<uint32_t>(panels * columns_panel_k);
    q_rows = pieces.take<uint32_t>(queries_along * d_words);
    g_rows = pieces.take<uint32_t>(queries_along * d_words);
    q_columns = pieces.take<uint32_t>(panels * columns_panel_q);
    g_columns = pieces.take<uint32_t>(panels * columns_panel_q);
    for (float** row : {&shifts, &dots, &inverses, &misses, &rounded})
      *row = pieces.take<float>(queries_along);
    mean_key = pieces.take<float>(width);
    dq = pieces.take<float>(queries_along * width);
    d_bias = pieces.take<float>(h.mask.group * bias_length);
    diagonals = pieces.take<Diagonals>(1);
    scaled_d_o = pieces.take<E>(T::exact ? queries_along * h.head_size : 0);
    p = pieces.take<E>(keys_together * along_words);
    ds = pieces.take<E>(keys_together * along_words);
    // A word of one key is the key's row itself.
    ds_pairs =
        per == 1 ? reinterpret_cast<uint32_t*>(ds) : pieces.take<uint32_t>(keys_together / per * along_words);
    met = pieces.take<Met>(blocks);
    kept = reinterpret_cast<float(*)[NR]>(
        pieces.take<float>(blocks * tiles_down * panels_along * kept_rows * NR));
    bytes = pieces.used;
  }
  float (*kept_tile(int64_t block, int64_t row, int64_t column) const)[NR] {
    return kept + ((block * tiles_down + row / MR) * panels_along + column / NR) * kept_rows;
  }
};

template <class T>
int64_t backward_scratch(const AttentionHeads& h) {
  return BackwardScratch<T>(nullptr, h).bytes;
}

// Of one part of the work: dK, then dV, [padded keys][width].
template <class T>
int64_t sums_bytes(const AttentionHeads& h) {
  const BackwardScratch<T> m(nullptr, h);
  return 2 * m.padded_keys * m.width * 4;
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

// P and X of a tile of which something is seen, kept, and P^T as dV's left operand; `whole`: all of it is
// seen; `plain`: neither steps nor dropout.
template <class T, bool plain>
void first_meeting(const AttentionHeads& h, const BackwardScratch<T>& m, const ScoreTile& x, bool whole,
                   float scale2, float (*p)[NR]) {
  using Word = typename T::From::Word;
  const int64_t panel = x.column * m.d_words;
  const float *shifts = m.shifts + x.column, *dots = m.dots + x.column;
  const bool steps = !plain && h.score.any(), dropout = !plain && h.dropout.on;
  const float* ahead = p[m.kept_rows];
  const auto fetch = [](const float* next) {
    return [next](int64_t k) INTARSIA_INLINE {
      if (k < MR * NR / 16) __builtin_prefetch(next + k * 16, 1);
    };
  };
  tile<Word, MR, 2, MR>(
      m.k_rows + x.key * m.d_words, 0, m.q_rows + panel, 0, m.d_words,
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
      },
      fetch(ahead));
  if (steps)
    probabilities_turned<T>(h, p, h.score.sloped() ? p + 2 * MR : nullptr, shifts, x.g, x.query, x.key);
  alignas(64) uint32_t words[NR];
  if (!whole) {
    for (int i = 0; i < NR; i++) words[i] = seen_bits(h.mask, x.g, x.query + i, x.key);
    cut(p, words);
  }
  alignas(64) float survived[MR][NR];
  const float(*remaining)[NR] = p;
  if (dropout) {
    surviving_queries(h, x.g, x.query, x.key, MR, words);
    for (int r = 0; r < MR; r++)
      for (int j = 0; j < NR; j += W) store(&survived[r][j], load(&p[r][j]) * all(h.dropout.factor));
    cut(survived, words);
    remaining = survived;
  }
  each<MR>([&](auto r) INTARSIA_INLINE {
    T::put_row(m.p + (x.row + r) * along_words + x.column, load(&remaining[r][0]), load(&remaining[r][W]));
  });

  ahead += MR * NR;
  tile<Word, MR, 2, MR>(
      m.v_rows + x.key * m.d_words, 0, m.g_rows + panel, 0, m.d_words,
      [](auto, auto) INTARSIA_INLINE { return zeros(); },
      [&](auto& c) INTARSIA_INLINE {
        each<2>([&](auto j) INTARSIA_INLINE {
          const Floats dot = load(dots + j * W);
          Floats sum = zeros();
          each<MR>([&](auto r) INTARSIA_INLINE {
            const Floats probability = load(&p[r][j * W]);
            const Floats part = dropout ? load(&remaining[r][j * W]) * c[r][j] - probability * dot
                                        : probability * (c[r][j] - dot);
            sum = sum + part;
            store(&p[MR + r][j * W], part);
          });
          float* miss = m.misses + x.column + j * W;
          store(miss, load(miss) + sum);
        });
      },
      fetch(ahead));
}

// dS^T of a tile from what was kept of it.
template <class T, bool plain>
void second_meeting(const AttentionHeads& h, const BackwardScratch<T>& m, const ScoreTile& x,
                    const float (*p)[NR]) {
  using Word = typename T::From::Word;
  constexpr int per = Word::elements;
  const bool biased = !plain && h.score.bias, sloped = !plain && h.score.sloped();
  const float* misses = m.misses + x.column;
  float* rounded = m.rounded + x.column;
  each<2 * MR * NR / 16>([&](auto line) INTARSIA_INLINE { __builtin_prefetch(p[2 * MR] + line * 16); });
  Floats sums[2] = {load(rounded), load(rounded + W)};
  each<MR / per>([&](auto group) INTARSIA_INLINE {
    Floats ds[per][2];
    each<per>([&](auto e) INTARSIA_INLINE {
      constexpr int r = group * per + e;
      each<2>([&](auto j) INTARSIA_INLINE {
        ds[e][j] = multiply_add(load(&p[MR + r][j * W]), load(&p[r][j * W]), load(misses + j * W));
        if (biased) m.diagonals->put(r, j, ds[e][j]);
        if (sloped) ds[e][j] = ds[e][j] * load(&p[2 * MR + r][j * W]);
      });
      T::put_row(m.ds + (x.row + r) * along_words + x.column, ds[e][0], ds[e][1]);
    });
    if constexpr (per == 2)
      each<2>([&](auto j) INTARSIA_INLINE {
        const Words pairs = bf16_pairs(ds[0][j], ds[1][j]);
        store_words(m.ds_pairs + (x.row / per + group) * along_words + x.column + j * W, pairs);
        sums[j] = plus_pairs(sums[j], pairs);
        if (sloped) sums[j] = sums[j] - (ds[0][j] + ds[per - 1][j]);
      });
  });
  if constexpr (per == 2) store(rounded, sums[0]), store(rounded + W, sums[1]);
  if (biased)
    m.diagonals->add_to(m.d_bias + x.g * m.bias_length + attention_slack + h.mask.keys - 1 + x.query - x.key -
                        (MR - 1));
}

// A tile of which nothing is seen, where its neighbours are multiplied together with it.
template <class E, int rows = MR>
void clear_tile(E* tile) {
  for (int r = 0; r < rows; r++) std::memset(tile + r * along_words, 0, NR * sizeof(E));
}

// out[MR rows][width] += left x right, panel by panel of d. The product is summed apart, so that no chain of
// roundings is as long as a sequence.
template <class Word, int width_of_left>
inline INTARSIA_INLINE void add_product(const uint32_t* left, int64_t distance, const uint32_t* right,
                                        int64_t panel, int64_t panels, int64_t words, float* out,
                                        int64_t width) {
  for (int64_t c0 = 0; c0 < panels; c0++) {
    float* to = out + c0 * NR;
    tile<Word, MR, 2, width_of_left>(
        left, distance, right + c0 * panel, words, [](auto, auto) INTARSIA_INLINE { return zeros(); },
        [&](auto& c) INTARSIA_INLINE {
          each<MR>([&](auto r) INTARSIA_INLINE {
            each<2>([&](auto j) INTARSIA_INLINE {
              float* x = to + r * width + j * W;
              store(x, load(x) + c[r][j]);
            });
          });
        });
  }
}

// out[keys][width] += left x right for the tiles of a block of keys; left's rows are keys.
template <class T>
void add_to_keys(const BackwardScratch<T>& m, const Met& met, const typename T::Element* left,
                 const uint32_t* columns, float* out) {
  constexpr int per = T::From::Word::elements;
  for (int t = 0; t < tiles_down; t++) {
    if (met.panels[t] == 0) continue;
    const Hull hull(met.panels[t]);
    const int64_t column = hull.first * NR, row = t * MR;
    add_product<typename T::From::Word, 0>(
        reinterpret_cast<const uint32_t*>(left + row * along_words + column), along_words / per,
        columns + column / per * NR, m.columns_panel_q, m.panels, (hull.end - hull.first) * NR / per,
        out + (met.key + row) * m.width, m.width);
  }
}

// The queries q0 .. of head g meet all keys they see; dq is set, the sums of dK and dV grow.
template <class T, bool plain>
void backward_block(const AttentionHeads& h, const BackwardScratch<T>& m, int64_t g, int64_t q0, float* dk,
                    float* dv) {
  using Word = typename T::From::Word;
  constexpr int per = Word::elements;
  const float scale2 = base_2_scale(h);
  const int64_t span = divide_up(smaller(queries_along, h.mask.queries - q0), NR) * NR;
  int64_t blocks = 0;
  for (int64_t k0 = 0; k0 < h.mask.keys; k0 += keys_together) {
    const int64_t padded = smaller(keys_together, m.padded_keys - k0);
    const Seen together = seen(h.mask, g, g + 1, q0, q0 + span, k0, k0 + padded);
    if (together == Seen::none) continue;
    Met& met = m.met[blocks];
    met = {k0, {}};
    for (int64_t row = 0; row < padded; row += MR)
      for (int64_t column = 0; column < span; column += NR) {
        const ScoreTile x = {g, k0 + row, row, q0 + column, column};
        const Seen s = together == Seen::all
                           ? Seen::all
                           : seen(h.mask, g, g + 1, x.query, x.query + NR, x.key, x.key + MR);
        if (s == Seen::none) {
          clear_tile(m.p + row * along_words + column);
          continue;
        }
        met.panels[row / MR] |= 1u << column / NR;
        first_meeting<T, plain>(h, m, x, s == Seen::all, scale2, m.kept_tile(blocks, row, column));
      }
    add_to_keys(m, met, m.p, m.g_columns, dv);
    blocks++;
  }

  for (int64_t i = 0; i < span; i += W)
    store(m.misses + i, zeros() - load(m.misses + i) * load(m.inverses + i));
  std::memset(m.dq, 0, static_cast<size_t>(queries_along * m.width) * 4);
  for (int64_t block = 0; block < blocks; block++) {
    const Met& met = m.met[block];
    uint32_t panels_down[panels_along] = {};
    const int64_t keys = smaller(keys_together, h.mask.keys - met.key), tiles = divide_up(keys, MR);
    for (int64_t t = 0; t < tiles; t++)
      for (int c = 0; c < span / NR; c++) {
        const ScoreTile x = {g, met.key + t * MR, t * MR, q0 + c * NR, c * NR};
        if (met.panels[t] >> c & 1) {
          second_meeting<T, plain>(h, m, x, m.kept_tile(block, x.row, x.column));
          panels_down[c] |= 1u << t;
        } else {
          clear_tile(m.ds + x.row * along_words + x.column);
          if (per == 2) clear_tile<uint32_t, MR / per>(m.ds_pairs + x.row / per * along_words + x.column);
        }
      }
    add_to_keys(m, met, m.ds, m.q_columns, dk);
    for (int64_t column = 0; column < span; column += MR) {
      uint32_t down = panels_down[column / NR];
      if (column + MR - 1 < span) down |= panels_down[(column + MR - 1) / NR];
      if (down == 0) continue;
      const Hull hull(down);
      const int64_t word = hull.first * MR / per, end = smaller(hull.end * MR / per, divide_up(keys, per));
      add_product<Word, along_words>(m.ds_pairs + word * along_words + column, 0,
                                     m.k_columns + (met.key / per + word) * NR, m.columns_panel_k, m.panels,
                                     end - word, m.dq + column * m.width, m.width);
    }
  }
}

// Keys and values as left operands of S^T and dP^T, keys as the right one of dQ, and their mean.
template <class T>
void pack_keys(const AttentionBackward& w, const BackwardScratch<T>& m) {
  using E = typename T::Element;
  using From = typename T::From;
  const int64_t d = w.heads.head_size, keys = w.heads.mask.keys;
  const auto *k = static_cast<const E*>(w.k), *v = static_cast<const E*>(w.v);
  for (int64_t t = 0; t < keys; t += MR) {
    pack_rows<From, MR>(k + t * w.k_time, w.k_time, smaller(MR, keys - t), d, m.k_rows + t * m.d_words);
    pack_rows<From, MR>(v + t * w.v_time, w.v_time, smaller(MR, keys - t), d, m.v_rows + t * m.d_words);
  }
  pack_columns<From, NR>(k, w.k_time, d, keys, m.panels, m.columns_panel_k, m.k_columns);
  if (T::exact) return;
  std::memset(m.mean_key, 0, static_cast<size_t>(m.width) * 4);
  const Floats share = all(1 / static_cast<float>(keys));
  for (int64_t i = 0; i < keys; i++)
    for (int64_t j = 0; j < d; j += W)
      store(m.mean_key + j, multiply_add(load(m.mean_key + j), T::widen(k + i * w.k_time + j, d - j), share));
}

// The queries q0 .. of head g and their gradients of o as the operands of four products; what is added to
// scores before the exponential; sum(o d_o). The row's sum divides d_o in f32, where that loses nothing, and
// is part of the exponent in bf16.
template <class T>
void pack_queries_along(const AttentionBackward& w, const BackwardScratch<T>& m, int64_t g, int64_t q0) {
  using E = typename T::Element;
  using From = typename T::From;
  constexpr int per = From::Word::elements;
  const AttentionHeads& h = w.heads;
  const int64_t d = h.head_size, count = smaller(queries_along, h.mask.queries - q0);
  const E* q = static_cast<const E*>(h.q) + g * h.q_head + q0 * h.q_time;
  const E* d_o = static_cast<const E*>(w.d_o) + g * w.do_head + q0 * w.do_time;
  const E* o = static_cast<const E*>(w.o) + g * w.o_head + q0 * w.o_time;
  int64_t do_time = w.do_time;
  const AttentionNorm* norms = w.norms + g * h.mask.queries + q0;
  for (int64_t i = 0; i < queries_along; i++) {
    m.shifts[i] = minus_infinity;  // a query that sees nothing, or does not exist, has no probabilities
    m.dots[i] = m.inverses[i] = m.misses[i] = m.rounded[i] = 0;
    if (i >= count || norms[i].sum == 0) continue;
    Floats sum = zeros();
    for (int64_t j = 0; j < d; j += W)
      sum = multiply_add(sum, T::widen(o + i * w.o_time + j, d - j), T::widen(d_o + i * do_time + j, d - j));
    m.inverses[i] = T::exact ? 1 / norms[i].sum : 1;
    m.dots[i] = lanes_sum(sum) * m.inverses[i];
    m.shifts[i] = -norms[i].top - (T::exact ? 0 : __builtin_log2f(norms[i].sum));
  }
  if constexpr (T::exact) {
    for (int64_t i = 0; i < count; i++)
      put_scaled<T>(d_o + i * do_time, m.inverses[i], d, m.scaled_d_o + i * d);
    d_o = m.scaled_d_o, do_time = d;
  }
  for (int64_t first = 0; first < count; first += NR) {
    const int64_t rows = smaller(NR, count - first);
    pack_rows<From, NR>(q + first * h.q_time, h.q_time, rows, d, m.q_rows + first * m.d_words);
    pack_rows<From, NR>(d_o + first * do_time, do_time, rows, d, m.g_rows + first * m.d_words);
  }
  // Queries that fill the last panel do not exist: their rows of the right operands are zero.
  const int64_t written = count / per * NR;
  const auto tail = static_cast<size_t>(m.columns_panel_q - written) * 4;
  for (int64_t c = 0; c < m.panels; c++) {
    std::memset(m.q_columns + c * m.columns_panel_q + written, 0, tail);
    std::memset(m.g_columns + c * m.columns_panel_q + written, 0, tail);
  }
  pack_columns<From, NR>(q, h.q_time, d, count, m.panels, m.columns_panel_q, m.q_columns);
  pack_columns<From, NR>(d_o, do_time, d, count, m.panels, m.columns_panel_q, m.g_columns);
}

template <class T>
void put_dq(const AttentionBackward& w, const BackwardScratch<T>& m, int64_t g, int64_t q0) {
  const AttentionHeads& h = w.heads;
  const int64_t count = smaller(queries_along, h.mask.queries - q0);
  auto* out = static_cast<typename T::Element*>(w.dq) + g * w.dq_head + q0 * w.dq_time;
  for (int64_t i = 0; i < count; i++) {
    float* row = m.dq + i * m.width;
    // A row of dS adds up to nothing; what its rounding to 16 bits adds up to must not meet the part that all
    // keys have in common.
    if (!T::exact)
      for (int64_t j = 0; j < m.width; j += W)
        store(row + j, multiply_add(load(row + j), load(m.mean_key + j), all(-m.rounded[i])));
    put_scaled<T>(row, static_cast<float>(h.scale), h.head_size, out + i * w.dq_time);
  }
}

template <class T>
void backward(const AttentionBackward& w) {
  const AttentionHeads& h = w.heads;
  const BackwardScratch<T> m(w.scratch, h);
  const int64_t group = h.mask.group, blocks = group * divide_up(h.mask.queries, queries_along);
  float *dk = w.sums, *dv = dk + m.padded_keys * m.width;
  std::memset(dk, 0, static_cast<size_t>(sums_bytes<T>(h)));
  std::memset(static_cast<void*>(m.diagonals), 0, sizeof(Diagonals));
  std::memset(m.d_bias, 0, static_cast<size_t>(group * m.bias_length) * 4);
  pack_keys(w, m);
  const bool plain = !h.score.any() && !h.dropout.on;
  for (int64_t block = w.piece; block < blocks; block += w.pieces) {
    const int64_t g = block % group, q0 = block / group * queries_along;
    pack_queries_along(w, m, g, q0);
    if (plain)
      backward_block<T, true>(h, m, g, q0, dk, dv);
    else
      backward_block<T, false>(h, m, g, q0, dk, dv);
    put_dq(w, m, g, q0);
  }
  const int64_t distances = h.mask.queries + h.mask.keys - 1;
  if (w.d_bias)
    for (int64_t g = 0; g < group; g++)
      std::memcpy(w.d_bias + g * distances, m.d_bias + g * m.bias_length + attention_slack,
                  static_cast<size_t>(distances) * 4);
}

// dK and dV of the keys begin .. end from the sums of all pieces, in order.
template <class T>
void backward_keys(const AttentionKeySums& w) {
  using E = typename T::Element;
  const AttentionHeads& h = w.heads;
  const BackwardScratch<T> m(nullptr, h);
  const int64_t matrix = m.padded_keys * m.width;
  for (int64_t i = w.begin; i < w.end; i++)
    for (int which = 0; which < 2; which++) {
      float* row = w.sums + which * matrix + i * m.width;
      for (int64_t piece = 1; piece < w.pieces; piece++)
        for (int64_t j = 0; j < m.width; j += W)
          store(row + j, load(row + j) + load(row + 2 * matrix * piece + j));
      if (which == 0)
        put_scaled<T>(row, static_cast<float>(h.scale), h.head_size, static_cast<E*>(w.dk) + i * w.dk_time);
      else
        put_scaled<T>(row, 1, h.head_size, static_cast<E*>(w.dv) + i * w.dv_time);
    }
}

}  // namespace
}  // namespace intarsia::kernel::INTARSIA_RUNG
