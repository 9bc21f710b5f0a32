// The forward pass. Tiles of MR rows meet one block of keys after the other; scores live in the first-level
// cache, block by block.
//
// Each block gives its rows a maximum, a sum and an output of its own, which are then joined to those of the
// blocks before (Dao et al. 2022; the split over keys is Flash-Decoding): so blocks may be computed one after
// the other or apart, with equal bits.
#pragma once
#include "kernel/cpu/attention/mask.h"
#include "kernel/cpu/attention/score.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

// ---- packed keys and values: panels of NR keys [word of d][NR]; then, for each block of keys, panels of NR
// columns of v [word of key][NR]
template <class T>
struct Packed {
  static constexpr int per = T::From::Word::elements;
  int64_t key_words, key_panel, value_panels, value_panel, blocks;
  Packed(int64_t head_size, int64_t keys)
      : key_words(divide_up(head_size, per)),
        key_panel(key_words * NR),
        value_panels(divide_up(head_size, NR)),
        value_panel(block / per * NR),
        blocks(divide_up(keys, block)) {}
  explicit Packed(const AttentionHeads& h) : Packed(h.head_size, h.mask.keys) {}
  int64_t words() const { return blocks * (block / NR * key_panel + value_panels * value_panel); }
  int64_t keys_at(int64_t key) const { return key / NR * key_panel; }
  int64_t values_at(int64_t key) const {
    return blocks * (block / NR) * key_panel + key / block * value_panels * value_panel;
  }
};

template <class T>
int64_t packed_bytes(const AttentionHeads& h) {
  return Packed<T>(h).words() * 4;
}

template <class T>
void pack(const AttentionHeads& h, const void* k, int64_t k_time, const void* v, int64_t v_time,
          int64_t begin, int64_t end, void* packed) {
  using E = typename T::Element;
  const Packed<T> layout(h);
  auto* out = static_cast<uint32_t*>(packed);
  for (int64_t key = begin; key < end; key += NR)
    pack_rows<typename T::From, NR>(static_cast<const E*>(k) + (key - begin) * k_time, k_time,
                                    smaller(NR, end - key), h.head_size, out + layout.keys_at(key));
  for (int64_t key = begin; key < end; key += block)
    pack_columns<typename T::From, NR>(static_cast<const E*>(v) + (key - begin) * v_time, v_time, h.head_size,
                                       smaller(block, end - key), layout.value_panels, layout.value_panel,
                                       out + layout.values_at(key));
}

// ---- what a row has gathered

struct Rows {
  float* o;     // [rows][width]
  float* sums;  // [rows][W]
  float* top;   // [rows], base 2
  int64_t width;
  void clear(int64_t rows) const {
    std::memset(o, 0, static_cast<size_t>(rows * width) * 4);
    std::memset(sums, 0, static_cast<size_t>(rows * W) * 4);
    for (int64_t i = 0; i < rows; i++) top[i] = minus_infinity;
  }
  Rows from(int64_t row) const { return {o + row * width, sums + row * W, top + row, width}; }
};

// By what the past of `rows` rows and a block's results are multiplied before they are added.
template <int rows>
struct Join {
  static constexpr int lanes = (rows + W - 1) / W * W;
  alignas(64) float before[lanes], block[lanes];
  // `top` becomes the greater.
  Join(float* top, const float* of_block) {
    alignas(64) float past[lanes] = {}, now[lanes] = {};
    std::memcpy(past, top, rows * 4);
    std::memcpy(now, of_block, rows * 4);
    for (int r = 0; r < lanes; r += W) {
      const Floats a = load(past + r), b = load(now + r), greatest = larger_of(a, b);
      // Where nothing was seen yet both factors become 0: a difference of infinities would be none.
      const Floats shift = larger_of(all(-3e38f), greatest);
      store(before + r, exp2_fine(a - shift));
      store(block + r, exp2_fine(b - shift));
      store(past + r, greatest);
    }
    std::memcpy(top, past, rows * 4);
  }
  INTARSIA_INLINE Floats joined(int r, Floats past, Floats of_block) const {
    return multiply_add(past * all(before[r]), of_block, all(block[r]));
  }
};

