#include "train/loop.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "core/format.h"
#include "core/threads.h"
#include "data/json.h"
#include "intarsia/op.h"
#include "kernel/table.h"
#include "train/dataset.h"
#include "train/recipe.h"
#include "train/recompute.h"
#include "train/report/events.h"
#include "train/report/log.h"
#include "train/report/report.h"
#include "train/run/checkpoint.h"
#include "train/run/run_directory.h"
#include "train/sampler.h"
#include "train/work.h"

namespace intarsia {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr uint64_t sample_stream = 0x73616d706c65;
constexpr size_t averaged_losses = 20;

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}
double unix_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Adds the time until its end to an entry.
class Stopwatch {
 public:
  explicit Stopwatch(double& total) : total_(total), begin_(Clock::now()) {}
  ~Stopwatch() { total_ += seconds_between(begin_, Clock::now()); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& total_;
  Clock::time_point begin_;
};

std::string describe(const Tokenizer& tokenizer, const Recipe& recipe) {
  const bool given = !recipe.model.init.empty() || recipe.tokenizer.kind == "file";
  const char* kind = given ? "given" : recipe.tokenizer.kind == "bpe" ? "byte-level BPE" : "characters";
  return fmt::format("{}, {}", kind, format_count(tokenizer.size()));
}

class Run {
 public:
  Run(const fs::path& run, const Recipe& recipe, const TrainCallbacks& callbacks)
      : path_(run),
        recipe_(recipe),
        callbacks_(callbacks),
        lock_(run),
        checkpoints_(run, recipe.checkpoints.keep),
        log_(run / "log.jsonl") {}

  TrainResult go(bool resumed) {
    int64_t at = 0;
    try {
      if (!prepare(resumed)) {
        TrainResult result;
        result.run = path_;
        result.cancelled = true;
        return result;
      }
      at = state_.step;
      loop();
      return finish();
    } catch (const Error& error) {
      // The error is what matters; the log may be on the disk that is full.
      try {
        log_.write(EventRecord{std::max(at, state_.step), fmt::format("failed: {}", error.what())});
        write_report(path_);
      } catch (const Error&) {}
      throw;
    }
  }

 private:
  // ---- before the first step

  // False if cancelled while the text was read.
  bool prepare(bool resumed) {
    for (const auto& entry : fs::directory_iterator(path_))
      if (entry.path().extension() == ".tmp") remove_tree(entry.path());
    std::optional<fs::path> checkpoint;
    if (resumed) checkpoint = find_checkpoint();
    if (checkpoint) state_ = Checkpoints::read_state(*checkpoint);

    make_model_and_tokenizer(checkpoint);
    if (!open_data(checkpoint.has_value())) return false;
    if (samples_wanted()) tokenizer_->encode(recipe_.samples.prompt);  // throws now and not in an hour
    const DType compute = dtype_named(recipe_.training.compute);
    autocast_ = autocast_of(recipe_);
    optimizer_ = std::make_unique<Optimizer>(*model_, recipe_.optimizer, compute, recipe_.precision,
                                             recipe_.average, recipe_.training.steps);
    if (checkpoint) {
      Checkpoints::read_optimizer(*checkpoint, state_, *optimizer_);
      checkpoints_.settle(*checkpoint, state_);
    }
    plan_recomputing();
    peak_ = measured_peak(compute);
    token_work_ = operations_per_token(*model_, dataset_->context());
    events_ = std::make_unique<EventWriter>(path_ / "events", resumed ? state_.step + 1 : 0);
    write_start();
    if (resumed) {
      log_.write(ResumeRecord{state_.step, unix_time()});
      note(fmt::format("goes on at step {}", format_count(state_.step)));
    }
    for (const std::string& warning : warnings_) warn(warning);
    return true;
  }

  std::optional<fs::path> find_checkpoint() {
    auto found = checkpoints_.newest([&](const std::string& warning) { warnings_.push_back(warning); });
    if (!found && !warnings_.empty())
      fail("{}: no checkpoint is whole: {}", (path_ / "checkpoints").string(), warnings_.front());
    return found;
  }

