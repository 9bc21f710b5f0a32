// The gradient of a convolution's weights: for each (channel, tap) and output a sum over pixels. A tile holds
// some taps and a panel of outputs; with few outputs the lanes of a register run over pixels.
#pragma once
#include <type_traits>

#include "kernel/cpu/tile.h"
#include "kernel/image/slots_convolution.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

int64_t padded_outputs(int64_t outputs) { return (outputs + NR - 1) / NR * NR; }
bool by_pixels(int64_t outputs) { return outputs < 8; }

template <class Word>
int64_t words_in_row(const TapGradient& g) {
  return (g.out_columns + Word::elements - 1) / Word::elements;
}

// dy as panels [image][output row][word of its pixels][NR outputs].
template <class From>
void pack_dy(const TapGradient& g, int64_t panel, uint32_t* packed) {
  using Word = typename From::Word;
  const auto* dy = static_cast<const typename From::Element*>(g.dy) + panel * NR * g.channel_distance;
  const int64_t outputs = smaller(NR, g.outputs - panel * NR), words = words_in_row<Word>(g);
  // A pair must not join the end of a row and the start of the next one.
  const bool joins = words * Word::elements == g.out_columns;
  const int64_t runs = joins ? 1 : g.out_rows, run = joins ? g.out_rows * g.out_columns : g.out_columns;
  for (int64_t n = 0; n < g.images; n++, dy += g.dy_image) {
    for (int64_t i = 0; i < runs; i++, packed += g.out_rows / runs * words * NR) {
      pack_rows<From, NR>(dy + i * run, g.channel_distance, outputs, run, packed);
    }
  }
}

template <class Word, int rows>
void gradient_tile(const TapGradient& g, int64_t tap, const uint32_t* packed, float* to) {
  using Element = std::conditional_t<Word::elements == 2, uint16_t, uint32_t>;
  const auto* planes = static_cast<const Element*>(g.planes);
  const int64_t whole = g.out_columns / Word::elements;
  const bool odd = whole * Word::elements != g.out_columns;
  Floats sums[rows][2];
  each<rows>([&](auto r) INTARSIA_INLINE { sums[r][0] = sums[r][1] = zeros(); });
  const uint32_t* b = packed;
  for (int64_t line = 0; line < g.images * g.out_rows; line++) {
    const int64_t place = line / g.out_rows * g.planes_image + line % g.out_rows * g.width;
    const Element* row[rows];
    each<rows>([&](auto r) INTARSIA_INLINE { row[r] = planes + g.offset[tap + r] + place; });
#pragma GCC unroll 2
    for (int64_t w = 0; w < whole; w++, b += NR) {
      each<Word::steps>([&](auto s) INTARSIA_INLINE {
        if constexpr (s > 0) asm volatile("" ::: "memory");  // see tile()
        const Floats first = Word::template right<s>(b), second = Word::template right<s>(b + W);
        each<rows>([&](auto r) INTARSIA_INLINE {
          uint32_t word;
          std::memcpy(&word, row[r] + w * Word::elements, 4);
          const Floats left = Word::template left<s>(&word);
          sums[r][0] = Word::add(sums[r][0], left, first);
          sums[r][1] = Word::add(sums[r][1], left, second);
        });
      });
    }
    if (odd) {  // the pixel behind the row's last one must not count, not even times zero
      each<Word::steps>([&](auto s) INTARSIA_INLINE {
        const Floats first = Word::template right<s>(b), second = Word::template right<s>(b + W);
        each<rows>([&](auto r) INTARSIA_INLINE {
          const uint32_t word = row[r][whole * Word::elements];
          const Floats left = Word::template left<s>(&word);
          sums[r][0] = Word::add(sums[r][0], left, first);
          sums[r][1] = Word::add(sums[r][1], left, second);
        });
      });
      b += NR;
    }
  }
  each<rows>([&](auto r) INTARSIA_INLINE {
    store(to + r * g.sums_distance, sums[r][0]);
    store(to + r * g.sums_distance + W, sums[r][1]);
  });
}

using GradientFunction = void (*)(const TapGradient&, int64_t, const uint32_t*, float*);
template <class Word, int... i>
GradientFunction pick_gradient(int64_t rows, std::integer_sequence<int, i...>) {
  static constexpr GradientFunction functions[] = {gradient_tile<Word, i + 1>...};
  return functions[rows - 1];
}

