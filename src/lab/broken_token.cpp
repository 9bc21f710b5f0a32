// What prompts cost that end inside a token, for a model trained here (on nine tenths of the text) or a given
// one: behind random cuts of the last tenth.
#include <string_view>

#include "core/fail.h"
#include "data/file.h"
#include "generate/cut_loss.h"
#include "intarsia/op.h"
#include "lab/task.h"
#include "lab/training_step.h"
#include "train/loop.h"
#include "train/recipe.h"

namespace intarsia {

namespace {

constexpr Measure measures[] = {{"healing recovers", "% of the gap", Measure::Better::higher, 1},
                                {"naive", "nats/byte", Measure::Better::lower, 4},
                                {"healed", "nats/byte", Measure::Better::lower, 4},
                                {"exact", "nats/byte", Measure::Better::lower, 4}};

Loaded trained(const Recipe& recipe, const Cell& cell, Curve& curve) {
  Loaded loaded;
  loaded.tokenizer = make_tokenizer(recipe);
  const auto seed = static_cast<uint64_t>(cell.seed());
  const auto shards = cell.directory() / fmt::format("cut-tokens-{}", recipe.tokenizer.vocabulary);
  const Dataset dataset(tokenize(recipe, *loaded.tokenizer, shards, {}), recipe.model.context, seed,
                        loaded.tokenizer, recipe.tokenizer.sampling);
  loaded.model = make_model(model_config(recipe, loaded.tokenizer->size()), seed);
  Optimizer optimizer(*loaded.model, recipe.optimizer, dtype_named(recipe.training.compute), recipe.precision,
                      recipe.average, recipe.training.steps);
  const std::unique_ptr<const Autocast> autocast = autocast_of(recipe);
  for (int64_t step = 0; step < recipe.training.steps; ++step) {
    cell.check();
    const double loss = training_step(recipe, *loaded.model, optimizer, dataset, step);
    if ((step + 1) % std::max<int64_t>(1, recipe.training.steps / 20) != 0) continue;
    curve.x.push_back(static_cast<double>(step + 1));
    curve.y.push_back(loss);
  }
  return loaded;
}

Outcome run(const Cell& cell) {
  Recipe base;
  base.data.path = "text/wikitext2.test.txt";
  base.data.validation = 0;
  base.tokenizer.vocabulary = 4096;
  base.model.layers = 3;
  base.model.width = 128;
  base.model.context = 256;
  base.training.batch = 16;
  base.training.steps = 800;
  base.optimizer.learning_rate = 2e-3;
  base.schedule.warm_up = 40;
  Recipe recipe = cell.recipe(base);
  const std::string given = cell.text("model", "");
  HealingMeasure options;
  options.cuts = static_cast<int64_t>(cell.number("cuts", 1000));
  options.context = static_cast<size_t>(cell.number("context", 256));
  options.seed = static_cast<uint64_t>(cell.seed());
  options.on_cut = [&](int64_t) { cell.check(); };
  cell.finish();
  const std::string text = read_file(data_file(recipe.data.path));
  const size_t held = text.size() / 10 * 9;
  Outcome outcome;
  Loaded loaded;
  if (given.empty()) {
    recipe.data.path = (cell.directory() / "cut-text.txt").string();
    write_file(recipe.data.path, text.substr(0, held));
    check_recipe(recipe);
    loaded = trained(recipe, cell, outcome.curve);
  } else {
    loaded = load(given);
  }
  Generator generator(loaded);
  const CutLoss loss = measure_healing(generator, std::string_view(text).substr(held), options);
  outcome.measures = {100 * recovered(loss), loss.naive, loss.healed, loss.exact};
  return outcome;
}

}  // namespace

namespace task {
extern const Task broken_token;
const Task broken_token = {
    "broken_token", "step", nullptr,
    measures,       run,    {"training loss", "nats/token", Measure::Better::lower, 3}};
}  // namespace task

}  // namespace intarsia
