// Attention on arrays: packs keys and values once, then computes ranges of queries on all threads.
#include <algorithm>
#include <atomic>
#include <vector>

#include "core/fail.h"
#include "core/threads.h"
#include "kernel/kernels.h"
#include "kernel/table.h"

namespace intarsia::kernel {
namespace {

const AttentionKernels& kernels_for(DType dtype) {
  const AttentionSlots& slots = table().attention;
  switch (dtype) {
    case DType::f32:
      return slots.f32;
    case DType::bf16:
      return slots.bf16;
    case DType::f64:
      return slots.f64;
    default:
      fail("attention: type {} has no kernel", info(dtype).name);
  }
}

// A pointer `elements` further on.
const void* at(const Array& x, int64_t elements) {
  return static_cast<const char*>(x.raw()) + elements * info(x.dtype()).bytes;
}
void* at(void* x, DType dtype, int64_t elements) {
  return static_cast<char*>(x) + elements * info(dtype).bytes;
}

AttentionHead head_shape(const Array& q, int64_t keys, const AttentionShape& shape) {
  return {q.dim(1), keys, q.dim(3), keys - q.dim(1), shape.causal, shape.scale};
}

Array bytes(int64_t count) { return Array::empty({count}, DType::u8); }

std::vector<Array> as_f32(std::span<const Array> x) {
  std::vector<Array> wide;
  for (const Array& a : x) wide.push_back(cast(a, DType::f32));
  return wide;
}

}  // namespace

void attention(const Array& q, const AttentionBlocks& kv, AttentionShape shape, Array& o, Array* lse) {
  if (q.dtype() == DType::f16) {
    const std::vector<Array> k = as_f32(kv.k), v = as_f32(kv.v);
    Array wide = Array::empty(o.shape());
    attention(cast(q, DType::f32), {k, v, kv.block, kv.keys}, shape, wide, lse);
    return copy(wide, o);
  }
  const AttentionKernels& kernels = kernels_for(q.dtype());
  const AttentionHead s = head_shape(q, kv.keys, shape);
  const int64_t batch = q.dim(0), heads = q.dim(2), kv_heads = kv.k[0].dim(2), group = heads / kv_heads;
  if (kv.k.size() > 1 && kv.block % attention_block)
    fail("attention: blocks of {} keys, expected a multiple of {}", kv.block, attention_block);
  if (batch == 0 || s.queries == 0 || heads == 0) return;

  // Packing goes by (batch, key/value head, piece of keys).
  const int64_t packed_bytes = (kernels.packed_bytes(s) + 63) / 64 * 64;
  Array packed = bytes(batch * kv_heads * packed_bytes);
  void* packed_memory = packed.raw_mutable();
  const int64_t piece = attention_block * std::max<int64_t>(1, 1024 / attention_block);
  const int64_t pieces = (s.keys + piece - 1) / piece;
  const auto pack_part = [&](int64_t unit) {
    const int64_t head = unit / pieces, b = head / kv_heads, h = head % kv_heads;
    const int64_t end = std::min(s.keys, (unit % pieces + 1) * piece);
    for (int64_t key = unit % pieces * piece; key < end;) {
      const auto run = static_cast<size_t>(key / kv.block);
      const int64_t within = key % kv.block, stop = std::min(end, key + kv.block - within);
      const Array &k = kv.k[run], &v = kv.v[run];
      kernels.pack(s, at(k, b * k.strides()[0] + within * k.strides()[1] + h * k.strides()[2]),
                   k.strides()[1], at(v, b * v.strides()[0] + within * v.strides()[1] + h * v.strides()[2]),
                   v.strides()[1], key, stop, at(packed_memory, DType::u8, head * packed_bytes));
      key = stop;
    }
  };
  parallel_for(batch * kv_heads * pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; unit++) pack_part(unit);
  });

  // Queries go by (batch, head, piece of queries); the latest queries see most keys, so they are handed out
  // first.
  const int64_t query_piece = std::max<int64_t>(192, (s.queries + 63) / 64);
  const int64_t query_pieces = (s.queries + query_piece - 1) / query_piece;
  void* out = o.raw_mutable();
  void* lse_out = lse ? lse->raw_mutable() : nullptr;
  const DType lse_type = q.dtype() == DType::f64 ? DType::f64 : DType::f32;
  const int64_t scratch_bytes = (kernels.forward_scratch(s) + 63) / 64 * 64;
  const auto compute = [&](int64_t unit, void* scratch) {
    const int64_t part = query_pieces - 1 - unit / (batch * heads), index = unit % (batch * heads);
    const int64_t b = index / heads, h = index % heads;
    AttentionForward w{};
    w.shape = s;
    w.q = at(q, b * q.strides()[0] + h * q.strides()[2]);
    w.q_time = q.strides()[1];
    w.packed = at(packed_memory, DType::u8, (b * kv_heads + h / group) * packed_bytes);
    w.o = at(out, o.dtype(), b * o.strides()[0] + h * o.strides()[2]);
    w.o_time = o.strides()[1];
    w.lse = lse_out ? at(lse_out, lse_type, (b * heads + h) * s.queries) : nullptr;
    w.begin = part * query_piece;
    w.end = std::min(s.queries, w.begin + query_piece);
    w.scratch = scratch;
    kernels.forward(w);
  };
  const int64_t units = batch * heads * query_pieces;
  const auto threads = static_cast<int>(std::min<int64_t>(units, thread_count()));
  std::atomic<int64_t> next{0};
  // Taken before the threads start: what the pool holds must not depend on which of them run at the same
  // time.
  Array scratch = bytes(threads * scratch_bytes);
  void* scratch_memory = scratch.raw_mutable();
  parallel(threads, [&](int part) {
    void* memory = at(scratch_memory, DType::u8, part * scratch_bytes);
    for (int64_t unit; (unit = next.fetch_add(1, std::memory_order_relaxed)) < units;) compute(unit, memory);
  });
}

