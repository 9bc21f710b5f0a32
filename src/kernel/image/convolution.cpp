// Convolutions as sums over taps. A convolution, its gradient of x and a transposed convolution are the same
// sums over other taps: where the output steps over the input by s, the gradient of x falls into s x s
// interleaved parts, each of which has some of the taps and steps by 1. Images are cut into bands of rows
// whose planes stay in the second-level cache; the cuts never show in the result.
#include <algorithm>
#include <vector>

#include "core/fail.h"
#include "core/threads.h"
#include "kernel/kernels.h"
#include "kernel/strided.h"
#include "kernel/table.h"

namespace intarsia::kernel {
namespace {

constexpr int64_t band_bytes = 384 << 10;

// A tap: the pixel that it multiplies, seen from the pixel an output steps on, and its place in the kernel.
struct Tap {
  int64_t h, w;
  int64_t row, column;
};

// Planes for outputs that step over an image, and the offset of each (channel, tap) in them.
struct Layout {
  Planes planes;  // of all output rows
  std::vector<int64_t> offset;
};

PlaneElement element_of(DType type) {
  if (type == DType::f64) return PlaneElement::wide;
  return type == DType::bf16 ? PlaneElement::pair : PlaneElement::word;
}
int64_t element_bytes(PlaneElement e) {
  return e == PlaneElement::wide ? 8 : e == PlaneElement::half ? 2 : 4;
}

struct Image {
  int64_t channels, height, width;
};

Layout lay_out_for(const Image& image, const std::vector<Tap>& taps, const int64_t* step, int64_t out_rows,
                   int64_t out_columns) {
  int64_t low_h = 0, low_w = 0, high_h = 0, high_w = 0;
  for (size_t i = 0; i < taps.size(); i++) {
    low_h = i ? std::min(low_h, taps[i].h) : taps[i].h;
    low_w = i ? std::min(low_w, taps[i].w) : taps[i].w;
    high_h = i ? std::max(high_h, taps[i].h) : taps[i].h;
    high_w = i ? std::max(high_w, taps[i].w) : taps[i].w;
  }
  Layout l;
  Planes& p = l.planes;
  p.channels = image.channels;
  p.image_height = image.height;
  p.image_width = image.width;
  p.step_h = step[0];
  p.step_w = step[1];
  p.top = -low_h;
  p.left = -low_w;
  p.phases_h = std::min(step[0], high_h - low_h + 1);
  p.phases_w = std::min(step[1], high_w - low_w + 1);
  p.height = out_rows + (high_h - low_h) / step[0];
  p.width = out_columns + (high_w - low_w) / step[1];
  return l;
}

// The offsets of all taps of all (pairs of) channels in planes of `height` rows.
void find_offsets(Layout& l, const std::vector<Tap>& taps, PlaneElement element) {
  const Planes& p = l.planes;
  const int64_t channels = element == PlaneElement::pair ? (p.channels + 1) / 2 : p.channels;
  l.offset.clear();
  l.offset.reserve(static_cast<size_t>(channels) * taps.size());
  for (int64_t c = 0; c < channels; c++)
    for (const Tap& tap : taps) {
      const int64_t h = tap.h + p.top, w = tap.w + p.left;
      const int64_t phase = h % p.step_h * p.phases_w + w % p.step_w;
      l.offset.push_back(c * p.channel() + phase * p.plane() + h / p.step_h * p.width + w / p.step_w);
    }
}

// How output rows are cut into bands: even ones whose planes stay below band_bytes.
struct Bands {
  int64_t rows, count, height;  // of the output, and rows in a band
  Bands(int64_t out_rows, int64_t row_bytes, int64_t least) : rows(out_rows) {
    const int64_t most = std::max<int64_t>(1, band_bytes / std::max<int64_t>(1, row_bytes));
    count = std::clamp<int64_t>(std::max((rows + most - 1) / most, least), 1, std::max<int64_t>(1, rows));
    height = (rows + count - 1) / count;
    count = (rows + height - 1) / height;
  }
  int64_t first(int64_t band) const { return band * height; }
  int64_t size(int64_t band) const { return std::min(height, rows - first(band)); }
};

int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// ---- weights as tiles

struct WeightStrides {  // of w, in elements: group, result channel, summed channel
  int64_t group, row, channel;
};

// Tiles [group][tile][word][height] of words as the kernels multiply them.
struct Weights {
  Array memory;
  int64_t height = 1, tiles = 0, words = 0, bytes = 4;
  const void* group(int64_t g) const {
    return static_cast<const char*>(memory.raw()) + g * tiles * words * height * bytes;
  }
};

template <class Word, class Element, class Join>
void pack_weights(Weights& out, const Element* w, const WeightStrides& s, int64_t groups, int64_t rows,
                  int64_t channels, const std::vector<Tap>& taps, int64_t kernel_width, int64_t together,
                  Join join) {
  auto* to = static_cast<Word*>(out.memory.raw_mutable());
  const int64_t words = out.words, height = out.height;
  const auto tap_count = static_cast<int64_t>(taps.size());
  parallel_for(groups * out.tiles, row_grain(words * height), [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; tile++) {
      const int64_t g = tile / out.tiles, first = tile % out.tiles * height;
      Word* at = to + tile * words * height;
      for (int64_t c = 0; c < channels; c += together)
        for (int64_t t = 0; t < tap_count; t++)
          for (int64_t r = 0; r < height; r++, at++) {
            const Tap& tap = taps[static_cast<size_t>(t)];
            const int64_t place =
                g * s.group + (first + r) * s.row + c * s.channel + tap.row * kernel_width + tap.column;
            *at = first + r >= rows ? Word{} : join(w + place, c + 1 < channels ? s.channel : 0);
          }
    }
  });
}

float from_half(uint16_t half, DType type) {
  float value;
  table().rows.to_f32[static_cast<int>(type)](&half, &value, 1);
  return value;
}

Weights weights_of(const Array& w, const WeightStrides& s, int64_t groups, int64_t rows, int64_t channels,
                   const std::vector<Tap>& taps) {
  const DType type = w.dtype();
  const bool pairs = type == DType::bf16;
  Weights out;
  const int64_t most = table().convolution.tile_rows;
  out.tiles = (rows + most - 1) / most;
  out.height = (rows + out.tiles - 1) / out.tiles;
  out.words = (pairs ? (channels + 1) / 2 : channels) * static_cast<int64_t>(taps.size());
  out.bytes = type == DType::f64 ? 8 : 4;
  out.memory = Array::empty({std::max<int64_t>(1, groups * out.tiles * out.words * out.height)},
                            type == DType::f64 ? DType::f64 : DType::u32);
  const int64_t width = w.dim(-1);
  if (type == DType::f64) {
    pack_weights<double>(out, w.data<double>(), s, groups, rows, channels, taps, width, 1,
                         [](const double* p, int64_t) { return *p; });
  } else if (pairs) {
    pack_weights<uint32_t>(out, static_cast<const uint16_t*>(w.raw()), s, groups, rows, channels, taps, width,
                           2, [](const uint16_t* p, int64_t next) -> uint32_t {
                             return *p | (next ? static_cast<uint32_t>(p[next]) << 16 : 0);
                           });
  } else if (type == DType::f16) {
    pack_weights<float>(out, static_cast<const uint16_t*>(w.raw()), s, groups, rows, channels, taps, width, 1,
                        [](const uint16_t* p, int64_t) { return from_half(*p, DType::f16); });
  } else {
    pack_weights<float>(out, w.data<float>(), s, groups, rows, channels, taps, width, 1,
                        [](const float* p, int64_t) { return *p; });
  }
  return out;
}

// ---- sums over taps

// Where the results of a product over taps go in y [N, groups * rows, height, width].
struct Target {
  Array& y;
  int64_t first_row = 0, first_column = 0, row_step = 1, column_step = 1;
  int64_t out_rows = 0, out_columns = 0;
};

// For each image of x [N, groups * channels, H, W].
void multiply_taps(const Array& x, const Array& w, const WeightStrides& strides, int64_t groups,
                   const std::vector<Tap>& taps, const int64_t* step, const Array* bias, const Target& to) {
  const int64_t batch = x.dim(0), channels = x.dim(1) / groups, rows = to.y.dim(1) / groups;
  if (batch == 0 || rows == 0 || to.out_rows <= 0 || to.out_columns <= 0) return;
  const ConvolutionSlots& slots = table().convolution;
  const DType type = x.dtype();
  const PlaneElement element = element_of(type);
  const Weights weights = weights_of(w, strides, groups, rows, channels, taps);
  const Image image{channels, x.dim(2), x.dim(3)};

  const Layout whole = lay_out_for(image, taps, step, to.out_rows, to.out_columns);
  const int64_t plane_channels = element == PlaneElement::pair ? (channels + 1) / 2 : channels;
  const int64_t bytes = element_bytes(element);
  const int threads = thread_count();
  const double work = static_cast<double>(batch * groups * rows) * static_cast<double>(weights.words) *
                      static_cast<double>(to.out_rows * to.out_columns);
  const int64_t workers = work < (1 << 17) ? 1 : threads;
  const int64_t row_bytes =
      plane_channels * whole.planes.phases_h * whole.planes.phases_w * whole.planes.width * bytes;
  const Bands bands(to.out_rows, row_bytes, batch >= 4 * workers ? 1 : (2 * workers + batch - 1) / batch);
  // All bands have the planes of the first one, so that one table of offsets serves them.
  Layout layout = lay_out_for(image, taps, step, bands.height, to.out_columns);
  find_offsets(layout, taps, element);
  const int64_t plane_bytes =
      aligned((plane_channels * layout.planes.channel() + ConvolutionSlots::slack) * bytes);

  const bool lies_ready = type != DType::bf16 && type != DType::f16 && bands.count == 1 && step[0] == 1 &&
                          step[1] == 1 && layout.planes.top == 0 && layout.planes.left == 0 &&
                          layout.planes.height == image.height && layout.planes.width == image.width &&
                          channels * image.height * image.width >= ConvolutionSlots::slack;
  const char* from = static_cast<const char*>(x.raw());
  char* y = static_cast<char*>(to.y.raw_mutable());
  const int64_t element_size = info(type).bytes, y_image = to.y.dim(2) * to.y.dim(3);
  const Array wide_bias = bias ? cast(*bias, wide_of(type)) : Array();
  const int64_t tasks = batch * bands.count;
  Array memory = Array::empty({workers * plane_bytes}, DType::u8);
  auto* scratch = static_cast<char*>(memory.raw_mutable());
  parallel(workers, [&](int worker) {
    char* planes = scratch + worker * plane_bytes;
    std::fill(planes + plane_bytes - ConvolutionSlots::slack * bytes, planes + plane_bytes, 0);
    for (int64_t task = tasks * worker / workers; task < tasks * (worker + 1) / workers; task++) {
      const int64_t n = task / bands.count, band = task % bands.count, first = bands.first(band);
      for (int64_t g = 0; g < groups; g++) {
        Planes p = layout.planes;
        p.top -= first * step[0];
        const char* source = from + (n * groups + g) * channels * image.height * image.width * element_size;
        // The kernels read a little past the planes, so that the last image must be copied.
        const bool in_place = lies_ready && n * groups + g + 1 < batch * groups;
        if (weights.words && !in_place) slots.lay_out(p, type, source, element, planes);
        TapProduct t;
        t.rows = rows;
        t.words = weights.words;
        t.weights = weights.group(g);
        t.height = weights.height;
        t.offset = layout.offset.data();
        t.planes = in_place ? source : planes;
        t.width = p.width;
        t.out_rows = bands.size(band);
        t.out_columns = to.out_columns;
        t.bias = bias ? address(wide_bias.raw(), wide_bias.dtype(), g * rows) : nullptr;
        t.type = type;
        t.channel_distance = y_image;
        t.row_distance = to.row_step * to.y.dim(3);
        t.column_distance = to.column_step;
        const int64_t place = (to.first_row + first * to.row_step) * to.y.dim(3) + to.first_column;
        t.y = y + ((n * groups + g) * rows * y_image + place) * element_size;
        t.pairs = element == PlaneElement::pair;
        (type == DType::f64 ? slots.multiply_f64 : slots.multiply)(t);
      }
    }
  });
}

int64_t remainder_of(int64_t a, int64_t b) { return ((a % b) + b) % b; }

}  // namespace

