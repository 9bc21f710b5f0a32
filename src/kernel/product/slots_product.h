// The matrix product kernels that a rung provides. Single-threaded, on raw pointers;
// kernel/product/product.cpp splits the work.
#pragma once
#include <cstddef>
#include <cstdint>

#include "intarsia/array.h"

namespace intarsia::kernel {

// What a 32-bit word of k holds: one f32, two bf16 or four int8.
enum class ProductWord { f32, bf16_pair, int8_quad };
constexpr int elements_of(ProductWord word) {
  return word == ProductWord::f32 ? 1 : word == ProductWord::bf16_pair ? 2 : 4;
}

// C[m, n] = activation(A[m, k] B[k, n] [+ added] + bias) [* gate]. Sums are f32 (f64 if c, a and b all are,
// i32 of int8), in order of k.
struct Product {
  int64_t m = 0, n = 0, k = 0;
  // a is stored in rows [m, k] or, transposed, in rows [k, m]; rows are `a_distance` elements apart.
  const void* a = nullptr;
  DType a_type = DType::f32;
  int64_t a_distance = 0;
  bool a_transposed = false;
  // b is stored in rows [k, n] or, transposed, in rows [n, k]; block formats only transposed.
  const void* b = nullptr;
  DType b_type = DType::f32;
  int64_t b_distance = 0;
  bool b_transposed = false;
  void* c = nullptr;
  DType c_type = DType::f32;
  int64_t c_distance = 0;
  // bf16_pair: a is bf16, b bf16 or a block format rounded to bf16. int8_quad: both are i8. f32: both become
  // f32 first.
  ProductWord word = ProductWord::f32;
  const void* added = nullptr;  // of c's type and distance; may be c itself
  // Of int8: what the sums of each row start with (see int8_start), m rounded up to whole tiles; and, if c is
  // of a float type, what they are multiplied by.
  const int32_t* start = nullptr;
  const float *row_scale = nullptr, *column_scale = nullptr;
  const float* bias = nullptr;
  void (*activation)(float* row, int64_t count) = nullptr;
  // What the result, rounded to c's type, is multiplied by: gate_activation of this, of c's type and
  // distance.
  const void* gate = nullptr;
  void (*gate_activation)(float* row, int64_t count) = nullptr;
};

// The part of a product that one call computes: rows [row, row_end), panels of tile_columns columns
// [panel, panel_end), and of k the words [word, word_end) (f32: elements, pairs: two elements).
struct ProductPart {
  int64_t row = 0, row_end = 0;
  int64_t panel = 0, panel_end = 0;
  int64_t word = 0, word_end = 0;
  // f32 sums [m, sums_distance] of the words before and after this part, where k is cut; may be c itself.
  float* sums = nullptr;
  int64_t sums_distance = 0;
  // Words between panels that were packed with all of k; 0: they hold the words of this part only.
  int64_t panel_distance = 0;
  // Words between the words of k in a panel; 0: tile_columns. Panels of f32 may be b itself, where it lies.
  int64_t word_distance = 0;
};

// The kernels for one kind of word. A rung fills those of the words that it multiplies in another way than
// the rung below it; all rungs above avx2 have the same tile.
struct WordSlots {
  // Packs panels [panel, panel_end) of words [word, word_end) of b into `packed`, 64-byte aligned: panel
  // after panel of (word_end - word) * tile_columns words.
  void (*pack)(const Product&, const ProductPart&, uint32_t* packed) = nullptr;
  // Multiplies with panels that pack() made; `packed` is the first word of the part. The scratch (bytes,
  // 64-byte aligned) suffices for any part with the same words and no more rows.
  size_t (*packed_scratch)(const Product&, const ProductPart&) = nullptr;
  void (*multiply_packed)(const Product&, const ProductPart&, const uint32_t* packed,
                          void* scratch) = nullptr;
  // Multiplies and packs on the way, a few panels at a time; all of k.
  size_t (*streamed_scratch)(const Product&, const ProductPart&) = nullptr;
  void (*multiply_streamed)(const Product&, const ProductPart&, void* scratch) = nullptr;
};

struct ProductSlots {
  int tile_rows = 0, tile_columns = 0;
  WordSlots words[3];
  const WordSlots& of(const Product& p) const { return words[static_cast<int>(p.word)]; }
  // Rows [row, row_end) of Product::start; null if sums start with 0.
  void (*int8_start)(const Product&, int64_t row, int64_t row_end, int32_t* start) = nullptr;
  // a, b in f64; c of any float type; all of k.
  size_t (*f64_scratch)(const Product&) = nullptr;
  void (*multiply_f64)(const Product&, const ProductPart&, void* scratch) = nullptr;
  // `elements` (a multiple of the block) of a block format to f32, exactly as GGML's reference defines.
  void (*dequantize)(DType, const void* blocks, int64_t elements, float* out) = nullptr;
  // Cuts numbers into bf16 parts, each the nearest to what is left; null parts are left out.
  void (*split_bf16)(const float* x, int64_t count, uint16_t* const (&parts)[3]) = nullptr;
  // x / scale as int8, scale = max |x| / 127, which is returned.
  float (*quantize_row)(const float* x, int64_t count, int8_t* q) = nullptr;
};

}  // namespace intarsia::kernel
