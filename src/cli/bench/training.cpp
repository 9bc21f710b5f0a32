// intarsia bench train-step: whole steps of language models; and small-models: of models so small that what
// surrounds the products counts.
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

struct Shapes {
  const char* kind;  // nanogpt (gpt2 here, which has biases), gpt2 or llama
  int64_t layers, heads, width, context, batch, vocabulary;
  Json request(DType compute, bool compiled) const {
    return {{"name", "train_step"},
            {"kind", kind},
            {"layers", layers},
            {"heads", heads},
            {"width", width},
            {"context", context},
            {"batch", batch},
            {"vocabulary", vocabulary},
            {"dtype", info(compute).name},
            {"compile", compiled}};
  }
  std::string config() const {
    if (kind == std::string_view("llama"))
      return Json{{"model_type", "llama"},
                  {"vocab_size", vocabulary},
                  {"hidden_size", width},
                  {"intermediate_size", width * 8 / 3},
                  {"num_hidden_layers", layers},
                  {"num_attention_heads", heads},
                  {"max_position_embeddings", context},
                  {"tie_word_embeddings", true}}
          .dump();
    return Json{{"model_type", "gpt2"},
                {"vocab_size", vocabulary},
                {"n_positions", context},
                {"n_embd", width},
                {"n_layer", layers},
                {"n_head", heads},
                {"activation_function", "gelu_new"},
                {"tie_word_embeddings", true}}
        .dump();
  }
};
// nanoGPT's published CPU setting; GPT-2 of 124 million weights, and a LLaMA of that size.
constexpr Shapes nanogpt{"nanogpt", 4, 4, 128, 64, 12, 65}, gpt2{"gpt2", 12, 12, 768, 1024, 2, 50304},
    llama{"llama", 12, 12, 768, 1024, 2, 50304};

Item train_step_item(const Shapes& s, DType compute, bool compiled = false) {
  Item item;
  item.title = fmt::format("training step {}, {}, {}x{} tokens{}", info(compute).name, s.kind, s.batch,
                           s.context, compiled ? ", compiled" : "");
  item.request = s.request(compute, compiled);
  item.dtype = compute;
  item.prepare = [=]() -> Call {
    std::shared_ptr<Model> model = make_model(s.config(), 1);
    Recipe::Optimizer options;
    options.beta2 = 0.99;
    auto optimizer = std::make_shared<Optimizer>(*model, options, compute);
    model->compute = compute;
    auto random = std::make_shared<Random>(3);
    return [=] {
      Array ids = Array::empty({s.batch, s.context}, DType::i32),
            targets = Array::empty({s.batch, s.context}, DType::i32);
      int32_t *x = ids.mutable_data<int32_t>(), *y = targets.mutable_data<int32_t>();
      const auto bound = static_cast<uint64_t>(s.vocabulary);
      for (int64_t i = 0; i < ids.size(); i++)
        x[i] = static_cast<int32_t>(random->below(bound)), y[i] = static_cast<int32_t>(random->below(bound));
      const Tensor loss = model->loss(model->hidden(Tensor(ids)), Tensor(targets));
      backward(loss);
      optimizer->step(1e-3);
      loss.item();
    };
  };
  return item;
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

std::vector<Item> train_step_items() {
  return {train_step_item(gpt2, DType::bf16), train_step_item(gpt2, DType::bf16, true),
          train_step_item(gpt2, DType::f32), train_step_item(llama, DType::bf16),
          train_step_item(llama, DType::f32)};
}

std::vector<Item> small_model_items() {
  std::vector<Item> items = {train_step_item(nanogpt, DType::f32), classifier_item(1)};
  if (thread_count() > 1) items.push_back(classifier_item(thread_count()));
  return items;
}

}  // namespace intarsia::cli
