// The operations. Each checks its arguments, computes, and records its gradient. Errors name the operation,
// the argument, the shape found and the shape expected. Types: float tensors of f32, f64, bf16 or f16; mixed
// pointwise arguments give the wider type (f64 > f32 > f16 with bf16 gives f32). Sums are done in f32 (f64
// for f64) in a fixed order: no result depends on the number of threads.
//
// Shape letters: B batch, T time, D width, H heads, V vocabulary.
#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "intarsia/pointwise_kernel.h"
#include "intarsia/random.h"
#include "intarsia/tensor.h"

namespace intarsia {

// ---- pointwise, with NumPy's broadcasting; one line each in intarsia/pointwise.inl
#define POINTWISE1(NAME, A, ...) Tensor NAME(const Tensor& A);
#define POINTWISE2(NAME, A, B, ...) Tensor NAME(const Tensor& A, const Tensor& B);
#define POINTWISE3(NAME, A, B, C, ...) Tensor NAME(const Tensor& A, const Tensor& B, const Tensor& C);
#define BACKWARD2(...)
#include "intarsia/pointwise.inl"
inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator-(const Tensor& x) { return neg(x); }
Tensor pow(const Tensor& x, double exponent);
Tensor clamp(const Tensor& x, double low, double high);
Tensor operator*(const Tensor& x, double factor);
Tensor operator+(const Tensor& x, double term);
inline Tensor operator*(double factor, const Tensor& x) { return x * factor; }
inline Tensor operator+(double term, const Tensor& x) { return x + term; }
inline Tensor operator-(const Tensor& x, double term) { return x + -term; }
inline Tensor operator-(double term, const Tensor& x) { return -x + term; }

// Comparisons give bool tensors, without gradient. Integers are compared exactly.
Tensor equal(const Tensor& a, const Tensor& b);
Tensor not_equal(const Tensor& a, const Tensor& b);
Tensor less(const Tensor& a, const Tensor& b);
Tensor less_equal(const Tensor& a, const Tensor& b);
Tensor greater(const Tensor& a, const Tensor& b);
Tensor greater_equal(const Tensor& a, const Tensor& b);

// ---- products
// How products of f32 are formed: as such, or as 3 or 6 products of bf16 parts, quick where the cpu
// multiplies bf16 several times faster. The error is at most 2^-15 of the sum of |a| |b|, or that of f32
// products.
enum class Products { own, three_bf16, six_bf16 };
// a [..., M, K] times b [..., K, N]; batch axes broadcast; a transposed view costs nothing.
Tensor matmul(const Tensor& a, const Tensor& b, Products form = Products::own);
// Rows of x [T, K] in consecutive groups of the given sizes (their sum is T, some may be 0), each times its
// own matrix of w [E, K, N]: [T, N]. For weights stored as [E, N, K] give transpose(w); it may be quantized.
Tensor grouped_matmul(const Tensor& x, std::span<const int64_t> group_sizes, const Tensor& w);
// x [..., K] times the transpose of w [N, K], plus bias [N] if given, then the activation. w may be quantized
// (then it takes no gradient, x does).
enum class Activation { none, relu, silu, gelu, gelu_tanh };
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias = {},
              Activation activation = Activation::none);
// residual + x w^T + bias, rounded once; residual has the shape of the result.
Tensor linear_add(const Tensor& residual, const Tensor& x, const Tensor& w, const Tensor& bias = {});
// swiglu(gate, x w^T + bias), or geglu for Activation::gelu, in one pass where no gradient is recorded.
Tensor gated_linear(const Tensor& gate, const Tensor& x, const Tensor& w, const Tensor& bias = {},
                    Activation activation = Activation::silu);
