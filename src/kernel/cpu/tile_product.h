// Products of bf16 pairs and of int8 on the tile engine. The panels of B are those of tile.h: two tiles of 16
// words side by side. Rows of A are read where they lie.
//
// A tile product is not one sum in order of k: it adds the even and the odd elements of 16 words apart, joins
// them, and adds that to C. Words are cut into tiles at multiples of 16 from the first word of k on every
// path, so a row's bits depend on nothing else.
#pragma once
#include "kernel/cpu/epilogue.h"
#include "kernel/cpu/operands.h"
#include "kernel/cpu/tile_engine.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

constexpr int64_t block_rows_of_tiles = 2 * tile_rows;

// ---- A in whole tiles of words

// Rows that lie a multiple of 4096 bytes apart fall on the same lines of the first-level cache: 16 at once
// are then 2.5 times slower to load than a copy.
template <class Word>
bool lies_in_tiles(const Product& p, int64_t words) {
  const bool collide = p.m > 1 && p.a_distance * (4 / Word::elements) % 4096 == 0;
  return lies_ready<Word>(p) && words % tile_words == 0 && !collide;
}

template <class Word>
int64_t tile_left_words(const Product& p, int64_t rows, int64_t words) {
  if (lies_in_tiles<Word>(p, words)) return 0;
  return rows * round_up(words, tile_words) + (p.a_transposed ? left_words<Word>(p, MR, words) : 0);
}

// Rows of A where they lie, or copied with zeros behind them.
template <class Word>
Left tile_left(const Product& p, int64_t row, int64_t rows, int64_t word, int64_t words, uint32_t* scratch) {
  Left left = prepare_left<Word>(p, row, 0, word, words, scratch);
  if (lies_in_tiles<Word>(p, words)) return left;
  Left tiles;
  tiles.words = scratch;
  tiles.distance = round_up(words, tile_words);
  uint32_t* panel = scratch + rows * tiles.distance;  // of a transposed A: some rows at a time
  for (int64_t r = 0; r < rows; r++) {
    uint32_t* to = scratch + r * tiles.distance;
    if (p.a_transposed) {
      if (r % MR == 0) left = prepare_left<Word>(p, row + r, smaller(MR, rows - r), word, words, panel);
      for (int64_t k = 0; k < words; k++) to[k] = left.words[k * MR + r % MR];
    } else {
      const auto* from = static_cast<const char*>(p.a);
      constexpr int64_t bytes = 4 / Word::elements;
      from += ((row + r) * p.a_distance + word * Word::elements) * bytes;
      const int64_t count = elements_in<Word>(p, word, words) * bytes;
      std::memcpy(to, from, static_cast<size_t>(count));
      std::memset(reinterpret_cast<char*>(to) + count, 0, static_cast<size_t>(words * 4 - count));
    }
    for (int64_t k = words; k < tiles.distance; k++) to[k] = 0;
  }
  return tiles;
}

// Rows of A that stay in the second-level cache while panels of B pass by: even blocks of whole tiles.
inline int64_t most_tile_rows(int64_t words) {
  return larger(block_rows_of_tiles,
                left_block / 4 / larger(1, words) / block_rows_of_tiles * block_rows_of_tiles);
}
inline int64_t tile_block_rows(int64_t rows, int64_t words) {
  const int64_t most = most_tile_rows(words), blocks = larger(1, (rows + most - 1) / most);
  return round_up(larger(1, (rows + blocks - 1) / blocks), block_rows_of_tiles);
}

// ---- C

// C += A B in tiles 0 and 1 for up to 16 rows of A; if `high`, in tiles 2 and 3 for those 16 further on.
template <class Word>
void multiply_tiles(TileEngine& engine, const uint32_t* a, int64_t a_distance, bool high, const uint32_t* b,
                    int64_t words) {
  alignas(64) uint32_t end[tile_words * NR];
  const int64_t row_bytes = a_distance * 4;
  for (int64_t k = 0; k < words; k += tile_words, a += tile_words, b += tile_words * NR) {
    const uint32_t* right = b;
    if (words - k < tile_words) {  // what lies behind the last word is another panel's
      std::memset(end, 0, sizeof end);
      std::memcpy(end, b, static_cast<size_t>(words - k) * NR * 4);
      right = end;
    }
    engine.load<4>(a, row_bytes);
    engine.load_streamed<6>(right, NR * 4);
    engine.multiply<Word, 0, 4, 6>();
    engine.load_streamed<7>(right + W, NR * 4);
    engine.multiply<Word, 1, 4, 7>();
    if (!high) continue;
    engine.load<5>(a + tile_rows * a_distance, row_bytes);
    engine.multiply<Word, 2, 5, 6>();
    engine.multiply<Word, 3, 5, 7>();
  }
}

