// Convolution without an im2col: a tile of the result is sums over (channel, tap), and what a tap multiplies
// is read where it lies in padded planes (slots_convolution.h). Outputs are computed for whole rows of a
// plane, a few columns wider than the result; the columns between are dropped. Every sum is one accumulator
// fed in order of k, so its bits depend neither on the tile nor on where an image was cut.
#include "kernel/image/slots_convolution.h"

#include "kernel/cpu/planes.h"
#include "kernel/cpu/tap_gradient.h"
#include "kernel/cpu/tile.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

// The runs of a tile's columns that belong to the result.
struct Run {
  int64_t from, to, count;  // column of the tile, element of y
};
template <int columns>
int find_runs(const TapProduct& p, int64_t position, int64_t positions, Run* runs) {
  const int64_t end = smaller(position + columns, positions);
  int found = 0;
  for (int64_t at = position; at < end;) {
    const int64_t row = at / p.width, column = at % p.width;
    const int64_t count = smaller(p.out_columns - column, end - at);
    if (count > 0) {
      runs[found++] = {at - position, row * p.row_distance + column * p.column_distance, count};
    }
    at += smaller(p.width - column, end - at);
  }
  return found;
}

void store_16(uint16_t* to, const uint16_t* from, int64_t count, int64_t distance) {
  if (distance == 1) {
    std::memcpy(to, from, static_cast<size_t>(smaller(count, W)) * 2);
  } else {
    for (int64_t j = 0; j < smaller(count, W); j++) to[j * distance] = from[j];
  }
}

void store_run(const TapProduct& p, const float* x, int64_t at, int64_t count) {
  if (p.type == DType::f32) {
    float* y = static_cast<float*>(p.y) + at;
    if (p.column_distance == 1) {
      for (int64_t j = 0; j < count; j += W) store_first_words(y + j, load_words(x + j), count - j);
    } else {
      for (int64_t j = 0; j < count; j++) y[j * p.column_distance] = x[j];
    }
    return;
  }
  auto* y = static_cast<uint16_t*>(p.y) + at;
  for (int64_t j = 0; j < count; j += W) {
    alignas(64) uint16_t halves[2 * W];
    const Floats v = load(x + j);
    p.type == DType::bf16 ? store_bf16(halves, v, v) : store_f16(halves, v);
    store_16(y + j * p.column_distance, halves, count - j, p.column_distance);
  }
}

#if defined(__AVX512F__)
// The lanes of a tile's registers that belong to the result, where its rows lie without gaps.
template <int vectors>
struct Kept {
  __mmask16 lanes[vectors];
  int64_t first, count[vectors];

  Kept(const Run* runs, int number) : lanes{}, first(number ? runs[0].to : 0) {
    const auto below = [](int64_t lane) { return (1u << lane) - 1; };
    for (int i = 0; i < number; i++) {
      const int64_t from = runs[i].from, end = from + runs[i].count;
      for (int64_t j = from / W; j * W < end; j++) {
        const unsigned part = below(smaller(W, end - j * W)) & ~below(larger(0, from - j * W));
        lanes[j] = static_cast<__mmask16>(lanes[j] | part);
      }
    }
    for (int j = 0; j < vectors; j++) count[j] = __builtin_popcount(lanes[j]);
  }
  INTARSIA_INLINE void store(const TapProduct& p, int64_t row, const Floats (&sums)[vectors]) const {
    int64_t at = row * p.channel_distance + first;
    each<vectors>([&](auto j) INTARSIA_INLINE {
      const Floats x = _mm512_maskz_compress_ps(lanes[j], sums[j]);
      if (p.type == DType::f32) {
        store_first_words(static_cast<float*>(p.y) + at, as_words(x), count[j]);
      } else {
        alignas(64) uint16_t halves[2 * W];
        p.type == DType::bf16 ? store_bf16(halves, x, x) : store_f16(halves, x);
        _mm256_mask_storeu_epi16(static_cast<uint16_t*>(p.y) + at,
                                 static_cast<__mmask16>((1u << count[j]) - 1),
                                 _mm256_load_si256(reinterpret_cast<const __m256i*>(halves)));
      }
      at += count[j];
    });
  }
};
#endif