template <class T>
void put_rows(const AttentionHeads& h, const AttentionOutput& out, const Rows& rows, int64_t begin,
              int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    const int64_t at = row - begin, i = row / h.mask.group, g = row % h.mask.group;
    const float sum = lanes_sum(load(rows.sums + at * W));
    const float inverse = sum == 0 ? 0 : 1 / sum;  // a row that sees nothing is zero
    put_scaled<T>(rows.o + at * rows.width, h.dropout.on ? inverse * h.dropout.factor : inverse, h.head_size,
                  static_cast<typename T::Element*>(out.o) + i * out.o_time + g * out.o_head);
    if (out.norms) out.norms[g * h.mask.queries + i] = {rows.top[at], sum};
  }
}

// ---- scratch

constexpr int64_t rows_together = 16 * MR;  // share each block of keys in the second-level cache
constexpr int64_t row_words = block + 16;   // off a power of two, so that rows do not share cache sets

template <class T>
struct ForwardScratch {
  uint32_t* q;                        // tiles [word of d][MR]
  float* scores;                      // [MR][row_words]
  typename T::Element *p, *gathered;  // [MR][row_words]; MR rows of q side by side
  Rows rows;
  int64_t bytes;
  ForwardScratch(void* memory, const AttentionHeads& h, int64_t rows_at_once) {
    Pieces pieces(memory);
    const int64_t width = divide_up(h.head_size, NR) * NR;
    q = pieces.take<uint32_t>(rows_at_once * divide_up(h.head_size, T::From::Word::elements));
    scores = pieces.take<float>(MR * row_words);
    p = pieces.take<typename T::Element>(MR * row_words);
    gathered = pieces.take<typename T::Element>(MR * h.head_size);
    rows.o = pieces.take<float>(rows_at_once * width);
    rows.sums = pieces.take<float>(rows_at_once * W);
    rows.top = pieces.take<float>(rows_at_once);
    rows.width = width;
    bytes = pieces.used;
  }
};

template <class T>
int64_t forward_scratch(const AttentionHeads& h) {
  return ForwardScratch<T>(nullptr, h, rows_together).bytes;
}

template <class T>
void pack_queries(const AttentionHeads& h, int64_t begin, int64_t end, const ForwardScratch<T>& m) {
  using E = typename T::Element;
  const int64_t words = divide_up(h.head_size, T::From::Word::elements), group = h.mask.group;
  const auto* q = static_cast<const E*>(h.q);
  for (int64_t row = begin; row < end; row += MR) {
    const int64_t count = smaller(MR, end - row);
    const E* from = q + row * h.q_time;
    int64_t distance = h.q_time;
    if (group > 1) {  // rows of several heads have no single distance
      for (int64_t r = 0; r < count; r++)
        std::memcpy(m.gathered + r * h.head_size,
                    q + (row + r) / group * h.q_time + (row + r) % group * h.q_head,
                    static_cast<size_t>(h.head_size) * sizeof(E));
      from = m.gathered;
      distance = h.head_size;
    }
    pack_rows<typename T::From, MR>(from, distance, count, h.head_size, m.q + (row - begin) * words);
  }
}

// ---- one tile of rows against one block of keys

// The panels of a block that a tile of rows works on: [first, end), those between that are not seen included.
struct Panels {
  int first = 0, end = 0;
  Seen seen[block / NR];
};
inline Panels panels_of(const AttentionHeads& h, int64_t row, int64_t rows, int64_t key, bool all) {
  const AttentionMask& m = h.mask;
  Panels panels;
  const int64_t q0 = row / m.group, q1 = (row + rows - 1) / m.group + 1;
  const bool one_query = q1 == q0 + 1;
  const int64_t g0 = one_query ? row % m.group : 0, g1 = one_query ? g0 + rows : m.group;
  const int64_t count = divide_up(smaller(block, m.keys - key), NR);
  for (int p = 0; p < count; p++) {
    const int64_t k0 = key + p * NR;
    panels.seen[p] = all ? Seen::all : seen(m, g0, g1, q0, q1, k0, k0 + NR);
    if (panels.seen[p] == Seen::none) continue;
    if (panels.end == 0) panels.first = p;
    panels.end = p + 1;
  }
  return panels;
}

// A block of keys and values, packed. Fewer rows take several panels at once, so that enough sums hide the
// latency; bits do not depend on it.
template <class T>
struct PackedBlock {
  using Word = typename T::From::Word;
  const Packed<T>& layout;
  const uint32_t *keys, *values;

  template <int rows>
  static constexpr int together = rows == 1        ? 4
                                  : rows <= MR / 2 ? 2
                                                   : 1;