  void warn(const std::string& text) {
    log_.write(EventRecord{state_.step, text});
    note(text);
  }

  void note(const std::string& text) const {
    if (callbacks_.note) callbacks_.note(text);
  }

  void make_model_and_tokenizer(const std::optional<fs::path>& checkpoint) {
    const std::string source = checkpoint ? checkpoint->string() : recipe_.model.init;
    if (!source.empty()) {
      LoadOptions options;
      options.trainable = true;
      Loaded loaded = load(source, options);
      model_ = std::move(loaded.model);
      tokenizer_ = std::move(loaded.tokenizer);
    }
    if (!tokenizer_ || (!checkpoint && recipe_.tokenizer.kind == "file"))
      tokenizer_ = make_tokenizer(recipe_);
    if (!model_)
      model_ =
          make_model(model_config(recipe_, tokenizer_->size()), static_cast<uint64_t>(recipe_.training.seed));
    if (tokenizer_->size() > model_->vocabulary())
      fail("training: the tokenizer has {} ids, the model's vocabulary is {}", tokenizer_->size(),
           model_->vocabulary());
  }

  bool open_data(bool made) {
    const fs::path directory = path_ / "data";
    std::optional<TokenShards> shards;
    if (made) {
      try {
        shards = TokenShards::open(directory);
      } catch (const Error&) {}  // lost or damaged: made again from the text
    }
    try {
      if (!shards) shards = tokenize(recipe_, *tokenizer_, directory, [&] { return cancelled(); });
    } catch (const Error&) {
      if (!cancelled_) throw;
      log_.write(EventRecord{state_.step, "interrupted while the text was read"});
      return false;
    }
    const int64_t context = std::min(recipe_.model.context, model_->context());
    dataset_ =
        std::make_unique<Dataset>(std::move(*shards), context, static_cast<uint64_t>(recipe_.training.seed),
                                  tokenizer_, recipe_.tokenizer.sampling);
    return true;
  }

  void plan_recomputing() {
    const RecomputeChoice choice = parse_recompute(recipe_.training.recompute);
    if (choice.kind == RecomputeChoice::none) return;
    Recomputing found =
        plan_recompute(*model_, choice, dataset_->training(state_.sample, recipe_.training.batch),
                       recipe_.training.accumulation > 1);
    model_->recompute = std::move(found.plan);
    if (choice.kind == RecomputeChoice::budget)
      note(fmt::format("recomputation: {} at most are forecast, {} of the blocks' forward time is run again",
                       format_bytes(static_cast<double>(found.forecast)), format_share(found.extra)));
  }

  void write_start() {
    StartRecord start;
    start.time = unix_time();
    start.version = INTARSIA_VERSION;
    start.command = callbacks_.command;
    start.rung = kernel::table().name;
    start.cpu = kernel::cpu().brand;
    start.threads = thread_count();
    start.memory_bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE);
    start.peak_flops = peak_;
    start.parameters = model_->parameter_count();
    start.steps = recipe_.training.steps;
    start.train_tokens = dataset_->shards().train_size();
    start.validation_tokens = dataset_->shards().validation_size();
    start.tokenizer = describe(*tokenizer_, recipe_);
    start.data = fs::path(recipe_.data.path).filename().string();
    start.model = model_->model_type();
    start.compute = recipe_.training.compute;
    start.defaults = default_keys(recipe_);
    log_.write(start);
    note(fmt::format("{} tokens of {} ({}), {} of {} parameters, {}", format_count(dataset_->shards().size()),
                     start.data, start.tokenizer, start.model,
                     format_short(static_cast<double>(start.parameters)), start.compute));
  }

  // ---- steps

  void loop() {
    reset_peak_memory();
    began_ = logged_ = sampled_ = Clock::now();
    before_ = state_.seconds;
    first_step_ = logged_step_ = state_.step;
    const int64_t steps = recipe_.training.steps;
    losses_.reserve(static_cast<size_t>(std::clamp<int64_t>(steps - state_.step, 0, 1 << 20)));
    saved_step_ = state_.step;
    if (evaluation_due() && state_.step > 0 && evaluate()) save();  // an interrupt came before it
    while (state_.step < steps && !cancelled()) {
      step();
      const bool last = state_.step == steps;
      const bool best = evaluation_due() && evaluate();  // first, so that the step's report shows it
      if (state_.step % recipe_.training.log_every == 0 || last) report_step();
      if (sample_due() || (last && samples_wanted())) write_sample();
      if (last || best || due(recipe_.checkpoints.every)) save();
    }
  }

