// Attention on arrays: says for each head what the range kernels need to know, and shares the work among the
// threads.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "core/fail.h"
#include "core/threads.h"
#include "kernel/attention/attention_f64.h"
#include "kernel/kernels.h"
#include "kernel/table.h"

namespace intarsia::kernel {
namespace {

constexpr double log2_e = 1.4426950408889634;

const AttentionKernels& kernels_for(DType dtype) {
  const AttentionSlots& slots = table().attention;
  switch (dtype) {
    case DType::f32:
      return slots.f32;
    case DType::bf16:
      return slots.bf16;
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
int64_t offset(const Array& x, int64_t b, int64_t head) { return b * x.strides()[0] + head * x.strides()[2]; }

Array bytes(int64_t count) { return Array::empty({count}, DType::u8); }
int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

std::vector<Array> as_f32(std::span<const Array> x) {
  std::vector<Array> wide;
  for (const Array& a : x) wide.push_back(cast(a, DType::f32));
  return wide;
}

// The least and the greatest of each `attention_range` numbers of the rows of x, [rows, n + attention_slack].
Array ranges_of(const Array& x, int64_t n) {
  const int64_t rows = x.dim(0), count = (n + attention_range - 1) / attention_range;
  Array ranges = Array::empty({rows, count, 2}, DType::i32);
  int32_t* out = ranges.mutable_data<int32_t>();
  for (int64_t row = 0; row < rows; row++)
    for (int64_t i = 0; i < count; i++, out += 2) {
      const int32_t* begin = x.data<int32_t>() + row * x.dim(1) + i * attention_range;
      const auto [low, high] =
          std::minmax_element(begin, begin + std::min(attention_range, n - i * attention_range));
      out[0] = *low, out[1] = *high;
    }
  return ranges;
}

// What all heads need of a rule, in the kernels' form.
class Preparation {
 public:
  Preparation(const Array& q, int64_t keys, int64_t kv_heads, const AttentionRule& rule, bool backward)
      : q_(q), rule_(rule), queries_(q.dim(1)), keys_(keys), group_(q.dim(2) / kv_heads) {
    if (rule.key_mask || rule.documents) number_groups();
    if (rule.query_scale) {
      query_scale_ = Array::zeros({queries_ + attention_slack});
      for (int64_t i = 0; i < queries_; i++)
        query_scale_.mutable_data<float>()[i] = static_cast<float>(rule.query_scale.data<double>()[i]);
    }
    if (rule.formula) formula_ = rule.formula();
    if (rule.bias) expand_bias(backward);
  }

  AttentionHeads heads(int64_t b, int64_t kv_head) const {
    const int64_t head = kv_head * group_;
    AttentionHeads h{};
    h.mask = {queries_,
              keys_,
              keys_ - queries_,
              group_,
              rule_.causal,
              rule_.prefix ? rule_.prefix.data<int64_t>()[b] : 0,
              rule_.window,
              rule_.sinks,
              nullptr,
              nullptr,
              nullptr,
              nullptr,
              nullptr,
              0,
              0,
              0};
    if (key_group_) {
      h.mask.query_group = query_group_.data<int32_t>() + b * query_group_.dim(1);
      h.mask.key_group = key_group_.data<int32_t>() + b * key_group_.dim(1);
      h.mask.query_range =
          reinterpret_cast<const int32_t(*)[2]>(query_range_.data<int32_t>()) + b * query_range_.dim(1);
      h.mask.key_range =
          reinterpret_cast<const int32_t(*)[2]>(key_range_.data<int32_t>()) + b * key_range_.dim(1);
    }
    if (const Array& cells = rule_.cells) {
      h.mask.cell = rule_.cell;
      h.mask.cells_row = cells.dim(2);
      h.mask.cells_head = cells.dim(0) == 1 ? 0 : cells.dim(1) * cells.dim(2);
      h.mask.cells = cells.data<uint8_t>() + head * h.mask.cells_head;
    }
    h.score.query_scale = query_scale_ ? query_scale_.data<float>() : nullptr;
    h.score.cap = static_cast<float>(rule_.soft_cap * log2_e);
    h.score.formula = rule_.formula ? &formula_ : nullptr;
    if (bias_) {
      h.score.bias_head = bias_.dim(0) == 1 ? 0 : bias_.dim(1);
      h.score.bias = bias_.data<float>() + head * h.score.bias_head + attention_slack;
    }
    if (rule_.dropout > 0) {
      const auto before = static_cast<uint64_t>((b * q_.dim(2) + head) * queries_ * ((keys_ + 3) / 4));
      h.dropout = {true,
                   rule_.seed,
                   rule_.stream,
                   rule_.index + before,
                   static_cast<uint64_t>(std::llround((1 - rule_.dropout) * 0x1p32)),
                   static_cast<float>(1 / (1 - rule_.dropout))};
    }
    h.head_size = q_.dim(3);
    h.scale = rule_.scale;
    h.q = at(q_, offset(q_, b, head));
    h.q_time = q_.strides()[1];
    h.q_head = q_.strides()[2];
    return h;
  }

 private:
  // Documents are numbers that query and key must share; padding has one that nobody else has.
  void number_groups() {
    const int64_t batch = q_.dim(0), first = keys_ - queries_;
    query_group_ = Array::zeros({batch, queries_ + attention_slack}, DType::i32);
    key_group_ = Array::zeros({batch, keys_ + attention_slack}, DType::i32);
    int32_t *queries = query_group_.mutable_data<int32_t>(), *keys = key_group_.mutable_data<int32_t>();
    for (int64_t b = 0; b < batch; b++) {
      int32_t* query = queries + b * query_group_.dim(1);
      int32_t* key = keys + b * key_group_.dim(1);
      if (rule_.documents) {
        const int32_t* document = rule_.documents.data<int32_t>() + b * keys_;
        for (int64_t j = 0; j < keys_; j++) key[j] = std::max(document[j], -1);
        for (int64_t i = 0; i < queries_; i++) query[i] = document[first + i] < 0 ? -2 : document[first + i];
      }
      if (rule_.key_mask)
        for (int64_t j = 0; j < keys_; j++)
          if (!rule_.key_mask.data<uint8_t>()[b * keys_ + j]) key[j] = -1;
    }
    query_range_ = ranges_of(query_group_, queries_);
    key_range_ = ranges_of(key_group_, keys_);
  }

  // From distances up to R, beyond which the last one holds, to all that occur, in base 2.
  void expand_bias(bool backward) {
    const int64_t heads = rule_.bias.dim(0), width = rule_.bias.dim(1), reach = width / 2;
    const int64_t distances = queries_ + keys_ - 1;
    bias_ = Array::zeros({heads, distances + 2 * attention_slack});
    float* out = bias_.mutable_data<float>();
    for (int64_t head = 0; head < heads; head++)
      for (int64_t e = 0; e < distances; e++) {
        const int64_t distance = (backward ? distances - 1 - e : e) - (keys_ - 1);
        const int64_t column = reach + std::clamp(distance, -reach, reach);
        out[head * bias_.dim(1) + attention_slack + e] =
            static_cast<float>(rule_.bias.data<double>()[head * width + column] * log2_e);
      }
  }

  const Array& q_;
  const AttentionRule& rule_;
  int64_t queries_, keys_, group_;
  Array query_group_, key_group_, query_range_, key_range_, query_scale_, bias_;
  PointwiseKernel formula_;
};

AttentionOutput output_of(const Array& o, void* out, AttentionNorm* norms, int64_t b, int64_t head) {
  return {at(out, o.dtype(), offset(o, b, head)), o.strides()[1], o.strides()[2],
          norms ? norms + (b * o.dim(2) + head) * o.dim(1) : nullptr};
}

// Runs work(unit, scratch) for all units, on threads that each take the next one.
template <class Work>
void share(int64_t units, int64_t scratch_bytes, Work work) {
  const auto threads = static_cast<int>(std::clamp<int64_t>(units, 1, thread_count()));
  scratch_bytes = aligned(scratch_bytes);
  // Taken before the threads start: what the pool holds must not depend on which of them run at the same
  // time.
  Array scratch = bytes(threads * scratch_bytes);
  void* memory = scratch.raw_mutable();
  std::atomic<int64_t> next{0};
  parallel(threads, [&](int part) {
    void* mine = at(memory, DType::u8, part * scratch_bytes);
    for (int64_t unit; (unit = next.fetch_add(1, std::memory_order_relaxed)) < units;) work(unit, mine);
  });
}

// The run that holds position `key`, and where in it.
struct Place {
  const void *k, *v;
  int64_t k_time, v_time, left, bytes;  // of an element
};
Place place_of(const AttentionBlocks& kv, int64_t b, int64_t head, int64_t key) {
  const auto run = static_cast<size_t>(key / kv.block);
  const int64_t within = key % kv.block;
  const Array &k = kv.k[run], &v = kv.v[run];
  return {at(k, offset(k, b, head) + within * k.strides()[1]),
          at(v, offset(v, b, head) + within * v.strides()[1]),
          k.strides()[1],
          v.strides()[1],
          kv.block - within,
          info(k.dtype()).bytes};
}

// Brings a block of keys and values of all heads into the cache, from end to end: the hardware fetches ahead
// of such a walk, but not of heads that each take short pieces far apart. Asking for lines in time, between
// the instructions that compute, was slower: requests are dropped while too many are under way.
void read_block(const Place& place, int64_t keys, int64_t row) {
  if (place.k_time != row || place.v_time != row) return;
  constexpr int64_t line = 64;
  const auto *k = static_cast<const char*>(place.k), *v = static_cast<const char*>(place.v);
  for (int64_t i = 0; i < keys * row * place.bytes; i += line) {
    asm volatile("" ::"r"(k[i]));
    asm volatile("" ::"r"(v[i]));
  }
}

// Few rows, as when a token is decoded: the time is that of reading keys and values, which the threads share
// block by block, all heads of a block together, since they lie side by side in memory.
void attention_few(const AttentionKernels& kernels, const Preparation& prepared, const AttentionBlocks& kv,
                   int64_t batch, Array& o, AttentionNorm* norms) {
  const int64_t kv_heads = kv.k[0].dim(2), group = o.dim(2) / kv_heads;
  const int64_t blocks = (kv.keys + attention_block - 1) / attention_block;
  const AttentionHeads any = prepared.heads(0, 0);
  const int64_t part = kernels.partial_bytes(any);
  Array partials = bytes(batch * kv_heads * blocks * part);
  void* memory = partials.raw_mutable();
  // Single heads and blocks where there are too few blocks to keep the threads busy.
  const bool plenty = batch * blocks >= int64_t{16} * thread_count();
  const int64_t heads_together = plenty ? kv_heads : 1, blocks_together = plenty ? 4 : 1;
  const int64_t head_pieces = kv_heads / heads_together;
  const int64_t block_pieces = (blocks + blocks_together - 1) / blocks_together;
  share(batch * block_pieces * head_pieces, kernels.block_scratch(any), [&](int64_t unit, void* scratch) {
    const int64_t b = unit / head_pieces / block_pieces,
                  first = unit / head_pieces % block_pieces * blocks_together;
    const int64_t steps = std::min(blocks_together, blocks - first) * heads_together;
    for (int64_t step = 0; step < steps; step++) {
      const int64_t h = unit % head_pieces + step % heads_together, block = first + step / heads_together;
      const int64_t key = block * attention_block;
      const Place here = place_of(kv, b, h, key);
      if (plenty && h == 0)
        read_block(here, std::min(attention_block, kv.keys - key), kv_heads * any.head_size);
      kernels.forward_block({prepared.heads(b, h), key, here.k, here.v, here.k_time, here.v_time,
                             at(memory, DType::u8, ((b * kv_heads + h) * blocks + block) * part), scratch});
    }
  });
  void* out = o.raw_mutable();
  share(batch * kv_heads, part, [&](int64_t unit, void* scratch) {
    const int64_t b = unit / kv_heads, h = unit % kv_heads;
    kernels.join({prepared.heads(b, h), output_of(o, out, norms, b, h * group),
                  at(memory, DType::u8, unit * blocks * part), blocks, scratch});
  });
}

void attention_many(const AttentionKernels& kernels, const Preparation& prepared, const AttentionBlocks& kv,
                    int64_t batch, Array& o, AttentionNorm* norms) {
  const int64_t kv_heads = kv.k[0].dim(2), group = o.dim(2) / kv_heads, queries = o.dim(1);
  // Packing goes by (batch, key/value head, piece of keys).
  const AttentionHeads any = prepared.heads(0, 0);
  const int64_t packed_bytes = aligned(kernels.packed_bytes(any));
  Array packed = bytes(batch * kv_heads * packed_bytes);
  void* memory = packed.raw_mutable();
  const int64_t piece = 4 * attention_block, pieces = (kv.keys + piece - 1) / piece;
  parallel_for(batch * kv_heads * pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; unit++) {
      const int64_t head = unit / pieces, stop = std::min(kv.keys, (unit % pieces + 1) * piece);
      for (int64_t key = unit % pieces * piece; key < stop;) {
        const Place place = place_of(kv, head / kv_heads, head % kv_heads, key);
        const int64_t to = std::min(stop, key + place.left);
        kernels.pack(any, place.k, place.k_time, place.v, place.v_time, key, to,
                     at(memory, DType::u8, head * packed_bytes));
        key = to;
      }
    }
  });

  // Rows go by (batch, key/value head, piece of rows); the latest ones see most keys, so they are handed out
  // first.
  const int64_t rows = queries * group, row_piece = std::max<int64_t>(192, (rows + 63) / 64);
  const int64_t row_pieces = (rows + row_piece - 1) / row_piece, heads = batch * kv_heads;
  void* out = o.raw_mutable();
  share(heads * row_pieces, kernels.forward_scratch(any), [&](int64_t unit, void* scratch) {
    const int64_t begin = (row_pieces - 1 - unit / heads) * row_piece, head = unit % heads;
    const int64_t b = head / kv_heads, h = head % kv_heads;
    kernels.forward({prepared.heads(b, h), output_of(o, out, norms, b, h * group),
                     at(memory, DType::u8, head * packed_bytes), begin, std::min(rows, begin + row_piece),
                     scratch});
  });
}

constexpr int64_t few_rows = 24;

// In how many pieces a head's backward pass is shared among threads, where there are too few heads for them.
// It must not depend on the number of threads, because each piece sums dK and dV apart.
int64_t backward_pieces(int64_t heads, int64_t rows) {
  constexpr int64_t units = 4, rows_worth_it = 384;
  return std::clamp<int64_t>((units + heads - 1) / heads, 1, std::max<int64_t>(1, rows / rows_worth_it));
}

}  // namespace

void attention(const Array& q, const AttentionBlocks& kv, const AttentionRule& rule, Array& o, Array* norms) {
  if (q.dtype() == DType::f16) {
    const std::vector<Array> k = as_f32(kv.k), v = as_f32(kv.v);
    Array wide = Array::empty(o.shape());
    attention(cast(q, DType::f32), {k, v, kv.block, kv.keys}, rule, wide, norms);
    return copy(wide, o);
  }
  if (q.dtype() == DType::f64) return attention_f64(q, kv, rule, o, norms);
  const AttentionKernels& kernels = kernels_for(q.dtype());
  const int64_t batch = q.dim(0), kv_heads = kv.k[0].dim(2);
  if (kv.k.size() > 1 && kv.block % attention_block)
    fail("attention: blocks of {} keys, expected a multiple of {}", kv.block, attention_block);
  if (q.size() == 0) return;
  if (kv.keys == 0) {
    fill(o, 0);
    if (norms) fill(*norms, 0);
    return;
  }
  static_assert(sizeof(AttentionNorm) == sizeof(double));
  auto* norms_out = norms ? reinterpret_cast<AttentionNorm*>(norms->mutable_data<double>()) : nullptr;
  const Preparation prepared(q, kv.keys, kv_heads, rule, false);
  const bool few = q.dim(1) * (q.dim(2) / kv_heads) <= few_rows;
  (few ? attention_few : attention_many)(kernels, prepared, kv, batch, o, norms_out);
}

void attention_backward(const Array& q, const Array& k, const Array& v, const Array& o, const Array& norms,
                        const Array& d_o, const AttentionRule& rule, Array& dq, Array& dk, Array& dv,
                        Array* d_bias) {
  if (q.dtype() == DType::f16) {
    Array wide[3] = {Array::empty(q.shape()), Array::empty(k.shape()), Array::empty(k.shape())};
    const auto f32 = [](const Array& x) { return cast(x, DType::f32); };
    attention_backward(f32(q), f32(k), f32(v), f32(o), norms, f32(d_o), rule, wide[0], wide[1], wide[2],
                       d_bias);
    copy(wide[0], dq);
    copy(wide[1], dk);
    return copy(wide[2], dv);
  }
  if (q.dtype() == DType::f64)
    return attention_backward_f64(q, k, v, o, norms, d_o, rule, dq, dk, dv, d_bias);
  if (q.size() == 0 || k.size() == 0) {
    for (Array* x : {&dq, &dk, &dv, d_bias})
      if (x) fill(*x, 0);
    return;
  }
  const AttentionKernels& kernels = kernels_for(q.dtype());
  const int64_t batch = q.dim(0), heads = q.dim(2), kv_heads = k.dim(2), group = heads / kv_heads;
  const int64_t queries = q.dim(1), keys = k.dim(1), distances = queries + keys - 1;
  const Preparation prepared(q, keys, kv_heads, rule, true);
  const AttentionHeads any = prepared.heads(0, 0);
  const int64_t pieces = backward_pieces(batch * kv_heads, group * queries);
  // Of one piece the sums of dK and dV are finished at once; those of several wait for each other.
  const int64_t sums_bytes = aligned(kernels.sums_bytes(any)),
                scratch_bytes = aligned(kernels.backward_scratch(any));
  Array waiting = bytes(pieces > 1 ? batch * kv_heads * pieces * sums_bytes : 0);
  void *dq_out = dq.raw_mutable(), *dk_out = dk.raw_mutable(), *dv_out = dv.raw_mutable(),
       *sums_out = waiting.raw_mutable();
  Array by_distance = Array::empty({d_bias ? batch * heads * pieces * distances : 0});
  float* by_distance_out = by_distance.mutable_data<float>();
  const auto keys_of = [&](int64_t head, void* sums, int64_t begin, int64_t end) {
    const int64_t b = head / kv_heads, h = head % kv_heads;
    kernels.backward_keys({prepared.heads(b, h), static_cast<float*>(sums), pieces, begin, end,
                           at(dk_out, dk.dtype(), offset(dk, b, h)), at(dv_out, dv.dtype(), offset(dv, b, h)),
                           dk.strides()[1], dv.strides()[1]});
  };
  share(batch * kv_heads * pieces, scratch_bytes + (pieces > 1 ? 0 : sums_bytes),
        [&](int64_t unit, void* scratch) {
          const int64_t head = unit / pieces, b = head / kv_heads, h = head % kv_heads, first = h * group;
          void* sums =
              pieces > 1 ? at(sums_out, DType::u8, unit * sums_bytes) : at(scratch, DType::u8, scratch_bytes);
          AttentionBackward w{};
          w.heads = prepared.heads(b, h);
          w.piece = unit % pieces, w.pieces = pieces;
          w.o = at(o, offset(o, b, first));
          w.o_time = o.strides()[1], w.o_head = o.strides()[2];
          w.d_o = at(d_o, offset(d_o, b, first));
          w.do_time = d_o.strides()[1], w.do_head = d_o.strides()[2];
          w.k = at(k, offset(k, b, h));
          w.v = at(v, offset(v, b, h));
          w.k_time = k.strides()[1], w.v_time = v.strides()[1];
          w.norms =
              reinterpret_cast<const AttentionNorm*>(norms.data<double>()) + (b * heads + first) * queries;
          w.dq = at(dq_out, dq.dtype(), offset(dq, b, first));
          w.dq_time = dq.strides()[1], w.dq_head = dq.strides()[2];
          w.d_bias = d_bias ? by_distance_out + unit * group * distances : nullptr;
          w.sums = static_cast<float*>(sums);
          w.scratch = scratch;
          kernels.backward(w);
          if (pieces == 1) keys_of(head, sums, 0, keys);
        });
  if (pieces > 1)
    parallel_for(batch * kv_heads * keys, 64, [&](int64_t begin, int64_t end) {
      for (int64_t at_key = begin; at_key < end;) {
        const int64_t head = at_key / keys, stop = std::min(end, (head + 1) * keys);
        keys_of(head, at(sums_out, DType::u8, head * pieces * sums_bytes), at_key - head * keys,
                stop - head * keys);
        at_key = stop;
      }
    });
  if (!d_bias) return;
  fill(*d_bias, 0);
  double* sums = d_bias->mutable_data<double>();
  const int64_t width = d_bias->dim(1), reach = width / 2;
  const float* part = by_distance.data<float>();
  for (int64_t unit = 0; unit < batch * kv_heads * pieces; unit++)
    for (int64_t g = 0; g < group; g++, part += distances) {
      const int64_t head = unit / pieces % kv_heads * group + g;
      for (int64_t e = 0; e < distances; e++) {
        const int64_t column = reach + std::clamp(queries - 1 - e, -reach, reach);
        sums[(d_bias->dim(0) == 1 ? 0 : head) * width + column] += part[e];
      }
    }
}

}  // namespace intarsia::kernel
