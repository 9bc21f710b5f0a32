// The operands of a product as the register tile reads them: B in panels, A where it lies or made ready.
#pragma once
#include "kernel/cpu/dequantize.h"
#include "kernel/cpu/int8.h"
#include "kernel/cpu/tile.h"
#include "kernel/product/slots_product.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

constexpr int64_t left_block = 384 << 10;  // bytes of A that stay in the second-level cache

constexpr int64_t round_up(int64_t x, int64_t unit) { return (x + unit - 1) / unit * unit; }

template <class Word>
int64_t words_of(int64_t elements) {
  return (elements + Word::elements - 1) / Word::elements;
}

// Elements of k from word `word` on that exist in the next `words` words.
template <class Word>
int64_t elements_in(const Product& p, int64_t word, int64_t words) {
  return smaller(p.k - word * Word::elements, words * Word::elements);
}

// ---- B

// Dequantizes rows [row, row + rows) of a [n, k] matrix of blocks, elements [first, first + count) of each,
// and packs them. As much of a row at a time as stays in the first-level cache.
template <class Word>
void pack_blocks(const Product& p, int64_t row, int64_t rows, int64_t first, int64_t count, uint32_t* panel,
                 int64_t ahead) {
  constexpr int64_t at_once = 256;
  const BlockFormat format = block_format(p.b_type);
  const int64_t row_bytes = p.b_distance / format.elements * format.bytes;
  if (const BlockPacker<Word> pack_block_of_rows = block_packer<Word>(p.b_type)) {
    const uint8_t* block = static_cast<const uint8_t*>(p.b) + row * row_bytes + first / 32 * format.bytes;
    each<2>([&](auto half) INTARSIA_INLINE {
      const uint8_t* at[W];
      for (int r = 0; r < W; r++)
        at[r] = block + smaller(half * W + r, rows - 1) * row_bytes;  // any row fills a gap
      const int64_t bytes_ahead = ahead / 32 * format.bytes;
      for (int64_t k = 0; k < count; k += 32) {
        if (ahead && (k % 64 == 0 || format.bytes > 32)) {  // every cache line once or twice
          for (int r = 0; r < W; r++) __builtin_prefetch(at[r] + bytes_ahead);
        }
        pack_block_of_rows(at, panel + k / Word::elements * NR + half * W);
        for (int r = 0; r < W; r++) at[r] += format.bytes;
      }
    });
    return;
  }
  alignas(64) float values[NR * at_once];
  for (int64_t k = 0; k < count; k += at_once) {
    const int64_t n = smaller(at_once, count - k);
    const uint8_t* block =
        static_cast<const uint8_t*>(p.b) + row * row_bytes + (first + k) / format.elements * format.bytes;
    for (int64_t r = 0; r < rows; r++) dequantize(p.b_type, block + r * row_bytes, n, values + r * at_once);
    uint32_t* to = panel + k / Word::elements * NR;
    if constexpr (Word::elements == 1) {
      pack_rows<FromF32, NR>(values, at_once, rows, n, to);
    } else {
      auto* halves =
          reinterpret_cast<uint16_t*>(values);  // in place: a half is written after its float is read
      for (int64_t r = 0; r < rows; r++) {
        const float* x = values + r * at_once;
        for (int64_t i = 0; i < n; i += NR)
          store_bf16(halves + r * at_once + i, load(x + i), load(x + i + W));
      }
      pack_rows<FromBf16Pairs, NR>(halves, at_once, rows, n, to);
    }
  }
}

// Packs words [word, word + words) of `panels` panels from `panel` on; of rows of b, those `ahead` elements
// on are fetched.
template <class From>
void pack_plain(const Product& p, int64_t panel, int64_t panels, int64_t word, int64_t words,
                uint32_t* packed, int64_t panel_distance, int64_t ahead) {
  using Word = typename From::Word;
  const auto* b = static_cast<const typename From::Element*>(p.b);
  const int64_t first = word * Word::elements, count = elements_in<Word>(p, word, words);
  if (!p.b_transposed) {
    pack_columns<From, NR>(b + first * p.b_distance + panel * NR, p.b_distance, p.n - panel * NR, count,
                           panels, panel_distance, packed);
    return;
  }
  for (int64_t i = panel; i < panel + panels; i++, packed += panel_distance) {
    const int64_t rows = smaller(NR, p.n - i * NR);
    pack_rows<From, NR>(b + i * NR * p.b_distance + first, p.b_distance, rows, count, packed, ahead);
  }
}