Array convolution(const Array& x, const Array& w, const Array* bias, const Convolution& c, int64_t height,
                  int64_t width) {
  Array y = Array::empty({x.dim(0), w.dim(0), height, width}, x.dtype());
  std::vector<Tap> taps;
  for (int64_t r = 0; r < w.dim(2); r++)
    for (int64_t s = 0; s < w.dim(3); s++)
      taps.push_back({r * c.dilation[0] - c.padding[0], s * c.dilation[1] - c.padding[1], r, s});
  const int64_t kernel = w.dim(2) * w.dim(3), row = w.dim(1) * kernel;
  multiply_taps(x, w, {w.dim(0) / c.groups * row, row, kernel}, c.groups, taps, c.stride, bias,
                {y, 0, 0, 1, 1, height, width});
  return y;
}

Array convolution_input_gradient(const Array& dy, const Array& w, const Array* bias, const Convolution& c,
                                 int64_t height, int64_t width) {
  const int64_t channels = w.dim(1) * c.groups;
  Array dx = Array::empty({dy.dim(0), channels, height, width}, dy.dtype());
  const int64_t kernel = w.dim(2) * w.dim(3);
  const WeightStrides strides{w.dim(0) / c.groups * w.dim(1) * kernel, kernel, w.dim(1) * kernel};
  const int64_t unit[2] = {1, 1};
  // Pixel h = a + stride i of dx takes part in output (h + padding - r dilation) / stride for the r that
  // divide.
  for (int64_t a = 0; a < std::min(c.stride[0], height); a++)
    for (int64_t b = 0; b < std::min(c.stride[1], width); b++) {
      std::vector<Tap> taps;
      for (int64_t r = 0; r < w.dim(2); r++)
        for (int64_t s = 0; s < w.dim(3); s++) {
          const int64_t h = a + c.padding[0] - r * c.dilation[0], v = b + c.padding[1] - s * c.dilation[1];
          if (remainder_of(h, c.stride[0]) == 0 && remainder_of(v, c.stride[1]) == 0)
            taps.push_back({h / c.stride[0], v / c.stride[1], r, s});
        }
      multiply_taps(dy, w, strides, c.groups, taps, unit, bias,
                    {dx, a, b, c.stride[0], c.stride[1], (height - a + c.stride[0] - 1) / c.stride[0],
                     (width - b + c.stride[1] - 1) / c.stride[1]});
    }
  return dx;
}

