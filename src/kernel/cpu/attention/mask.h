// Which scores count. A rectangle of queries and keys is none, some or all seen: none is never computed, all
// costs nothing, some is cut by bits. Dropout's survivors are bits of the same kind.
#pragma once
#include "kernel/cpu/attention/vectors.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

enum class Seen { none, some, all };

// The end of the keys that position p may see, and the first one inside its window.
inline int64_t seen_end(const AttentionMask& m, int64_t p) {
  return m.causal ? smaller(m.keys, larger(p + 1, m.prefix)) : m.keys;
}
inline int64_t near_begin(const AttentionMask& m, int64_t p) { return p - m.window + 1; }
inline int64_t near_end(const AttentionMask& m, int64_t p) { return p + m.window; }

struct Range {
  int32_t low, high;
};
inline Range range_of(const int32_t (*ranges)[2], int64_t begin, int64_t end) {
  Range all_of = {ranges[begin / attention_range][0], ranges[begin / attention_range][1]};
  for (int64_t i = begin / attention_range + 1; i * attention_range < end; i++) {
    if (ranges[i][0] < all_of.low) all_of.low = ranges[i][0];
    if (ranges[i][1] > all_of.high) all_of.high = ranges[i][1];
  }
  return all_of;
}

// What queries [q0, q1) of the heads [g0, g1) see of keys [k0, k1). Where it says `some`, it may be all or
// none.
inline Seen seen(const AttentionMask& m, int64_t g0, int64_t g1, int64_t q0, int64_t q1, int64_t k0,
                 int64_t k1) {
  q1 = smaller(q1, m.queries);
  if (q0 >= q1) return Seen::none;
  const int64_t p0 = m.first + q0, p1 = m.first + q1 - 1;
  if (k0 >= seen_end(m, p1)) return Seen::none;
  bool all = k1 <= seen_end(m, p0);
  if (m.window > 0) {
    if (k0 >= m.sinks && (k1 <= near_begin(m, p0) || k0 >= near_end(m, p1))) return Seen::none;
    all = all && (k1 <= m.sinks || (near_begin(m, p1) <= larger(k0, m.sinks) && k1 <= near_end(m, p0)));
  }
  const int64_t keys_end = smaller(k1, m.keys);
  if (m.key_group) {
    const Range q = range_of(m.query_range, q0, q1), k = range_of(m.key_range, k0, keys_end);
    if (q.high < k.low || k.high < q.low) return Seen::none;
    all = all && q.low == q.high && k.low == k.high && q.low == k.low;
  }
  if (m.cells) {
    bool any = false;
    for (int64_t g = g0; g < g1 && (all || !any); g++)
      for (int64_t i = q0 / m.cell; i * m.cell < q1; i++)
        for (int64_t j = k0 / m.cell; j * m.cell < keys_end; j++) {
          const bool open = m.cells[g * m.cells_head + i * m.cells_row + j];
          any = any || open;
          all = all && open;
        }
    if (!any) return Seen::none;
  }
  return all ? Seen::all : Seen::some;
}

// The first block from `key` on (a block's first key) of which one of the queries [q0, q1) may see something
// by its position; a window leaves out those between the sinks and it.
inline int64_t next_block(const AttentionMask& m, int64_t q0, int64_t key) {
  if (m.window == 0 || key < m.sinks) return key;
  const int64_t begin = near_begin(m, m.first + q0) / block * block;
  return larger(key, begin);
}
// Where the keys end that one of the queries below q1 may see by its position.
inline int64_t blocks_end(const AttentionMask& m, int64_t q1) {
  const int64_t p = m.first + smaller(q1, m.queries) - 1, end = seen_end(m, p);
  return m.window == 0 ? end : smaller(end, larger(near_end(m, p), m.sinks));
}

constexpr uint32_t low_bits(int64_t count) {
  return count >= 32 ? 0xffffffffu : count <= 0 ? 0 : (1u << count) - 1;
}

// Bit j: whether query i of head g sees key k0 + j, for NR keys.
inline uint32_t seen_bits(const AttentionMask& m, int64_t g, int64_t i, int64_t k0) {
  i = smaller(i, m.queries - 1);  // a tile may have rows behind the last
  const int64_t p = m.first + i;
  uint32_t bits = low_bits(seen_end(m, p) - k0) & low_bits(NR);
  if (m.window > 0)
    bits &= (low_bits(near_end(m, p) - k0) & ~low_bits(near_begin(m, p) - k0)) | low_bits(m.sinks - k0);
  if (m.key_group) {
    uint32_t equal = 0;
    for (int j = 0; j < NR; j++) equal |= static_cast<uint32_t>(m.key_group[k0 + j] == m.query_group[i]) << j;
    bits &= equal;
  }
  if (m.cells) {
    const uint8_t* row = m.cells + g * m.cells_head + i / m.cell * m.cells_row;
    for (int64_t j = k0 / m.cell; j * m.cell < smaller(k0 + NR, m.keys); j++)
      if (!row[j]) bits &= low_bits(j * m.cell - k0) | ~low_bits((j + 1) * m.cell - k0);
  }
  return bits;
}

// ---- dropout

typedef uint64_t Counters __attribute__((vector_size(4 * W)));  // W / 2 of them
constexpr int counters = W / 2;