// The tiles of C to rows of floats, or from there.
inline void move_tiles(TileEngine& engine, float* c, int64_t distance, bool high, bool store) {
  float* below = c + tile_rows * distance;
  const int64_t bytes = distance * 4;
  if (store) {
    engine.store<0>(c, bytes);
    engine.store<1>(c + W, bytes);
    if (high) engine.store<2>(below, bytes);
    if (high) engine.store<3>(below + W, bytes);
  } else {
    engine.load<0>(c, bytes);
    engine.load<1>(c + W, bytes);
    if (high) engine.load<2>(below, bytes);
    if (high) engine.load<3>(below + W, bytes);
  }
}

// Copies what exists of a block of sums.
inline void copy_sums(const float* from, int64_t from_distance, float* to, int64_t to_distance, int64_t rows,
                      int64_t columns) {
  for (int64_t r = 0; r < rows; r++)
    std::memcpy(to + r * to_distance, from + r * from_distance, static_cast<size_t>(columns) * 4);
}

template <class Word>
void multiply_packed_tiles(const Product& p, const ProductPart& part, const uint32_t* packed,
                           uint32_t* scratch) {
  const int64_t words = part.word_end - part.word,
                panel_words = part.panel_distance ? part.panel_distance : words * NR;
  const bool first = part.word == 0, last = part.word_end == words_of<Word>(p.k);
  const bool direct = last && !p.added && !p.bias && !p.activation && !p.gate &&
                      p.c_type == (Word::elements == 4 ? DType::i32 : DType::f32);
  const int64_t block = tile_block_rows(part.row_end - part.row, words);
  alignas(64) float sums[block_rows_of_tiles * NR];
  TileEngine engine;
  int64_t configured = 0;
  for (int64_t i0 = part.row; i0 < part.row_end; i0 += block) {
    const int64_t rows = smaller(block, part.row_end - i0);
    const Left left = tile_left<Word>(p, i0, rows, part.word, words, scratch);
    for (int64_t panel = part.panel; panel < part.panel_end; panel++) {
      const uint32_t* b = packed + (panel - part.panel) * panel_words;
      const int64_t column = panel * NR, columns = smaller(NR, p.n - column);
      for (int64_t i = 0; i < rows; i += block_rows_of_tiles) {
        const int64_t some = smaller(block_rows_of_tiles, rows - i);
        const int low = static_cast<int>(smaller(some, tile_rows)), rest = static_cast<int>(some) - low;
        const bool high = rest > 0;
        if (some != configured) {
          const int upper = high ? rest : tile_rows;
          engine.configure({low, low, upper, upper, low, upper, tile_words, tile_words});
          configured = some;
        }
        if (first) {
          engine.zero<0>();
          engine.zero<1>();
          if (high) engine.zero<2>();
          if (high) engine.zero<3>();
        } else {
          copy_sums(part.sums + (i0 + i) * part.sums_distance + column, part.sums_distance, sums, NR, some,
                    columns);
          move_tiles(engine, sums, NR, high, false);
        }
        multiply_tiles<Word>(engine, left.tile(i, 0), left.distance, high, b, words);
        if (direct && columns == NR) {
          move_tiles(engine, static_cast<float*>(p.c) + (i0 + i) * p.c_distance + column, p.c_distance, high,
                     true);
          continue;
        }
        move_tiles(engine, sums, NR, high, true);
        if (last) {
          finish(p, {i0 + i, column, some, columns}, sums, NR);
        } else {
          copy_sums(sums, NR, part.sums + (i0 + i) * part.sums_distance + column, part.sums_distance, some,
                    columns);
        }
      }
    }
  }
  engine.release();
}

}  // namespace
}  // namespace intarsia::kernel::INTARSIA_RUNG
