// Comparisons of arrays that broadcast: integers exactly, floats in the wider of their types.
#include "core/threads.h"
#include "kernel/kernels.h"
#include "kernel/strided.h"

namespace intarsia::kernel {
namespace {

DType common_type(DType a, DType b) {
  if (!is_float(a) && !is_float(b)) return DType::i64;
  // A float beside an integer: f64 holds both.
  return is_float(a) && is_float(b) && a != DType::f64 && b != DType::f64 ? DType::f32 : DType::f64;
}

// `array` repeated along the axes it lacks.
Array spread(const Array& array, const Shape& shape, DType dtype) {
  const int missing = shape.rank() - array.rank();
  Shape strides;
  for (int i = 0; i < shape.rank(); i++)
    strides.append(i < missing || array.dim(i - missing) == 1 ? 0 : array.strides()[i - missing]);
  return cast(array.view(shape, strides), dtype);
}

template <class T, class Test>
void compare_runs(const Array& a, const Array& b, bool* y, Test test) {
  const T *x = a.data<T>(), *z = b.data<T>();
  parallel_for(a.size(), thread_grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) y[i] = test(x[i], z[i]);
  });
}

template <class T>
void compare_typed(Comparison c, const Array& a, const Array& b, bool* y) {
  switch (c) {
    case Comparison::equal:
      return compare_runs<T>(a, b, y, [](T p, T q) { return p == q; });
    case Comparison::not_equal:
      return compare_runs<T>(a, b, y, [](T p, T q) { return p != q; });
    case Comparison::less:
      return compare_runs<T>(a, b, y, [](T p, T q) { return p < q; });
    case Comparison::less_equal:
      return compare_runs<T>(a, b, y, [](T p, T q) { return p <= q; });
    case Comparison::greater:
      return compare_runs<T>(a, b, y, [](T p, T q) { return p > q; });
    case Comparison::greater_equal:
      return compare_runs<T>(a, b, y, [](T p, T q) { return p >= q; });
  }
}

}  // namespace

Array compare(Comparison c, const Array& a, const Array& b, const char* op) {
  const Shape shape = broadcast(a.shape(), b.shape(), op);
  const DType type = common_type(a.dtype(), b.dtype());
  const Array x = spread(a, shape, type), z = spread(b, shape, type);
  Array y = Array::empty(shape, DType::boolean);
  bool* to = y.mutable_data<bool>();
  if (type == DType::f32)
    compare_typed<float>(c, x, z, to);
  else if (type == DType::f64)
    compare_typed<double>(c, x, z, to);
  else
    compare_typed<int64_t>(c, x, z, to);
  return y;
}

}  // namespace intarsia::kernel
