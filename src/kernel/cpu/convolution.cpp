// Convolution without an im2col: a tile of the result is sums over (channel, tap), and what a tap multiplies
// is read where it lies in padded planes (slots_convolution.h). Outputs are computed for whole rows of a
// plane, a few columns wider than the result; the columns between are dropped. Every sum is one accumulator
// fed in order of k, so its bits depend neither on the tile nor on where an image was cut.
#include "kernel/slots_convolution.h"

#include "kernel/cpu/tile.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

// ---- planes

// Planes are filled from their start to their end, so that whole registers can be stored: what runs over is
// written again, or lies in the slack behind the planes.

template <class T>
void zero_run(T* to, int64_t count) {
  for (int64_t j = 0; j < count; j += 4 * W / static_cast<int64_t>(sizeof(T))) store_words(to + j, Words{});
}

// One element's word.
uint32_t word_at(FromF32, const float* from, int64_t, int64_t) {
  uint32_t word;
  std::memcpy(&word, from, 4);
  return word;
}
uint32_t word_at(FromBf16, const uint16_t* from, int64_t, int64_t) {
  return static_cast<uint32_t>(*from) << 16;
}
uint32_t word_at(FromBf16Pairs, const uint16_t* from, int64_t next_channel, int64_t channels) {
  return *from | (channels > 1 ? static_cast<uint32_t>(from[next_channel]) << 16 : 0);
}
uint32_t word_at(FromF16, const uint16_t* from, int64_t distance, int64_t channels) {
  alignas(64) uint32_t word[W];
  store_words(word, FromF16::across(from, distance, channels, 1));
  return word[0];
}

// `count` elements of a row, `step` apart in the image.
template <class From>
void copy_row(const typename From::Element* from, int64_t step, int64_t next_channel, int64_t channels,
              int64_t count, uint32_t* to) {
  if (step == 1) {
    for (int64_t j = 0; j < count; j += W) {
      store_words(to + j, From::across(from + j, next_channel, channels, count - j));
    }
  } else if (step == 2) {  // known here, so that the compiler can do many at once
    for (int64_t j = 0; j < count; j++) to[j] = word_at(From{}, from + j * 2, next_channel, channels);
  } else {
    for (int64_t j = 0; j < count; j++) to[j] = word_at(From{}, from + j * step, next_channel, channels);
  }
}

template <class T>
void copy_row(const T* from, int64_t step, int64_t count, T* to) {
  if (step == 1) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(T));
  } else if (step == 2) {
    for (int64_t j = 0; j < count; j++) to[j] = from[j * 2];
  } else {
    for (int64_t j = 0; j < count; j++) to[j] = from[j * step];
  }
}

// Calls row(from channel, image row, image column, count, place) for each row of a plane that has pixels of
// the image, and fills the rest with zeros. `together` channels share a plane.
template <class T, class Row>
void fill_planes(const Planes& p, int64_t together, T* to, Row row) {
  for (int64_t channel = 0; channel < p.channels; channel += together) {
    for (int64_t a = 0; a < p.phases_h; a++) {
      for (int64_t b = 0; b < p.phases_w; b++) {
        // The columns of the plane that lie in the image.
        const int64_t before = p.left - b;
        int64_t first = before <= 0 ? 0 : (before + p.step_w - 1) / p.step_w;
        first = smaller(first, p.width);
        const int64_t rest = p.image_width + before;
        const int64_t last =
            larger(first, smaller(p.width, rest <= 0 ? 0 : (rest + p.step_w - 1) / p.step_w));
        for (int64_t i = 0; i < p.height; i++, to += p.width) {
          const int64_t image_row = i * p.step_h + a - p.top;
          if (image_row < 0 || image_row >= p.image_height || first == last) {
            zero_run(to, p.width);
            continue;
          }
          zero_run(to, first);
          row(channel, image_row, first * p.step_w - before, last - first, to + first);
          zero_run(to + last, p.width - last);
        }
      }
    }
  }
}

#if defined(__AVX512F__)
// Rows of planes as masked loads: the lanes outside the image are not read. `at` is the pixel of lane 0, of a
// step of 1 or 2; the masks are of pixels from there on.
struct F32Window {
  static constexpr int channels = 1;
  static INTARSIA_INLINE void copy(const float* at, int64_t, bool, bool every_other, uint64_t mask,
                                   uint32_t* to) {
    const __m512i first = _mm512_maskz_loadu_epi32(static_cast<__mmask16>(mask), at);
    if (!every_other) return store_words(to, first);
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i second = _mm512_maskz_loadu_epi32(static_cast<__mmask16>(mask >> W), at + W);
    store_words(to, _mm512_permutex2var_epi32(first, even, second));
  }
};
INTARSIA_INLINE inline Words halves_window(const uint16_t* at, bool every_other, uint64_t mask) {
  if (every_other) {
    return _mm512_and_si512(_mm512_maskz_loadu_epi16(static_cast<__mmask32>(mask), at),
                            _mm512_set1_epi32(0xffff));
  }
  return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(static_cast<__mmask16>(mask), at));
}
struct PairWindow {
  static constexpr int channels = 2;
  static INTARSIA_INLINE void copy(const uint16_t* at, int64_t next_channel, bool both, bool every_other,
                                   uint64_t mask, uint32_t* to) {
    Words words = halves_window(at, every_other, mask);
    if (both) words = words | shift_up_16(halves_window(at + next_channel, every_other, mask));
    store_words(to, words);
  }
};
struct HalfWindow {
  static constexpr int channels = 1;
  static INTARSIA_INLINE void copy(const uint16_t* at, int64_t, bool, bool every_other, uint64_t mask,
                                   uint16_t* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                        _mm512_cvtepi32_epi16(halves_window(at, every_other, mask)));
  }
};