// A matrix w [N, K] of f32 or bf16 in the order in which products read it, for weights that do not change:
// few rows are then multiplied some times faster. The same bits as with w, and of its size: keep one of the
// two. It takes no gradient, x does. Belongs to the rung of kernels that was active when it was made.
struct PackedWeight {
  Array panels;
  DType dtype = DType::f32;
  int64_t outputs = 0, inputs = 0;
  std::string_view rung;
};
PackedWeight pack(const Tensor& w);
Tensor unpack(const PackedWeight& w);  // [N, K]
// As with a plain w. x must be bf16 for a bf16 weight.
Tensor linear(const Tensor& x, const PackedWeight& w, const Tensor& bias = {},
              Activation activation = Activation::none);
Tensor linear_add(const Tensor& residual, const Tensor& x, const PackedWeight& w, const Tensor& bias = {});
Tensor gated_linear(const Tensor& gate, const Tensor& x, const PackedWeight& w, const Tensor& bias = {},
                    Activation activation = Activation::silu);
// The rows of x [..., K] as int8 values times a scale [...] each, f32: max |x| / 127. No gradient.
struct QuantizedRows {
  Tensor values, scales;
};
QuantizedRows quantize_rows(const Tensor& x);
// a [M, K] times b [K, N] (or a transposed view) of int8: the exact sums as i32, K < 2^17. No gradient.
Tensor matmul_int8(const Tensor& a, const Tensor& b);
// The same times row_scales [M] and column_scales [N], in f32.
Tensor matmul_int8(const Tensor& a, const Tensor& row_scales, const Tensor& b, const Tensor& column_scales);

// Sums of products by Einstein's notation: einsum("bij,bkj->bik", a, b). Letters that both share and the
// result keeps run in parallel; letters that the result lacks are summed over. A letter occurs once in each.
// "..." stands for all axes without a letter, which broadcast: einsum("...i,ij->...j", x, w).
Tensor einsum(std::string_view formula, const Tensor& a, const Tensor& b);
Tensor outer(const Tensor& a, const Tensor& b);  // a [N], b [M]: a_i b_j [N, M]

// ---- rows: over the last axis
Tensor softmax(const Tensor& x);
Tensor log_softmax(const Tensor& x);
// x / sqrt(mean(x^2) + eps) * weight (Zhang & Sennrich 2019); weight [D] may be absent.
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps = 1e-5);
// (x - mean) / sqrt(var + eps) * weight + bias (Ba et al. 2016); weight and bias [D] may be absent.
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps = 1e-5);

// ---- losses: one number, the mean over all elements unless said otherwise. The errors of the single
// elements are pointwise operations: squared_error, absolute_error, huber_error, bce_error, kl_error,
// hinge_error. The mean negative log-likelihood over targets that differ from `ignore`: logits [..., V],
// targets [...] integers. Smoothing s mixes the target with the uniform distribution: (1 - s) nll + s
// mean_v(-log p_v).
struct CrossEntropy {
  int64_t ignore = -100;
  double smoothing = 0;
};
Tensor cross_entropy(const Tensor& logits, const Tensor& targets, CrossEntropy options = {});
// cross_entropy(soft_cap tanh(l / soft_cap), targets) of the logits l = x w^T, plus z_loss times the mean of
// (log sum exp)^2 (Chowdhery et al. 2022); x [..., D], w [V, D], soft_cap 0: none. At no time do more than 64
// MB of logits exist; with 16-bit inputs they are not rounded. Gradients are made on the way, so backward
// only hands them on.
Tensor linear_cross_entropy(const Tensor& x, const Tensor& w, const Tensor& targets,
                            CrossEntropy options = {}, double soft_cap = 0, double z_loss = 0);