template <class Word, int rows, int vectors>
void multiply_tiles(const TapProduct& p) {
  constexpr int columns = vectors * W;
  const bool plain = p.type == DType::f32 && p.column_distance == 1;
  alignas(64) float sums_out[rows * columns + W];  // a run's last vector may be read past the end
  const auto* planes = static_cast<const uint32_t*>(p.planes);
  const auto* weights = static_cast<const uint32_t*>(p.weights);
  const auto* bias = static_cast<const float*>(p.bias);
  const int64_t positions = (p.out_rows - 1) * p.width + p.out_columns;
#if defined(__AVX512F__)
  const bool gapless = p.column_distance == 1 && p.row_distance == p.out_columns;
#endif
  for (int64_t position = 0; position < positions; position += columns) {
    Run runs[columns];
    const int count = find_runs<columns>(p, position, positions, runs);
#if defined(__AVX512F__)
    const Kept<vectors> kept(runs, count);
#endif
    const uint32_t* place = planes + position;
    const uint32_t* a = weights;
    for (int64_t row = 0; row < p.rows; row += rows) {
      const int64_t real = smaller(rows, p.rows - row);
      Floats sums[rows][vectors];
      each<rows>([&](auto r) INTARSIA_INLINE {
        const Floats start = bias && r < real ? all(bias[row + r]) : zeros();
        each<vectors>([&](auto j) INTARSIA_INLINE { sums[r][j] = start; });
      });
#pragma GCC unroll 2
      for (int64_t k = 0; k < p.words; k++, a += rows) {
        const uint32_t* b = place + p.offset[k];
        each<Word::steps>([&](auto s) INTARSIA_INLINE {
          if constexpr (s > 0) asm volatile("" ::: "memory");  // see tile()
          Floats right[vectors];
          each<vectors>([&](auto j) INTARSIA_INLINE { right[j] = Word::template right<s>(b + j * W); });
          each<rows>([&](auto r) INTARSIA_INLINE {
            const Floats left = Word::template left<s>(a + r);
            each<vectors>([&](auto j)
                              INTARSIA_INLINE { sums[r][j] = Word::add(sums[r][j], left, right[j]); });
          });
        });
      }
#if defined(__AVX512F__)
      if (gapless) {
        each<rows>([&](auto r) INTARSIA_INLINE {
          if (r < real) kept.store(p, row + r, sums[r]);
        });
        continue;
      }
#endif
      // Whole rows of a tile go where they belong, others through a buffer.
      const bool straight = plain && real == rows && runs[0].count == columns;
      float* to = straight ? static_cast<float*>(p.y) + row * p.channel_distance + runs[0].to : sums_out;
      const int64_t distance = straight ? p.channel_distance : columns;
      each<rows>([&](auto r) INTARSIA_INLINE {
        each<vectors>([&](auto j) INTARSIA_INLINE { store(to + r * distance + j * W, sums[r][j]); });
      });
      if (straight) continue;
      for (int64_t r = 0; r < real; r++) {
        for (int i = 0; i < count; i++) {
          store_run(p, sums_out + r * columns + runs[i].from, (row + r) * p.channel_distance + runs[i].to,
                    runs[i].count);
        }
      }
    }
  }
}

// Low tiles are wider, so that enough sums are under way to hide a multiply-add's latency.
constexpr int vectors_of(int rows) {
  if (MR > 6) return rows > 6 ? 2 : rows > 2 ? 4 : 8;
  return rows > 2 ? 2 : 4;
}

using MultiplyFunction = void (*)(const TapProduct&);
template <class Word, int... i>
MultiplyFunction pick_multiply(int64_t rows, std::integer_sequence<int, i...>) {
  static constexpr MultiplyFunction functions[] = {multiply_tiles<Word, i + 1, vectors_of(i + 1)>...};
  return functions[rows - 1];
}

void multiply(const TapProduct& given) {
  TapProduct p = given;
  if (p.width == p.out_columns && p.row_distance == p.width * p.column_distance) {  // one long row
    p.out_columns *= p.out_rows;
    p.width = p.out_columns;
    p.out_rows = 1;
  }
  constexpr auto heights = std::make_integer_sequence<int, MR>{};
  (p.pairs ? pick_multiply<Bf16Word>(p.height, heights) : pick_multiply<F32Word>(p.height, heights))(p);
}

void multiply_f64(const TapProduct& p) {
  constexpr int64_t columns = 64;
  const auto* planes = static_cast<const double*>(p.planes);
  const auto* bias = static_cast<const double*>(p.bias);
  for (int64_t m = 0; m < p.rows; m++) {
    const double* a =
        static_cast<const double*>(p.weights) + m / p.height * p.words * p.height + m % p.height;
    double* y = static_cast<double*>(p.y) + m * p.channel_distance;
    for (int64_t i = 0; i < p.out_rows; i++) {
      for (int64_t first = 0; first < p.out_columns; first += columns) {
        const int64_t count = smaller(columns, p.out_columns - first);
        double sums[columns];
        for (int64_t j = 0; j < count; j++) sums[j] = bias ? bias[m] : 0.0;
        for (int64_t k = 0; k < p.words; k++) {
          const double* b = planes + p.offset[k] + i * p.width + first;
          for (int64_t j = 0; j < count; j++) sums[j] += a[k * p.height] * b[j];
        }
        for (int64_t j = 0; j < count; j++) y[i * p.row_distance + (first + j) * p.column_distance] = sums[j];
      }
    }
  }
}

}  // namespace

void fill_convolution(ConvolutionSlots& slots);
void fill_convolution(ConvolutionSlots& slots) {
  slots = {MR,        lay_out,          multiply, multiply_f64, padded_outputs,
           by_pixels, gradient_scratch, gradient, gradient_f64};
}

}  // namespace intarsia::kernel::INTARSIA_RUNG