namespace {

// total[k][m] += parts[0][k][m] + parts[1][k][m] ..., in this order; parts are rows of a larger matrix.
template <class T>
void add_parts(const T* parts, int64_t count, int64_t size, T* total) {
  parallel_for(size, thread_grain / 4, [&](int64_t begin, int64_t end) {
    for (int64_t part = 0; part < count; part++) {
      const T* from = parts + part * size;
      for (int64_t i = begin; i < end; i++) total[i] += from[i];
    }
  });
}

// dw [group, m, channel, tap] from sums [group][channel, tap][distance].
template <class T>
void turn_sums(const T* sums, int64_t groups, int64_t taps, int64_t outputs, int64_t distance, T* dw) {
  for (int64_t g = 0; g < groups; g++)
    for (int64_t m = 0; m < outputs; m++)
      for (int64_t k = 0; k < taps; k++) *dw++ = sums[(g * taps + k) * distance + m];
}

}  // namespace

Array convolution_weight_gradient(const Array& x, const Array& dy, const Convolution& c, int64_t height,
                                  int64_t width) {
  const ConvolutionSlots& slots = table().convolution;
  const DType type = x.dtype(), wide = wide_of(type);
  const int64_t groups = c.groups, channels = x.dim(1) / groups, outputs = dy.dim(1) / groups;
  Array dw = Array::zeros({dy.dim(1), channels, height, width}, wide);
  if (dw.size() == 0 || dy.size() == 0) return dw;
  std::vector<Tap> taps;
  for (int64_t r = 0; r < height; r++)
    for (int64_t s = 0; s < width; s++)
      taps.push_back({r * c.dilation[0] - c.padding[0], s * c.dilation[1] - c.padding[1], r, s});
  const PlaneElement element = type == DType::f64                                 ? PlaneElement::wide
                               : type == DType::bf16 && !slots.by_pixels(outputs) ? PlaneElement::half
                                                                                  : PlaneElement::word;
  const Image image{channels, x.dim(2), x.dim(3)};
  const int64_t out_rows = dy.dim(2), out_columns = dy.dim(3), bytes = element_bytes(element);
  const Layout whole = lay_out_for(image, taps, c.stride, out_rows, out_columns);
  // Each band has sums of its own, so the cut must not depend on the threads.
  const Bands bands(out_rows,
                    channels * whole.planes.phases_h * whole.planes.phases_w * whole.planes.width * bytes, 1);
  Layout layout = lay_out_for(image, taps, c.stride, bands.height, out_columns);
  find_offsets(layout, taps, element);
  // Small images are taken together: the sums of a task are written once.
  constexpr int64_t outputs_together = 512;
  const int64_t together = std::clamp<int64_t>(outputs_together / (bands.height * out_columns), 1, x.dim(0));
  const int64_t image_planes = channels * layout.planes.channel();
  const int64_t plane_bytes = aligned((together * image_planes + ConvolutionSlots::slack) * bytes);

  TapGradient shape;
  shape.taps = static_cast<int64_t>(layout.offset.size());
  shape.outputs = outputs;
  shape.offset = layout.offset.data();
  shape.width = layout.planes.width;
  shape.type = type;
  shape.channel_distance = out_rows * out_columns;
  shape.out_rows = bands.height;
  shape.out_columns = out_columns;
  shape.images = together;
  shape.planes_image = image_planes;
  shape.dy_image = dy.dim(1) * out_rows * out_columns;
  shape.element = element;
  shape.sums_distance =
      slots.by_pixels(outputs) || wide == DType::f64 ? outputs : slots.padded_outputs(outputs);
  const int64_t pack_bytes =
      wide == DType::f64 ? 0 : aligned(static_cast<int64_t>(slots.gradient_scratch(shape)));

  const int64_t size = groups * shape.taps * shape.sums_distance;
  const int64_t tasks = (x.dim(0) + together - 1) / together * bands.count;
  const int threads = thread_count();
  constexpr int64_t partial_bytes = 8 << 20;
  const int64_t at_once = std::min(tasks, std::max<int64_t>(threads, partial_bytes / 4 / size));
  Array partial = Array::empty({at_once, size}, wide), total = Array::zeros({size}, wide);
  char* sums = static_cast<char*>(partial.raw_mutable());
  const int64_t wide_bytes = info(wide).bytes, element_size = info(type).bytes;
  const int workers = static_cast<int>(std::min<int64_t>(threads, at_once));
  Array memory = Array::empty({workers * (plane_bytes + pack_bytes)}, DType::u8);
  auto* scratch = static_cast<char*>(memory.raw_mutable());
  const char *x_data = static_cast<const char*>(x.raw()), *dy_data = static_cast<const char*>(dy.raw());

  for (int64_t begin = 0; begin < tasks; begin += at_once) {
    const int64_t count = std::min(at_once, tasks - begin);
    parallel(workers, [&](int worker) {
      char* planes = scratch + worker * (plane_bytes + pack_bytes);
      for (int64_t i = count * worker / workers; i < count * (worker + 1) / workers; i++) {
        const int64_t n = (begin + i) / bands.count * together, band = (begin + i) % bands.count;
        const int64_t first = bands.first(band);
        Planes p = layout.planes;
        p.top -= first * c.stride[0];
        for (int64_t g = 0; g < groups; g++) {
          TapGradient t = shape;
          t.images = std::min(together, x.dim(0) - n);
          for (int64_t k = 0; k < t.images; k++) {
            const int64_t image_at = ((n + k) * groups + g) * channels * image.height * image.width;
            slots.lay_out(p, type, x_data + image_at * element_size, element,
                          planes + k * image_planes * bytes);
          }
          t.planes = planes;
          t.out_rows = bands.size(band);
          t.dy = dy_data + (((n * groups + g) * outputs * out_rows) + first) * out_columns * element_size;
          t.sums = sums + (i * size + g * shape.taps * shape.sums_distance) * wide_bytes;
          wide == DType::f64 ? slots.gradient_f64(t) : slots.gradient(t, planes + plane_bytes);
        }
      }
    });
    wide == DType::f64 ? add_parts(partial.data<double>(), count, size, total.mutable_data<double>())
                       : add_parts(partial.data<float>(), count, size, total.mutable_data<float>());
  }
  wide == DType::f64 ? turn_sums(total.data<double>(), groups, shape.taps, outputs, shape.sums_distance,
                                 dw.mutable_data<double>())
                     : turn_sums(total.data<float>(), groups, shape.taps, outputs, shape.sums_distance,
                                 dw.mutable_data<float>());
  return dw;
}

}  // namespace intarsia::kernel
