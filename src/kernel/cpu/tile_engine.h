// Eight registers of 16 rows of 64 bytes that multiply bf16 pairs or int8 quads (Intel's AMX), and the same
// instructions in plain C, so that what stands on them is tested on cpus without them.
#pragma once
#include <cstdint>
#include <cstring>

#include "kernel/cpu/rung.h"
#include "kernel/cpu/tile.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

constexpr int tile_rows = 16, tile_words = 16;
#if defined(__AMX_TILE__)

// gcc's intrinsics tell the compiler too little about the memory they touch, hence the assembly.
struct TileEngine {
  void configure(const int (&rows)[8]) {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {};
      uint8_t rows[16] = {};
    } config;
    for (int i = 0; i < 8; i++) {
      config.row_bytes[i] = 64;
      config.rows[i] = static_cast<uint8_t>(rows[i]);
    }
    asm volatile("ldtilecfg %0" ::"m"(config) : "memory");
  }
  void release() { asm volatile("tilerelease" ::: "memory"); }
  template <int t>
  INTARSIA_INLINE void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(t));
  }
  template <int t>
  INTARSIA_INLINE void load(const void* p, int64_t row_bytes) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(row_bytes), "i"(t) : "memory");
  }
  // Of memory that is read once: it leaves the first-level cache to the other operand.
  template <int t>
  INTARSIA_INLINE void load_streamed(const void* p, int64_t row_bytes) {
    asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(row_bytes), "i"(t) : "memory");
  }
  template <int t>
  INTARSIA_INLINE void store(void* p, int64_t row_bytes) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(row_bytes), "i"(t) : "memory");
  }
  template <class Word, int c, int a, int b>
  INTARSIA_INLINE void multiply() {
    if constexpr (Word::elements == 2) {
      asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(c), "i"(a), "i"(b));
    } else {
      asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(c), "i"(a), "i"(b));
    }
  }
};

#else

// This rounds as AMX does while denormals are off (core/threads.h), which they are where kernels run.
struct TileEngine {
  struct Tile {
    int rows;
    uint32_t words[tile_rows][tile_words];
  };
  Tile tiles[8] = {};

  void configure(const int (&rows)[8]) {
    for (int i = 0; i < 8; i++) {
      tiles[i] = {};
      tiles[i].rows = rows[i];
    }
  }
  void release() {}
  template <int t>
  void zero() {
    std::memset(tiles[t].words, 0, sizeof tiles[t].words);
  }
  template <int t>
  void load(const void* p, int64_t row_bytes) {
    zero<t>();
    for (int r = 0; r < tiles[t].rows; r++)
      std::memcpy(tiles[t].words[r], static_cast<const char*>(p) + r * row_bytes, 64);
  }
  template <int t>
  void load_streamed(const void* p, int64_t row_bytes) {
    load<t>(p, row_bytes);
  }
  template <int t>
  void store(void* p, int64_t row_bytes) {
    for (int r = 0; r < tiles[t].rows; r++)
      std::memcpy(static_cast<char*>(p) + r * row_bytes, tiles[t].words[r], 64);
  }
  template <class Word, int c, int a, int b>
  void multiply() {
    for (int r = 0; r < tiles[c].rows; r++) {
      if constexpr (Word::elements == 2) {
        add_pairs(tiles[a].words[r], tiles[b].words, tiles[c].words[r]);
      } else {
        add_quads(tiles[a].words[r], tiles[b].words, tiles[c].words[r]);
      }
    }
  }

 private:
  static float as_float(uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
  }
  // tdpbf16ps: two fused sums in order of k, of the lower and of the upper halves of the words.
  static void add_pairs(const uint32_t* a, const uint32_t (*b)[tile_words], uint32_t* c) {
    float even[tile_words] = {}, odd[tile_words] = {}, sum[tile_words];
    for (int k = 0; k < tile_words; k++) {
      const float low = as_float(a[k] << 16), high = as_float(a[k] & 0xffff0000u);
      for (int j = 0; j < tile_words; j++) {
        even[j] = __builtin_fmaf(low, as_float(b[k][j] << 16), even[j]);
        odd[j] = __builtin_fmaf(high, as_float(b[k][j] & 0xffff0000u), odd[j]);
      }
    }
    std::memcpy(sum, c, sizeof sum);
    for (int j = 0; j < tile_words; j++) sum[j] += even[j] + odd[j];
    std::memcpy(c, sum, sizeof sum);
  }
  // tdpbssd: four products of signed bytes, wrapping around.
  static void add_quads(const uint32_t* a, const uint32_t (*b)[tile_words], uint32_t* c) {
    for (int k = 0; k < tile_words; k++) {
      for (int i = 0; i < 4; i++) {
        const int left = static_cast<int8_t>(a[k] >> 8 * i);
        for (int j = 0; j < tile_words; j++) {
          c[j] += static_cast<uint32_t>(left * static_cast<int8_t>(b[k][j] >> 8 * i));
        }
      }
    }
  }
};

#endif

}  // namespace
}  // namespace intarsia::kernel::INTARSIA_RUNG