template <class From>
void gradient_by_outputs(const TapGradient& g, uint32_t* packed) {
  using Word = typename From::Word;
  const int64_t tiles = (g.taps + MR - 1) / MR, height = tiles ? (g.taps + tiles - 1) / tiles : 1;
  for (int64_t panel = 0; panel * NR < g.outputs; panel++) {
    pack_dy<From>(g, panel, packed);
    for (int64_t tap = 0; tap < g.taps; tap += height) {
      const auto tile =
          pick_gradient<Word>(smaller(height, g.taps - tap), std::make_integer_sequence<int, MR>{});
      tile(g, tap, packed, static_cast<float*>(g.sums) + tap * g.sums_distance + panel * NR);
    }
  }
}

// One output's sums for some taps, the lanes running over the pixels of a row; joined in order at the end.
template <class From, int taps>
void gradient_of_pixels(const TapGradient& g, int64_t tap, int64_t output) {
  const auto* planes = static_cast<const float*>(g.planes);
  const auto* dy = static_cast<const typename From::Element*>(g.dy) + output * g.channel_distance;
  Floats sums[taps];
  each<taps>([&](auto t) INTARSIA_INLINE { sums[t] = zeros(); });
  for (int64_t line = 0; line < g.images * g.out_rows; line++) {
    const int64_t n = line / g.out_rows, i = line % g.out_rows;
    const auto* row = dy + n * g.dy_image + i * g.out_columns;
    const float* place = planes + n * g.planes_image + i * g.width;
    for (int64_t j = 0; j < g.out_columns; j += W) {
      const int64_t count = g.out_columns - j;
      const Floats d = as_floats(From::along(row + j, count));
      each<taps>([&](auto t) INTARSIA_INLINE {
        const Words x = load_first_words(place + g.offset[tap + t] + j, count);
        sums[t] = multiply_add(sums[t], as_floats(x), d);
      });
    }
  }
  each<taps>([&](auto t) INTARSIA_INLINE {
    alignas(64) float lanes[W];
    store(lanes, sums[t]);
    float sum = 0;
    for (float lane : lanes) sum += lane;
    static_cast<float*>(g.sums)[(tap + t) * g.sums_distance + output] = sum;
  });
}

template <class From>
void gradient_by_pixels(const TapGradient& g) {
  constexpr int together = 8;
  for (int64_t output = 0; output < g.outputs; output++) {
    int64_t tap = 0;
    for (; tap + together <= g.taps; tap += together) gradient_of_pixels<From, together>(g, tap, output);
    for (; tap < g.taps; tap++) gradient_of_pixels<From, 1>(g, tap, output);
  }
}

size_t gradient_scratch(const TapGradient& g) {
  if (by_pixels(g.outputs)) return 0;
  const int64_t words = g.element == PlaneElement::half ? words_in_row<Bf16Word>(g) : g.out_columns;
  return static_cast<size_t>(g.images * g.out_rows * words * NR) * 4;
}

void gradient(const TapGradient& g, void* scratch) {
  auto* packed = static_cast<uint32_t*>(scratch);
  if (by_pixels(g.outputs)) {
    if (g.type == DType::bf16) return gradient_by_pixels<FromBf16>(g);
    if (g.type == DType::f16) return gradient_by_pixels<FromF16>(g);
    return gradient_by_pixels<FromF32>(g);
  }
  if (g.element == PlaneElement::half) return gradient_by_outputs<FromBf16Pairs>(g, packed);
  if (g.type == DType::f16) return gradient_by_outputs<FromF16>(g, packed);
  gradient_by_outputs<FromF32>(g, packed);
}

void gradient_f64(const TapGradient& g) {
  const auto* planes = static_cast<const double*>(g.planes);
  for (int64_t k = 0; k < g.taps; k++) {
    for (int64_t m = 0; m < g.outputs; m++) {
      const double* dy = static_cast<const double*>(g.dy) + m * g.channel_distance;
      double sum = 0;
      for (int64_t n = 0; n < g.images; n++)
        for (int64_t i = 0; i < g.out_rows; i++) {
          const double* x = planes + n * g.planes_image + g.offset[k] + i * g.width;
          const double* d = dy + n * g.dy_image + i * g.out_columns;
          for (int64_t j = 0; j < g.out_columns; j++) sum += x[j] * d[j];
        }
      static_cast<double*>(g.sums)[k * g.sums_distance + m] = sum;
    }
  }
}

}  // namespace
}  // namespace intarsia::kernel::INTARSIA_RUNG