  bool due(int64_t every) const { return every > 0 && state_.step % every == 0; }

  bool cancelled() {
    if (!cancelled_ && callbacks_.cancel && callbacks_.cancel()) cancelled_ = true;
    return cancelled_;
  }

  void step() {
    const int64_t rows = recipe_.training.batch, parts = recipe_.training.accumulation;
    double loss_sum = 0;
    for (int64_t part = 0; part < parts; part++) {
      const auto start = Clock::now();
      const Batch batch = dataset_->training(state_.sample, rows);
      const auto read = Clock::now();
      Tensor loss = model_->loss(model_->hidden(batch.ids), batch.targets);
      loss_sum += loss.item();
      const double scale = optimizer_->loss_scale() / static_cast<double>(parts);
      if (scale != 1) loss = loss * scale;
      const auto forward = Clock::now();
      backward(loss);
      const auto end = Clock::now();
      state_.sample += rows;
      time_.data += seconds_between(start, read);
      time_.forward += seconds_between(read, forward);
      time_.backward += seconds_between(forward, end);
    }
    const Stopwatch watch(time_.optimizer);
    state_.loss = loss_sum / static_cast<double>(parts);
    learning_rate_ = learning_rate_at(recipe_, state_.step);
    const int64_t updates = optimizer_->state().steps;
    gradient_norm_ = optimizer_->step(learning_rate_);
    if (optimizer_->state().steps == updates)
      log_.write(EventRecord{
          state_.step + 1,
          fmt::format("gradient not finite, step left out; loss scale now {}", optimizer_->loss_scale())});
    state_.step++;
    losses_.push_back(state_.loss);
  }

  int64_t tokens() const { return state_.sample * dataset_->context(); }

  void report_step() {
    const auto now = Clock::now();
    const double since = seconds_between(logged_, now) - apart_;
    const double done = static_cast<double>((state_.step - logged_step_) * recipe_.training.batch *
                                            recipe_.training.accumulation * dataset_->context());
    state_.seconds = before_ + seconds_between(began_, now);
    const MemoryUse memory = memory_use();
    TrainProgress progress;
    progress.step = state_.step;
    progress.steps = recipe_.training.steps;
    progress.loss = state_.loss;
    progress.validation = state_.validation;
    progress.learning_rate = learning_rate_;
    progress.gradient_norm = gradient_norm_;
    progress.tokens = tokens();
    progress.tokens_per_second = since > 0 ? done / since : 0;
    progress.peak_share = peak_ > 0 ? progress.tokens_per_second * token_work_ / peak_ : 0;
    progress.memory = memory.current;
    progress.memory_peak = memory.peak;
    progress.seconds = state_.seconds;
    progress.seconds_left = seconds_between(began_, now) / static_cast<double>(state_.step - first_step_) *
                            static_cast<double>(progress.steps - progress.step);
    logged_ = now;
    logged_step_ = state_.step;
    apart_ = 0;

    log_.write(StepRecord{progress.step, progress.loss, progress.learning_rate, progress.gradient_norm,
                          progress.tokens, progress.tokens_per_second, progress.peak_share,
                          static_cast<int64_t>(memory.current), static_cast<int64_t>(memory.peak),
                          progress.seconds});
    const Scalar scalars[] = {{"loss/train", progress.loss},
                              {"learning_rate", progress.learning_rate},
                              {"gradient_norm", progress.gradient_norm},
                              {"tokens_per_second", progress.tokens_per_second},
                              {"memory_peak", static_cast<double>(memory.peak)}};
    events_->add(state_.step, scalars);
    if (callbacks_.progress) callbacks_.progress(progress);
  }

  // ---- validation

  bool evaluation_due() const {
    if (dataset_->validation_windows() == 0 || state_.evaluated_step == state_.step) return false;
    return due(recipe_.evaluation.every) || state_.step == recipe_.training.steps;
  }

