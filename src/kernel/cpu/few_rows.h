// Few rows of A times a b of plain rows [n, k], as when one token is decoded: the speed is that of reading b,
// so b goes through registers only. A square of W rows of b and W words is turned and used at once, in the
// order of k in which the tile would use it: the bits are the same.
#pragma once
#include "kernel/cpu/epilogue.h"
#include "kernel/cpu/operands.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

constexpr int64_t few_rows_ahead = 128;  // words that are fetched before they are used

// How far on in a [n, k] matrix to fetch while words [word, word + words) are packed: a piece of k later, or
// the next panels' first one.
template <class Word>
int64_t ahead_of(const Product& p, int64_t panels, int64_t word, int64_t words) {
  if (!p.b_transposed) return 0;
  const int64_t distance = smaller(p.k, larger(few_rows_ahead, words) * Word::elements);
  return word * Word::elements + distance < p.k ? distance : panels * NR * p.b_distance + distance - p.k;
}

template <class From, int rows>
void multiply_rows(const Product& p, const Left& left, const ProductPart& part) {
  using Word = typename From::Word;
  constexpr int per = Word::elements;
  const auto* b = static_cast<const typename From::Element*>(p.b);
  const int64_t all = words_of<Word>(p.k);
  for (int64_t panel = part.panel; panel < part.panel_end; panel++) {
    const int64_t column = panel * NR, columns = smaller(NR, p.n - column);
    Floats sums[rows][2];
    each<rows>([&](auto m) INTARSIA_INLINE { sums[m][0] = sums[m][1] = zeros(); });
    for (int64_t word = 0; word < all; word += W) {
      const auto* source = b + column * p.b_distance + word * per;
      const int64_t count = p.k - word * per, words = all - word, ahead = ahead_of<Word>(p, 1, word, W);
      each<2>([&](auto block) INTARSIA_INLINE {
        Words r[W];
        each<W>([&](auto i) INTARSIA_INLINE {
          const int64_t row = block * W + i;
          __builtin_prefetch(source + row * p.b_distance + ahead);
          if (count >= W * per && columns == NR) {
            r[i] = From::along(source + row * p.b_distance, W * per);
          } else {
            r[i] = row < columns ? From::along(source + row * p.b_distance, count) : Words{};
          }
        });
        transpose(r);
        each<W>([&](auto i) INTARSIA_INLINE {
          if (i >= words) return;
          each<Word::steps>([&](auto s) INTARSIA_INLINE {
            const Floats right = Word::template factor<s>(r[i]);
            each<rows>([&](auto m) INTARSIA_INLINE {
              const uint32_t* a = left.words + m * left.distance + word + i;
              sums[m][block] = Word::add(sums[m][block], Word::template left<s>(a), right);
            });
          });
        });
      });
    }
    alignas(64) float out[rows * NR];
    each<rows>([&](auto m) INTARSIA_INLINE {
      each<2>([&](auto block) INTARSIA_INLINE { store(out + m * NR + block * W, sums[m][block]); });
    });
    finish(p, {part.row, column, rows, columns}, out, NR);
  }
}

template <class From>
bool multiply_few_rows_from(const Product& p, const Left& left, const ProductPart& part) {
  switch (part.row_end - part.row) {
    case 1:
      multiply_rows<From, 1>(p, left, part);
      return true;
    case 2:
      multiply_rows<From, 2>(p, left, part);
      return true;
    default:
      return false;
  }
}

// Multiplies the rows of `part` if they are few and b lies so that it need not be packed; false if not.
template <class Word>
bool multiply_few_rows(const Product& p, const Left& left, const ProductPart& part) {
  if (!p.b_transposed || left.panels || block_format(p.b_type).elements) return false;
  if constexpr (Word::elements == 4) {
    return false;
  } else if constexpr (Word::elements == 2) {
    return multiply_few_rows_from<FromBf16Pairs>(p, left, part);
  } else {
    if (p.b_type == DType::bf16) return multiply_few_rows_from<FromBf16>(p, left, part);
    if (p.b_type == DType::f16) return multiply_few_rows_from<FromF16>(p, left, part);
    return multiply_few_rows_from<FromF32>(p, left, part);
  }
}

}  // namespace
}  // namespace intarsia::kernel::INTARSIA_RUNG
