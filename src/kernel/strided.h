// Walking several arrays of one shape at once: axes of length 1 are dropped and neighbouring axes are joined
// where the strides of every array allow it, so that most walks end up with one or two axes. Nothing here
// allocates.
#pragma once
#include <utility>

#include "core/fail.h"
#include "intarsia/array.h"

namespace intarsia::kernel {

template <int capacity>
struct Walk {
  int arrays = 0, rank = 0;
  int64_t dim[Shape::max_rank];
  int64_t stride[capacity][Shape::max_rank];

  explicit Walk(const Shape& shape) {
    for (int64_t d : shape) dim[rank++] = d;
  }
  // An array whose shape broadcasts to the walk's: axes of length 1 repeat.
  void add(const Array& x) { add(x.shape(), x.strides()); }
  void add(const Shape& shape, const Shape& strides) {
    const int missing = rank - shape.rank();
    for (int i = 0; i < rank; i++)
      stride[arrays][i] = i < missing || shape[i - missing] == 1 ? 0 : strides[i - missing];
    arrays++;
  }
  // Puts the axes in the order of array `k`, largest stride first.
  void order_by(int k) {
    for (int i = 1; i < rank; i++)
      for (int j = i; j > 0 && stride[k][j - 1] < stride[k][j]; j--) swap(j - 1, j);
  }
  void collapse() {
    int kept = 0;
    for (int i = 0; i < rank; i++) {
      if (dim[i] == 1) continue;
      if (kept > 0 && joins(kept - 1, i)) {
        dim[kept - 1] *= dim[i];
        for (int k = 0; k < arrays; k++) stride[k][kept - 1] = stride[k][i];
      } else {
        dim[kept] = dim[i];
        for (int k = 0; k < arrays; k++) stride[k][kept] = stride[k][i];
        kept++;
      }
    }
    rank = kept;
    if (rank == 0) {  // one element
      rank = 1;
      dim[0] = 1;
      for (int k = 0; k < arrays; k++) stride[k][0] = 1;
    }
  }
  int64_t inner() const { return dim[rank - 1]; }
  int64_t rows() const {
    int64_t n = 1;
    for (int i = 0; i + 1 < rank; i++) n *= dim[i];
    return n;
  }

 private:
  bool joins(int outer, int i) const {
    for (int k = 0; k < arrays; k++)
      if (stride[k][outer] != stride[k][i] * dim[i]) return false;
    return true;
  }
  void swap(int i, int j) {
    std::swap(dim[i], dim[j]);
    for (int k = 0; k < arrays; k++) std::swap(stride[k][i], stride[k][j]);
  }
};

// A place in the rows (all axes but the last) of a walk, with each array's offset in elements.
template <int capacity>
class RowCursor {
 public:
  RowCursor(const Walk<capacity>& walk, int64_t row) : walk_(walk) {
    for (int i = walk.rank - 2; i >= 0; i--) {
      index_[i] = row % walk.dim[i];
      row /= walk.dim[i];
      for (int k = 0; k < walk.arrays; k++) offset[k] += index_[i] * walk.stride[k][i];
    }
  }
  void next() {
    for (int i = walk_.rank - 2; i >= 0; i--) {
      for (int k = 0; k < walk_.arrays; k++) offset[k] += walk_.stride[k][i];
      if (++index_[i] < walk_.dim[i]) return;
      index_[i] = 0;
      for (int k = 0; k < walk_.arrays; k++) offset[k] -= walk_.dim[i] * walk_.stride[k][i];
    }
  }
  int64_t offset[capacity] = {};

 private:
  const Walk<capacity>& walk_;
  int64_t index_[Shape::max_rank];
};

inline const char* address(const void* base, DType dtype, int64_t elements) {
  return static_cast<const char*>(base) + elements * info(dtype).bytes;
}
inline char* address(void* base, DType dtype, int64_t elements) {
  return static_cast<char*>(base) + elements * info(dtype).bytes;
}

// n contiguous elements from one plain type to another (copy.cpp).
void convert_run(DType from_type, const void* from, DType to_type, void* to, int64_t n);
// n elements `stride` apart into a contiguous run of the same type, and back.
void gather_run(DType dtype, const void* from, int64_t stride, void* to, int64_t n);
void scatter_run(DType dtype, const void* from, void* to, int64_t stride, int64_t n);

// Work below this many elements stays on one thread: a fork costs as much as a few thousand elements.
inline constexpr int64_t thread_grain = 16384;
// How many rows of `width` elements make a part worth a thread.
inline int64_t row_grain(int64_t width) {
  return width >= thread_grain ? 1 : thread_grain / (width > 0 ? width : 1);
}

// The place of a float type in a table of kernels by type.
inline int float_slot(DType dtype, const char* op) {
  if (!is_float(dtype)) fail("{}: type {} is not a float type", op, info(dtype).name);
  return static_cast<int>(dtype);
}
// What elements of a type are computed in.
inline DType wide_of(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

}  // namespace intarsia::kernel