  // scores[rows][row_words] = `scale` times the products of q, packed, and the keys of the panels.
  template <int rows>
  INTARSIA_INLINE void scores(const uint32_t* q, const Panels& panels, float scale, float* scores) const {
    for (int p = panels.first; p < panels.end;) {
      const uint32_t* from = keys + p * layout.key_panel;
      if (together<rows> > 1 && p + together<rows> <= panels.end) {
        products<rows, together<rows>>(q, from, scale, scores + p * NR);
        p += together<rows>;
      } else {
        if (panels.seen[p] != Seen::none) products<rows, 1>(q, from, scale, scores + p * NR);
        p++;
      }
    }
  }
  template <int rows, int panels>
  INTARSIA_INLINE void products(const uint32_t* q, const uint32_t* from, float scale, float* out) const {
    tile<Word, rows, 2 * panels, MR>(
        q, 0, from, layout.key_panel, layout.key_words, [](auto, auto) INTARSIA_INLINE { return zeros(); },
        [&](auto& c) INTARSIA_INLINE {
          each<rows>([&](auto r) INTARSIA_INLINE {
            each<2 * panels>(
                [&](auto j) INTARSIA_INLINE { store(out + r * row_words + j * W, c[r][j] * all(scale)); });
          });
        },
        [](int64_t) INTARSIA_INLINE {});
  }

  // put(row, column, sums): the products of p [rows][row_words / per] and the values of the words begin ..
  // end of keys, from 2 W columns on.
  template <int rows, class Put>
  INTARSIA_INLINE void outputs(const uint32_t* p, int64_t begin, int64_t end, Put put) const {
    constexpr int per = Word::elements;
    const auto output = [&](auto count, int64_t panel) INTARSIA_INLINE {
      tile<Word, rows, 2 * count, 0>(
          p + begin, row_words / per, values + panel * layout.value_panel + begin * NR, layout.value_panel,
          end - begin, [](auto, auto) INTARSIA_INLINE { return zeros(); },
          [&](auto& c) INTARSIA_INLINE {
            each<rows>([&](auto r) INTARSIA_INLINE {
              each<2 * count>([&](auto j) INTARSIA_INLINE { put(r, panel * NR + j * W, c[r][j]); });
            });
          },
          [](int64_t) INTARSIA_INLINE {});
    };
    int64_t c = 0;
    if constexpr (together<rows> > 1)
      for (; c + together<rows> <= layout.value_panels; c += together<rows>)
        output(Index<together<rows>>{}, c);
    for (; c < layout.value_panels; c++) output(Index<1>{}, c);
  }
};

// The same as it lies in memory, for so few rows that packing would cost more than they: what packing would
// store goes from registers to registers. The same sums in the same order.
template <class T>
struct PlainBlock {
  using Word = typename T::From::Word;
  using From = typename T::From;
  using E = typename T::Element;
  const E *k, *v;
  int64_t k_time, v_time, count, head_size;

  // Few rows are few sums, each of which waits for itself: keys of several registers are in flight at once.
  template <int rows>
  INTARSIA_INLINE void scores(const uint32_t* q, const Panels& panels, float scale, float* scores) const {
    constexpr int panel = NR / W, groups = rows == 1 ? 2 * panel : panel;
    int64_t key = panels.first * NR;
    for (; key + groups * W <= panels.end * NR; key += groups * W)
      scores_of<rows, groups>(q, key, scale, scores + key);
    for (; key < panels.end * NR; key += NR) scores_of<rows, panel>(q, key, scale, scores + key);
  }
  template <int rows, int groups>
  INTARSIA_INLINE void scores_of(const uint32_t* q, int64_t first, float scale, float* scores) const {
    constexpr int per = Word::elements;
    const int64_t words = divide_up(head_size, per);
    const bool whole = first + groups * W <= count && head_size % (W * per) == 0;
    Floats sums[groups][rows];
    each<groups>([&](auto g)
                     INTARSIA_INLINE { each<rows>([&](auto r) INTARSIA_INLINE { sums[g][r] = zeros(); }); });
    for (int64_t w = 0; w < words; w += W)
      each<groups>([&](auto g) INTARSIA_INLINE {
        const E* from = k + (first + g * W) * k_time + w * per;
        Words key[W];
        if (whole)
          each<W>([&](auto i) INTARSIA_INLINE { key[i] = From::along(from + i * k_time, W * per); });
        else
          each<W>([&](auto i) INTARSIA_INLINE {
            key[i] =
                first + g * W + i < count ? From::along(from + i * k_time, head_size - w * per) : Words{};
          });
        transpose(key);
        each<W>([&](auto i) INTARSIA_INLINE {
          if (!whole && w + i >= words) return;
          each<rows>([&](auto r) INTARSIA_INLINE {
            each<Word::steps>([&](auto s) INTARSIA_INLINE {
              sums[g][r] = Word::add(sums[g][r], Word::template left<s>(q + (w + i) * MR + r),
                                     Word::template factor<s>(key[i]));
            });
          });
        });
      });
    each<groups>([&](auto g) INTARSIA_INLINE {
      each<rows>([&](auto r)
                     INTARSIA_INLINE { store(scores + r * row_words + g * W, sums[g][r] * all(scale)); });
    });
  }