Tensor mse_loss(const Tensor& x, const Tensor& target);
Tensor mae_loss(const Tensor& x, const Tensor& target);
// Quadratic up to an error of delta, linear beyond (Huber 1964).
Tensor huber_loss(const Tensor& x, const Tensor& target, double delta = 1);
// Binary cross entropy of sigmoid(logits) with targets in [0, 1].
Tensor bce_with_logits(const Tensor& logits, const Tensor& target);
// KL(p || q) from log q and p, summed over all but the first axis, mean over the first.
Tensor kl_loss(const Tensor& log_q, const Tensor& p);
// -log_p[target] for log_p [..., V], targets [...]; mean over targets that differ from `ignore`.
Tensor nll_loss(const Tensor& log_p, const Tensor& targets, int64_t ignore = -100);
// max(0, 1 - target * score), targets -1 or 1.
Tensor hinge_loss(const Tensor& scores, const Tensor& target);
// a . b / (|a| |b|) over the last axis, each norm at least eps.
Tensor cosine_similarity(const Tensor& a, const Tensor& b, double eps = 1e-8);
// 1 - cosine where the target is 1, max(0, cosine - margin) where it is -1; targets [...] for a, b [..., D].
Tensor cosine_loss(const Tensor& a, const Tensor& b, const Tensor& target, double margin = 0);
// max(0, |anchor - positive| - |anchor - negative| + margin) over the last axis; 1e-6 is added to each
// difference, as PyTorch does (Schroff et al. 2015).
Tensor triplet_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative, double margin = 1);
// Connectionist temporal classification (Graves et al. 2006): -log p(target) summed over all alignments,
// divided by the target's length, mean over the batch. log_p [B, T, V], targets [B, S], steps [B] up to T and
// lengths [B] up to S (integers). Infinite, with gradient 0, where no alignment fits.
Tensor ctc_loss(const Tensor& log_p, const Tensor& targets, const Tensor& steps, const Tensor& lengths,
                int64_t blank = 0);

// ---- tokens and positions
// Rows of w [V, D] for ids [...] (i32 or i64): [..., D]. w may be quantized.
Tensor embedding(const Tensor& w, const Tensor& ids);
// Cosines and sines of position times frequency: tables [positions, pairs] in f32.
struct RopeTable {
  Array cos, sin;
  bool interleaved = false;
};
RopeTable rope_table(std::span<const double> frequencies, int64_t positions, bool interleaved,
                     double magnitude = 1);
// Rotates the first 2 * pairs features of each head of x [B, T, H, d] (Su et al. 2021). Pairs are (2i, 2i+1)
// if interleaved, else (i, i + pairs). Token t of the batch stands at first + t.
Tensor rope(const Tensor& x, const RopeTable& table, int64_t first = 0);

// ---- convolution and pooling (op/image/convolution.cpp, op/image/pool.cpp): as PyTorch's functions of these
// names
struct Size2 {  // of the two axes of an image
  int64_t height, width;
  Size2(int64_t both) : height(both), width(both) {}
  Size2(int64_t h, int64_t w) : height(h), width(w) {}
};
struct Conv1d {
  int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
  int64_t output_padding = 0;  // transposed only
};
struct Conv2d {
  Size2 stride = 1, padding = 0, dilation = 1;
  int64_t groups = 1;
  Size2 output_padding = 0;  // transposed only: rows and columns more at the end
};
// x [N, C, H, W] correlated with w [O, C / groups, KH, KW], plus bias [O] if given: [N, O, YH, YW] with
// YH = (H + 2 padding - dilation (KH - 1) - 1) / stride + 1.
Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& bias = {}, const Conv2d& options = {});
// The transpose of that map: x [N, C, H, W], w [C, O / groups, KH, KW], plus bias [O]: [N, O, YH, YW] with
// YH = (H - 1) stride - 2 padding + dilation (KH - 1) + output_padding + 1.
Tensor conv_transpose2d(const Tensor& x, const Tensor& w, const Tensor& bias = {},
                        const Conv2d& options = {});
// The same along one axis: x [N, C, L], w [O, C / groups, K] (transposed: [C, O / groups, K]).
Tensor conv1d(const Tensor& x, const Tensor& w, const Tensor& bias = {}, const Conv1d& options = {});
Tensor conv_transpose1d(const Tensor& x, const Tensor& w, const Tensor& bias = {},
                        const Conv1d& options = {});

