// Range kernels of attention. Keys and values of one head are packed once (pack), then any range of queries
// of any of the query heads that share them is computed from the packed form (forward). The backward does one
// key/value head.
#pragma once
#include <cstdint>

namespace intarsia::kernel {

// Keys are processed in blocks of this many positions, cut at its multiples on every path: a result does not
// depend on how a prompt was chunked or where a cache's blocks lie.
constexpr int64_t attention_block = 256;

struct AttentionHead {  // strides in elements; the last axis is contiguous
  int64_t queries, keys;
  int64_t head_size;
  int64_t first;  // causal: query i sees keys 0 .. first + i
  bool causal;
  double scale;
};

struct AttentionForward {
  AttentionHead shape;
  const void* q;  // of one head
  int64_t q_time;
  const void* packed;  // what pack wrote
  void* o;
  int64_t o_time;
  void* lse;           // [queries] natural logarithm, f32 (f64 for f64), or null
  int64_t begin, end;  // the queries to compute
  void* scratch;
};

struct AttentionBackward {  // one key/value head and the `group` query heads that share it
  AttentionHead shape;
  int64_t group;
  const void *q, *o, *d_o;  // head g at + g * (its head stride)
  int64_t q_time, q_head, o_time, o_head, do_time, do_head;
  const void *k, *v;
  int64_t k_time, v_time;
  const void* lse;
  int64_t lse_head;
  void *dq, *dk, *dv;
  int64_t dq_time, dq_head, dk_time, dv_time;
  void* scratch;
};

struct AttentionKernels {  // of one element type
  int64_t (*packed_bytes)(const AttentionHead&);
  // Packs positions begin .. end (begin a multiple of attention_block) that lie at k and v.
  void (*pack)(const AttentionHead&, const void* k, int64_t k_time, const void* v, int64_t v_time,
               int64_t begin, int64_t end, void* packed);
  int64_t (*forward_scratch)(const AttentionHead&);
  void (*forward)(const AttentionForward&);
  int64_t (*backward_scratch)(const AttentionHead&, int64_t group);
  void (*backward)(const AttentionBackward&);
};

struct AttentionSlots {
  AttentionKernels f32, bf16, f64;
};

}  // namespace intarsia::kernel
