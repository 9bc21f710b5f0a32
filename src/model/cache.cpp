#include "model/cache.h"

#include <algorithm>

#include "core/fail.h"
#include "kernel/kernels.h"

namespace intarsia {

namespace {

// Positions [begin, begin + count) of x [N, Hkv, d].
Array positions(const Array& x, int64_t begin, int64_t count) {
  return x.view({count, x.dim(-2), x.dim(-1)}, {x.strides()[-3], x.strides()[-2], x.strides()[-1]},
                begin * x.strides()[-3]);
}

}  // namespace

Cache::Cache(int64_t layers, int64_t kv_heads, int64_t head_size, DType dtype)
    : layers_(static_cast<size_t>(layers)), kv_heads_(kv_heads), head_size_(head_size), dtype_(dtype) {}

void Cache::append(int64_t layer, const Array& k, const Array& v) {
  const Shape expected = {1, k.rank() == 4 ? k.dim(1) : 0, kv_heads_, head_size_};
  if (!(k.shape() == expected) || !(v.shape() == expected))
    fail("cache: k has shape {} and v {}, expected [1, time, {}, {}]", k.shape().text(), v.shape().text(),
         kv_heads_, head_size_);
  Layer& store = layers_[static_cast<size_t>(layer)];
  const int64_t tokens = k.dim(1);
  for (int64_t done = 0; done < tokens;) {
    const int64_t position = length_ + done;
    const auto index = static_cast<size_t>(position / block);
    const int64_t inside = position % block;
    const int64_t count = std::min(block - inside, tokens - done);
    if (index == store.k.size()) {
      store.k.push_back(Array::empty({block, kv_heads_, head_size_}, dtype_));
      store.v.push_back(Array::empty({block, kv_heads_, head_size_}, dtype_));
    }
    Array k_room = positions(store.k[index], inside, count);
    Array v_room = positions(store.v[index], inside, count);
    kernel::copy(positions(k, done, count), k_room);
    kernel::copy(positions(v, done, count), v_room);
    done += count;
  }
}

void Cache::rewind(int64_t length) {
  if (length < 0 || length > length_) fail("cache: cannot rewind to {} of {} positions", length, length_);
  length_ = length;
}

size_t Cache::bytes() const {
  size_t total = 0;
  for (const Layer& layer : layers_) {
    for (const Array& k : layer.k) total += k.bytes();
    for (const Array& v : layer.v) total += v.bytes();
  }
  return total;
}

Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, Cache* cache, int64_t layer) {
  if (!cache) return attention(q, k, v);
  cache->append(layer, k.array(), v.array());
  const int64_t keys = cache->length() + q.dim(1);
  return attention(q, cache->keys(layer), cache->values(layer), Cache::block, keys);
}

}  // namespace intarsia