  // The mean loss over the validation windows; nothing if cancelled meanwhile.
  std::optional<double> validation_loss() {
    const NoGradient no_gradient;
    const int64_t windows = dataset_->validation_windows(), rows = std::min(recipe_.training.batch, windows);
    const int64_t all = (windows + rows - 1) / rows;
    const int64_t batches = recipe_.evaluation.batches > 0 ? std::min(recipe_.evaluation.batches, all) : all;
    double sum = 0;
    int64_t counted = 0;
    for (int64_t i = 0; i < batches; i++) {
      if (cancelled()) return std::nullopt;
      const int64_t first = i * all / batches * rows, here = std::min(rows, windows - first);
      const Batch batch = dataset_->validation(first, here);
      sum += model_->loss(model_->hidden(batch.ids), batch.targets).item() * static_cast<double>(here);
      counted += here;
    }
    return sum / static_cast<double>(counted);
  }

  // True if it is the best so far.
  bool evaluate() {
    const auto start = Clock::now();
    std::optional<double> loss;
    optimizer_->with_evaluated(*model_, [&] { loss = validation_loss(); });
    const double seconds = seconds_between(start, Clock::now());
    time_.evaluation += seconds;
    apart_ += seconds;
    if (!loss) return false;
    state_.validation = loss;
    state_.evaluated_step = state_.step;
    log_.write(ValidationRecord{state_.step, *loss, seconds});
    const Scalar scalar[] = {{"loss/validation", *loss}};
    events_->add(state_.step, scalar);
    if (state_.best && *loss >= *state_.best) return false;
    state_.best = loss;
    state_.best_step = state_.step;
    return true;
  }

  // ---- samples

  bool samples_wanted() const { return recipe_.samples.every > 0 || recipe_.samples.seconds > 0; }

  bool sample_due() const {
    if (due(recipe_.samples.every)) return true;
    return recipe_.samples.seconds > 0 && seconds_between(sampled_, Clock::now()) >= recipe_.samples.seconds;
  }

  void write_sample() {
    const auto start = Clock::now();
    const Random random(static_cast<uint64_t>(recipe_.training.seed), sample_stream,
                        static_cast<uint64_t>(state_.step) << 20);
    std::string text;
    optimizer_->with_evaluated(*model_,
                               [&] { text = sample_text(*model_, *tokenizer_, recipe_.samples, random); });
    log_.write(SampleRecord{state_.step, recipe_.samples.prompt, text});
    if (callbacks_.sample) callbacks_.sample({state_.step, recipe_.samples.prompt, text});
    sampled_ = Clock::now();
    apart_ += seconds_between(start, sampled_);
  }

  // ---- saving

  void save() {
    const auto start = Clock::now();
    state_.seconds = before_ + seconds_between(began_, start);
    const bool best = state_.best_step == state_.step;
    state_.optimizer = optimizer_->state();
    const fs::path made = checkpoints_.save(*model_, *tokenizer_, *optimizer_, state_);
    save_seconds_ = seconds_between(start, Clock::now());
    time_.checkpoint += save_seconds_;
    saved_step_ = state_.step;
    int64_t bytes = 0;
    for (const auto& entry : fs::directory_iterator(made)) bytes += static_cast<int64_t>(entry.file_size());
    log_.write(CheckpointRecord{state_.step, (fs::path("checkpoints") / made.filename()).string(), bytes,
                                save_seconds_, best, unix_time()});
    log_.write(time_);
    write_report(path_);
    if (callbacks_.checkpoint) callbacks_.checkpoint({state_.step, made, save_seconds_, best});
    apart_ += seconds_between(start, Clock::now());
  }