constexpr int64_t most_windows = 32;  // in a row
bool windows_serve(const Planes& p) { return p.step_w <= 2 && p.width <= most_windows * W; }

template <class Window, class Image, class T>
void lay_out_windows(const Planes& p, const Image* image, T* to) {
  const int64_t distance = p.image_height * p.image_width, vectors = (p.width + W - 1) / W;
  const bool every_other = p.step_w == 2;
  uint64_t masks[2][most_windows];
  const auto below = [](int64_t pixels) { return (uint64_t{1} << larger(0, smaller(pixels, 2 * W))) - 1; };
  for (int64_t b = 0; b < p.phases_w; b++) {
    for (int64_t v = 0; v < vectors; v++) {
      const int64_t column = v * W * p.step_w + b - p.left;  // of lane 0
      masks[b][v] = below(p.image_width - column) & ~below(-column);
    }
  }
  for (int64_t channel = 0; channel < p.channels; channel += Window::channels) {
    const Image* from = image + channel * distance;
    const bool both = channel + 1 < p.channels;
    for (int64_t a = 0; a < p.phases_h; a++) {
      for (int64_t b = 0; b < p.phases_w; b++) {
        for (int64_t i = 0; i < p.height; i++, to += p.width) {
          const int64_t row = i * p.step_h + a - p.top;
          if (row < 0 || row >= p.image_height) {
            zero_run(to, p.width);
            continue;
          }
          const Image* at = from + row * p.image_width + b - p.left;
          for (int64_t v = 0; v < vectors; v++) {
            Window::copy(at + v * W * p.step_w, distance, both, every_other, masks[b][v], to + v * W);
          }
        }
      }
    }
  }
}
#endif

template <class From, class Image>
void lay_out_words(const Planes& p, const Image* image, int64_t together, void* planes) {
  const int64_t distance = p.image_height * p.image_width;
  fill_planes(p, together, static_cast<uint32_t*>(planes),
              [&](int64_t channel, int64_t row, int64_t column, int64_t count, uint32_t* to) {
                copy_row<From>(image + channel * distance + row * p.image_width + column, p.step_w, distance,
                               p.channels - channel, count, to);
              });
}

template <class T>
void lay_out_same(const Planes& p, const void* image, void* planes) {
  fill_planes(p, 1, static_cast<T*>(planes),
              [&](int64_t channel, int64_t row, int64_t column, int64_t count, T* to) {
                const T* from =
                    static_cast<const T*>(image) + (channel * p.image_height + row) * p.image_width + column;
                copy_row(from, p.step_w, count, to);
              });
}

void lay_out(const Planes& p, DType type, const void* image, PlaneElement element, void* planes) {
  const auto* halves = static_cast<const uint16_t*>(image);
#if defined(__AVX512F__)
  if (windows_serve(p)) {
    if (element == PlaneElement::pair)
      return lay_out_windows<PairWindow>(p, halves, static_cast<uint32_t*>(planes));
    if (element == PlaneElement::half)
      return lay_out_windows<HalfWindow>(p, halves, static_cast<uint16_t*>(planes));
    if (element == PlaneElement::word && type == DType::f32)
      return lay_out_windows<F32Window>(p, static_cast<const float*>(image), static_cast<uint32_t*>(planes));
  }
#endif
  switch (element) {
    case PlaneElement::wide:
      return lay_out_same<double>(p, image, planes);
    case PlaneElement::half:
      return lay_out_same<uint16_t>(p, image, planes);
    case PlaneElement::pair:
      return lay_out_words<FromBf16Pairs>(p, halves, 2, planes);
    case PlaneElement::word:
      if (type == DType::bf16) return lay_out_words<FromBf16>(p, halves, 1, planes);
      if (type == DType::f16) return lay_out_words<FromF16>(p, halves, 1, planes);
      return lay_out_words<FromF32>(p, static_cast<const float*>(image), 1, planes);
  }
}

// ---- products

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

// ---- gradients of weights

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

void fill_convolution(ConvolutionSlots& slots);
void fill_convolution(ConvolutionSlots& slots) {
  slots = {MR,        lay_out,          multiply, multiply_f64, padded_outputs,
           by_pixels, gradient_scratch, gradient, gradient_f64};
}

}  // namespace intarsia::kernel::INTARSIA_RUNG
