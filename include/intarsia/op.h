// The operations. Each checks its arguments, computes, and records its gradient. Errors name the operation,
// the argument, the shape found and the shape expected. Types: float tensors of f32, f64, bf16 or f16; mixed
// pointwise arguments give the wider type (f64 > f32 > f16 with bf16 gives f32). Sums are done in f32 (f64
// for f64) in a fixed order: no result depends on the number of threads.
//
// Shape letters: B batch, T time, D width, H heads, V vocabulary.
#pragma once
#include <optional>
#include <span>

#include "intarsia/random.h"
#include "intarsia/tensor.h"

namespace intarsia {

// ---- pointwise, with NumPy's broadcasting; one line each in intarsia/pointwise.inl
#define POINTWISE1(NAME, A, ...) Tensor NAME(const Tensor& A);
#define POINTWISE2(NAME, A, B, ...) Tensor NAME(const Tensor& A, const Tensor& B);
#define POINTWISE3(NAME, A, B, C, ...) Tensor NAME(const Tensor& A, const Tensor& B, const Tensor& C);
#include "intarsia/pointwise.inl"
inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator-(const Tensor& x) { return neg(x); }
Tensor operator*(const Tensor& x, double factor);
Tensor operator+(const Tensor& x, double term);
inline Tensor operator*(double factor, const Tensor& x) { return x * factor; }

// ---- products
// a [..., M, K] times b [..., K, N]; batch axes broadcast; a transposed view costs nothing.
Tensor matmul(const Tensor& a, const Tensor& b);
// x [..., K] times the transpose of w [N, K], plus bias [N] if given, then the activation. w may be quantized
// (then it takes no gradient, x does).
enum class Activation { none, relu, silu, gelu, gelu_tanh };
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias = {},
              Activation activation = Activation::none);

// ---- rows: over the last axis
Tensor softmax(const Tensor& x);
Tensor log_softmax(const Tensor& x);
// The mean negative log-likelihood over targets that differ from `ignore`: logits [..., V], targets [...]
// integers. Smoothing s mixes the target with the uniform distribution: (1 - s) nll + s mean_v(-log p_v).
struct CrossEntropy {
  int64_t ignore = -100;
  double smoothing = 0;
};
Tensor cross_entropy(const Tensor& logits, const Tensor& targets, CrossEntropy options = {});
// x / sqrt(mean(x^2) + eps) * weight (Zhang & Sennrich 2019); weight [D] may be absent.
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps = 1e-5);
// (x - mean) / sqrt(var + eps) * weight + bias (Ba et al. 2016); weight and bias [D] may be absent.
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps = 1e-5);

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

// ---- attention
// softmax(q k^T scale) v, tiled, never storing the scores (Dao et al. 2022). q [B, Tq, H, d], k and v [B, Tk,
// Hkv, d], H a multiple of Hkv; returns [B, Tq, H, d]. Causal: query i sees keys up to i + Tk - Tq. scale 0
// means 1/sqrt(d).
struct AttentionOptions {
  bool causal = true;
  double scale = 0;
};
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, AttentionOptions options = {});
// The same without gradient, keys and values read through a table of blocks: block i holds positions
// [i * block, (i + 1) * block) as [block, Hkv, d]. q [1, Tq, H, d]; `keys` positions are valid; causal.
Tensor attention(const Tensor& q, std::span<const Array> k_blocks, std::span<const Array> v_blocks,
                 int64_t block, int64_t keys, AttentionOptions options = {});

// ---- shape: views where possible
Tensor reshape(const Tensor& x, const Shape& shape);  // one -1 is inferred
Tensor transpose(const Tensor& x, int axis0 = -2, int axis1 = -1);
Tensor permute(const Tensor& x, std::initializer_list<int> axes);
Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end, int64_t step = 1);
Tensor concat(std::span<const Tensor> parts, int axis);
Tensor broadcast_to(const Tensor& x, const Shape& shape);
Tensor gather(const Tensor& x, int axis, const Tensor& index);  // as torch.gather: index has x's rank
Tensor contiguous(const Tensor& x);
Tensor cast(const Tensor& x, DType dtype);

// ---- reductions: over the given axes (none given: all); keep leaves axes of length 1
Tensor sum(const Tensor& x, std::initializer_list<int> axes = {}, bool keep = false);
Tensor mean(const Tensor& x, std::initializer_list<int> axes = {}, bool keep = false);
// Ties share the gradient.
Tensor max(const Tensor& x, std::initializer_list<int> axes = {}, bool keep = false);
Tensor argmax(const Tensor& x, int axis = -1);  // i64, the first of equals; no gradient
struct Sorted {
  Tensor values, indices;
};
Sorted topk(const Tensor& x, int64_t k);                // last axis, descending, equals by index
Sorted sort(const Tensor& x, bool descending = false);  // last axis, stable

// ---- random
// Keeps each element with probability 1 - p and scales it by 1 / (1 - p); the mask is a function of
// (random.seed, random.stream, random.index + element), so recomputation replays it.
Tensor dropout(const Tensor& x, double p, const Random& random);

}  // namespace intarsia
