// Matrix products on the register tile of tile.h. B is packed into panels of NR columns, whole blocks at a
// time for large products or a few panels at a time on the way; A is read where it lies unless it is
// transposed, of another type, or has an odd number of bf16. Element (i, j) is one accumulator fed in order
// of k, and a cut of k passes the sum through memory unchanged, so a row has the same bits alone or among
// others, packed or streamed. On a rung with a tile engine products of bf16 and of int8 take that instead.
#include "kernel/cpu/epilogue.h"
#include "kernel/cpu/few_rows.h"
#include "kernel/cpu/operands.h"
#include "kernel/cpu/parts.h"
#include "kernel/cpu/tile.h"
#if defined(INTARSIA_TILE_ENGINE)
#include "kernel/cpu/tile_product.h"
#endif
#include "kernel/product/slots_product.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

constexpr int64_t streamed_words = 512;  // of k in a streamed panel: 64 KB with AVX-512
// With so few rows that memory sets the speed: small pieces, packed, used and forgotten within the
// first-level cache.
constexpr int64_t few_rows_words = 64;

// ---- the tiles, compiled for each height

struct TileCall {
  const uint32_t* a;  // rows at a_distance words, or a packed panel
  int64_t a_distance;
  const uint32_t* b;
  int64_t b_panel;
  int64_t b_word;  // from one word of k to the next, of f32; otherwise NR
  int64_t words;
  const char* ahead;  // memory that a later tile reads: this one fetches a share of it
  const float* from;  // sums so far, or null: then rows start with `start`, or zero if that is null
  int64_t from_distance;
  const int32_t* start;
  void* to;
  int64_t to_distance;  // elements
  bool to_bf16;
};

template <class Word, int rows, int vectors, int width>
void run_tile(const TileCall& call) {
  const TileCall t = call;
  auto init = [&](auto r, auto j) INTARSIA_INLINE {
    if (t.from) return load(t.from + r * t.from_distance + j * W);
    if constexpr (Word::elements == 4) {
      if (t.start) return as_floats(broadcast_word(reinterpret_cast<const uint32_t*>(t.start) + r));
    }
    return zeros();
  };
  auto finish = [&](auto& sums) INTARSIA_INLINE {
    if (t.to_bf16) {
      auto* to = static_cast<uint16_t*>(t.to);
      each<rows>([&](auto r) INTARSIA_INLINE {
        each<vectors / 2>([&](auto j) INTARSIA_INLINE {
          store_bf16(to + r * t.to_distance + j * NR, sums[r][2 * j], sums[r][2 * j + 1]);
        });
      });
    } else {
      auto* to = static_cast<float*>(t.to);
      each<rows>([&](auto r) INTARSIA_INLINE {
        each<vectors>([&](auto j) INTARSIA_INLINE { store(to + r * t.to_distance + j * W, sums[r][j]); });
      });
    }
  };
  // A line of the memory ahead every fourth word, spread over the tile, costs nothing and hides the trip to
  // the third-level cache.
  auto step = [&](int64_t k) INTARSIA_INLINE {
    if constexpr (rows > 3) {
      if (k % 4 == 0) __builtin_prefetch(t.ahead + k * 16, 0, 2);
    }
  };
  if constexpr (rows > 3) {  // the lines that will be written
    const char* to = static_cast<const char*>(t.to);
    const int64_t distance = t.to_distance * (t.to_bf16 ? 2 : 4);
    each<rows>([&](auto r) INTARSIA_INLINE {
      __builtin_prefetch(to + r * distance, 1, 3);
      if (!t.to_bf16) __builtin_prefetch(to + r * distance + 64, 1, 3);
    });
  }
  if constexpr (Word::elements == 1) {
    tile<Word, rows, vectors, width>(t.a, t.a_distance, t.b, t.b_panel, t.words, init, finish, step,
                                     t.b_word);
  } else {
    tile<Word, rows, vectors, width>(t.a, t.a_distance, t.b, t.b_panel, t.words, init, finish, step);
  }
}