// Over the last two axes. Stride 0 is the kernel's size; ceil keeps windows that reach over the end.
struct Pool2d {
  Size2 kernel = 2, stride = 0, padding = 0, dilation = 1;  // dilation: max_pool2d only
  bool ceil = false;
  bool count_padding = true;  // avg_pool2d: padding counts as pixels of value 0
};
struct Pool1d {
  int64_t kernel = 2, stride = 0, padding = 0, dilation = 1;
  bool ceil = false, count_padding = true;
};
Tensor max_pool2d(const Tensor& x, const Pool2d& options);
Tensor avg_pool2d(const Tensor& x, const Pool2d& options);
// Windows from floor(i H / height) to ceil((i + 1) H / height).
Tensor adaptive_max_pool2d(const Tensor& x, Size2 size);
Tensor adaptive_avg_pool2d(const Tensor& x, Size2 size);
Tensor max_pool1d(const Tensor& x, const Pool1d& options);  // over the last axis
Tensor avg_pool1d(const Tensor& x, const Pool1d& options);
Tensor adaptive_max_pool1d(const Tensor& x, int64_t size);
Tensor adaptive_avg_pool1d(const Tensor& x, int64_t size);
// (x - mean) / sqrt(var + eps) * weight + bias over the channels and pixels of each group of each image (Wu &
// He 2018); x [N, C, ...], weight and bias [C] may be absent.
Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias,
                  double eps = 1e-5);
// The same over batch and pixels, a channel at a time (Ioffe & Szegedy 2015). Training takes the moments of x
// and moves the running ones by `momentum` towards them (the variance unbiased); otherwise the running ones
// are taken. Empty arrays of `running` are filled with 0 and 1 in f32 first.
struct RunningMoments {
  Array mean, variance;  // [C]
};
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, RunningMoments& running,
                  bool training, double momentum = 0.1, double eps = 1e-5);

// ---- attention
// What a query sees and how its scores change before the softmax. Every field may be combined with every
// other one, in training too: where PyTorch's flex_attention on a CPU wants a compiler at run time and has no
// gradient, and its scaled_dot_product_attention takes a mask as n x n numbers and computes what it hides,
// here hidden tiles are skipped, memory stays O(n), and a learned bias gets its gradient.
//
// The query number i stands at position i + Tk - Tq: queries are the last of the keys' positions.
struct AttentionOptions {
  bool causal = true;  // a query sees keys up to its own position
  double scale = 0;    // of q k; 0: 1 / sqrt(d)

  // What else hides a key; it is seen if nothing that is set hides it.
  int64_t window = 0;  // keys this far away or farther (0: none) ...
  int64_t sinks = 0;   // ... but not the first ones (Xiao et al. 2023)
  Array prefix{};      // integers [B] or [1]: the first keys, which all queries see, causal or not
  Array key_mask{};    // [B, Tk]: keys where it is 0, as padding
  Array documents{};   // integers [B, Tk]: keys of other documents; a negative number is padding
  Array pattern{};     // [H or 1, queries / cell, keys / cell, rounded up]: squares of keys where it is 0
  int64_t cell = 64;

  // How a score q k scale changes, in this order.
  Array query_scale{};                         // [Tq]: a factor for each query; see log_n_scale
  double soft_cap = 0;                         // cap tanh(score / cap) (Gemma 2); 0: none
  std::function<PointwiseKernel()> formula{};  // anything else; see score_formula in map.h
  Tensor bias{};  // [H or 1, 2 R + 1], added: column R + distance, distance = key - query position, held at
                  // -R and R beyond; takes a gradient. See alibi and t5_buckets.

