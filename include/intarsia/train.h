// Training: a recipe says what is to be done, train() does it, a run directory keeps what came of it.
//
// A run directory holds recipe.toml (every key), log.jsonl, events/ (TensorBoard), data/ (token shards),
// report.html and checkpoints/step-NNNNNN, each a Hugging Face directory with the optimizer's state beside
// the weights. `intarsia chat RUN` and load(RUN) open its best checkpoint.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace intarsia {

// What a training run does, as plain values. Each member is a key of the TOML file: optimizer.learning_rate.
// What a key means, its range and its choices stand in one table (src/train/recipe.cpp) and are printed by
// recipe_help().
struct Recipe {
  struct Data {
    std::string path;
    std::string field = "text";
    double validation = 0.1;
  } data;
  struct TokenizerChoice {
    std::string kind = "bpe";
    int64_t vocabulary = 4096;
    std::string path;
    double sampling = 0;
  } tokenizer;
  struct ModelShape {
    std::string init;
    std::string type = "llama";
    int64_t layers = 4, heads = 4, kv_heads = 0, width = 128, feed_forward = 0, context = 256;
    bool tied = true, bias = false;
  } model;
  struct Optimizer {
    std::string kind = "adamw";
    double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1, momentum = 0.9;
    bool nesterov = false;
    std::string decay_on = "matrices", decay_scale = "rate";
    double clip = 1;
  } optimizer;
  struct Schedule {
    std::string kind = "cosine";
    int64_t warm_up = 100;
    double final_share = 0.1, decay_share = 0.2;
    int64_t cycle = 100;
    double cycle_growth = 2;
  } schedule;
  struct Average {
    std::string kind = "none";
    double decay = 0.999, start_share = 0.75;
  } average;
  struct Training {
    int64_t steps = 1000, batch = 16, accumulation = 1, seed = 1337;
    std::string compute = "f32", recompute = "none";
    int64_t log_every = 10;
    std::string out;
  } training;
  struct Precision {
    bool masters = true;
    std::string rounding = "nearest";
    double loss_scale = 65536;
    int64_t growth_interval = 2000;
    std::string narrow{}, wide{};  // see Autocast
  } precision;
  struct Evaluation {
    int64_t every = 250, batches = 0;
  } evaluation;
  struct Samples {
    int64_t every = 0;
    double seconds = 0;
    std::string prompt;
    int64_t tokens = 100;
    double temperature = 0.8;
  } samples;
  struct Checkpoints {
    int64_t every = 500, keep = 2;
  } checkpoints;
};

// Reads a recipe; keys that are missing keep their defaults. An unknown key, a wrong type or a value out of
// range is an Error that names file, line and key: `recipe.toml:14: unknown key "learning_rat"`, with the
// nearest known key as hint.
Recipe read_recipe(const std::filesystem::path& path);
Recipe parse_recipe(std::string_view toml, std::string_view name);
// One assignment of a command line: "optimizer.learning_rate=3e-4". "data=FILE" and "init=PATH" stand for
// data.path and model.init. A value is TOML or, for a key that holds text, plain text.
void override_recipe(Recipe& recipe, std::string_view assignment);
// Checks what no single key shows: that widths divide by heads, warm-up ends before the run does.
void check_recipe(const Recipe& recipe);
// The whole recipe as TOML, every key with its meaning; reading it back gives an equal recipe.
std::string to_toml(const Recipe& recipe);
// Keys whose value is the default one: "optimizer.beta2".
std::vector<std::string> default_keys(const Recipe& recipe);
// One line a key: name, default, meaning.
std::string recipe_help();

// The learning rate of a step counted from 0: linear warm-up to the peak, then as schedule.kind says.
double learning_rate_at(const Recipe& recipe, int64_t step);

struct TrainProgress {
  int64_t step = 0, steps = 0;  // updates done, updates asked for
  double loss = 0;              // of the last step, nats a token
  std::optional<double> validation;
  double learning_rate = 0, gradient_norm = 0;
  int64_t tokens = 0;  // trained on so far
  double tokens_per_second = 0;
  double peak_share = 0;               // of the measured peak of this machine, 0 to 1
  size_t memory = 0, memory_peak = 0;  // bytes in arrays
  double seconds = 0, seconds_left = 0;
};
struct TrainSample {
  int64_t step;
  std::string prompt, text;
};
struct TrainCheckpoint {
  int64_t step;
  std::filesystem::path path;
  double seconds;
  bool best;
};

// Called from the training thread, between steps. Whatever is left empty is not called. An exception thrown
// by one of them ends the run; the last checkpoint stays.
struct TrainCallbacks {
  std::function<void(const std::string& text)> note;   // "1,003,854 tokens of bible.txt, vocabulary 4,096"
  std::function<void(const TrainProgress&)> progress;  // every training.log_every steps, and the last
  std::function<void(const TrainSample&)> sample;
  std::function<void(const TrainCheckpoint&)> checkpoint;
  std::function<bool()> cancel;  // true: finish the step, save and return
  std::string command;           // how the run was started, for its log
};

struct TrainResult {
  std::filesystem::path run;
  int64_t step = 0;
  double loss = 0;                   // mean over the last 20 steps (or fewer) of this call
  std::optional<double> validation;  // the last one
  double seconds = 0;                // of training, all calls together
  bool cancelled = false;
  double save_seconds = 0;     // what the last checkpoint took
  std::vector<double> losses;  // of each step of this call
};

// Trains by the recipe in recipe.training.out (a directory that holds no run yet; empty: runs/NAME, NAME from
// the data). The same recipe, data, program and rung give the same bits, whatever the number of threads.
TrainResult train(const Recipe& recipe, const TrainCallbacks& callbacks = {});
// Goes on with a run from its newest whole checkpoint; ends with the bits of a run that was never stopped.
TrainResult resume(const std::filesystem::path& run, const TrainCallbacks& callbacks = {});

// A recipe for a text or a directory of texts, so that training takes about `minutes` on this machine:
// chooses tokenizer, model, batch and steps; `overrides` are assignments that it takes as given. Runs a few
// steps to measure.
struct Choice {
  Recipe recipe;
  std::vector<std::string> lines;  // what was chosen and why, two to four lines
};
Choice choose_recipe(const std::filesystem::path& text, double minutes,
                     std::span<const std::string> overrides = {});

}  // namespace intarsia