using TileFunction = void (*)(const TileCall&);

template <class Word, int panels, int... i>
TileFunction pick_tile(int64_t rows, std::integer_sequence<int, i...>) {
  static constexpr TileFunction functions[] = {run_tile<Word, i + 1, 2 * panels, 0>...};
  return functions[rows - 1];
}

// For A in rows: any height up to MR / panels; 1, 2 or 4 panels.
template <class Word>
TileFunction tile_of_rows(int64_t rows, int64_t panels) {
  if (panels == 4) return pick_tile<Word, 4>(rows, std::make_integer_sequence<int, MR / 4>{});
  if (panels == 2) return pick_tile<Word, 2>(rows, std::make_integer_sequence<int, MR / 2>{});
  return pick_tile<Word, 1>(rows, std::make_integer_sequence<int, MR>{});
}

// ---- one tile from start to end

struct Sums {  // where a cut k leaves its sums: float [rows][columns] that may be touched, in the tile's
               // place
  float* data = nullptr;
  int64_t distance = 0, rows = 0, columns = 0;
};

// Computes rows x (panels * NR) of C at `place`, which says how much of that exists, from words of k that are
// the first, the last, both or neither.
template <class Word>
void multiply_tile(const Product& p, const Place& place, TileCall& call, TileFunction function, int64_t rows,
                   int64_t panels, const Sums& sums, bool first, bool last) {
  alignas(64) float buffer[MR * NR];
  const int64_t columns = panels * NR;
  const bool sums_fit = sums.rows >= rows && sums.columns >= columns;
  call.from = nullptr;
  call.start = p.start ? p.start + place.row : nullptr;
  if (!first) {
    call.from = sums.data;
    call.from_distance = sums.distance;
    if (!sums_fit) {
      for (int64_t r = 0; r < rows; r++) {
        float* to = buffer + r * columns;
        const int64_t count = r < sums.rows ? smaller(columns, sums.columns) : 0;
        for (int64_t j = 0; j < columns; j++) to[j] = j < count ? sums.data[r * sums.distance + j] : 0.0f;
      }
      call.from = buffer;
      call.from_distance = columns;
    }
  }
  const bool plain =
      !p.added && !p.bias && !p.activation && !p.gate && place.rows == rows && place.columns == columns;
  call.to = buffer;
  call.to_distance = columns;
  call.to_bf16 = false;
  if (!last) {
    if (sums_fit) {
      call.to = sums.data;
      call.to_distance = sums.distance;
    }
    function(call);
    if (!sums_fit) {
      for (int64_t r = 0; r < smaller(rows, sums.rows); r++) {
        std::memcpy(sums.data + r * sums.distance, buffer + r * columns,
                    static_cast<size_t>(smaller(columns, sums.columns)) * 4);
      }
    }
    return;
  }
  const int64_t at = place.row * p.c_distance + place.column;
  constexpr bool integers = Word::elements == 4;
  if (plain && p.c_type == (integers ? DType::i32 : DType::f32)) {
    call.to = static_cast<float*>(p.c) + at;
    call.to_distance = p.c_distance;
    return function(call);
  }
  if (plain && !integers && p.c_type == DType::bf16) {
    call.to = static_cast<uint16_t*>(p.c) + at;
    call.to_distance = p.c_distance;
    call.to_bf16 = true;
    return function(call);
  }
  if (p.added) {  // what will be read when the sums are finished
    const int64_t bytes = p.c_type == DType::f32 ? 4 : 2;
    const char* added = static_cast<const char*>(p.added) + at * bytes;
    for (int64_t r = 0; r < place.rows; r++, added += p.c_distance * bytes)
      for (int64_t line = 0; line < place.columns * bytes; line += 64) __builtin_prefetch(added + line, 1, 3);
  }
  function(call);
  finish(p, place, buffer, columns);
}

