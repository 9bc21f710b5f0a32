// intarsia bench train-step and small-models: steps of models so small that what surrounds the products
// counts.
#include <fmt/core.h>

#include <cmath>
#include <memory>

#include "cli/bench/item.h"
#include "intarsia/model.h"
#include "intarsia/op.h"
#include "train/optimizer/optimizer.h"
#include "train/optimizer/weights_only.h"

namespace intarsia::cli {
namespace {

// nanoGPT's published CPU setting.
constexpr const char* small_gpt =
    R"({"model_type": "gpt2", "vocab_size": 65, "n_positions": 64, "n_embd": 128, "n_layer": 4, "n_head": 4,
  "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "tie_word_embeddings": true})";

Item train_step_item(DType compute) {
  Json request = {{"name", "train_step"}, {"dtype", "f32"}};
  return {fmt::format("train step {}, 12x64 tokens, 4 layers of 128", info(compute).name),
          compute == DType::f32 ? request : Json(),
          [=]() -> Call {
            std::shared_ptr<Model> model = make_model(small_gpt, 1);
            Recipe::Optimizer options;
            options.beta2 = 0.99;
            auto optimizer = std::make_shared<Optimizer>(*model, options, compute);
            model->compute = compute;
            auto random = std::make_shared<Random>(3);
            return [=] {
              Array ids = Array::empty({12, 64}, DType::i32), targets = Array::empty({12, 64}, DType::i32);
              int32_t *x = ids.mutable_data<int32_t>(), *y = targets.mutable_data<int32_t>();
              for (int64_t i = 0; i < ids.size(); i++)
                x[i] = static_cast<int32_t>(random->below(65)),
                y[i] = static_cast<int32_t>(random->below(65));
              const Tensor loss = cross_entropy((*model)(Tensor(ids)), Tensor(targets));
              backward(loss);
              optimizer->step(1e-3);
              loss.item();
            };
          },
          0,
          Item::Unit::seconds,
          compute};
}

// A classifier 64-128-128-10 on batches of 64.
struct Classifier {
  static constexpr int64_t sizes[] = {64, 128, 128, 10}, batch = 64, rows = 1024;
  Tensor w[3], b[3];
  WeightsOnly model;
  std::unique_ptr<Optimizer> optimizer;
  Tensor x = random_array({rows, sizes[0]}, DType::f32, 9);
  Array targets = Array::empty({rows}, DType::i32);
  int64_t next = 0;

  Classifier() {
    std::vector<Weight> weights;
    for (uint64_t i = 0; i < 3; i++) {
      w[i] = parameter((Tensor(random_array({sizes[i + 1], sizes[i]}, DType::f32, i)) *
                        (1 / std::sqrt(static_cast<double>(sizes[i]))))
                           .array());
      b[i] = parameter(Array::zeros({sizes[i + 1]}));
      weights.push_back({fmt::format("{}.weight", i), &w[i], true, 0});
      weights.push_back({fmt::format("{}.bias", i), &b[i], false, 0});
    }
    for (int64_t i = 0; i < rows; i++)
      targets.mutable_data<int32_t>()[i] = static_cast<int32_t>(i * 7 % sizes[3]);
    model = WeightsOnly(std::move(weights));
    Recipe::Optimizer options;
    options.clip = 0;
    optimizer = std::make_unique<Optimizer>(model, options, DType::f32);
  }
  void step() {
    next = (next + batch) % rows;
    Tensor h = slice(x, 0, next, next + batch);
    for (int i = 0; i < 3; i++) h = linear(h, w[i], b[i], i < 2 ? Activation::relu : Activation::none);
    const Tensor loss = cross_entropy(h, slice(Tensor(targets), 0, next, next + batch));
    backward(loss);
    optimizer->step(1e-3);
    loss.item();
  }
};

Item classifier_item(int threads) {
  Item item;
  item.title = "training step f32, MLP 64-128-128-10, 64 rows";
  item.request = {{"name", "mlp_step"}};
  item.threads = threads;
  item.prepare = []() -> Call {
    const auto classifier = std::make_shared<Classifier>();
    return [=] { classifier->step(); };
  };
  return item;
}

}  // namespace

std::vector<Item> train_step_items() { return {train_step_item(DType::f32), train_step_item(DType::bf16)}; }

std::vector<Item> small_model_items() {
  std::vector<Item> items = train_step_items();
  items.push_back(classifier_item(1));
  if (thread_count() > 1) items.push_back(classifier_item(thread_count()));
  return items;
}

}  // namespace intarsia::cli