  template <int rows, class Put>
  INTARSIA_INLINE void outputs(const uint32_t* p, int64_t begin, int64_t end, Put put) const {
    const auto output = [&](auto vectors, int64_t column) INTARSIA_INLINE {
      constexpr int per = Word::elements;
      Floats sums[rows][vectors];
      each<rows>([&](auto r) INTARSIA_INLINE {
        each<vectors>([&](auto j) INTARSIA_INLINE { sums[r][j] = zeros(); });
      });
      const bool whole = column + vectors * W <= head_size;
      for (int64_t w = begin; w < end; w++) {
        const E* from = v + w * per * v_time + column;
        const int64_t left = count - w * per;
        Words value[vectors];
        if (whole)
          From::rows_across(from, v_time, left, value);
        else
          each<vectors>([&](auto j) INTARSIA_INLINE {
            value[j] = From::across(from + j * W, v_time, left, head_size - column - j * W);
          });
        each<rows>([&](auto r) INTARSIA_INLINE {
          each<Word::steps>([&](auto s) INTARSIA_INLINE {
            const Floats weight = Word::template left<s>(p + r * (row_words / per) + w);
            each<vectors>([&](auto j) INTARSIA_INLINE {
              sums[r][j] = Word::add(sums[r][j], weight, Word::template factor<s>(value[j]));
            });
          });
        });
      }
      each<rows>([&](auto r) INTARSIA_INLINE {
        if (whole) From::in_order(sums[r]);
        each<vectors>([&](auto j) INTARSIA_INLINE { put(r, column + j * W, sums[r][j]); });
      });
    };
    const int64_t width = divide_up(head_size, NR) * NR;
    int64_t column = 0;
    for (; column + 4 * W <= width; column += 4 * W) output(Index<4>{}, column);
    if (column < width) output(Index<2>{}, column);
  }
};