  double dropout = 0;  // of probabilities, by `random`, which a recomputation replays
  Random random{0};
};
// softmax(scores) v, tiled, never storing the scores (Dao et al. 2022). q [B, Tq, H, d], k and v [B, Tk, Hkv,
// d], H a multiple of Hkv; returns [B, Tq, H, d]. A query that sees nothing gives zeros.
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options = {});
// The same without gradient, keys and values read through a table of blocks: block i holds positions
// [i * block, (i + 1) * block) as [block, Hkv, d]. q [1, Tq, H, d]; `keys` positions are valid.
Tensor attention(const Tensor& q, std::span<const Array> k_blocks, std::span<const Array> v_blocks,
                 int64_t block, int64_t keys, const AttentionOptions& options = {});

// A bias of -2^(-8 (h + 1) / heads) |distance| for distances up to `reach` (Press et al. 2022; for numbers of
// heads that are no power of two as its authors' code).
Array alibi(int64_t heads, int64_t reach);
// Numbers of the buckets of distances -reach .. reach (Raffel et al. 2020), i64 [2 reach + 1]; with a table
// [H, buckets] the bias is index_select(table, 1, t5_buckets(...)).
Array t5_buckets(int64_t reach, bool bidirectional, int64_t buckets = 32, int64_t max_distance = 128);
// max(1, log(position + 1) / log(length)) for positions first .. first + count - 1 (Su 2021): attention keeps
// its entropy beyond the length it was trained for.
Array log_n_scale(int64_t first, int64_t count, int64_t length);

// A list of axis numbers; negative ones count from the end.
using Axes = Shape;

// ---- shape: views where possible
Tensor reshape(const Tensor& x, const Shape& shape);  // one -1 is inferred
Tensor transpose(const Tensor& x, int axis0 = -2, int axis1 = -1);
Tensor permute(const Tensor& x, const Axes& axes);
Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end, int64_t step = 1);
Tensor concat(std::span<const Tensor> parts, int axis);
Tensor broadcast_to(const Tensor& x, const Shape& shape);
Tensor gather(const Tensor& x, int axis, const Tensor& index);  // as torch.gather: index has x's rank
// x [..., at index: + source, ...]: as torch.scatter_add, index and source have x's rank and one shape.
Tensor scatter_add(const Tensor& x, int axis, const Tensor& index, const Tensor& source);
Tensor index_select(const Tensor& x, int axis, const Tensor& ids);  // slices of x, ids [n]
Tensor flip(const Tensor& x, const Axes& axes);
Tensor roll(const Tensor& x, int64_t shift, int axis);  // element i moves to i + shift, around the end
Tensor repeat(const Tensor& x, const Shape& times);     // x beside itself; as torch.Tensor.repeat
// Elements added before and behind along an axis: a value, or x mirrored at its ends (each end once), or its
// end elements repeated.
enum class PadMode { constant, reflect, replicate };
Tensor pad(const Tensor& x, int axis, int64_t before, int64_t behind, PadMode mode = PadMode::constant,
           double value = 0);
// The last two axes with zeros above (tril) or below (triu) the diagonal that starts at column `diagonal`.
Tensor tril(const Tensor& x, int64_t diagonal = 0);
Tensor triu(const Tensor& x, int64_t diagonal = 0);
Tensor masked_fill(const Tensor& x, const Tensor& mask, double value);  // value where the mask is not 0
Tensor one_hot(const Tensor& ids, int64_t classes, DType dtype = DType::f32);  // [..., classes]
Tensor contiguous(const Tensor& x);
Tensor cast(const Tensor& x, DType dtype);