// Tile heights: 37 rows as 10, 10, 10, 7 and not as 12, 12, 12, 1, because a low tile waits for the
// multiply-adds' latency.
int64_t even_height(int64_t rows, int64_t highest) {
  const int64_t tiles = (rows + highest - 1) / highest;
  return (rows + tiles - 1) / tiles;
}

// ---- with panels packed before: A in blocks that stay in the second-level cache

template <class Word>
void pack(const Product& p, const ProductPart& part, uint32_t* packed) {
  constexpr int64_t together = 8;  // panels: a source row is read in pieces of some cache lines
  const int64_t words = part.word_end - part.word;
  for (int64_t i = part.panel; i < part.panel_end; i += together) {
    const int64_t panels = smaller(together, part.panel_end - i);
    pack_b<Word>(p, i, panels, part.word, words, packed + (i - part.panel) * words * NR, words * NR, 256);
  }
}

// Rows of A in a block: at most `most_rows`, and even blocks.
int64_t most_rows(int64_t words) { return larger(MR, left_block / 4 / larger(1, words) / MR * MR); }
int64_t block_rows(int64_t rows, int64_t words) {
  const int64_t most = most_rows(words), blocks = larger(1, (rows + most - 1) / most);
  return round_up((rows + blocks - 1) / blocks, MR);
}

// Few rows are multiplied with several panels: a tile needs a dozen independent sums to hide the
// multiply-adds' latency.
int64_t panels_at_once(int64_t rows) { return rows <= MR / 4 ? 4 : rows <= MR / 2 ? 2 : 1; }

template <class Word>
void multiply_packed_words(const Product& p, const ProductPart& part, const uint32_t* packed,
                           uint32_t* scratch) {
  const int64_t words = part.word_end - part.word,
                panel_words = part.panel_distance ? part.panel_distance : words * NR;
  const int64_t block = block_rows(part.row_end - part.row, words);
  const bool first = part.word == 0, last = part.word_end == words_of<Word>(p.k);
  for (int64_t i0 = part.row; i0 < part.row_end; i0 += block) {
    const int64_t rows = smaller(block, part.row_end - i0);
    const Left left = prepare_left<Word>(p, i0, rows, part.word, words, scratch);
    const int64_t most = left.panels ? 1 : panels_at_once(rows);
    const int64_t height = left.panels ? MR : even_height(rows, MR / most);
    int64_t panels = most;
    for (int64_t panel = part.panel; panel < part.panel_end; panel += panels) {
      while (panels > part.panel_end - panel) panels /= 2;
      const uint32_t* b = packed + (panel - part.panel) * panel_words;
      const int64_t column = panel * NR, columns = smaller(panels * NR, p.n - column);
      for (int64_t i = 0; i < rows; i += height) {
        const int64_t some = smaller(height, rows - i);
        TileCall call{};
        call.a = left.tile(i, 0);
        call.a_distance = left.distance;
        call.b = b;
        call.b_panel = panel_words;
        call.b_word = part.word_distance ? part.word_distance : NR;
        call.words = words;
        // Panels are fetched ahead, but not what lies elsewhere: that is in the second-level cache.
        call.ahead =
            reinterpret_cast<const char*>(part.word_distance ? b : b + panel_words + i / height * words * 4);
        Sums sums;
        if (part.sums) {
          sums = {part.sums + (i0 + i) * part.sums_distance + column, part.sums_distance, some,
                  part.sums_distance - column};
        }
        const TileFunction function =
            left.panels ? run_tile<Word, MR, 2, MR> : tile_of_rows<Word>(some, panels);
        multiply_tile<Word>(p, {i0 + i, column, some, columns}, call, function, left.panels ? MR : some,
                            panels, sums, first, last);
      }
    }
  }
}

// What the tile engine multiplies, if there is one.
template <class Word>
constexpr bool on_tiles() {
#if defined(INTARSIA_TILE_ENGINE)
  return Word::elements > 1;
#else
  return false;
#endif
}

