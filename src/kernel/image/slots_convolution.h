// The convolution kernels that a rung provides. Single-threaded, on raw pointers;
// kernel/image/convolution.cpp lays a convolution out as these sums and splits the work.
#pragma once
#include <cstddef>
#include <cstdint>

#include "intarsia/array.h"

namespace intarsia::kernel {

// An image laid out so that what a tap multiplies lies at one offset for all outputs: channel after channel,
// padded with zeros; where outputs step over the image by s pixels, cut into s x s phases, so that
// neighbouring outputs still read neighbouring elements. [channel][phase_h][phase_w][height][width].
struct Planes {
  int64_t channels = 0, image_height = 0, image_width = 0;
  int64_t step_h = 1, step_w = 1;  // element (i, j) of phase (a, b) is the pixel (i step_h + a - top, ...)
  int64_t phases_h = 1, phases_w = 1;  // at most the step; phases that no tap reads are left out
  int64_t top = 0, left = 0;           // rows and columns of zeros before the image; may be negative
  int64_t height = 0, width = 0;       // of a plane

  int64_t plane() const { return height * width; }
  int64_t channel() const { return phases_h * phases_w * plane(); }
};

// What an element of a plane is.
enum class PlaneElement {
  word,  // one f32, from f32, bf16 or f16
  pair,  // two bf16 of neighbouring channels, the earlier one in the lower half
  half,  // one bf16
  wide,  // one f64
};

// y[m][i, j] = bias[m] + sum over k of weights[m][k] planes[offset[k] + i width + j], in order of k.
struct TapProduct {
  int64_t rows = 0, words = 0;      // m and k; a word is one f32, one f64 or a pair of bf16
  const void* weights = nullptr;    // tiles of `height` rows: [tile][k][height], zeros behind the last row
  int64_t height = 0;               // at most tile_rows
  const int64_t* offset = nullptr;  // [k], in words
  const void* planes = nullptr;     // readable for `slack` elements behind its end
  int64_t width = 0;                // of a plane
  int64_t out_rows = 0, out_columns = 0;
  const void* bias = nullptr;  // [rows] f32 (f64 for f64), or null
  void* y = nullptr;
  DType type = DType::f32;
  int64_t channel_distance = 0, row_distance = 0, column_distance = 1;  // elements of y
  bool pairs = false;
};

// sums[k][m] = sum over images and outputs (i, j) of planes[offset[k] + i width + j] dy[m][i, j], in order of
// the outputs.
struct TapGradient {
  int64_t taps = 0, outputs = 0;    // k and m
  const int64_t* offset = nullptr;  // [k], in elements
  const void* planes = nullptr;
  int64_t width = 0;
  const void* dy = nullptr;
  DType type = DType::f32;       // of dy
  int64_t channel_distance = 0;  // of dy; its rows are contiguous
  int64_t out_rows = 0, out_columns = 0;
  int64_t images = 1;                      // one behind the other
  int64_t planes_image = 0, dy_image = 0;  // elements between two of them
  PlaneElement element = PlaneElement::word;
  void* sums = nullptr;       // f32 (f64) [k][sums_distance]
  int64_t sums_distance = 0;  // at least padded_outputs(outputs)
};

struct ConvolutionSlots {
  static constexpr int64_t slack = 256;
  int tile_rows = 0;
  void (*lay_out)(const Planes&, DType type, const void* image, PlaneElement, void* planes) = nullptr;
  void (*multiply)(const TapProduct&) = nullptr;
  void (*multiply_f64)(const TapProduct&) = nullptr;
  int64_t (*padded_outputs)(int64_t outputs) = nullptr;
  // With few outputs the lanes of a register run over pixels and not over outputs; halves then are of no use.
  bool (*by_pixels)(int64_t outputs) = nullptr;
  size_t (*gradient_scratch)(const TapGradient&) = nullptr;  // bytes, 64-byte aligned
  void (*gradient)(const TapGradient&, void* scratch) = nullptr;
  void (*gradient_f64)(const TapGradient&) = nullptr;
};

}  // namespace intarsia::kernel