// ---- reductions: over the given axes (none given: all); keep leaves axes of length 1
Tensor sum(const Tensor& x, const Axes& axes = {}, bool keep = false);
Tensor mean(const Tensor& x, const Axes& axes = {}, bool keep = false);
Tensor prod(const Tensor& x, const Axes& axes = {}, bool keep = false);
// Ties share the gradient.
Tensor max(const Tensor& x, const Axes& axes = {}, bool keep = false);
Tensor min(const Tensor& x, const Axes& axes = {}, bool keep = false);
Tensor logsumexp(const Tensor& x, const Axes& axes = {}, bool keep = false);
// sum((x - mean)^2) / (n - correction), and its root, whose gradient is 0 where it is 0.
Tensor variance(const Tensor& x, const Axes& axes = {}, bool keep = false, double correction = 1);
Tensor standard_deviation(const Tensor& x, const Axes& axes = {}, bool keep = false, double correction = 1);
// (sum |x|^p)^(1/p) for any p; for plus or minus infinity the greatest or least |x|, for 0 the number of
// elements that are not 0 (without gradient). The gradient is 0 where the norm is 0 and, for p < 1, where x
// is.
Tensor norm(const Tensor& x, double p = 2, const Axes& axes = {}, bool keep = false);
// Along one axis.
Tensor cumsum(const Tensor& x, int axis);
Tensor cumprod(const Tensor& x, int axis);
Tensor argmax(const Tensor& x, int axis = -1);  // i64, the first of equals; no gradient
struct Sorted {
  Tensor values, indices;
};
Sorted topk(const Tensor& x, int64_t k);                // last axis, descending, equals by index
Sorted sort(const Tensor& x, bool descending = false);  // last axis, stable

Sorted cummax(const Tensor& x, int axis);  // the greatest so far and where it stands, the latest of equals
// The different values of integers x, ascending; for each element of x the place of its value; how often each
// occurs. All i64.
struct Unique {
  Tensor values, inverse, counts;
};
Unique unique(const Tensor& x);
// How often 0, 1, 2 ... occur, `least` numbers or more.
Tensor bincount(const Tensor& ids, int64_t least = 0);

// ---- Fourier transforms (op/linear/fourier.cpp): complex numbers are a trailing axis of 2, any length n
// sum_j x_j exp(-2 pi i j k / n); x [..., n, 2].
Tensor fft(const Tensor& x);
Tensor ifft(const Tensor& x);  // its inverse, divided by n
// The first n / 2 + 1 numbers of the transform of real x [..., n]: [..., n / 2 + 1, 2]; the rest are their
// conjugates.
Tensor rfft(const Tensor& x);
// Its inverse: x [..., m, 2] gives the real [..., n]; n is 2 (m - 1), the default, or 2 m - 1. Imaginary
// parts that a real signal cannot have are ignored.
Tensor irfft(const Tensor& x, int64_t n = 0);

// ---- linear algebra (op/linear/linear_algebra.cpp): matrices are the last two axes; f32 or f64, 16 bits
// become f32 The x of a x = b: a [..., n, n], b [..., n, k], equal batch axes; an Error if a matrix is
// singular.
Tensor solve(const Tensor& a, const Tensor& b);
// The same where only the upper or the lower triangle of a counts; unit: its diagonal counts as ones.
Tensor triangular_solve(const Tensor& a, const Tensor& b, bool upper, bool unit = false);
// The lower l with l l^T = a; an Error if a is not positive definite. The gradient is symmetric.
Tensor cholesky(const Tensor& a);
// a [..., m, n] = q [..., m, k] r [..., k, n], k = min(m, n); signs are the algorithm's.
struct QR {
  Tensor q, r;
};
QR qr(const Tensor& a);
// Ascending values [..., n] and orthonormal vectors [..., n, n] in columns of a symmetric a (its lower
// triangle is read). The gradient of vectors needs distinct values.
struct SymmetricEigen {
  Tensor values, vectors;
};
SymmetricEigen symmetric_eigen(const Tensor& a);
// a [..., m, n] = u [..., m, k] diag(s) vt [..., k, n], s descending, k = min(m, n). The gradients of u and
// vt need distinct and positive s.
struct SVD {
  Tensor u, s, vt;
};
SVD svd(const Tensor& a);

// ---- random
// Keeps each element with probability 1 - p and scales it by 1 / (1 - p); the mask is a function of
// (random.seed, random.stream, random.index + element), so recomputation replays it.
Tensor dropout(const Tensor& x, double p, const Random& random);

}  // namespace intarsia