template <class Word>
void pack_b(const Product& p, int64_t panel, int64_t panels, int64_t word, int64_t words, uint32_t* packed,
            int64_t panel_distance, int64_t ahead) {
  if constexpr (Word::elements == 4) {
    pack_plain<FromInt8Offset>(p, panel, panels, word, words, packed, panel_distance, ahead);
    return;
  } else {
    if (block_format(p.b_type).elements) {
      const int64_t first = word * Word::elements, count = elements_in<Word>(p, word, words);
      for (int64_t i = panel; i < panel + panels; i++, packed += panel_distance) {
        pack_blocks<Word>(p, i * NR, smaller(NR, p.n - i * NR), first, count, packed, ahead);
      }
      return;
    }
    if constexpr (Word::elements == 2) {
      pack_plain<FromBf16Pairs>(p, panel, panels, word, words, packed, panel_distance, ahead);
    } else if (p.b_type == DType::bf16) {
      pack_plain<FromBf16>(p, panel, panels, word, words, packed, panel_distance, ahead);
    } else if (p.b_type == DType::f16) {
      pack_plain<FromF16>(p, panel, panels, word, words, packed, panel_distance, ahead);
    } else {
      pack_plain<FromF32>(p, panel, panels, word, words, packed, panel_distance, ahead);
    }
  }
}

// ---- A

// A as tiles read it: rows `distance` words apart, or, transposed, panels [words][MR].
struct Left {
  const uint32_t* words = nullptr;
  int64_t distance = 0;
  int64_t panel = 0;
  bool panels = false;

  const uint32_t* tile(int64_t row, int64_t word) const {
    return panels ? words + row / MR * panel + word * MR : words + row * distance + word;
  }
};

template <class Word>
bool lies_ready(const Product& p) {
  if (p.a_transposed) return false;
  if (Word::elements == 1) return p.a_type == DType::f32;
  return p.k % Word::elements == 0 && p.a_distance % Word::elements == 0;
}

template <class Word>
int64_t left_words(const Product& p, int64_t rows, int64_t words) {
  if (lies_ready<Word>(p)) return 0;
  return p.a_transposed ? round_up(rows, MR) * words : rows * round_up(words, W);
}

template <class From>
Left prepare_from(const Product& p, int64_t row, int64_t rows, int64_t word, int64_t words, uint32_t* to) {
  using Word = typename From::Word;
  const auto* a = static_cast<const typename From::Element*>(p.a);
  const int64_t first = word * Word::elements, count = elements_in<Word>(p, word, words);
  Left left;
  left.words = to;
  if (p.a_transposed) {
    left.panels = true;
    left.panel = words * MR;
    pack_columns<From, MR>(a + first * p.a_distance + row, p.a_distance, rows, count, (rows + MR - 1) / MR,
                           words * MR, to);
    return left;
  }
  left.distance = round_up(words, W);
  for (int64_t r = 0; r < rows; r++) {
    const auto* from = a + (row + r) * p.a_distance + first;
    uint32_t* out = to + r * left.distance;
    for (int64_t k = 0; k < count; k += W * Word::elements) {
      store_words(out + k / Word::elements, From::along(from + k, count - k));
    }
  }
  return left;
}

// Rows [row, row + rows) and words [word, word + words) of A, made ready in `scratch` if they do not lie so.
template <class Word>
Left prepare_left(const Product& p, int64_t row, int64_t rows, int64_t word, int64_t words,
                  uint32_t* scratch) {
  if (lies_ready<Word>(p)) {
    Left left;
    left.distance = p.a_distance / Word::elements;
    left.words = static_cast<const uint32_t*>(p.a) + row * left.distance + word;
    return left;
  }
  if constexpr (Word::elements == 4) {
    return prepare_from<FromInt8>(p, row, rows, word, words, scratch);
  } else if constexpr (Word::elements == 2) {
    return prepare_from<FromBf16Pairs>(p, row, rows, word, words, scratch);
  } else {
    if (p.a_type == DType::bf16) return prepare_from<FromBf16>(p, row, rows, word, words, scratch);
    if (p.a_type == DType::f16) return prepare_from<FromF16>(p, row, rows, word, words, scratch);
    return prepare_from<FromF32>(p, row, rows, word, words, scratch);
  }
}

}  // namespace
}  // namespace intarsia::kernel::INTARSIA_RUNG
