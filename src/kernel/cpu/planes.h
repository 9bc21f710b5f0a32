// Lays images out in the padded planes that convolutions read (slots_convolution.h).
#pragma once
#include "kernel/cpu/tile.h"
#include "kernel/image/slots_convolution.h"

namespace intarsia::kernel::INTARSIA_RUNG {
namespace {

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

}  // namespace
}  // namespace intarsia::kernel::INTARSIA_RUNG
