// intarsia bench products: linear layers, their weights packed in each call or once, and their gradients.
#include <fmt/core.h>

#include <memory>

#include "cli/bench/item.h"
#include "intarsia/op.h"
#include "kernel/measure.h"

namespace intarsia::cli {
namespace {

struct Sizes {
  int64_t m, k, n;
  std::string text() const { return fmt::format("{}x{}x{}", m, k, n); }
  double operations() const { return 2.0 * static_cast<double>(m) * static_cast<double>(k * n); }
};

Item of_sizes(const std::string& title, const char* name, const Sizes& s, DType dtype, int threads) {
  Item item;
  item.title = fmt::format("{} {} {}", title, info(dtype).name, s.text());
  item.request = {{"name", name}, {"m", s.m}, {"k", s.k}, {"n", s.n}, {"dtype", info(dtype).name}};
  item.work = s.operations();
  item.unit = Item::Unit::flops;
  item.dtype = dtype;
  item.threads = threads;
  return item;
}

Item linear_item(const Sizes& s, DType dtype, int threads, bool packed) {
  Item item = of_sizes(packed ? "linear" : "linear, packing", "linear", s, dtype, threads);
  item.prepare = [=]() -> Call {
    const Tensor x = random_array({s.m, s.k}, dtype), w = random_array({s.n, s.k}, dtype, 1);
    if (!packed) return [=] { linear(x, w); };
    const PackedWeight weight = pack(w);
    return [=] { linear(x, weight); };
  };
  return item;
}

Item weight_gradient_item(const Sizes& s, DType dtype, int threads) {
  Item item = of_sizes("weight gradient", "weight_gradient", s, dtype, threads);
  item.prepare = [=]() -> Call {
    const Tensor x = random_array({s.m, s.k}, dtype), dy = random_array({s.m, s.n}, dtype, 1);
    return [=] { matmul(transpose(dy), x); };
  };
  return item;
}

// One row times eight matrices, one after the other, so that none is left in a cache; beside it the same
// bytes are only read.
Item decode_item(int64_t size, DType dtype, int threads) {
  constexpr int64_t matrices = 8;
  Item item = of_sizes("8 in turn", "linear", {1, size, size}, dtype, threads);
  item.request["matrices"] = matrices;
  item.work = static_cast<double>(matrices * size * size * info(dtype).bytes);
  item.unit = Item::Unit::bytes;
  const auto weights = [=] {
    std::vector<PackedWeight> all;
    for (int64_t i = 0; i < matrices; i++)
      all.push_back(pack(random_array({size, size}, dtype, static_cast<uint64_t>(i))));
    return all;
  };
  item.prepare = [=]() -> Call {
    const Tensor x = random_array({1, size}, dtype);
    const auto all = std::make_shared<std::vector<PackedWeight>>(weights());
    return [=] {
      for (const PackedWeight& w : *all) linear(x, w);
    };
  };
  item.limit = [=]() -> Call {
    const auto all = std::make_shared<std::vector<PackedWeight>>(weights());
    return [=] {
      for (const PackedWeight& w : *all) kernel::read_only(w.panels);
    };
  };
  return item;
}

Item int8_item(const Sizes& s, int threads) {
  Item item = of_sizes("product of", "int8_product", s, DType::i8, threads);
  item.request.erase("dtype");
  item.prepare = [=]() -> Call {
    const QuantizedRows a = quantize_rows(random_array({s.m, s.k}, DType::f32));
    const QuantizedRows b = quantize_rows(random_array({s.n, s.k}, DType::f32, 1));
    return [=] { matmul_int8(a.values, transpose(b.values)); };
  };
  return item;
}

// Rows in groups of experts: 64 rows each on average, unevenly.
Item grouped_item(DType dtype, int threads) {
  constexpr int64_t experts = 32, k = 1024, n = 512;
  auto sizes = std::make_shared<std::vector<int64_t>>();
  int64_t rows = 0;
  for (int64_t i = 0; i < experts; i++) {
    sizes->push_back(i % 4 == 3 ? 0 : 16 + 37 * i % 160);
    rows += sizes->back();
  }
  Item item = of_sizes("32 experts", "grouped", {rows, k, n}, dtype, threads);
  item.request["sizes"] = *sizes;
  item.prepare = [=]() -> Call {
    const Tensor x = random_array({rows, k}, dtype), w = random_array({experts, n, k}, dtype, 1);
    return [=] { grouped_matmul(x, *sizes, transpose(w)); };
  };
  return item;
}

}  // namespace

std::vector<Item> product_items() {
  std::vector<int> threads = {1};
  if (thread_count() > 1) threads.push_back(thread_count());
  std::vector<Item> items;
  for (const int t : threads) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const Sizes& s :
           {Sizes{4096, 768, 768}, Sizes{4096, 768, 3072}, Sizes{4096, 3072, 768}, Sizes{2048, 2048, 2048},
            Sizes{512, 576, 1536}, Sizes{768, 128, 512}, Sizes{8, 768, 3072}, Sizes{1, 4096, 4096}}) {
        for (const bool packed : {true, false}) items.push_back(linear_item(s, dtype, t, packed));
      }
      items.push_back(weight_gradient_item({4096, 768, 3072}, dtype, t));
      items.push_back(weight_gradient_item({4096, 3072, 768}, dtype, t));
      items.push_back(weight_gradient_item({768, 128, 512}, dtype, t));
      items.push_back(decode_item(4096, dtype, t));
      items.push_back(grouped_item(dtype, t));
    }
    items.push_back(int8_item({4096, 768, 3072}, t));
  }
  return items;
}

}  // namespace intarsia::cli