template <class Word>
void multiply_panels(const Product& p, const ProductPart& part, const uint32_t* packed, uint32_t* scratch) {
#if defined(INTARSIA_TILE_ENGINE)
  if constexpr (on_tiles<Word>()) return multiply_packed_tiles<Word>(p, part, packed, scratch);
#endif
  multiply_packed_words<Word>(p, part, packed, scratch);
}

template <class Word>
int64_t packed_scratch_words(const Product& p, int64_t rows, int64_t words) {
#if defined(INTARSIA_TILE_ENGINE)
  if constexpr (on_tiles<Word>()) {
    return tile_left_words<Word>(p, smaller(most_tile_rows(words), round_up(rows, block_rows_of_tiles)),
                                 words);
  }
#endif
  // Not block_rows: fewer rows can make a larger block, and this is to hold for any part with fewer rows.
  return left_words<Word>(p, smaller(most_rows(words), round_up(rows, MR)), words);
}

template <class Word>
size_t packed_scratch(const Product& p, const ProductPart& part) {
  const int64_t words = part.word_end - part.word;
  return static_cast<size_t>(packed_scratch_words<Word>(p, part.row_end - part.row, words)) * 4;
}

template <class Word>
void multiply_packed(const Product& p, const ProductPart& part, const uint32_t* packed, void* scratch) {
  multiply_panels<Word>(p, part, packed, static_cast<uint32_t*>(scratch));
}

// ---- streamed: a few panels are packed into the cache and multiplied with all rows before the next ones

// On the tile engine, where A may have to be copied for each call.
constexpr int64_t tile_panels_together = 4;

struct Streaming {
  int64_t panels;  // at once
  int64_t words;   // of k at once
};
template <class Word>
Streaming streaming(const Product& p, const ProductPart& part, bool left_panels) {
  const int64_t rows = part.row_end - part.row;
  // Blocks take longer to pack than to fetch, so there the sums' latency matters; plain rows come from memory
  // best as one panel's few streams.
  const bool two = !left_panels && block_format(p.b_type).elements && rows <= MR / 2;
  const int64_t panels = larger(1, smaller(two ? 2 : 1, part.panel_end - part.panel));
  int64_t words = rows <= MR ? few_rows_words : streamed_words;
  // A cut must not divide a block.
  if (const int block = block_format(p.b_type).elements) words = larger(words, block / Word::elements);
  return {panels, smaller(words, words_of<Word>(p.k))};
}

struct StreamedScratch {  // in words
  int64_t left, panels, sums;
};
template <class Word>
StreamedScratch streamed_parts(const Product& p, const ProductPart& part) {
  if constexpr (on_tiles<Word>()) {
    const int64_t words = words_of<Word>(p.k);
    return {round_up(packed_scratch_words<Word>(p, part.row_end - part.row, words), 16),
            tile_panels_together * larger(1, words) * NR, 0};
  }
  const Streaming s = streaming<Word>(p, part, p.a_transposed);
  const int64_t rows = round_up(part.row_end - part.row, MR);
  return {round_up(left_words<Word>(p, part.row_end - part.row, words_of<Word>(p.k)), 16),
          s.panels * larger(1, s.words) * NR, rows * s.panels * NR};
}

// The same on the tile engine, which wants all of k at once.
template <class Word>
void multiply_some_panels(const Product& p, const ProductPart& part, uint32_t* scratch) {
  uint32_t* packed = scratch + streamed_parts<Word>(p, part).left;
  ProductPart one = part;
  one.word_end = words_of<Word>(p.k);
  for (one.panel = part.panel; one.panel < part.panel_end; one.panel = one.panel_end) {
    one.panel_end = smaller(part.panel_end, one.panel + tile_panels_together);
    pack_b<Word>(p, one.panel, one.panel_end - one.panel, 0, one.word_end, packed, one.word_end * NR, 0);
    multiply_panels<Word>(p, one, packed, scratch);
  }
}

