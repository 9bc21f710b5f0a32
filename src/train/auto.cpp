#include "intarsia/train.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include "core/fail.h"
#include "core/format.h"
#include "data/text.h"
#include "intarsia/model.h"
#include "intarsia/op.h"
#include "intarsia/random.h"
#include "kernel/table.h"
#include "train/loop.h"
#include "train/optimizer/optimizer.h"

namespace intarsia {

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t least_text = 2000;                  // bytes: less has no validation part worth the name
constexpr uint64_t counted_text = uint64_t{32} << 20;  // beyond it, the size on disk is taken
constexpr int64_t most_passes = 40;                    // over the text
constexpr double share_for_steps = 0.9;  // of the time; the rest is for validation, samples, saving

// ---- the text

struct TextSize {
  uint64_t bytes = 0;
  size_t distinct_bytes = 0;
};

TextSize measure_text(const std::filesystem::path& path, const std::string& field) {
  TextSource source(path, {.field = field});
  TextSize size;
  bool seen[256] = {};
  std::string chunk;
  while (size.bytes < counted_text && source.next(chunk)) {
    size.bytes += chunk.size();
    for (const char c : chunk) seen[static_cast<unsigned char>(c)] = true;
  }
  if (size.bytes >= counted_text && source.position() > 0) {
    const double growth = static_cast<double>(source.bytes()) / static_cast<double>(source.position());
    size.bytes = static_cast<uint64_t>(static_cast<double>(size.bytes) * std::max(1.0, growth));
  }
  size.distinct_bytes = static_cast<size_t>(std::count(std::begin(seen), std::end(seen), true));
  return size;
}

struct TokenizerPlan {
  const char* kind;
  int64_t vocabulary;
  double bytes_per_token;
};

// The more text, the more tokens are seen often enough to be learned. Characters only where text is so short
// that merged tokens would be rare, and plain enough that no others are likely in a prompt.
TokenizerPlan plan_tokenizer(const TextSize& text) {
  if (text.bytes < 64'000 && text.distinct_bytes <= 100) return {"characters", 256, 1.0};
  if (text.bytes < 300'000) return {"bpe", 512, 1.9};
  if (text.bytes < 1'000'000) return {"bpe", 1024, 2.4};
  if (text.bytes < 6'000'000) return {"bpe", 2048, 3.0};
  if (text.bytes < 60'000'000) return {"bpe", 4096, 3.5};
  return {"bpe", 8192, 3.9};
}

// ---- the model

struct Size {
  int64_t layers, heads, width, context, tokens_per_step;
};

// Small models learn from many small steps, large ones use the machine better with more tokens a step.
constexpr Size sizes[] = {
    {2, 2, 64, 64, 1024},   {3, 3, 96, 128, 2048},    {4, 4, 128, 128, 2048},
    {4, 4, 192, 128, 2048}, {6, 4, 256, 256, 4096},   {6, 6, 384, 256, 4096},
    {8, 8, 512, 256, 8192}, {12, 10, 640, 512, 8192}, {12, 12, 768, 512, 16384},
};

double parameters_of(const Size& size, int64_t vocabulary) {
  const auto width = static_cast<double>(size.width);
  return 12.0 * static_cast<double>(size.layers) * width * width + static_cast<double>(vocabulary) * width;
}

// A token costs about 6 operations a parameter, and a model is worth about 20 tokens a parameter (Hoffmann et
// al. 2022); small models on a single book profit from somewhat fewer, larger ones overfit it.
const Size& plan_size(double operations, double tokens, int64_t vocabulary) {
  const double by_time = std::sqrt(operations / (6 * 12)), by_text = 6 * tokens;
  const Size* best = &sizes[0];
  for (const Size& size : sizes)
    if (parameters_of(size, vocabulary) <= std::min(by_time, by_text)) best = &size;
  return *best;
}

void set_size(Recipe& recipe, const Size& size) {
  recipe.model.layers = size.layers;
  recipe.model.heads = size.heads;
  recipe.model.width = size.width;
  recipe.model.context = size.context;
  recipe.training.batch = std::max<int64_t>(1, size.tokens_per_step / size.context);
  const double rate = 2.5e-3 * std::sqrt(128.0 / static_cast<double>(size.width));
  recipe.optimizer.learning_rate = std::round(rate * 1e5) / 1e5;
}

// ---- measuring

struct Measured {
  double seconds = 0;  // of a step
  int64_t parameters = 0;
};

// The median of a few real steps of the recipe's model on random tokens; the first, where memory is new, does
// not count.
Measured measure_step(const Recipe& recipe, DType compute, double budget) {
  std::shared_ptr<Model> model;
  if (recipe.model.init.empty()) {
    model = make_model(model_config(recipe, recipe.tokenizer.vocabulary), 1);
  } else {
    LoadOptions options;
    options.trainable = true;
    model = load(recipe.model.init, options).model;
  }
  Optimizer optimizer(*model, recipe.optimizer, compute, recipe.precision);
  const Shape shape{recipe.training.batch, std::min(recipe.model.context, model->context())};
  Array ids = Array::empty(shape, DType::i32);
  Random random(1);
  int32_t* id = ids.mutable_data<int32_t>();
  const auto vocabulary = static_cast<uint64_t>(model->vocabulary());
  for (int64_t i = 0; i < shape.count(); i++) id[i] = static_cast<int32_t>(random.below(vocabulary));

  std::vector<double> seconds;
  const auto begin = Clock::now();
  for (int turn = 0; turn < 30; turn++) {
    const auto start = Clock::now();
    for (int64_t part = 0; part < recipe.training.accumulation; part++)
      backward(model->loss(model->hidden(Tensor(ids)), Tensor(ids)));
    optimizer.step(0);
    const auto end = Clock::now();
    if (turn > 0) seconds.push_back(std::chrono::duration<double>(end - start).count());
    if (turn > 1 && std::chrono::duration<double>(end - begin).count() > budget) break;
  }
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<int64_t>(seconds.size() / 2),
                   seconds.end());
  return {seconds[seconds.size() / 2], model->parameter_count()};
}

bool has_fast_bf16() {
  return std::string_view(kernel::table().name) == "avx512bf16" ||
         std::string_view(kernel::table().name) == "amx";
}

// A whole number without noise digits, so that the recipe reads well: 12,345 becomes 12,300.
int64_t rounded(double value) {
  const auto whole = static_cast<int64_t>(value);
  for (const int64_t step : {1000, 100, 10})
    if (whole >= 100 * step) return whole / step * step;
  return whole;
}

void apply(Recipe& recipe, std::span<const std::string> overrides) {
  for (const std::string& assignment : overrides) override_recipe(recipe, assignment);
}

// ---- the choice, in the order in which one thing follows from another

// The largest model of the table that the time and the text are enough for. A small one says what the machine
// gives; the chosen one is measured again.
void choose_model(Recipe& recipe, double tokens, double seconds) {
  Recipe probe = recipe;
  probe.model.init.clear();
  set_size(probe, sizes[3]);
  const DType compute = has_fast_bf16() ? DType::bf16 : DType::f32;
  const Measured measured = measure_step(probe, compute, std::min(0.3, seconds * 0.02));
  const double rate =
      6 * static_cast<double>(measured.parameters * sizes[3].tokens_per_step) / measured.seconds;
  const double train_tokens = tokens * (1 - recipe.data.validation);
  set_size(recipe, plan_size(rate * seconds * share_for_steps, train_tokens, recipe.tokenizer.vocabulary));

  // Validation needs at least one window; two windows at least are needed to train.
  const double part = tokens * std::min(recipe.data.validation > 0 ? recipe.data.validation : 1.0, 0.4);
  while (recipe.model.context > 16 && static_cast<double>(recipe.model.context) > part / 2) {
    recipe.model.context /= 2;
    recipe.training.batch *= 2;
  }
}

Measured choose_compute(Recipe& recipe, double seconds) {
  const double budget = std::min(0.5, seconds * 0.03);
  recipe.training.compute = "f32";
  const Measured exact = measure_step(recipe, DType::f32, budget);
  if (!has_fast_bf16()) return exact;
  const Measured rounded = measure_step(recipe, DType::bf16, budget);
  if (rounded.seconds > 0.9 * exact.seconds) return exact;
  recipe.training.compute = "bf16";
  return rounded;
}

double tokens_per_step(const Recipe& recipe) {
  return static_cast<double>(recipe.training.batch * recipe.training.accumulation * recipe.model.context);
}

// What happens every so often in a run of so many steps.
void choose_intervals(Recipe& recipe, double step_seconds, double seconds) {
  const int64_t steps = recipe.training.steps;
  recipe.schedule.warm_up = std::min(steps - 1, std::clamp<int64_t>(steps / 20, 1, 200));
  recipe.evaluation.every = std::max<int64_t>(1, steps / 10);
  // A batch costs about a third of a step when nothing is learned: a twentieth of the time at most.
  recipe.evaluation.batches = std::max<int64_t>(1, recipe.evaluation.every * 3 / 20);
  recipe.checkpoints.every = recipe.evaluation.every;
  recipe.training.log_every = std::clamp<int64_t>(static_cast<int64_t>(1 / step_seconds), 1, 50);
  recipe.samples.seconds = std::clamp(seconds / 12, 2.0, 60.0);
}

std::vector<std::string> describe(const Recipe& recipe, const std::filesystem::path& path, uint64_t bytes,
                                  const Measured& measured, double train_tokens) {
  const std::string name = path.has_filename() ? path.filename().string() : path.string();
  std::string tokenizer = "a given tokenizer";
  if (recipe.tokenizer.kind == "characters") tokenizer = "one token a character";
  if (recipe.tokenizer.kind == "bpe")
    tokenizer = fmt::format("byte-level BPE of up to {} tokens", format_count(recipe.tokenizer.vocabulary));
  std::string model = fmt::format("goes on from {}", recipe.model.init);
  if (recipe.model.init.empty())
    model =
        fmt::format("{}, {} layers of width {}", recipe.model.type, recipe.model.layers, recipe.model.width);
  const double all = static_cast<double>(recipe.training.steps) * tokens_per_step(recipe);
  const double seconds = static_cast<double>(recipe.training.steps) * measured.seconds / share_for_steps;
  return {fmt::format("{}: {} of text, {}", name, format_bytes(static_cast<double>(bytes)), tokenizer),
          fmt::format("{}, context {}: {} parameters, {}", model, recipe.model.context,
                      format_short(static_cast<double>(measured.parameters)), recipe.training.compute),
          fmt::format("{} steps of {} tokens, {:.1f} passes over the text, about {}",
                      format_count(recipe.training.steps),
                      format_count(static_cast<int64_t>(tokens_per_step(recipe))), all / train_tokens,
                      format_duration(seconds))};
}

}  // namespace

Choice choose_recipe(const std::filesystem::path& path, double minutes,
                     std::span<const std::string> overrides) {
  if (!(minutes > 0) || minutes > 1e6) fail("train: --minutes is {}, expected a number above 0", minutes);
  const double seconds = minutes * 60;
  Recipe recipe;
  recipe.data.path = path.string();
  apply(recipe, overrides);
  const TextSize text = measure_text(recipe.data.path, recipe.data.field);
  if (text.bytes < least_text)
    fail_hint("give a longer text, or a directory of texts", "{}: has {} bytes of text, expected at least {}",
              recipe.data.path, text.bytes, least_text);

  const TokenizerPlan plan = plan_tokenizer(text);
  recipe.tokenizer.kind = plan.kind;
  recipe.tokenizer.vocabulary = plan.vocabulary;
  const double tokens = static_cast<double>(text.bytes) / plan.bytes_per_token;
  choose_model(recipe, tokens, seconds);
  recipe.schedule.kind = "wsd";
  recipe.schedule.final_share = 0.02;
  recipe.schedule.decay_share = 0.3;
  apply(recipe, overrides);
  Recipe without_steps = recipe;  // which are chosen below
  without_steps.schedule.warm_up = 0;
  check_recipe(without_steps);
  const Measured measured = choose_compute(recipe, seconds);
  apply(recipe, overrides);

  const double train_tokens = tokens * (1 - recipe.data.validation);
  const double by_time = seconds * share_for_steps / measured.seconds;
  const double by_text = static_cast<double>(most_passes) * train_tokens / tokens_per_step(recipe);
  recipe.training.steps = std::max<int64_t>(20, rounded(std::min(by_time, by_text)));
  const int64_t chosen_steps = recipe.training.steps;
  apply(recipe, overrides);
  choose_intervals(recipe, measured.seconds, seconds);
  apply(recipe, overrides);

  Choice choice{recipe, describe(recipe, path, text.bytes, measured, train_tokens)};
  if (by_text < 0.8 * by_time && recipe.training.steps == chosen_steps)
    choice.lines.push_back(
        fmt::format("more than {} passes over so short a text would not help", most_passes));
  return choice;
}

}  // namespace intarsia
