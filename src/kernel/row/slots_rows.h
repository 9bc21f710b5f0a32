// Range kernels on rows, conversions, sums and optimizer steps. An array of slots is indexed by DType:
// [floats] in the order f32, f64, bf16, f16; [plains] all types that are not quantized. "Wide" is what 16-
// and 32-bit floats compute in, f32, and for f64 elements f64: statistics of rows and parameters of columns
// are wide. Rows are contiguous. A row's result does not depend on the other rows.
#pragma once
#include <cstdint>

#include "kernel/optimize/update.h"

namespace intarsia::kernel {

inline constexpr int floats = 4, plains = 12;

// The bits of element i are word 0 of philox(seed, stream, index + i); it is kept if they are below
// `threshold`.
struct DropoutFactors {
  uint64_t seed, stream, index, threshold;
  double scale;
};

struct RowSlots {
  // softmax, log_softmax: (x, y); backward: (y, dy, dx)
  void (*softmax[floats])(const void* x, void* y, int64_t rows, int64_t d);
  void (*softmax_backward[floats])(const void* y, const void* dy, void* dx, int64_t rows, int64_t d);
  void (*log_softmax[floats])(const void* x, void* y, int64_t rows, int64_t d);
  void (*log_softmax_backward[floats])(const void* y, const void* dy, void* dx, int64_t rows, int64_t d);
  // loss and lse are wide [rows]
  void (*cross_entropy[floats])(const void* x, const int64_t* target, void* loss, void* lse, int64_t rows,
                                int64_t d, int64_t ignore, double smoothing);
  void (*cross_entropy_backward[floats])(const void* x, const int64_t* target, const void* lse,
                                         const void* dloss, void* dx, int64_t rows, int64_t d, int64_t ignore,
                                         double smoothing);
  // w, bias (wide [d]) may be null; so may dx, dw, db. dw and db (wide [d]) are added to, rows in order.
  void (*rms_norm[floats])(const void* x, const void* w, void* y, void* rstd, int64_t rows, int64_t d,
                           double eps);
  void (*rms_norm_backward[floats])(const void* x, const void* w, const void* rstd, const void* dy, void* dx,
                                    void* dw, int64_t rows, int64_t d);
  void (*layer_norm[floats])(const void* x, const void* w, const void* bias, void* y, void* mean, void* rstd,
                             int64_t rows, int64_t d, double eps);
  void (*layer_norm_backward[floats])(const void* x, const void* w, const void* mean, const void* rstd,
                                      const void* dy, void* dx, void* dw, void* db, int64_t rows, int64_t d);
  // The heads of one token: head h at x + h * x_stride (elements), y contiguous; cos and sin wide [pairs].
  void (*rope[floats])(const void* x, int64_t x_stride, void* y, int64_t heads, int64_t d, const void* cos,
                       const void* sin, int64_t pairs, bool interleaved, bool inverse);

  // conversions; floats round to nearest even, to integers towards zero
  void (*to_f32[plains])(const void* x, float* y, int64_t n);
  void (*to_f64[plains])(const void* x, double* y, int64_t n);
  void (*to_i64[plains])(const void* x, int64_t* y, int64_t n);
  void (*from_f32[plains])(const float* x, void* y, int64_t n);
  void (*from_f64[plains])(const double* x, void* y, int64_t n);
  void (*from_i64[plains])(const int64_t* x, void* y, int64_t n);
  // n elements of 1 << [i] bytes from `from` downwards
  void (*backwards[4])(const void* from, void* to, int64_t n);

  // sums: blocks of 4096 elements are summed in wide lanes, the blocks in f64
  double (*sum[floats])(const void* x, int64_t n);
  double (*sum_of_squares[floats])(const void* x, int64_t n);
  void (*extreme[floats])(const void* x, int64_t n, bool greatest, void* wide);  // NaN wins; n > 0
  int64_t (*argmax[floats])(const void* x, int64_t n);                           // the first; NaN wins; n > 0
  // acc (wide [d]) takes `rows` rows, each `stride` elements on, in order
  void (*sum_rows[floats])(const void* x, int64_t stride, int64_t rows, void* acc, int64_t d);
  void (*extreme_rows[floats])(const void* x, int64_t stride, int64_t rows, bool greatest, void* acc,
                               int64_t d);
  double (*product[floats])(const void* x, int64_t n);
  void (*product_rows[floats])(const void* x, int64_t stride, int64_t rows, double* acc, int64_t d);
  void (*accumulate[floats])(void* into, const void* wide, int64_t n);  // into += x

  void (*dropout[floats])(const void* x, void* y, int64_t n, const DropoutFactors& factors);
  // [rule][type]: weights w, states, a copy of UpdateCopy's type or null
  void (*update[update_rule_count][update_types])(void* w, void* g, void* const* states, void* copy,
                                                  UpdateCopy, int64_t n, const UpdateFactors& factors);
};

}  // namespace intarsia::kernel