template <class Word>
void multiply_streamed_words(const Product& p, const ProductPart& part, uint32_t* scratch) {
  if constexpr (on_tiles<Word>()) return multiply_some_panels<Word>(p, part, scratch);
  const StreamedScratch space = streamed_parts<Word>(p, part);
  const Streaming stream = streaming<Word>(p, part, p.a_transposed);
  uint32_t* packed = scratch + space.left;
  float* sums = reinterpret_cast<float*>(packed + space.panels);
  const int64_t rows = part.row_end - part.row, all = words_of<Word>(p.k),
                panel_words = larger(1, stream.words) * NR;
  const Left left = prepare_left<Word>(p, part.row, rows, 0, all, scratch);
  if (multiply_few_rows<Word>(p, left, part)) return;
  for (int64_t panel = part.panel; panel < part.panel_end;) {
    const int64_t remaining = part.panel_end - panel;
    const int64_t panels = smaller(stream.panels, remaining);
    const int64_t height = left.panels ? MR : even_height(rows, MR / panels);
    const int64_t column = panel * NR, columns = smaller(panels * NR, p.n - column);
    int64_t word = 0;
    do {  // once even if k is 0
      const int64_t words = smaller(stream.words, all - word);
      pack_b<Word>(p, panel, panels, word, words, packed, panel_words,
                   ahead_of<Word>(p, panels, word, words));
      for (int64_t i = 0; i < rows; i += height) {
        const int64_t some = smaller(height, rows - i), tile_rows = left.panels ? MR : some;
        TileCall call{};
        call.a = left.tile(i, word);
        call.a_distance = left.distance;
        call.b = packed;
        call.b_panel = panel_words;
        call.b_word = NR;
        call.words = words;
        call.ahead = reinterpret_cast<const char*>(packed);
        const TileFunction function =
            left.panels ? run_tile<Word, MR, 2, MR> : tile_of_rows<Word>(some, panels);
        const Sums kept{sums + i * panels * NR, panels * NR, tile_rows, panels * NR};
        multiply_tile<Word>(p, {part.row + i, column, some, columns}, call, function, tile_rows, panels, kept,
                            word == 0, word + words == all);
      }
      word += words;
    } while (word < all);
    panel += panels;
  }
}

template <class Word>
size_t streamed_scratch(const Product& p, const ProductPart& part) {
  const StreamedScratch s = streamed_parts<Word>(p, part);
  return static_cast<size_t>(s.left + s.panels + s.sums) * 4;
}

template <class Word>
void multiply_streamed(const Product& p, const ProductPart& part, void* scratch) {
  multiply_streamed_words<Word>(p, part, static_cast<uint32_t*>(scratch));
}

// ---- int8

// -128 times the sum of a row of A (see int8.h), modulo 2^32.
void int8_start(const Product& p, int64_t row, int64_t row_end, int32_t* start) {
  const auto* a = static_cast<const int8_t*>(p.a);
  for (int64_t i = row; i < row_end; i++) start[i] = 0;
  for (int64_t k = 0; p.a_transposed && k < p.k; k++) {
    for (int64_t i = row; i < row_end; i++) start[i] += a[k * p.a_distance + i];
  }
  for (int64_t i = row; i < row_end; i++) {
    int32_t sum = start[i];
    for (int64_t k = 0; !p.a_transposed && k < p.k; k++) sum += a[i * p.a_distance + k];
    start[i] = static_cast<int32_t>(static_cast<uint32_t>(sum) * -128u);
  }
}

// ---- f64: exactness and tests matter here, not speed

constexpr int64_t f64_rows = 4, f64_columns = 16;
typedef double Doubles __attribute__((vector_size(64)));

size_t f64_scratch(const Product& p) {
  return static_cast<size_t>(larger(1, p.k) * f64_columns) * sizeof(double);
}

