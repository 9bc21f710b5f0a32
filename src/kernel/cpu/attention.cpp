// Tiled attention with online softmax (Dao et al. 2022) on the register tile of tile.h. Sums are f32; scores
// live in the first-level cache, one block of keys at a time; the backward computes them again from the saved
// log-sum-exp.
#include "kernel/cpu/tile.h"
#include "kernel/slots_attention.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

constexpr float minus_infinity = -__builtin_inff();
constexpr int64_t block = attention_block;

// ---- small vector functions that only attention needs

#if defined(__AVX512F__)
inline Floats larger_of(Floats a, Floats b) { return _mm512_max_ps(a, b); }
inline float lanes_max(Floats x) { return _mm512_reduce_max_ps(x); }
inline float lanes_sum(Floats x) { return _mm512_reduce_add_ps(x); }
#else
#if defined(__AVX2__)
inline Floats larger_of(Floats a, Floats b) { return _mm256_max_ps(a, b); }
#else
inline Floats larger_of(Floats a, Floats b) { return _mm_max_ps(a, b); }
#endif
inline float lanes_max(Floats x) {
  float lane[W];
  store(lane, x);
  float m = lane[0];
  for (int i = 1; i < W; i++) m = lane[i] > m ? lane[i] : m;
  return m;
}
inline float lanes_sum(Floats x) {
  float lane[W];
  store(lane, x);
  for (int half = W / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lane[i] += lane[i + half];
  return lane[0];
}
#endif

// 2^x for x <= 0 (relative error 2e-7); exactly 0 below -126, so a masked score of -infinity leaves no trace.
inline INTARSIA_INLINE Floats exp2_negative(Floats x) {
  constexpr float c[] = {1.3390864e-3f, 9.6760319e-3f, 5.5503571e-2f, 2.4022107e-1f, 6.9314719e-1f, 1.f};
#if defined(__AVX512F__)
  const Floats n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  const Floats magic =
      all(12582912.f);  // 1.5 * 2^23: adding it rounds to an integer, which stands in the low bits
  const Floats shifted = x + magic;
  const Floats n = shifted - magic;
#endif
  const Floats f = x - n;
  Floats p = all(c[0]);
  each<5>([&](auto i) INTARSIA_INLINE { p = multiply_add(all(c[i + 1]), p, f); });
#if defined(__AVX512F__)
  return _mm512_mask_mov_ps(_mm512_scalef_ps(p, n), _mm512_cmp_ps_mask(x, all(-126.f), _CMP_LT_OQ), zeros());
#elif defined(__AVX2__)
  const Words bits = _mm256_add_epi32(as_words(p), _mm256_slli_epi32(as_words(shifted), 23));
  return _mm256_andnot_ps(_mm256_cmp_ps(x, all(-126.f), _CMP_LT_OQ), as_floats(bits));
#else
  const Words bits = _mm_add_epi32(as_words(p), _mm_slli_epi32(as_words(shifted), 23));
  return _mm_andnot_ps(_mm_cmplt_ps(x, all(-126.f)), as_floats(bits));
#endif
}

// ---- element types: how rows of f32 results become operands and outputs

struct TypeF32 {
  using From = FromF32;
  using Element = float;
  static float to_float(float x) { return x; }
  static float from_float(float x) { return x; }
  // NR floats of one row as the left operand's words along k.
  static INTARSIA_INLINE void put_row(float* row, Floats low, Floats high) {
    store(row, low);
    store(row + W, high);
  }
};

struct TypeBf16 {
  using From = FromBf16Pairs;
  using Element = uint16_t;
  static float to_float(uint16_t x) {
    const uint32_t bits = static_cast<uint32_t>(x) << 16;
    float f;
    std::memcpy(&f, &bits, 4);
    return f;
  }
  static uint16_t from_float(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    if (x != x) return static_cast<uint16_t>(bits >> 16 | 0x40);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
  static INTARSIA_INLINE void put_row(uint16_t* row, Floats low, Floats high) { store_bf16(row, low, high); }
};

// Hands out 64-byte aligned pieces of one block of memory; with null it only counts.
struct Pieces {
  char* at;
  int64_t used = 0;
  explicit Pieces(void* memory) : at(static_cast<char*>(memory)) {}
  template <class T>
  T* take(int64_t count) {
    T* piece = reinterpret_cast<T*>(at + used);
    used += (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
    return piece;
  }
};

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// ---- packed keys and values: panels of NR keys [word of d][NR]; then, for each block of keys, panels of NR
// columns of v [word of key][NR]
template <class T>
struct Packed {
  static constexpr int per = T::From::Word::elements;
  int64_t key_words, key_panel, value_panels, value_panel, blocks;
  explicit Packed(const AttentionHead& s)
      : key_words(divide_up(s.head_size, per)),
        key_panel(key_words * NR),
        value_panels(divide_up(s.head_size, NR)),
        value_panel(block / per * NR),
        blocks(divide_up(s.keys, block)) {}
  int64_t words() const { return blocks * (block / NR * key_panel + value_panels * value_panel); }
  int64_t keys_at(int64_t key) const { return key / NR * key_panel; }
  int64_t values_at(int64_t key) const {
    return blocks * (block / NR) * key_panel + key / block * value_panels * value_panel;
  }
};

template <class T>
int64_t packed_bytes(const AttentionHead& s) {
  return Packed<T>(s).words() * 4;
}

template <class T>
void pack(const AttentionHead& s, const void* k, int64_t k_time, const void* v, int64_t v_time, int64_t begin,
          int64_t end, void* packed) {
  using E = typename T::Element;
  const Packed<T> layout(s);
  auto* out = static_cast<uint32_t*>(packed);
  for (int64_t key = begin; key < end; key += NR)
    pack_rows<typename T::From, NR>(static_cast<const E*>(k) + (key - begin) * k_time, k_time,
                                    smaller(NR, end - key), s.head_size, out + layout.keys_at(key));
  for (int64_t key = begin; key < end; key += block)
    pack_columns<typename T::From, NR>(static_cast<const E*>(v) + (key - begin) * v_time, v_time, s.head_size,
                                       smaller(block, end - key), layout.value_panels, layout.value_panel,
                                       out + layout.values_at(key));
}

// ---- forward

constexpr int64_t queries_together =
    16 * MR;  // share each block of keys while it is in the second-level cache
constexpr int64_t row_words =
    block + 16;  // of scores; off a power of two, so that rows do not share cache sets

template <class T>
struct ForwardScratch {
  int64_t width;  // of an output row: whole panels
  uint32_t* q;    // one tile's queries [word of d][MR]
  float *scores, *o, *sums, *top;
  typename T::Element* p;
  int64_t bytes;
  ForwardScratch(void* memory, const AttentionHead& s) : width(divide_up(s.head_size, NR) * NR) {
    Pieces pieces(memory);
    q = pieces.take<uint32_t>(queries_together * divide_up(s.head_size, T::From::Word::elements));
    scores = pieces.take<float>(MR * row_words);
    p = pieces.take<typename T::Element>(MR * row_words);
    o = pieces.take<float>(queries_together * width);
    sums = pieces.take<float>(queries_together * W);
    top = pieces.take<float>(queries_together);
    bytes = pieces.used;
  }
};

template <class T>
int64_t forward_scratch(const AttentionHead& s) {
  return ForwardScratch<T>(nullptr, s).bytes;
}

// One tile of `rows` queries against the keys k0 .. k0 + block. limit(r) = number of keys that row r sees.
template <class T, int rows>
void forward_tile(const AttentionForward& w, const Packed<T>& layout, const ForwardScratch<T>& m,
                  int64_t tile_row, int64_t k0, int64_t first_limit, float scale2) {
  using Word = typename T::From::Word;
  const AttentionHead& s = w.shape;
  const auto* packed = static_cast<const uint32_t*>(w.packed);
  const int64_t step = s.causal ? 1 : 0;
  const int64_t visible = smaller(block, first_limit + step * (rows - 1) - k0);  // to the row that sees most
  const int64_t panels = divide_up(visible, NR);
  const uint32_t* q = m.q + tile_row * layout.key_words;

  for (int64_t panel = 0; panel < panels; panel++) {
    const int64_t key = k0 + panel * NR;
    float* out = m.scores + panel * NR;
    tile<Word, rows, 2, MR>(
        q, 0, packed + layout.keys_at(key), layout.key_words,
        [](auto, auto) INTARSIA_INLINE { return zeros(); },
        [&](auto& c) INTARSIA_INLINE {
          const Floats scale = all(scale2);
          each<rows>([&](auto r) INTARSIA_INLINE {
            each<2>([&](auto j) INTARSIA_INLINE { store(out + r * row_words + j * W, c[r][j] * scale); });
          });
        });
    if (key + NR <= first_limit) continue;
    for (int r = 0; r < rows; r++)  // the diagonal, or the end of the keys
      for (int64_t j = larger(0, first_limit + step * r - key); j < NR; j++)
        out[r * row_words + j] = minus_infinity;
  }

  float alpha[rows];
  for (int r = 0; r < rows; r++) {
    const float* score = m.scores + r * row_words;
    Floats a = load(score), b = load(score + W);
    for (int64_t j = NR; j < panels * NR; j += NR) {
      a = larger_of(a, load(score + j));
      b = larger_of(b, load(score + j + W));
    }
    const float before = m.top[tile_row + r], now = lanes_max(larger_of(a, b));
    const float top = now > before ? now : before;
    m.top[tile_row + r] = top;
    float first[W];
    store(first, exp2_negative(all(before - top)));
    alpha[r] = first[0];
    Floats sum = load(m.sums + (tile_row + r) * W) * all(alpha[r]);
    const Floats shift = all(top);
    for (int64_t j = 0; j < panels * NR; j += NR) {
      const Floats low = exp2_negative(load(score + j) - shift),
                   high = exp2_negative(load(score + j + W) - shift);
      sum = sum + (low + high);
      T::put_row(m.p + r * row_words + j, low, high);
    }
    store(m.sums + (tile_row + r) * W, sum);
  }

  const int64_t words = divide_up(smaller(visible, s.keys - k0), Word::elements);
  for (int64_t panel = 0; panel < layout.value_panels; panel++) {
    float* out = m.o + tile_row * m.width + panel * NR;
    tile<Word, rows, 2, 0>(
        reinterpret_cast<const uint32_t*>(m.p), row_words / Word::elements,
        packed + layout.values_at(k0) + panel * layout.value_panel, words,
        [&](auto r, auto j) INTARSIA_INLINE { return load(out + r * m.width + j * W) * all(alpha[r]); },
        [&](auto& c) INTARSIA_INLINE {
          each<rows>([&](auto r) INTARSIA_INLINE {
            each<2>([&](auto j) INTARSIA_INLINE { store(out + r * m.width + j * W, c[r][j]); });
          });
        });
  }
}

template <class T>
void forward(const AttentionForward& w) {
  using E = typename T::Element;
  const AttentionHead& s = w.shape;
  const Packed<T> layout(s);
  const ForwardScratch<T> m(w.scratch, s);
  const float scale2 = static_cast<float>(s.scale * 1.4426950408889634);

  for (int64_t q0 = w.begin; q0 < w.end; q0 += queries_together) {
    const int64_t count = smaller(queries_together, w.end - q0);
    for (int64_t t = 0; t < count; t += MR)
      pack_rows<typename T::From, MR>(static_cast<const E*>(w.q) + (q0 + t) * w.q_time, w.q_time,
                                      smaller(MR, count - t), s.head_size, m.q + t * layout.key_words);
    std::memset(m.o, 0, static_cast<size_t>(divide_up(count, MR) * MR * m.width) * 4);
    std::memset(m.sums, 0, static_cast<size_t>(divide_up(count, MR) * MR * W) * 4);
    for (int64_t i = 0; i < divide_up(count, MR) * MR; i++) m.top[i] = minus_infinity;

    const int64_t last_limit = s.causal ? smaller(s.keys, s.first + q0 + count) : s.keys;
    for (int64_t k0 = 0; k0 < last_limit; k0 += block)
      for (int64_t t = 0; t < count; t += MR) {
        const int64_t rows = smaller(MR, count - t);
        const int64_t limit = s.causal ? s.first + q0 + t + 1 : s.keys;  // of the tile's first row
        if (s.causal && limit + rows - 1 <= k0) continue;
        // A row's bits do not depend on the tile's height, so few heights suffice.
        if (rows == 1)
          forward_tile<T, 1>(w, layout, m, t, k0, limit, scale2);
        else if (rows <= MR / 2)
          forward_tile<T, MR / 2>(w, layout, m, t, k0, limit, scale2);
        else
          forward_tile<T, MR>(w, layout, m, t, k0, limit, scale2);
      }

    for (int64_t i = 0; i < count; i++) {
      const float sum = lanes_sum(load(m.sums + i * W));
      const float inverse = 1 / sum;
      E* out = static_cast<E*>(w.o) + (q0 + i) * w.o_time;
      for (int64_t j = 0; j < s.head_size; j++) out[j] = T::from_float(m.o[i * m.width + j] * inverse);
      if (w.lse) static_cast<float*>(w.lse)[q0 + i] = (m.top[i] + __builtin_log2f(sum)) * 0.69314718f;
    }
  }
}

// ---- backward: tiles of keys down, queries along, so that the log-sum-exp is a plain vector and P^T and
// dS^T are at once left operands of dV and dK

// queries_along is a multiple of MR and of NR on every rung: the tiles of dQ (MR queries high) end where the
// panels of scores end, and no tile reads columns that nobody wrote.
constexpr int64_t keys_together = 16 * MR, queries_along = 192, along_words = queries_along + 32;
static_assert(queries_along % MR == 0 && queries_along % NR == 0);

template <class T>
struct BackwardScratch {
  static constexpr int per = T::From::Word::elements;
  using E = typename T::Element;
  int64_t d_words, width, panels, padded_queries, query_panels, key_tiles;
  uint32_t *k_rows, *v_rows;        // [word of d][MR], tile by tile: left operands
  uint32_t* k_columns;              // [word of key][NR of d]: right operand of dQ
  uint32_t *q_rows, *g_rows;        // [word of d][NR of queries]: right operands of S^T and dP^T
  uint32_t *q_columns, *g_columns;  // [word of query][NR of d]: right operands of dK and dV
  float *lse2, *dots, *dq, *dk, *dv;
  E *p, *ds;           // [keys][along_words]
  uint32_t* ds_pairs;  // [word of key][along_words]: left operand of dQ
  int64_t columns_panel_q, columns_panel_k, bytes;

  BackwardScratch(void* memory, const AttentionHead& s, int64_t group)
      : d_words(divide_up(s.head_size, per)),
        width(divide_up(s.head_size, NR) * NR),
        panels(width / NR),
        padded_queries(divide_up(s.queries, NR) * NR),
        query_panels(padded_queries / NR),
        key_tiles(divide_up(s.keys, MR)) {
    Pieces pieces(memory);
    columns_panel_q = divide_up(padded_queries, per) * NR;
    columns_panel_k = divide_up(keys_together, per) * NR;
    k_rows = pieces.take<uint32_t>(keys_together * d_words);
    v_rows = pieces.take<uint32_t>(keys_together * d_words);
    k_columns = pieces.take<uint32_t>(panels * columns_panel_k);
    q_rows = pieces.take<uint32_t>(group * query_panels * d_words * NR);
    g_rows = pieces.take<uint32_t>(group * query_panels * d_words * NR);
    q_columns = pieces.take<uint32_t>(group * panels * columns_panel_q);
    g_columns = pieces.take<uint32_t>(group * panels * columns_panel_q);
    lse2 = pieces.take<float>(group * padded_queries);
    dots = pieces.take<float>(group * padded_queries);
    dq = pieces.take<float>(group * (padded_queries + MR) * width);
    dk = pieces.take<float>(keys_together * width);
    dv = pieces.take<float>(keys_together * width);
    p = pieces.take<E>(keys_together * along_words);
    ds = pieces.take<E>(keys_together * along_words);
    ds_pairs = pieces.take<uint32_t>(keys_together / per * along_words);
    bytes = pieces.used;
  }
};

template <class T>
int64_t backward_scratch(const AttentionHead& s, int64_t group) {
  return BackwardScratch<T>(nullptr, s, group).bytes;
}

// P^T and dS^T of one tile of MR keys against the queries of one panel.
template <class T>
void backward_scores(const AttentionHead& s, const BackwardScratch<T>& m, int64_t head, int64_t key,
                     int64_t tile_key, int64_t query, int64_t along, float scale2) {
  using Word = typename T::From::Word;
  constexpr int per = T::From::Word::elements;
  const int64_t panel = (head * m.query_panels + query / NR) * m.d_words * NR;
  const float* lse2 = m.lse2 + head * m.padded_queries + query;
  const float* dots = m.dots + head * m.padded_queries + query;
  alignas(64) float p[MR][NR];
  tile<Word, MR, 2, MR>(
      m.k_rows + tile_key * m.d_words, 0, m.q_rows + panel, m.d_words,
      [](auto, auto) INTARSIA_INLINE { return zeros(); },
      [&](auto& c) INTARSIA_INLINE {
        const Floats scale = all(scale2);
        each<MR>([&](auto r) INTARSIA_INLINE {
          each<2>([&](auto j) INTARSIA_INLINE {
            store(&p[r][j * W], exp2_negative(c[r][j] * scale - load(lse2 + j * W)));
          });
        });
      });
  if (s.causal && s.first + query < key + MR - 1)  // key + r is seen by queries from key + r - first on
    for (int r = 0; r < MR; r++)
      for (int64_t j = 0; j < smaller(NR, key + r - s.first - query); j++) p[r][j] = 0;
  each<MR>([&](auto r) INTARSIA_INLINE {
    T::put_row(m.p + (tile_key + r) * along_words + along, load(&p[r][0]), load(&p[r][W]));
  });
  tile<Word, MR, 2, MR>(
      m.v_rows + tile_key * m.d_words, 0, m.g_rows + panel, m.d_words,
      [](auto, auto) INTARSIA_INLINE { return zeros(); },
      [&](auto& c) INTARSIA_INLINE {
        each<MR / per>([&](auto group) INTARSIA_INLINE {
          Floats x[per][2];
          each<per>([&](auto e) INTARSIA_INLINE {
            constexpr int r = group * per + e;
            each<2>([&](auto j)
                        INTARSIA_INLINE { x[e][j] = load(&p[r][j * W]) * (c[r][j] - load(dots + j * W)); });
            T::put_row(m.ds + (tile_key + r) * along_words + along, x[e][0], x[e][1]);
          });
          uint32_t* pairs = m.ds_pairs + (tile_key / per + group) * along_words + along;
          each<2>([&](auto j) INTARSIA_INLINE {
            if constexpr (per == 1)
              store_words(pairs + j * W, as_words(x[0][j]));
            else
              store_words(pairs + j * W, bf16_pairs(x[0][j], x[per - 1][j]));
          });
        });
      });
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

template <class T>
void backward(const AttentionBackward& w) {
  using E = typename T::Element;
  using Word = typename T::From::Word;
  using From = typename T::From;
  constexpr int per = Word::elements;
  const AttentionHead& s = w.shape;
  const BackwardScratch<T> m(w.scratch, s, w.group);
  const int64_t d = s.head_size;
  const float scale2 = static_cast<float>(s.scale * 1.4426950408889634);

  for (int64_t g = 0; g < w.group; g++) {
    const E* q = static_cast<const E*>(w.q) + g * w.q_head;
    const E* d_o = static_cast<const E*>(w.d_o) + g * w.do_head;
    const E* o = static_cast<const E*>(w.o) + g * w.o_head;
    const float* lse = static_cast<const float*>(w.lse) + g * w.lse_head;
    for (int64_t panel = 0; panel < m.query_panels; panel++) {
      const int64_t first = panel * NR, at = (g * m.query_panels + panel) * m.d_words * NR;
      pack_rows<From, NR>(q + first * w.q_time, w.q_time, smaller(NR, s.queries - first), d, m.q_rows + at);
      pack_rows<From, NR>(d_o + first * w.do_time, w.do_time, smaller(NR, s.queries - first), d,
                          m.g_rows + at);
    }
    uint32_t* q_columns = m.q_columns + g * m.panels * m.columns_panel_q;
    uint32_t* g_columns = m.g_columns + g * m.panels * m.columns_panel_q;
    // Queries that fill the last panel do not exist: their rows of the right operands are zero.
    const auto tail = static_cast<size_t>(m.columns_panel_q - s.queries / per * NR) * 4;
    for (int64_t c = 0; c < m.panels; c++) {
      std::memset(q_columns + c * m.columns_panel_q + s.queries / per * NR, 0, tail);
      std::memset(g_columns + c * m.columns_panel_q + s.queries / per * NR, 0, tail);
    }
    pack_columns<From, NR>(q, w.q_time, d, s.queries, m.panels, m.columns_panel_q, q_columns);
    pack_columns<From, NR>(d_o, w.do_time, d, s.queries, m.panels, m.columns_panel_q, g_columns);
    float* lse2 = m.lse2 + g * m.padded_queries;
    float* dots = m.dots + g * m.padded_queries;
    for (int64_t i = 0; i < m.padded_queries; i++) {
      float dot = 0;
      if (i < s.queries)
        for (int64_t j = 0; j < d; j++)
          dot += T::to_float(o[i * w.o_time + j]) * T::to_float(d_o[i * w.do_time + j]);
      dots[i] = dot;
      lse2[i] = i < s.queries ? lse[i] * 1.44269504f : __builtin_inff();
    }
  }
  std::memset(m.dq, 0, static_cast<size_t>(w.group * (m.padded_queries + MR) * m.width) * 4);

  for (int64_t k0 = 0; k0 < s.keys; k0 += keys_together) {
    const int64_t keys = smaller(keys_together, s.keys - k0), padded = divide_up(keys, MR) * MR;
    for (int64_t t = 0; t < keys; t += MR) {
      pack_rows<From, MR>(static_cast<const E*>(w.k) + (k0 + t) * w.k_time, w.k_time, smaller(MR, keys - t),
                          d, m.k_rows + t * m.d_words);
      pack_rows<From, MR>(static_cast<const E*>(w.v) + (k0 + t) * w.v_time, w.v_time, smaller(MR, keys - t),
                          d, m.v_rows + t * m.d_words);
    }
    std::memset(m.k_columns, 0, static_cast<size_t>(m.panels * m.columns_panel_k) * 4);
    pack_columns<From, NR>(static_cast<const E*>(w.k) + k0 * w.k_time, w.k_time, d, keys, m.panels,
                           m.columns_panel_k, m.k_columns);
    std::memset(m.dk, 0, static_cast<size_t>(padded * m.width) * 4);
    std::memset(m.dv, 0, static_cast<size_t>(padded * m.width) * 4);

    for (int64_t g = 0; g < w.group; g++) {
      const uint32_t* q_columns = m.q_columns + g * m.panels * m.columns_panel_q;
      const uint32_t* g_columns = m.g_columns + g * m.panels * m.columns_panel_q;
      float* dq = m.dq + g * (m.padded_queries + MR) * m.width;
      // The first panel of queries that sees this block; earlier ones are wholly masked.
      const int64_t seen_from = s.causal ? larger(0, k0 - s.first) / NR * NR : 0;
      for (int64_t q0 = seen_from; q0 < s.queries; q0 += queries_along) {
        const int64_t span = smaller(queries_along, m.padded_queries - q0);
        for (int64_t t = 0; t < padded; t += MR)
          for (int64_t along = 0; along < span; along += NR)
            backward_scores<T>(s, m, g, k0 + t, t, q0 + along, along, scale2);
        for (int64_t t = 0; t < padded; t += MR) {
          add_product<Word, 0>(reinterpret_cast<const uint32_t*>(m.p + t * along_words), along_words / per,
                               g_columns + q0 / per * NR, m.columns_panel_q, m.panels, span / per,
                               m.dv + t * m.width, m.width);
          add_product<Word, 0>(reinterpret_cast<const uint32_t*>(m.ds + t * along_words), along_words / per,
                               q_columns + q0 / per * NR, m.columns_panel_q, m.panels, span / per,
                               m.dk + t * m.width, m.width);
        }
        for (int64_t along = 0; along < span; along += MR)
          add_product<Word, along_words>(m.ds_pairs + along, 0, m.k_columns, m.columns_panel_k, m.panels,
                                         divide_up(keys, per), dq + (q0 + along) * m.width, m.width);
      }
    }

    const auto scale = static_cast<float>(s.scale);
    for (int64_t i = 0; i < keys; i++)
      for (int64_t j = 0; j < d; j++) {
        static_cast<E*>(w.dk)[(k0 + i) * w.dk_time + j] = T::from_float(m.dk[i * m.width + j] * scale);
        static_cast<E*>(w.dv)[(k0 + i) * w.dv_time + j] = T::from_float(m.dv[i * m.width + j]);
      }
  }
  const auto scale = static_cast<float>(s.scale);
  for (int64_t g = 0; g < w.group; g++)
    for (int64_t i = 0; i < s.queries; i++)
      for (int64_t j = 0; j < d; j++)
        static_cast<E*>(w.dq)[g * w.dq_head + i * w.dq_time + j] =
            T::from_float(m.dq[(g * (m.padded_queries + MR) + i) * m.width + j] * scale);
}

// ---- f64: plain loops, the oracle of the others. Keys and values are copied as they are.

int64_t packed_bytes_f64(const AttentionHead& s) { return 2 * s.keys * s.head_size * 8; }

void pack_f64(const AttentionHead& s, const void* k, int64_t k_time, const void* v, int64_t v_time,
              int64_t begin, int64_t end, void* packed) {
  auto* keys = static_cast<double*>(packed);
  double* values = keys + s.keys * s.head_size;
  for (int64_t i = begin; i < end; i++)
    for (int64_t j = 0; j < s.head_size; j++) {
      keys[i * s.head_size + j] = static_cast<const double*>(k)[(i - begin) * k_time + j];
      values[i * s.head_size + j] = static_cast<const double*>(v)[(i - begin) * v_time + j];
    }
}

int64_t forward_scratch_f64(const AttentionHead& s) { return s.keys * 8; }

int64_t limit_f64(const AttentionHead& s, int64_t query) {
  return s.causal ? smaller(s.keys, s.first + query + 1) : s.keys;
}

void forward_f64(const AttentionForward& w) {
  const AttentionHead& s = w.shape;
  const auto* keys = static_cast<const double*>(w.packed);
  const double* values = keys + s.keys * s.head_size;
  auto* p = static_cast<double*>(w.scratch);
  for (int64_t i = w.begin; i < w.end; i++) {
    const double* q = static_cast<const double*>(w.q) + i * w.q_time;
    double* o = static_cast<double*>(w.o) + i * w.o_time;
    const int64_t limit = limit_f64(s, i);
    double top = -__builtin_inf();
    for (int64_t t = 0; t < limit; t++) {
      double dot = 0;
      for (int64_t j = 0; j < s.head_size; j++) dot += q[j] * keys[t * s.head_size + j];
      p[t] = dot * s.scale;
      if (p[t] > top) top = p[t];
    }
    double sum = 0;
    for (int64_t t = 0; t < limit; t++) sum += p[t] = __builtin_exp(p[t] - top);
    for (int64_t j = 0; j < s.head_size; j++) o[j] = 0;
    for (int64_t t = 0; t < limit; t++)
      for (int64_t j = 0; j < s.head_size; j++) o[j] += p[t] / sum * values[t * s.head_size + j];
    if (w.lse) static_cast<double*>(w.lse)[i] = top + __builtin_log(sum);
  }
}

int64_t backward_scratch_f64(const AttentionHead&, int64_t) { return 0; }

void backward_f64(const AttentionBackward& w) {
  const AttentionHead& s = w.shape;
  const auto* k = static_cast<const double*>(w.k);
  const auto* v = static_cast<const double*>(w.v);
  auto* dk = static_cast<double*>(w.dk);
  auto* dv = static_cast<double*>(w.dv);
  for (int64_t t = 0; t < s.keys; t++)
    for (int64_t j = 0; j < s.head_size; j++) dk[t * w.dk_time + j] = dv[t * w.dv_time + j] = 0;
  for (int64_t g = 0; g < w.group; g++)
    for (int64_t i = 0; i < s.queries; i++) {
      const double* q = static_cast<const double*>(w.q) + g * w.q_head + i * w.q_time;
      const double* o = static_cast<const double*>(w.o) + g * w.o_head + i * w.o_time;
      const double* d_o = static_cast<const double*>(w.d_o) + g * w.do_head + i * w.do_time;
      double* dq = static_cast<double*>(w.dq) + g * w.dq_head + i * w.dq_time;
      const double lse = static_cast<const double*>(w.lse)[g * w.lse_head + i];
      double dot_o = 0;
      for (int64_t j = 0; j < s.head_size; j++) {
        dot_o += o[j] * d_o[j];
        dq[j] = 0;
      }
      for (int64_t t = 0; t < limit_f64(s, i); t++) {
        double score = 0, dp = 0;
        for (int64_t j = 0; j < s.head_size; j++) {
          score += q[j] * k[t * w.k_time + j];
          dp += d_o[j] * v[t * w.v_time + j];
        }
        const double p = __builtin_exp(score * s.scale - lse), ds = p * (dp - dot_o) * s.scale;
        for (int64_t j = 0; j < s.head_size; j++) {
          dq[j] += ds * k[t * w.k_time + j];
          dk[t * w.dk_time + j] += ds * q[j];
          dv[t * w.dv_time + j] += p * d_o[j];
        }
      }
    }
}

template <class T>
constexpr AttentionKernels kernels_of = {packed_bytes<T>,     pack<T>,    forward_scratch<T>, forward<T>,
                                         backward_scratch<T>, backward<T>};

}  // namespace

void fill_attention(AttentionSlots& slots) {
  slots.f32 = kernels_of<TypeF32>;
  slots.bf16 = kernels_of<TypeBf16>;
  slots.f64 = {packed_bytes_f64,     pack_f64,    forward_scratch_f64, forward_f64,
               backward_scratch_f64, backward_f64};
}

}  // namespace intarsia::kernel::INTARSIA_RUNG