// Rows `row` .. of the heads; q and state lie at the pointers.
template <class T, int rows, class Block>
void forward_tile(const AttentionHeads& h, const ForwardScratch<T>& m, const uint32_t* q, const Rows& state,
                  int64_t row, int64_t key, const Block& of_keys, const Panels& panels) {
  // Without steps the scale waits for the exponential, where it costs nothing and rounds once less.
  const TileRows of(h.mask, row, rows);
  const bool steps = h.score.any() || h.scale <= 0;
  const float scale2 = base_2_scale(h), scale = steps ? scale2 : 1, later = steps ? 1 : scale2;
  of_keys.template scores<rows>(q, panels, scale, m.scores);
  if (steps)
    score_steps<T, rows>(h, m.scores + panels.first * NR, row_words, of, key + panels.first * NR,
                         (panels.end - panels.first) * NR);
  for (int p = panels.first; p < panels.end; p++) {
    float* score = m.scores + p * NR;
    if (panels.seen[p] == Seen::none) {
      for (int r = 0; r < rows; r++)
        each<2>([&](auto j) INTARSIA_INLINE { store(score + r * row_words + j * W, all(minus_infinity)); });
      continue;
    }
    if (panels.seen[p] == Seen::all) continue;
    for (int r = 0; r < rows; r++) {
      const uint32_t bits = seen_bits(h.mask, of.head[r], of.query[r], key + p * NR);
      each<2>([&](auto j) INTARSIA_INLINE {
        float* x = score + r * row_words + j * W;
        store(x, where_lane(bits, j, load(x), all(minus_infinity)));
      });
    }
  }

  float tops[rows];
  alignas(64) float sums[rows][W];
  for (int r = 0; r < rows; r++) {
    const float* score = m.scores + r * row_words;
    auto* p = m.p + r * row_words;
    const int64_t begin = panels.first * NR, end = panels.end * NR;
    Floats a = load(score + begin), b = load(score + begin + W);
    for (int64_t j = begin + NR; j < end; j += NR) {
      a = larger_of(a, load(score + j));
      b = larger_of(b, load(score + j + W));
    }
    const float top = lanes_max(larger_of(a, b)) * later;
    const Floats shift = all(top == minus_infinity ? 0 : -top);
    Floats sum = zeros();
    uint32_t survive[block / NR];  // by panel
    if (h.dropout.on) {
      constexpr int together = 4;
      static_assert(block / NR % together == 0);
      for (int i = panels.first / together * together; i < panels.end; i += together) {
        uint32_t bits[together];
        surviving_keys(h, of.head[r], of.query[r], key + i * NR, bits);
        std::memcpy(survive + i, bits, sizeof bits);
      }
    }
    for (int64_t j = begin; j < end; j += NR) {
      Floats low = T::exp2(multiply_add(shift, load(score + j), all(later)));
      Floats high = T::exp2(multiply_add(shift, load(score + j + W), all(later)));
      sum = sum + (low + high);
      if (h.dropout.on) {
        const uint32_t bits = survive[j / NR];
        low = where_lane(bits, 0, low, zeros());
        high = where_lane(bits, 1, high, zeros());
      }
      T::put_row(p + j, low, high);
    }
    tops[r] = top;
    store(sums[r], sum);
  }
  const Join<rows> join(state.top, tops);
  for (int r = 0; r < rows; r++)
    store(state.sums + r * W, join.joined(r, load(state.sums + r * W), load(sums[r])));

  constexpr int per = T::From::Word::elements;
  of_keys.template outputs<rows>(reinterpret_cast<const uint32_t*>(m.p), panels.first * NR / per,
                                 divide_up(smaller(panels.end * NR, h.mask.keys - key), per),
                                 [&](auto r, int64_t column, Floats sum) INTARSIA_INLINE {
                                   float* x = state.o + r * state.width + column;
                                   store(x, join.joined(r, load(x), sum));
                                 });
}

// A row's bits do not depend on the tile's height, so few heights suffice.
template <class T>
void forward_rows(const AttentionHeads& h, const ForwardScratch<T>& m, const uint32_t* q, const Rows& state,
                  int64_t row, int64_t count, int64_t key, const PackedBlock<T>& of_keys, bool all) {
  const Panels panels = panels_of(h, row, count, key, all);
  if (panels.end == 0) return;
  if (count == 1)
    forward_tile<T, 1>(h, m, q, state, row, key, of_keys, panels);
  else if (count <= MR / 2)
    forward_tile<T, MR / 2>(h, m, q, state, row, key, of_keys, panels);
  else
    forward_tile<T, MR>(h, m, q, state, row, key, of_keys, panels);
}

template <class T>
void forward(const AttentionForward& w) {
  const AttentionHeads& h = w.heads;
  const AttentionMask& mask = h.mask;
  const Packed<T> layout(h);
  const ForwardScratch<T> m(w.scratch, h, rows_together);
  const auto* packed = static_cast<const uint32_t*>(w.packed);
  for (int64_t row0 = w.begin; row0 < w.end; row0 += rows_together) {
    const int64_t count = smaller(rows_together, w.end - row0);
    const int64_t q0 = row0 / mask.group, q1 = (row0 + count - 1) / mask.group + 1;
    pack_queries(h, row0, row0 + count, m);
    m.rows.clear(divide_up(count, MR) * MR);
    const int64_t end = blocks_end(mask, q1);
    for (int64_t key = 0; (key = next_block(mask, q0, key)) < end; key += block) {
      const Seen together = seen(mask, 0, mask.group, q0, q1, key, key + block);
      if (together == Seen::none) continue;
      for (int64_t t = 0; t < count; t += MR)
        forward_rows(h, m, m.q + t * layout.key_words, m.rows.from(t), row0 + t, smaller(MR, count - t), key,
                     PackedBlock<T>{layout, packed + layout.keys_at(key), packed + layout.values_at(key)},
                     together == Seen::all);
    }
    put_rows<T>(h, w.out, m.rows, row0, row0 + count);
  }
}

// ---- few rows: every block apart

constexpr int plain_rows = 4;  // up to so many take keys and values as they lie in memory

