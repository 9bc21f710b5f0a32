// Range kernels of attention on one batch element and one key/value head, with the `group` query heads that
// share it. A *row* is a query of a head: row = query * group + head, so rows of one position lie together.
//
// Keys and values are packed once (pack), then any range of rows is computed from the packed form (forward).
// Few rows go without that copy: each block of keys is packed where it is used (forward_block), its result
// kept apart, and the results of all blocks joined in order (join). Both ways give the same bits. All
// pointers are to elements of the kernels' type, strides in elements; the last axis is contiguous.
#pragma once
#include <cstdint>

#include "intarsia/pointwise_kernel.h"

namespace intarsia::kernel {

// Keys are processed in blocks of this many positions, cut at its multiples on every path: a result does not
// depend on how a prompt was chunked, where a cache's blocks lie, or how many threads share the keys.
constexpr int64_t attention_block = 256;

// Which keys a query sees: all conditions must hold. Query i stands at position first + i.
struct AttentionMask {
  int64_t queries, keys, first, group;
  bool causal;     // keys up to the query's position, and all below `prefix`
  int64_t prefix;  // 0: none
  int64_t window;  // keys less than this far away, and all below `sinks`; 0: no window
  int64_t sinks;
  // Numbers that must be equal, or null. Behind the last one lie attention_slack more.
  const int32_t *query_group, *key_group;
  // The least and the greatest of each 16 of them.
  const int32_t (*query_range)[2];
  const int32_t (*key_range)[2];
  // A pattern of square cells; 0 hides. That of head g lies at cells + g * cells_head. Null: none.
  const uint8_t* cells;
  int64_t cell, cells_row, cells_head;
};
constexpr int64_t attention_range = 16, attention_slack = 64;

// What happens to a score between q k scale and the softmax, in this order. Scores are in base 2: q k scale
// log2(e).
struct AttentionScore {
  const float* query_scale;  // a factor for each query, attention_slack more behind them; null: none
  float cap;                 // cap * tanh(score / cap), base 2; 0: none
  // A function of score, query position and key position (natural units), or null.
  const PointwiseKernel* formula;
  // Added, base 2: bias[queries - 1 + key - query] of head g at + g * bias_head, attention_slack more on both
  // sides. The backward takes the array reversed: bias[keys - 1 + query - key]. Null: none.
  const float* bias;
  int64_t bias_head;
  bool sloped() const { return query_scale || cap > 0 || formula; }  // more than an addition
  bool any() const { return sloped() || bias; }
};

// Probabilities survive by word key % 4 of philox(seed, stream, index + (head * queries + query) *
// ceil(keys / 4) + key / 4): those below threshold.
struct AttentionDropout {
  bool on;
  uint64_t seed, stream, index, threshold;
  float factor;  // of those that survive
};

struct AttentionHeads {
  AttentionMask mask;
  AttentionScore score;
  AttentionDropout dropout;
  int64_t head_size;
  double scale;
  const void* q;  // head g at + g * q_head
  int64_t q_time, q_head;
  int64_t rows() const { return mask.queries * mask.group; }
};

// Of one row: its greatest score (base 2) and the sum of the exponentials of the differences to it. Both
// together are its log-sum-exp, without the error that rounding one number would put on the whole row.
struct AttentionNorm {
  float top, sum;
};

struct AttentionOutput {
  void* o;
  int64_t o_time, o_head;
  AttentionNorm* norms;  // [group][queries], or null
};

struct AttentionForward {
  AttentionHeads heads;
  AttentionOutput out;
  const void* packed;  // what pack wrote
  int64_t begin, end;  // the rows to compute
  void* scratch;
};

struct AttentionBlock {  // all rows against one block of keys
  AttentionHeads heads;
  int64_t key;  // the block's first one
  const void *k, *v;
  int64_t k_time, v_time;
  void* partial;                // partial_bytes of one block
  void* scratch;
};

struct AttentionJoin {
  AttentionHeads heads;
  AttentionOutput out;
  const void* partials;  // of blocks 0, 1, ...
  int64_t blocks;
  void* scratch;
};

// A part of the backward pass: of the blocks of queries of all heads of the group those numbered piece,
// piece + pieces, ... dQ of these is set; what they give to dK and dV are sums of this piece alone.
struct AttentionBackward {
  AttentionHeads heads;
  int64_t piece, pieces;
  const void *o, *d_o;  // head g at + g * its head stride
  int64_t o_time, o_head, do_time, do_head;
  const void *k, *v;
  int64_t k_time, v_time;
  const AttentionNorm* norms;  // [group][queries]
  void* dq;
  int64_t dq_time, dq_head;
  float* d_bias;  // [group][queries + keys - 1], laid out as the backward's bias, set; or null
  float* sums;    // sums_bytes
  void* scratch;
};

struct AttentionKeySums {
  AttentionHeads heads;
  float* sums;  // of all pieces, one behind the other
  int64_t pieces;
  int64_t begin, end;  // the keys to finish
  void *dk, *dv;
  int64_t dk_time, dv_time;
};

struct AttentionKernels {  // of one element type
  int64_t (*packed_bytes)(const AttentionHeads&);
  // Packs positions begin .. end (begin a multiple of attention_block) that lie at k and v.
  void (*pack)(const AttentionHeads&, const void* k, int64_t k_time, const void* v, int64_t v_time,
               int64_t begin, int64_t end, void* packed);
  int64_t (*forward_scratch)(const AttentionHeads&);
  void (*forward)(const AttentionForward&);
  int64_t (*partial_bytes)(const AttentionHeads&);
  int64_t (*block_scratch)(const AttentionHeads&);
  void (*forward_block)(const AttentionBlock&);
  void (*join)(const AttentionJoin&);
  int64_t (*backward_scratch)(const AttentionHeads&);
  int64_t (*sums_bytes)(const AttentionHeads&);
  void (*backward)(const AttentionBackward&);
  void (*backward_keys)(const AttentionKeySums&);
};

struct AttentionSlots {
  AttentionKernels f32, bf16;
};

}  // namespace intarsia::kernel
