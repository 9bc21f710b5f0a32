// intarsia bench attention: PyTorch's scaled_dot_product_attention; what masks and score steps cost beside
// plain causal attention; memory against length.
#include <fmt/core.h>

#include "cli/bench/item.h"
#include "intarsia/map.h"
#include "intarsia/op.h"

namespace intarsia::cli {
namespace {

struct Sizes {
  int64_t batch, heads, tokens, d;
};

std::function<Call()> prepared(const Sizes& z, DType dtype, bool back, const AttentionOptions& options) {
  return [=]() -> Call {
    const Shape shape{z.batch, z.tokens, z.heads, z.d};
    std::vector<Tensor> x;
    for (uint64_t i = 0; i < 3; i++)
      x.push_back(back ? parameter(random_array(shape, dtype, i)) : Tensor(random_array(shape, dtype, i)));
    if (!back) return [=] { attention(x[0], x[1], x[2], options); };
    return backward_of(attention(x[0], x[1], x[2], options), random_array(shape, dtype, 9), x);
  };
}

Item attention_item(const std::string& what, const Sizes& z, DType dtype, bool back,
                    const AttentionOptions& options = {}) {
  Item item;
  item.title = fmt::format("attention{}{} {} {}x{}x{}x{}", what, back ? " backward" : "", info(dtype).name,
                           z.batch, z.heads, z.tokens, z.d);
  item.prepare = prepared(z, dtype, back, options);
  // Operations that plain causal attention needs.
  item.work = (back ? 5.0 : 2.0) * static_cast<double>(z.batch * z.heads * z.tokens) *
              static_cast<double>(z.tokens * z.d);
  item.unit = Item::Unit::flops;
  item.dtype = dtype;
  return item;
}

Item against_pytorch(const Sizes& z, DType dtype, bool back) {
  Item item = attention_item("", z, dtype, back);
  item.request = {{"name", back ? "attention_backward" : "attention"},
                  {"batch", z.batch},
                  {"heads", z.heads},
                  {"tokens", z.tokens},
                  {"head_size", z.d},
                  {"dtype", info(dtype).name}};
  return item;
}

// `share`: of the operations of plain causal attention that are needed.
Item against_plain(const std::string& what, const Sizes& z, bool back, const AttentionOptions& options,
                   double share = 1) {
  Item item = attention_item(" " + what, z, DType::bf16, back, options);
  item.work *= share;
  item.against = "plain causal attention";
  item.prepare_other = prepared(z, DType::bf16, back, {});
  return item;
}

void add_steps(std::vector<Item>& items, const Sizes& z, bool back) {
  const auto add = [&](const char* what, const auto& change, double share = 1) {
    AttentionOptions options;
    change(options);
    items.push_back(against_plain(what, z, back, options, share));
  };
  add("with log n", [&](AttentionOptions& o) { o.query_scale = log_n_scale(0, z.tokens, 512); });
  add("with ALiBi", [&](AttentionOptions& o) { o.bias = Tensor(alibi(z.heads, z.tokens - 1)); });
  add("with learned bias", [&](AttentionOptions& o) { o.bias = parameter(alibi(z.heads, 128)); });
  add("with soft cap", [](AttentionOptions& o) { o.soft_cap = 50; });
  add("with a formula", [](AttentionOptions& o) {
    o.formula = score_formula([](auto s, auto i, auto j) { return s - 0.01 * abs(i - j); });
  });
  add("with dropout", [](AttentionOptions& o) { o.dropout = 0.1; });
  add(
      "of 8 documents",
      [&](AttentionOptions& o) {
        o.documents = Array::empty({z.batch, z.tokens}, DType::i32);
        for (int64_t i = 0; i < z.tokens; i++)
          o.documents.mutable_data<int32_t>()[i] = static_cast<int32_t>(i * 8 / z.tokens);
      },
      1.0 / 8);
}

// What forward and backward hold at most beside q, k and v, by the pool's figures.
Item memory_item(int64_t tokens) {
  Item item;
  item.title = fmt::format("attention's memory, bf16 1x1x{}x64", tokens);
  item.bytes_held = [=] {
    const Shape shape{1, tokens, 1, 64};
    std::vector<Tensor> x;
    for (uint64_t i = 0; i < 3; i++) x.push_back(parameter(random_array(shape, DType::bf16, i)));
    const size_t before = memory_use().current;
    reset_peak_memory();
    backward(sum(attention(x[0], x[1], x[2])));
    return static_cast<double>(memory_use().peak - before);
  };
  return item;
}

}  // namespace

std::vector<Item> attention_items() {
  std::vector<Item> items;
  for (DType dtype : {DType::f32, DType::bf16})
    for (bool back : {false, true})
      for (const Sizes& z : {Sizes{12, 4, 64, 32}, {1, 12, 1024, 64}, {1, 12, 4096, 64}})
        items.push_back(against_pytorch(z, dtype, back));
  for (bool back : {false, true}) {
    add_steps(items, {1, 12, 4096, 64}, back);
    AttentionOptions window;
    window.window = 256;
    items.push_back(against_plain("window 256", {1, 4, 16384, 64}, back, window, 256.0 / 8192));
  }
  for (int64_t tokens : {4096, 16384, 65536}) items.push_back(memory_item(tokens));
  return items;
}

}  // namespace intarsia::cli
