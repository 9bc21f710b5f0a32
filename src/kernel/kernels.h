// Whole operations on arrays: what ops and optimizers call. Each one splits its rows over the threads and
// runs the active rung's range kernels (table.h). Arguments are checked by the caller (op/); dtype and stride
// handling is here. Every result is independent of the thread count: a row is computed by one thread, sums
// over rows go in fixed chunks.
#pragma once
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "intarsia/array.h"
#include "intarsia/pointwise_kernel.h"
#include "kernel/formula.h"
#include "kernel/optimize/update.h"

namespace intarsia::kernel {

// ---- elementwise
// A Formula is a line of intarsia/pointwise.inl: Formula::add (formula.h).
int arity(Formula);
// x = f(x) on a row of f32, for formulas of one input.
auto activation(Formula) -> void (*)(float* row, int64_t count);
// Broadcasts up to 4 inputs of any plain dtype and strides; `out` is f32, f64, bf16 or f16 (f64 computes in
// f64).
Array pointwise(Formula, std::span<const Array> x, DType out);
// d y / d x[i] * dy for each i in the bit mask `active`, in dy's shape and dtype; dx has arity entries.
void pointwise_backward(Formula, unsigned active, const Array& dy, std::span<const Array> x, Array* dx);
// The same for a formula of the user's own (map.h).
Array pointwise(const PointwiseKernel&, std::span<const Array> x, DType out);
void pointwise_backward(const PointwiseKernel&, unsigned active, const Array& dy, std::span<const Array> x,
                        Array* dx);
void copy(const Array& from, Array& to);       // same shape; converts dtype, any strides; dequantizes
Array contiguous(const Array& x);              // x itself if it already is
Array cast(const Array& x, DType dtype);       // x itself if it already is and contiguous
void accumulate(Array& into, const Array& x);  // into += x, same shape, contiguous float `into`
void fill(Array& x, double value);
// a OP b with broadcasting, a bool array; integers are compared exactly, a float beside an integer in f64.
enum class Comparison { equal, not_equal, less, less_equal, greater, greater_equal };
Array compare(Comparison, const Array& a, const Array& b, const char* op);
Array dropout(const Array& x, double p, uint64_t seed, uint64_t stream, uint64_t index);

// ---- products
// c = epilogue(a b [+ c]). a [..., M, K], b [..., K, N], c [..., M, N] contiguous; equal batch axes or none
// on b or a of stride 0. Transposed views are recognised by their strides. b may be the transposed view of a
// quantized [N, K] matrix. Row i of c has the same bits alone or among others.
struct Epilogue {
  const float* bias = nullptr;                              // [N], f32
  void (*activation)(float* row, int64_t count) = nullptr;  // in place, see activation()
  // Of c's shape and type, c [M, N]; null or: added to a b before the bias, instead of c.
  const Array* residual = nullptr;
  // Multiplies the result, rounded to c's type, by gate_activation of this.
  const Array* gate = nullptr;
  void (*gate_activation)(float* row, int64_t count) = nullptr;
};
void matmul(const Array& a, const Array& b, Array& c, bool accumulate = false, const Epilogue& epilogue = {});
// A matrix b [K, N] as products read it, for those that use it again and again: panels of some columns, in
// each the words of k one after the other. It belongs to the rung that was active when it was made.
struct PackedMatrix {
  Array panels;  // u32 [panels, words of k, columns of a panel]
  DType type;    // f32, or bf16: products of bf16 pairs
  int64_t k, n;
  std::string_view rung;
};
PackedMatrix pack(const Array& b, DType type);
Array unpack(const PackedMatrix&);  // [K, N] again, a transposed view
// The same bits as with the matrix itself; a [M, K] (made bf16 for a matrix of bf16), c [M, N].
void matmul(const Array& a, const PackedMatrix& b, Array& c, bool accumulate = false,
            const Epilogue& epilogue = {});

// Rows of x [T, K] in consecutive groups (sizes add up to T, some may be 0), each times its own matrix of w
// [E, K, N], which may be a transposed view: c [T, N].
void grouped_matmul(const Array& x, std::span<const int64_t> sizes, const Array& w, Array& c);
// dw [E, K, N], contiguous: x^T dy of each group, zeros of an empty one.
void grouped_matmul_backward(const Array& x, std::span<const int64_t> sizes, const Array& dy, Array& dw);
// Rows of x [..., K] as int8 q and the scales [...] in f32 of their units: max |x| / 127.
void quantize_rows(const Array& x, Array& q, Array& scales);
// a [M, K] b [K, N], both i8, as i32, exact for K < 2^17; or, if c is of a float type, times the scales.
void matmul_int8(const Array& a, const Array& b, Array& c, const float* row_scale, const float* column_scale);
// f32 products from 3 (6) products of bf16 parts of a and b, the small ones first: the error is at most 2^-15
// of the sum of |a| |b| (that of f32 products).
void matmul_of_parts(const Array& a, const Array& b, Array& c, int products);

// ---- convolution; x [N, C, H, W], w [O, C / groups, KH, KW], y [N, O, YH, YW], contiguous and of one type
struct Convolution {
  int64_t stride[2] = {1, 1}, padding[2] = {0, 0}, dilation[2] = {1, 1}, groups = 1;
};
// y of the given height and width: w correlated with x, plus bias; bias [O] may be null.
Array convolution(const Array& x, const Array& w, const Array* bias, const Convolution&, int64_t height,
                  int64_t width);
// dx of dy, and a transposed convolution of it; bias [C] may be null.
Array convolution_input_gradient(const Array& dy, const Array& w, const Array* bias, const Convolution&,
                                 int64_t height, int64_t width);
// dw: f32 (f64 for f64), summed over the batch in order.
Array convolution_weight_gradient(const Array& x, const Array& dy, const Convolution&, int64_t height,
                                  int64_t width);

// ---- pooling over windows of the last two axes; x contiguous
struct Window {
  int64_t begin, end;  // pixels of the image
  int64_t extent;      // what a mean divides by
};
struct Windows {
  std::vector<Window> rows, columns;
  int64_t row_step = 1, column_step = 1;  // inside a window
};
struct Pooled {
  Array y, index;  // index: i64, row * width + column of the greatest (of a NaN, if there is one)
};
Pooled max_pool(const Array& x, const Windows&);
Array max_pool_backward(const Shape& x, const Array& index, const Array& dy);
Array mean_pool(const Array& x, const Windows&);
Array mean_pool_backward(const Shape& x, const Windows&, const Array& dy);

// ---- attention; q [B, Tq, H, d] any strides with the last axis contiguous
struct AttentionBlocks {        // keys and values as runs of `block` positions; one run for plain arrays
  std::span<const Array> k, v;  // each [B, block, Hkv, d], last axis contiguous (B = 1 for a cache)
  int64_t block, keys;
};
struct AttentionRule {  // AttentionOptions (op.h), checked; an empty array is not there
  double scale;
  bool causal;
  int64_t window = 0, sinks = 0;
  Array prefix;     // i64 [B]
  Array key_mask;   // u8 [B, Tk]
  Array documents;  // i32 [B, Tk]; negative: padding
  Array cells;      // u8 [H or 1, rows, columns]
  int64_t cell = 0;
  Array query_scale;  // f64 [Tq]
  double soft_cap = 0;
  std::function<PointwiseKernel()> formula;
  Array bias;  // f64 [H or 1, 2 R + 1]
  double dropout = 0;
  uint64_t seed = 0, stream = 0, index = 0;
};
// norms [B, H, Tq] f64 is what the backward needs to know of each row's softmax (attention knows what it
// means), null when none follows.
void attention(const Array& q, const AttentionBlocks& kv, const AttentionRule&, Array& o, Array* norms);
// d_bias (f64, in the shape of the rule's) is null where there is none.
void attention_backward(const Array& q, const Array& k, const Array& v, const Array& o, const Array& norms,
                        const Array& d_o, const AttentionRule&, Array& dq, Array& dk, Array& dv,
                        Array* d_bias);

// ---- rows (last axis; x contiguous)
Array softmax(const Array& x);
Array softmax_backward(const Array& y, const Array& dy);
Array log_softmax(const Array& x);
Array log_softmax_backward(const Array& y, const Array& dy);
struct CrossEntropyRows {
  Array loss, lse;
};  // f32 (f64 for f64 logits) [N]; loss 0 where ignored
CrossEntropyRows cross_entropy(const Array& logits, const Array& targets_i64, int64_t ignore,
                               double smoothing);
// d logits = dloss[n] * (softmax - smoothed target), zero rows where ignored
Array cross_entropy_backward(const Array& logits, const Array& targets_i64, const Array& norms,
                             const Array& dloss, int64_t ignore, double smoothing);
// cap tanh(x / cap) in place, f32 or f64; and what comes of d, the gradient of the result y.
void soft_cap(Array& x, double cap);
void soft_cap_backward(const Array& y, double cap, Array& d);
// d [N, classes] += amount[n] times the smoothed target of row n, where it is not ignored; amount f64.
void add_targets(Array& d, const Array& targets_i64, const Array& amount, int64_t ignore, double smoothing);
struct Normed {
  Array y, mean, rstd;
};  // mean is empty for rms_norm; f32 (f64) a row
Normed rms_norm(const Array& x, const Array* weight, double eps);
void rms_norm_backward(const Array& x, const Array* weight, const Array& rstd, const Array& dy, Array* dx,
                       Array* dw);
Normed layer_norm(const Array& x, const Array* weight, const Array* bias, double eps);
void layer_norm_backward(const Array& x, const Array* weight, const Array& mean, const Array& rstd,
                         const Array& dy, Array* dx, Array* dw, Array* db);
// x [N, C, ...] contiguous, a channel's mean and (biased) variance in f64 [C]
struct Moments {
  Array mean, variance;
};
Moments batch_moments(const Array& x);
Array batch_norm(const Array& x, const Array* weight, const Array* bias, const Moments&, double eps);
// of_batch: the moments are those of x, and depend on it
void batch_norm_backward(const Array& x, const Array* weight, const Moments&, double eps, bool of_batch,
                         const Array& dy, Array* dx, Array* dw, Array* db);
// mean and rstd are f64 [N, groups]
Normed group_norm(const Array& x, int64_t groups, const Array* weight, const Array* bias, double eps);
void group_norm_backward(const Array& x, int64_t groups, const Array* weight, const Array& mean,
                         const Array& rstd, const Array& dy, Array* dx, Array* dw, Array* db);
// x [B, T, H, d] any strides with the last axis contiguous; inverse rotates by the negative angle
Array rope(const Array& x, const Array& cos, const Array& sin, bool interleaved, int64_t first, bool inverse);

// ---- Fourier transforms and factorizations; x contiguous, f32 or f64, the last axes as said, any batch axes
// Complex [..., n, 2], times `scale`; any n, quickest where n has small prime factors.
Array fourier(const Array& x, bool inverse, double scale);
// x with a x = b: a [..., n, n], b [..., n, k]; throws if a matrix is singular.
Array solve(const Array& a, const Array& b);
// The same for the upper or lower triangle of a or of its transpose; unit: ones stand on the diagonal.
Array triangular_solve(const Array& a, const Array& b, bool upper, bool transposed, bool unit);
Array cholesky(const Array& a);  // the lower triangle; throws if a matrix is not positive definite
struct Factors {
  Array first, second, third;
};
Factors qr(const Array& a);  // [m, n] = q [m, k] r [k, n], k = min(m, n)
Factors symmetric_eigen(
    const Array& a);          // ascending values [n], vectors [n, n] in columns; reads the lower triangle
Factors svd(const Array& a);  // u [m, k], descending values [k], v transposed [k, n]

// ---- tables
Array embedding(const Array& w, const Array& ids_i64);
Array embedding_backward(const Shape& w, const Array& ids_i64, const Array& dy, DType dtype);  // fixed order
Array gather(const Array& x, int axis, const Array& index_i64);
Array gather_backward(const Shape& x, int axis, const Array& index_i64, const Array& dy);
// The slices of x along `axis` whose numbers are ids [n], and back: added in the order of the ids.
Array take(const Array& x, int axis, const Array& ids_i64);
Array take_backward(const Shape& x, int axis, const Array& ids_i64, const Array& dy);

// ---- reductions; bit i of `axes` says that axis i is reduced. Results keep x's rank (length 1 there).
enum class Reduction { sum, mean, product, max, min };  // products run in f64
Array reduce(Reduction, const Array& x, unsigned axes, DType out);
Array extreme_backward(const Array& x, const Array& y, const Array& dy, unsigned axes);  // ties share
// dx[i] = dy times the product of the others, right for zeros too.
Array product_backward(const Array& x, const Array& dy, unsigned axes);
Array argmax(const Array& x, int axis);  // i64, rank kept with length 1
void sort(const Array& x, bool descending, int64_t keep, Array& values,
          Array& indices_i64);  // last axis, stable

// ---- scans along an axis, f64 inside
Array cumulative_sum(const Array& x, int axis, bool reverse);
Array cumulative_product(const Array& x, int axis);
Array cumulative_product_backward(const Array& x, const Array& dy, int axis);
// The greatest so far and its place (i64), the latest of equals; a NaN stays.
Array cumulative_max(const Array& x, int axis, Array& indices_i64);

// ---- CTC: -log p(target | log_p) in f64 [B] for log_p [B, T, V], targets [B, S], steps and lengths [B]
// (i64). With `gradient`, also weight[b] (f64) times the derivative to log_p; zero where no path fits.
Array ctc(const Array& log_p, const Array& targets, const Array& steps, const Array& lengths, int64_t blank,
          const Array* weight, Array* gradient);

// ---- optimizers: several tensors in one pass; fixed order
double sum_of_squares(std::span<const Array> x);  // f64 result
// One step of a rule (update_rules.inl) on each of several tensors, every element read and written once.
struct UpdateTensors {
  Array weight;                      // f32, f64 or bf16
  Array gradient;                    // of the weight's size; f64 for f64, else f32
  Array states[most_update_states];  // as the gradient; as many as the rule has
  Array copy;                        // bf16 or f16, refreshed from f32 weights; or empty
  uint64_t index = 0;                // of its first element among all that are rounded at random
};
struct UpdateStep {
  double learning_rate = 0, beta1 = 0, beta2 = 0, eps = 0, momentum = 0;
  double decay =
      0;  // coupled rules and lamb: added to the gradient times the weight; else: share of the weight lost
  double scale = 1;  // multiplies the gradient first (clipping)
  bool nesterov = false;
  int64_t step = 1;         // from 1
  bool stochastic = false;  // rounding of bf16 weights, by seed, step and index
  uint64_t seed = 0;
};
void update(UpdateRule, std::span<UpdateTensors> tensors, const UpdateStep&);

}  // namespace intarsia::kernel
