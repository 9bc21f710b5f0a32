// A small language model on a text, trained for the steps of its recipe.
#include <algorithm>
#include <cmath>
#include <map>

#include "core/fail.h"
#include "data/file.h"
#include "intarsia/op.h"
#include "lab/task.h"
#include "lab/training_step.h"
#include "train/loop.h"
#include "train/recipe.h"

namespace intarsia {

namespace {

constexpr Measure measures[] = {{"validation loss", "nats/token", Measure::Better::lower, 3},
                                {"training loss", "nats/token", Measure::Better::lower, 3},
                                {"below 2^-25", "% of logits' gradients", Measure::Better::neither, 1},
                                {"steps left out", "", Measure::Better::lower, 0}};

struct Text {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::filesystem::path shards;
};

// Tokenized once for all cells.
const Text& text_of(const Recipe& recipe, double characters, const Cell& cell) {
  static std::map<std::string, Text> known;
  const std::string key = fmt::format("{} {} {} {} {}", recipe.data.path, characters, recipe.tokenizer.kind,
                                      recipe.tokenizer.vocabulary, recipe.data.validation);
  if (const auto found = known.find(key); found != known.end()) return found->second;
  Text text;
  Recipe part = recipe;
  if (characters > 0) {
    part.data.path = (cell.directory() / fmt::format("text-{}.txt", known.size())).string();
    write_file(part.data.path, read_file(recipe.data.path).substr(0, static_cast<size_t>(characters)));
  }
  text.tokenizer = make_tokenizer(part);
  text.shards = cell.directory() / fmt::format("tokens-{}", known.size());
  remove_tree(text.shards);
  tokenize(part, *text.tokenizer, text.shards, [] { return false; });
  return known[key] = text;
}

// The exponents that the gradients of the logits have in f32, times the loss scale: what a backward pass in
// f16 begins with.
struct Gradients16 {
  Profile profile;
  double lost;  // share in % that f16 has no number for: below 2^-25 they are rounded to 0
};
Gradients16 gradients_of(const Model& model, const Batch& batch, double scale) {
  constexpr int lowest = -36, highest = 12, width = 6;
  const Tensor logits = parameter(stop_gradient(cast(model(batch.ids), DType::f32)).array());
  backward(cross_entropy(logits, batch.targets));
  Gradients16 result{{}, 0};
  for (int e = lowest; e < highest; e += width) result.profile.labels.push_back(fmt::format("2^{}", e));
  result.profile.values.resize(result.profile.labels.size());
  const Array gradient = kernel::contiguous(logits.gradient());
  const double share = 1 / static_cast<double>(gradient.size());
  for (const float value : gradient.span<float>()) {
    const double size = std::abs(static_cast<double>(value)) * scale;
    if (size < 0x1p-25) result.lost += 100 * share;
    const int exponent = size > 0 ? std::clamp(std::ilogb(size), lowest, highest - 1) : lowest;
    result.profile.values[static_cast<size_t>((exponent - lowest) / width)] += share;
  }
  return result;
}

double validation_loss(const Model& model, const Dataset& dataset, int64_t rows, int64_t batches,
                       const Cell& cell) {
  const NoGradient no_gradient;
  rows = std::min(rows, dataset.validation_windows());
  batches = std::min(batches, dataset.validation_windows() / rows);
  double total = 0;
  for (int64_t i = 0; i < batches; i++) {
    cell.check();
    const Batch batch = dataset.validation(i * rows, rows);
    total += model.loss(model.hidden(batch.ids), batch.targets).item();
  }
  return total / static_cast<double>(batches);
}

Outcome run(const Cell& cell) {
  Recipe base;
  base.data.path = "text/tinyshakespeare.txt";
  base.tokenizer.kind = "characters";
  base.model.layers = 2;
  base.model.width = 64;
  base.model.context = 64;
  base.training.batch = 12;
  base.training.steps = 600;
  base.evaluation.every = 50;
  base.evaluation.batches = 20;
  Recipe recipe = cell.recipe(base);
  recipe.data.path = data_file(recipe.data.path).string();
  check_recipe(recipe);
  const double characters = cell.number("characters", 0);  // of the text; 0: all
  cell.finish();
  const Text& text = text_of(recipe, characters, cell);
  const auto seed = static_cast<uint64_t>(cell.seed());
  const Dataset dataset(TokenShards::open(text.shards), recipe.model.context, seed, text.tokenizer,
                        recipe.tokenizer.sampling);
  if (dataset.validation_windows() == 0) fail("lab: {} is too short to validate on", recipe.data.path);
  const std::unique_ptr<Model> model = make_model(model_config(recipe, text.tokenizer->size()), seed);
  Optimizer optimizer(*model, recipe.optimizer, dtype_named(recipe.training.compute), recipe.precision,
                      recipe.average, recipe.training.steps);
  const std::unique_ptr<const Autocast> autocast = autocast_of(recipe);
  const int64_t rows = recipe.training.batch, steps = recipe.training.steps;
  Outcome outcome;
  double recent = 0;
  int64_t counted = 0;
  const auto evaluate = [&] {
    double loss = 0;
    optimizer.with_evaluated(*model, [&] {
      loss = validation_loss(*model, dataset, rows, std::max<int64_t>(1, recipe.evaluation.batches), cell);
    });
    return loss;
  };
  for (int64_t step = 0; step < steps; step++) {
    cell.check();
    const double loss = training_step(recipe, *model, optimizer, dataset, step);
    if (step >= steps - std::max<int64_t>(1, steps / 10)) recent += loss, counted++;
    const bool due = recipe.evaluation.every > 0 && (step + 1) % recipe.evaluation.every == 0;
    if (!due && step + 1 < steps) continue;
    outcome.curve.x.push_back(static_cast<double>(step + 1));
    outcome.curve.y.push_back(evaluate());
  }
  const Gradients16 gradients = gradients_of(*model, dataset.training(0, rows), optimizer.loss_scale());
  outcome.profile = gradients.profile;
  outcome.measures = {outcome.curve.y.back(), recent / static_cast<double>(counted), gradients.lost,
                      static_cast<double>(steps - optimizer.state().steps)};
  return outcome;
}

}  // namespace

namespace task {
extern const Task language_model;
const Task language_model = {"language_model", "step",
                             "sizes of the logits' gradients, times the loss scale, from", measures, run};
}  // namespace task

}  // namespace intarsia
