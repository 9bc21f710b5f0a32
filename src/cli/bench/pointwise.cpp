// intarsia bench pointwise: element-wise and row functions and their gradients, and a step of AdamW.
#include <fmt/core.h>

#include <memory>

#include "cli/bench/item.h"
#include "intarsia/op.h"

namespace intarsia::cli {
namespace {

struct Function {
  const char* name;
  int inputs;
  bool rows;
  Tensor (*apply)(std::span<const Tensor>);
};
constexpr Function functions[] = {
    {"add", 2, false, [](std::span<const Tensor> x) { return add(x[0], x[1]); }},
    {"gelu", 1, false, [](std::span<const Tensor> x) { return gelu(x[0]); }},
    {"silu", 1, false, [](std::span<const Tensor> x) { return silu(x[0]); }},
    {"tanh", 1, false, [](std::span<const Tensor> x) { return tanh(x[0]); }},
    {"sin", 1, false, [](std::span<const Tensor> x) { return sin(x[0]); }},
    {"cos", 1, false, [](std::span<const Tensor> x) { return cos(x[0]); }},
    {"swiglu", 2, false, [](std::span<const Tensor> x) { return swiglu(x[0], x[1]); }},
    {"softmax", 1, true, [](std::span<const Tensor> x) { return softmax(x[0]); }},
    {"sum", 1, true, [](std::span<const Tensor> x) { return sum(x[0], {-1}); }},
    {"prod", 1, true, [](std::span<const Tensor> x) { return prod(x[0], {-1}); }},
    {"cumsum", 1, true, [](std::span<const Tensor> x) { return cumsum(x[0], -1); }},
    {"roll", 1, true, [](std::span<const Tensor> x) { return roll(x[0], 5, -1); }},
    {"flip", 1, true, [](std::span<const Tensor> x) { return flip(x[0], {-1}); }},
    {"rms_norm", 2, true, [](std::span<const Tensor> x) { return rms_norm(x[0], x[1]); }},
    {"layer_norm", 3, true, [](std::span<const Tensor> x) { return layer_norm(x[0], x[1], x[2]); }},
    {"cross_entropy", 1, true,
     [](std::span<const Tensor> x) {
       Array targets = Array::empty({x[0].dim(0)}, DType::i64);
       int64_t* t = targets.mutable_data<int64_t>();
       for (int64_t i = 0; i < targets.size(); i++) t[i] = i % x[0].dim(1);
       return cross_entropy(x[0], Tensor(targets));
     }},
};

Item function_item(const Function& f, int64_t rows, int64_t cols, DType dtype, bool back) {
  Json request = {{"name", std::string(f.name) + (back ? "_backward" : "")}, {"dtype", info(dtype).name}};
  if (f.rows)
    request["rows"] = rows, request["cols"] = cols;
  else
    request["n"] = rows * cols;
  const auto elements = static_cast<double>(rows * cols);
  const double passes = (f.rows ? 1 : f.inputs) * (back ? 2.0 : 1.0) + 1;
  return {fmt::format("{}{} {} {}x{}", f.name, back ? " backward" : "", info(dtype).name, rows, cols),
          request,
          [=, &f]() -> Call {
            auto x = std::make_shared<std::vector<Tensor>>();
            for (int i = 0; i < f.inputs; i++) {
              const Array value = random_array(f.rows && i > 0 ? Shape{cols} : Shape{rows, cols}, dtype,
                                               static_cast<uint64_t>(i));
              x->push_back(back ? parameter(value) : Tensor(value));
            }
            if (!back) return [=, &f] { f.apply(*x); };
            const Tensor y = f.apply(*x);
            const Tensor dy = y.rank() ? Tensor(random_array(y.shape(), dtype, 9)) : Tensor();
            return backward_of(y, dy ? dy.array() : Array::zeros({}, y.dtype()), *x);
          },
          elements* passes* info(dtype).bytes,
          Item::Unit::bytes,
          dtype};
}

}  // namespace

std::vector<Item> pointwise_items() {
  std::vector<Item> items;
  for (DType dtype : {DType::f32, DType::bf16})
    for (const Function& f : functions)
      for (bool back : {false, true}) {
        const std::string_view name = f.name;
        if (back && (name == "add" || name == "sum"))
          continue;  // the tape hands dy on: there is nothing to time
        items.push_back(function_item(f, 768, 512, dtype, back));
        if (dtype == DType::f32) items.push_back(function_item(f, 8192, 1024, dtype, back));
      }
  items.push_back(update_item(kernel::UpdateRule::adamw, 800000, 30, false));
  items.push_back(update_item(kernel::UpdateRule::adamw, int64_t{1} << 24, 8, false));
  return items;
}

}  // namespace intarsia::cli
