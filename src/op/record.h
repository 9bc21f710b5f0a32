// What op files share: the tags of op/list.inl and checks of arguments.
#pragma once
#include "core/fail.h"
#include "intarsia/op.h"
#include "kernel/kernels.h"

namespace intarsia {

namespace tag {
#define OP(NAME) inline constexpr const char NAME[] = #NAME;
#include "op/list.inl"
#undef OP
}  // namespace tag

// The type of a result computed from two float types: f64 > f32 > 16 bits; bf16 with f16 gives f32.
inline DType promote(DType a, DType b) {
  if (!is_float(a)) a = is_float(b) ? b : DType::f32;
  if (!is_float(b)) b = a;
  if (a == b) return a;
  if (a == DType::f64 || b == DType::f64) return DType::f64;
  return DType::f32;
}

// What elements of a float type are computed in.
inline DType wide_type(DType type) { return type == DType::f64 ? DType::f64 : DType::f32; }
// A number beside a tensor, neither rounded to its type nor widening it.
inline Array scalar(double number, DType beside) {
  Array s = Array::empty({}, wide_type(beside));
  kernel::fill(s, number);
  return s;
}

inline void require_float(const char* op, const char* argument, const Tensor& x) {
  if (!is_float(x.dtype()))
    fail("{}: {} has type {}, expected a float type", op, argument, info(x.dtype()).name);
}
inline void require_rank(const char* op, const char* argument, const Tensor& x, int least) {
  if (x.rank() < least)
    fail("{}: {} has shape {}, expected at least {} axes", op, argument, x.shape().text(), least);
}
inline void require_same_shape(const char* op, const char* argument, const Tensor& x, const char* other,
                               const Tensor& y) {
  if (x.shape() != y.shape())
    fail("{}: {} has shape {}, expected {}, as {}", op, argument, x.shape().text(), y.shape().text(), other);
}
// A vector that belongs to the last axis of x.
inline void require_last_axis(const char* op, const char* argument, const Tensor& v, const char* owner,
                              const Tensor& x) {
  if (v.rank() != 1 || v.dim(0) != x.dim(-1))
    fail("{}: {} has shape {}, expected [{}], the last axis of {} {}", op, argument, v.shape().text(),
         x.dim(-1), owner, x.shape().text());
}
// An axis counted from the front; negative ones count from the end.
inline int axis_of(const char* op, int64_t axis, int rank) {
  const int64_t a = axis < 0 ? axis + rank : axis;
  if (a < 0 || a >= rank) fail("{}: axis {} is outside an array of {} axes", op, axis, rank);
  return static_cast<int>(a);
}
// x, or a copy where its last axis is not contiguous: some kernels take any other strides.
inline Array rows_contiguous(const Array& x) {
  return x.dim(-1) == 1 || x.strides()[-1] == 1 ? x : kernel::contiguous(x);
}
// Integer ids as i64; each must lie in [0, bound) or equal `also`.
Array checked_ids(const char* op, const char* argument, const Tensor& ids, int64_t bound,
                  int64_t also = INT64_MIN);

}  // namespace intarsia