void attention_backward(const Array& q, const Array& k, const Array& v, const Array& o, const Array& lse,
                        const Array& d_o, AttentionShape shape, Array& dq, Array& dk, Array& dv) {
  if (q.dtype() == DType::f16) {
    Array wide[3] = {Array::empty(q.shape()), Array::empty(k.shape()), Array::empty(k.shape())};
    const auto f32 = [](const Array& x) { return cast(x, DType::f32); };
    attention_backward(f32(q), f32(k), f32(v), f32(o), lse, f32(d_o), shape, wide[0], wide[1], wide[2]);
    copy(wide[0], dq);
    copy(wide[1], dk);
    return copy(wide[2], dv);
  }
  const AttentionKernels& kernels = kernels_for(q.dtype());
  const AttentionHead s = head_shape(q, k.dim(1), shape);
  const int64_t batch = q.dim(0), heads = q.dim(2), kv_heads = k.dim(2), group = heads / kv_heads;
  void *dq_out = dq.raw_mutable(), *dk_out = dk.raw_mutable(), *dv_out = dv.raw_mutable();
  const int64_t scratch_bytes = (kernels.backward_scratch(s, group) + 63) / 64 * 64;
  const int64_t units = batch * kv_heads;
  std::atomic<int64_t> next{0};
  const auto threads = static_cast<int>(std::clamp<int64_t>(units, 1, thread_count()));
  Array scratch = bytes(threads * scratch_bytes);
  void* scratch_memory = scratch.raw_mutable();
  parallel(threads, [&](int part) {
    for (int64_t unit; (unit = next.fetch_add(1, std::memory_order_relaxed)) < units;) {
      const int64_t b = unit / kv_heads, h = unit % kv_heads, first = h * group;
      const auto offset = [&](const Array& x, int64_t head) {
        return b * x.strides()[0] + head * x.strides()[2];
      };
      AttentionBackward w{};
      w.shape = s;
      w.group = group;
      w.q = at(q, offset(q, first));
      w.o = at(o, offset(o, first));
      w.d_o = at(d_o, offset(d_o, first));
      w.k = at(k, offset(k, h));
      w.v = at(v, offset(v, h));
      w.q_time = q.strides()[1], w.q_head = q.strides()[2];
      w.o_time = o.strides()[1], w.o_head = o.strides()[2];
      w.do_time = d_o.strides()[1], w.do_head = d_o.strides()[2];
      w.k_time = k.strides()[1], w.v_time = v.strides()[1];
      w.lse = at(lse, (b * heads + first) * s.queries);
      w.lse_head = s.queries;
      w.dq = at(dq_out, dq.dtype(), offset(dq, first));
      w.dk = at(dk_out, dk.dtype(), offset(dk, h));
      w.dv = at(dv_out, dv.dtype(), offset(dv, h));
      w.dq_time = dq.strides()[1], w.dq_head = dq.strides()[2];
      w.dk_time = dk.strides()[1], w.dv_time = dv.strides()[1];
      w.scratch = at(scratch_memory, DType::u8, part * scratch_bytes);
      kernels.backward(w);
    }
  });
}

}  // namespace intarsia::kernel