// Rows padded to the heights of tiles.
inline int64_t padded_rows(const AttentionHeads& h) {
  if (h.rows() <= plain_rows) return h.rows() == 1 ? 1 : plain_rows;
  const int64_t rest = h.rows() % MR, whole = h.rows() - rest;
  return whole + (rest <= 1 ? rest : rest <= MR / 2 ? MR / 2 : MR);
}

template <class T>
Rows partial_rows(const AttentionHeads& h, void* memory, int64_t* bytes) {
  Pieces pieces(memory);
  const int64_t rows = padded_rows(h), width = divide_up(h.head_size, NR) * NR;
  Rows r{pieces.take<float>(rows * width), pieces.take<float>(rows * W), pieces.take<float>(rows), width};
  if (bytes) *bytes = pieces.used;
  return r;
}
template <class T>
int64_t partial_bytes(const AttentionHeads& h) {
  int64_t bytes;
  partial_rows<T>(h, nullptr, &bytes);
  return bytes;
}
template <class T>
int64_t block_scratch(const AttentionHeads& h) {
  return ForwardScratch<T>(nullptr, h, divide_up(h.rows(), MR) * MR).bytes +
         Packed<T>(h.head_size, block).words() * 4;
}

template <class T>
void forward_block(const AttentionBlock& w) {
  const AttentionHeads& h = w.heads;
  const Packed<T> layout(h.head_size, block);
  const int64_t rows = h.rows();
  const ForwardScratch<T> m(w.scratch, h, divide_up(rows, MR) * MR);
  auto* packed = reinterpret_cast<uint32_t*>(static_cast<char*>(w.scratch) + m.bytes);
  const Rows state = partial_rows<T>(h, w.partial, nullptr);
  state.clear(padded_rows(h));
  const Seen together = seen(h.mask, 0, h.mask.group, 0, h.mask.queries, w.key, w.key + block);
  if (together == Seen::none) return;
  using E = typename T::Element;
  const auto *k = static_cast<const E*>(w.k), *v = static_cast<const E*>(w.v);
  const int64_t count = smaller(block, h.mask.keys - w.key);
  pack_queries(h, 0, rows, m);
  if (rows <= plain_rows) {
    const PlainBlock<T> plain = {k, v, w.k_time, w.v_time, count, h.head_size};
    const Panels panels = panels_of(h, 0, rows, w.key, together == Seen::all);
    if (panels.end == 0) return;
    if (rows == 1)
      forward_tile<T, 1>(h, m, m.q, state, 0, w.key, plain, panels);
    else
      forward_tile<T, plain_rows>(h, m, m.q, state, 0, w.key, plain, panels);
    return;
  }
  for (int64_t key = 0; key < count; key += NR) {
    const int64_t end = smaller(key + NR, count);
    pack_rows<typename T::From, NR>(k + key * w.k_time, w.k_time, end - key, h.head_size,
                                    packed + layout.keys_at(key));
    pack_columns<typename T::From, NR>(v + key * w.v_time, w.v_time, h.head_size, end - key,
                                       layout.value_panels, layout.value_panel,
                                       packed + layout.values_at(0) + key / layout.per * NR);
  }
  for (int64_t t = 0; t < rows; t += MR)
    forward_rows(h, m, m.q + t * layout.key_words, state.from(t), t, smaller(MR, rows - t), w.key,
                 PackedBlock<T>{layout, packed, packed + layout.values_at(0)}, together == Seen::all);
}

template <class T>
void join(const AttentionJoin& w) {
  const AttentionHeads& h = w.heads;
  const int64_t rows = h.rows(), bytes = partial_bytes<T>(h);
  const Rows state = partial_rows<T>(h, w.scratch, nullptr);
  state.clear(rows);
  for (int64_t b = 0; b < w.blocks; b++) {
    const Rows part =
        partial_rows<T>(h, const_cast<char*>(static_cast<const char*>(w.partials)) + b * bytes, nullptr);
    for (int64_t r = 0; r < rows; r++) {
      if (part.top[r] == minus_infinity) continue;
      const Join<1> join(state.top + r, part.top + r);
      store(state.sums + r * W, join.joined(0, load(state.sums + r * W), load(part.sums + r * W)));
      for (int64_t c = 0; c < state.width; c += W) {
        float* x = state.o + r * state.width + c;
        store(x, join.joined(0, load(x), load(part.o + r * state.width + c)));
      }
    }
  }
  put_rows<T>(h, w.out, state, 0, rows);
}

}  // namespace
}  // namespace intarsia::kernel::INTARSIA_RUNG