inline INTARSIA_INLINE Counters times_low(Counters x, uint32_t factor) {  // of the lower halves
#if defined(__AVX512F__)
  return reinterpret_cast<Counters>(_mm512_mul_epu32(reinterpret_cast<__m512i>(x), all_words(factor)));
#elif defined(__AVX2__)
  return reinterpret_cast<Counters>(_mm256_mul_epu32(reinterpret_cast<__m256i>(x), all_words(factor)));
#else
  return reinterpret_cast<Counters>(_mm_mul_epu32(reinterpret_cast<__m128i>(x), all_words(factor)));
#endif
}

// All ones in word[w] where word w of philox(seed, stream, index) is below the threshold; random.cpp has the
// same rounds for one counter. Each round waits for the one before: several sets are computed side by side.
struct Survivors {
  Counters word[4];
};
template <int sets>
inline INTARSIA_INLINE void survivors(const AttentionDropout& d, const Counters (&index)[sets],
                                      Survivors (&survive)[sets]) {
  Counters c[sets][4];
  each<sets>([&](auto s) INTARSIA_INLINE {
    c[s][0] = index[s], c[s][1] = index[s] >> 32;
    c[s][2] = Counters{} + static_cast<uint32_t>(d.stream), c[s][3] = Counters{} + (d.stream >> 32);
  });
  auto key0 = static_cast<uint32_t>(d.seed), key1 = static_cast<uint32_t>(d.seed >> 32);
  for (int round = 0; round < 10; round++) {  // the upper halves of the lanes hold what nobody reads
    each<sets>([&](auto s) INTARSIA_INLINE {
      const Counters a = times_low(c[s][0], 0xD2511F53), b = times_low(c[s][2], 0xCD9E8D57);
      c[s][0] = (b >> 32) ^ c[s][1] ^ key0;
      c[s][1] = b;
      c[s][2] = (a >> 32) ^ c[s][3] ^ key1;
      c[s][3] = a;
    });
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  each<sets>([&](auto s) INTARSIA_INLINE {
    each<4>([&](auto w) INTARSIA_INLINE {
      survive[s].word[w] = reinterpret_cast<Counters>((c[s][w] & 0xffffffffu) < d.threshold);
    });
  });
}

// The index of the first counter of query i of head g.
inline uint64_t dropout_index(const AttentionHeads& h, int64_t g, int64_t i) {
  return h.dropout.index + static_cast<uint64_t>((g * h.mask.queries + i) * divide_up(h.mask.keys, 4));
}

// Bit i: the upper bit of counter i.
inline INTARSIA_INLINE uint32_t upper_bits(Counters x) {
#if defined(__AVX512DQ__)
  return _mm512_movepi64_mask(reinterpret_cast<__m512i>(x));
#elif defined(__AVX2__)
  return static_cast<uint32_t>(_mm256_movemask_pd(reinterpret_cast<__m256d>(x)));
#else
  return static_cast<uint32_t>(_mm_movemask_pd(reinterpret_cast<__m128d>(x)));
#endif
}
// Bit i of x at bit 4 i.
inline INTARSIA_INLINE uint32_t every_fourth(uint32_t x) {
  x = (x | x << 12) & 0x000f000f;  // 8 bits at most: four bits apart by halves
  x = (x | x << 6) & 0x03030303;
  return (x | x << 3) & 0x11111111;
}

// Bit j of bits[p]: whether the probability of key k0 + p * NR + j survives; k0 is a multiple of NR.
template <int panels>
inline INTARSIA_INLINE void surviving_keys(const AttentionHeads& h, int64_t g, int64_t i, int64_t k0,
                                           uint32_t (&bits)[panels]) {
  Counters index[panels];
  each<panels>([&](auto p) INTARSIA_INLINE {
    index[p] = Counters{} + (dropout_index(h, g, i) + static_cast<uint64_t>((k0 + p * NR) / 4));
    for (uint64_t c = 0; c < counters; c++) index[p][c] += c;
  });
  Survivors survive[panels];
  survivors(h.dropout, index, survive);
  each<panels>([&](auto p) INTARSIA_INLINE {
    bits[p] = 0;
    each<4>([&](auto w) INTARSIA_INLINE { bits[p] |= every_fourth(upper_bits(survive[p].word[w])) << w; });
  });
}

// The same turned: bit r of words[i] says it for query q0 + i and key k0 + r, for NR queries and `count`
// keys.
inline void surviving_queries(const AttentionHeads& h, int64_t g, int64_t q0, int64_t k0, int64_t count,
                              uint32_t* words) {
  constexpr int sets = NR / counters;
  Counters bits[sets] = {}, index[sets];
  alignas(64) uint64_t first[NR];
  for (int i = 0; i < NR; i++) first[i] = dropout_index(h, g, q0 + i) + static_cast<uint64_t>(k0 / 4);
  std::memcpy(index, first, sizeof index);
  for (int64_t c = k0 / 4; c * 4 < k0 + count; c++) {
    Survivors survive[sets];
    survivors(h.dropout, index, survive);
    each<4>([&](auto w) INTARSIA_INLINE {
      const int64_t r = 4 * c + w - k0;
      if (r >= 0 && r < count)
        each<sets>([&](auto s) INTARSIA_INLINE { bits[s] |= survive[s].word[w] & (uint64_t{1} << r); });
    });
    each<sets>([&](auto s) INTARSIA_INLINE { index[s] += 1; });
  }
  for (int i = 0; i < NR; i++) words[i] = static_cast<uint32_t>(bits[i / counters][i % counters]);
}

}  // namespace
}  // namespace intarsia::kernel::INTARSIA_RUNG
