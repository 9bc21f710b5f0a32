// Pooling over windows of the last two axes. Values are f32 or f64; 16 bits go through f32.
#include <limits>
#include <vector>

#include "core/threads.h"
#include "kernel/kernels.h"
#include "kernel/strided.h"

namespace intarsia::kernel {
namespace {

struct Images {
  int64_t count, height, width;
  explicit Images(const Shape& x) : count(1), height(x[-2]), width(x[-1]) {
    for (int i = 0; i < x.rank() - 2; i++) count *= x[i];
  }
  int64_t pixels() const { return height * width; }
};

Shape pooled(const Shape& x, const Windows& w) {
  Shape y = x;
  y[-2] = static_cast<int64_t>(w.rows.size());
  y[-1] = static_cast<int64_t>(w.columns.size());
  return y;
}

// body(image, output) for all outputs of the images of a part.
template <class Body>
void for_images(const Images& images, int64_t outputs, Body body) {
  parallel_for(images.count, row_grain(images.pixels() + outputs), [&](int64_t begin, int64_t end) {
    for (int64_t image = begin; image < end; image++) body(image);
  });
}

template <class T>
void max_of(const T* x, const Images& images, const Windows& w, T* y, int64_t* index) {
  const auto outputs = static_cast<int64_t>(w.rows.size() * w.columns.size());
  for_images(images, outputs, [&](int64_t image) {
    const T* from = x + image * images.pixels();
    T* to = y + image * outputs;
    int64_t* at = index + image * outputs;
    for (const Window& row : w.rows)
      for (const Window& column : w.columns) {
        T best = -std::numeric_limits<T>::infinity();
        int64_t place = row.begin * images.width + column.begin;
        for (int64_t i = row.begin; i < row.end; i += w.row_step)
          for (int64_t j = column.begin; j < column.end; j += w.column_step) {
            const T value = from[i * images.width + j];
            if (value > best || value != value) {
              best = value;
              place = i * images.width + j;
            }
          }
        *to++ = best;
        *at++ = place;
      }
  });
}

template <class T>
void add_at(const T* dy, const int64_t* index, const Images& images, int64_t outputs, T* dx) {
  for_images(images, outputs, [&](int64_t image) {
    T* to = dx + image * images.pixels();
    for (int64_t i = 0; i < images.pixels(); i++) to[i] = 0;
    for (int64_t i = image * outputs; i < (image + 1) * outputs; i++) to[index[i]] += dy[i];
  });
}

template <class T>
void mean_of(const T* x, const Images& images, const Windows& w, T* y) {
  const auto outputs = static_cast<int64_t>(w.rows.size() * w.columns.size());
  for_images(images, outputs, [&](int64_t image) {
    const T* from = x + image * images.pixels();
    T* to = y + image * outputs;
    for (const Window& row : w.rows)
      for (const Window& column : w.columns) {
        T sum = 0;
        for (int64_t i = row.begin; i < row.end; i++)
          for (int64_t j = column.begin; j < column.end; j++) sum += from[i * images.width + j];
        *to++ = sum / static_cast<T>(row.extent * column.extent);
      }
  });
}

template <class T>
void spread_mean(const T* dy, const Images& images, const Windows& w, T* dx) {
  const auto outputs = static_cast<int64_t>(w.rows.size() * w.columns.size());
  for_images(images, outputs, [&](int64_t image) {
    T* to = dx + image * images.pixels();
    for (int64_t i = 0; i < images.pixels(); i++) to[i] = 0;
    const T* from = dy + image * outputs;
    for (const Window& row : w.rows)
      for (const Window& column : w.columns) {
        const T share = *from++ / static_cast<T>(row.extent * column.extent);
        for (int64_t i = row.begin; i < row.end; i++)
          for (int64_t j = column.begin; j < column.end; j++) to[i * images.width + j] += share;
      }
  });
}

}  // namespace

Pooled max_pool(const Array& x_given, const Windows& w) {
  const Array x = cast(x_given, wide_of(x_given.dtype()));
  const Images images(x.shape());
  Array y = Array::empty(pooled(x.shape(), w), x.dtype()), index = Array::empty(y.shape(), DType::i64);
  if (x.dtype() == DType::f64)
    max_of(x.data<double>(), images, w, y.mutable_data<double>(), index.mutable_data<int64_t>());
  else
    max_of(x.data<float>(), images, w, y.mutable_data<float>(), index.mutable_data<int64_t>());
  return {cast(y, x_given.dtype()), index};
}

Array max_pool_backward(const Shape& x, const Array& index, const Array& dy_given) {
  const Array dy = cast(dy_given, wide_of(dy_given.dtype()));
  const Images images(x);
  Array dx = Array::empty(x, dy.dtype());
  if (dx.size() == 0) return dx;
  const int64_t outputs = dy.dim(-2) * dy.dim(-1);
  if (dy.dtype() == DType::f64)
    add_at(dy.data<double>(), index.data<int64_t>(), images, outputs, dx.mutable_data<double>());
  else
    add_at(dy.data<float>(), index.data<int64_t>(), images, outputs, dx.mutable_data<float>());
  return dx;
}

Array mean_pool(const Array& x_given, const Windows& w) {
  const Array x = cast(x_given, wide_of(x_given.dtype()));
  const Images images(x.shape());
  Array y = Array::empty(pooled(x.shape(), w), x.dtype());
  if (x.dtype() == DType::f64)
    mean_of(x.data<double>(), images, w, y.mutable_data<double>());
  else
    mean_of(x.data<float>(), images, w, y.mutable_data<float>());
  return cast(y, x_given.dtype());
}

Array mean_pool_backward(const Shape& x, const Windows& w, const Array& dy_given) {
  const Array dy = cast(dy_given, wide_of(dy_given.dtype()));
  const Images images(x);
  Array dx = Array::empty(x, dy.dtype());
  if (dy.dtype() == DType::f64)
    spread_mean(dy.data<double>(), images, w, dx.mutable_data<double>());
  else
    spread_mean(dy.data<float>(), images, w, dx.mutable_data<float>());
  return dx;
}

}  // namespace intarsia::kernel
