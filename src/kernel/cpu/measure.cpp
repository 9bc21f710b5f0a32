// What the registers and the memory of this machine can do, without anything in between.
#include "kernel/cpu/tile.h"
#include "kernel/cpu/tile_engine.h"
#include "kernel/slots_measure.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

template <class Word>
int64_t multiply_adds(int64_t rounds) {
  constexpr int sums = W == 16 ? 20 : 12;  // enough independent chains to hide the latency
  Floats sum[sums];
  // Each sum is opaque to the compiler, or equal ones would be computed once.
  each<sums>([&](auto i) INTARSIA_INLINE {
    sum[i] = all(1e-3f * static_cast<float>(i + 1));
    asm volatile("" : "+x"(sum[i]));
  });
  alignas(64) uint32_t words[2 * W];
  for (int i = 0; i < 2 * W; i++) words[i] = 0x3a813a82u + static_cast<uint32_t>(i);
  Floats a = Word::template left<0>(words), b = Word::template right<0>(words);
  for (int64_t r = 0; r < rounds; r++) {
    each<Word::steps>([&](auto) INTARSIA_INLINE {
      each<sums>([&](auto i) INTARSIA_INLINE { sum[i] = Word::add(sum[i], a, b); });
    });
    asm volatile("" : "+x"(a), "+x"(b));
  }
  each<sums>([&](auto i) INTARSIA_INLINE { asm volatile("" ::"x"(sum[i])); });
  return rounds * sums * W * 2 * Word::elements;
}

#if defined(__AMX_TILE__)
// Of bf16: four sums of two rows and two columns of tiles, as products have them.
int64_t tile_multiply_adds(int64_t rounds) {
  alignas(64) uint32_t words[tile_rows * tile_words];
  for (int i = 0; i < tile_rows * tile_words; i++) words[i] = 0x3a813a82u + static_cast<uint32_t>(i * 7919);
  TileEngine engine;
  const int full = tile_rows;
  engine.configure({full, full, full, full, full, full, full, full});
  each<4>([&](auto i) INTARSIA_INLINE { engine.zero<i>(); });
  each<4>([&](auto i) INTARSIA_INLINE { engine.load<4 + i>(words, 64); });
  for (int64_t r = 0; r < rounds; r++) {
    engine.multiply<Bf16Word, 0, 4, 6>();
    engine.multiply<Bf16Word, 1, 4, 7>();
    engine.multiply<Bf16Word, 2, 5, 6>();
    engine.multiply<Bf16Word, 3, 5, 7>();
  }
  engine.release();
  return rounds * 4 * tile_rows * tile_words * tile_words * 4;
}
#endif

uint64_t read(const void* memory, int64_t bytes) {
  const char* p = static_cast<const char*>(memory);
  Words x[8] = {};
  for (int64_t i = 0; i < bytes; i += 8 * static_cast<int64_t>(sizeof(Words)))
    each<8>([&](auto j) INTARSIA_INLINE {
      x[j] = x[j] | load_words(p + i + j * static_cast<int64_t>(sizeof(Words)));
    });
  Words all_of = x[0];
  each<7>([&](auto j) INTARSIA_INLINE { all_of = all_of | x[j + 1]; });
  uint64_t lanes[sizeof(Words) / 8];
  store_words(lanes, all_of);
  uint64_t result = 0;
  for (uint64_t lane : lanes) result |= lane;
  return result;
}

}  // namespace

void fill_measure(MeasureSlots& slots) {
  slots = {multiply_adds<F32Word>, multiply_adds<Bf16Word>, read};
#if defined(__AMX_TILE__)
  slots.bf16 = tile_multiply_adds;
#endif
}

}  // namespace intarsia::kernel::INTARSIA_RUNG