template <class C>
void finish_f64(const Product& p, const Place& place, const double (*sums)[f64_columns]) {
  for (int64_t r = 0; r < place.rows; r++) {
    const int64_t at = (place.row + r) * p.c_distance + place.column;
    C* c = static_cast<C*>(p.c) + at;
    const C* added = p.added ? static_cast<const C*>(p.added) + at : nullptr;
    double x[f64_columns];
    for (int64_t j = 0; j < place.columns; j++) {
      x[j] = sums[r][j];
      if (added) x[j] += static_cast<double>(added[j]);
      if (p.bias) x[j] += static_cast<double>(p.bias[place.column + j]);
    }
    if (p.activation) {
      float y[f64_columns];
      for (int64_t j = 0; j < place.columns; j++) y[j] = static_cast<float>(x[j]);
      p.activation(y, place.columns);
      for (int64_t j = 0; j < place.columns; j++) x[j] = static_cast<double>(y[j]);
    }
    for (int64_t j = 0; j < place.columns; j++) c[j] = static_cast<C>(x[j]);
  }
}

void multiply_f64(const Product& p, const ProductPart& part, void* scratch) {
  const auto* a = static_cast<const double*>(p.a);
  const auto* b = static_cast<const double*>(p.b);
  auto* packed = static_cast<double*>(scratch);
  const int64_t a_row = p.a_transposed ? 1 : p.a_distance, a_step = p.a_transposed ? p.a_distance : 1;
  const int64_t b_column = p.b_transposed ? p.b_distance : 1, b_step = p.b_transposed ? 1 : p.b_distance;
  const int64_t end = smaller(p.n, part.panel_end * NR);
  for (int64_t column = part.panel * NR; column < end; column += f64_columns) {
    const int64_t columns = smaller(f64_columns, end - column);
    for (int64_t k = 0; k < p.k; k++) {
      for (int64_t j = 0; j < f64_columns; j++) {
        packed[k * f64_columns + j] = j < columns ? b[k * b_step + (column + j) * b_column] : 0.0;
      }
    }
    for (int64_t row = part.row; row < part.row_end; row += f64_rows) {
      const int64_t rows = smaller(f64_rows, part.row_end - row);
      Doubles sums[f64_rows][2] = {};
      for (int64_t k = 0; k < p.k; k++) {
        Doubles right[2];
        std::memcpy(right, packed + k * f64_columns, sizeof right);
        each<f64_rows>([&](auto r) INTARSIA_INLINE {
          const double left = a[(row + (r < rows ? r : 0)) * a_row + k * a_step];
          sums[r][0] += left * right[0];
          sums[r][1] += left * right[1];
        });
      }
      double out[f64_rows][f64_columns];
      std::memcpy(out, sums, sizeof out);
      const Place place{row, column, rows, columns};
      p.c_type == DType::f64 ? finish_f64<double>(p, place, out) : finish_f64<float>(p, place, out);
    }
  }
}

template <class Word>
void fill_word(WordSlots& slots) {
  slots.pack = pack<Word>;
  slots.packed_scratch = packed_scratch<Word>;
  slots.multiply_packed = multiply_packed<Word>;
  slots.streamed_scratch = streamed_scratch<Word>;
  slots.multiply_streamed = multiply_streamed<Word>;
}

}  // namespace

void fill_product(ProductSlots& slots) {
  fill_word<Bf16Word>(slots.words[static_cast<int>(ProductWord::bf16_pair)]);
  fill_word<Int8Word>(slots.words[static_cast<int>(ProductWord::int8_quad)]);
  if (int8_offset) slots.int8_start = int8_start;
  if constexpr (INTARSIA_RENEWS_F32) {
    slots.tile_rows = MR;
    slots.tile_columns = NR;
    fill_word<F32Word>(slots.words[static_cast<int>(ProductWord::f32)]);
    slots.f64_scratch = f64_scratch;
    slots.multiply_f64 = multiply_f64;
    slots.dequantize = dequantize;
    slots.split_bf16 = split_bf16;
    slots.quantize_row = quantize_row;
  }
}

}  // namespace intarsia::kernel::INTARSIA_RUNG