  TrainResult finish() {
    const bool ended = state_.step >= recipe_.training.steps;
    if (!ended) {
      log_.write(EventRecord{state_.step, fmt::format("interrupted at step {}", format_count(state_.step))});
      if (saved_step_ != state_.step || state_.step == 0)
        save();
      else
        write_report(path_);
    }
    TrainResult result;
    result.run = path_;
    result.step = state_.step;
    result.validation = state_.validation;
    result.seconds = state_.seconds;
    result.cancelled = !ended;
    result.save_seconds = save_seconds_;
    const size_t count = std::min(losses_.size(), averaged_losses);
    result.loss = state_.loss;
    if (count > 0) {
      double sum = 0;
      for (size_t i = losses_.size() - count; i < losses_.size(); i++) sum += losses_[i];
      result.loss = sum / static_cast<double>(count);
    }
    if (ended) {
      log_.write(EndRecord{state_.step, unix_time(), state_.seconds, result.loss, state_.validation});
      write_report(path_);
    }
    result.losses = std::move(losses_);
    return result;
  }

  fs::path path_;
  Recipe recipe_;
  const TrainCallbacks& callbacks_;
  RunLock lock_;
  Checkpoints checkpoints_;
  RunLog log_;
  std::unique_ptr<EventWriter> events_;
  std::shared_ptr<Model> model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<Dataset> dataset_;
  std::unique_ptr<const Autocast> autocast_;  // for as long as the run lives, in its thread
  std::unique_ptr<Optimizer> optimizer_;
  TrainState state_;
  TimeRecord& time_ = state_.time;
  std::vector<std::string> warnings_;
  std::vector<double> losses_;
  bool cancelled_ = false;
  double peak_ = 0, token_work_ = 0, learning_rate_ = 0, gradient_norm_ = 0, save_seconds_ = 0;
  double before_ = 0;  // seconds of earlier calls
  double apart_ = 0;   // seconds since the last report that were no training
  int64_t first_step_ = 0, logged_step_ = 0, saved_step_ = 0;
  Clock::time_point began_, logged_, sampled_;
};

}  // namespace

// ---- the public functions

std::string model_config(const Recipe& recipe, int64_t vocabulary) {
  const Recipe::ModelShape& shape = recipe.model;
  Json config = {
      {"model_type", shape.type},
      {"vocab_size", vocabulary},
      {"hidden_size", shape.width},
      {"n_embd", shape.width},
      {"num_hidden_layers", shape.layers},
      {"n_layer", shape.layers},
      {"num_attention_heads", shape.heads},
      {"n_head", shape.heads},
      {"num_key_value_heads", shape.kv_heads ? shape.kv_heads : shape.heads},
      {"max_position_embeddings", shape.context},
      {"n_positions", shape.context},
      {"tie_word_embeddings", shape.tied},
      {"attention_bias", shape.bias},
      {"mlp_bias", shape.bias},
  };
  // A gated layer has three matrices where the plain one has two, so 8/3 of the width costs what 4 does
  // there.
  config["intermediate_size"] =
      shape.feed_forward ? shape.feed_forward : (shape.width * 8 / 3 + 31) / 32 * 32;
  if (shape.feed_forward) config["n_inner"] = shape.feed_forward;
  return config.dump();
}

TrainResult train(const Recipe& given, const TrainCallbacks& callbacks) {
  Recipe recipe = given;
  check_recipe(recipe);
  if (recipe.training.out.empty())
    recipe.training.out = free_run_path(fs::path(recipe.data.path).stem().string()).string();
  const fs::path run = recipe.training.out;
  const std::string text = to_toml(recipe);
  // Values set by a program have not been through the table's checks, and a resume must be able to read the
  // file.
  recipe = parse_recipe(text, "recipe");
  if (fs::exists(run / "recipe.toml") || fs::exists(run / "checkpoints"))
    fail_hint(fmt::format("intarsia train --resume {}, or choose another --out", run.string()),
              "{}: holds a run already", run.string());
  make_directories(run);
  write_file(run / "recipe.toml", text);
  return Run(run, recipe, callbacks).go(false);
}

TrainResult resume(const fs::path& run, const TrainCallbacks& callbacks) {
  if (!fs::exists(run / "recipe.toml"))
    fail_hint("give the directory that intarsia train made, such as runs/book",
              "{}: is no run directory: it has no recipe.toml", run.string());
  const Recipe recipe = read_recipe(run / "recipe.toml");
  return Run(run, recipe, callbacks).go(true);
}

}  // namespace intarsia
