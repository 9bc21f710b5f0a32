#include "cli/model_options.h"

#include <fmt/core.h>

#include <random>

#include "core/format.h"
#include "core/terminal.h"
#include "data/file.h"

namespace intarsia::cli {

void ModelOptions::add(Command verb) {
  verb.option("PATH", path, model_help).required();
  verb.option("--tokenizer", tokenizer, "Tokenizer to use instead of the model's own");
  verb.option("--compute", compute, "Type of activations: f32 or bf16").among({"f32", "bf16"}).show_default();
}

Loaded ModelOptions::load() const {
  const LoadOptions options{.compute = dtype_named(compute), .tokenizer = tokenizer, .packed = true};
  Loaded loaded = intarsia::load(path, options);
  if (!loaded.unused.empty()) {
    const Terminal screen = Terminal::of(stderr);
    fmt::print(stderr, "{} {}: {} tensors have no place in the model, {} first\n", screen.yellow("warning:"),
               path, loaded.unused.size(), quote(loaded.unused.front()));
  }
  return loaded;
}

void SamplingOptions::add(Command verb) {
  verb.option("-n,--max-tokens", max_tokens, "Tokens at most").nonnegative().show_default();
  verb.option("--temperature", sampling.temperature, "0: always the likeliest token").show_default();
  verb.option("--top-k", sampling.top_k, "Choose among the K likeliest; 0: all").show_default();
  verb.option("--top-p", sampling.top_p, "Choose among the likeliest that sum to P").show_default();
  verb.option("--min-p", sampling.min_p, "Leave out tokens less than P times as likely as the likeliest")
      .show_default();
  verb.option("--repetition-penalty", sampling.repetition_penalty,
              "Above 1: tokens that occurred get less likely")
      .show_default();
  seed = verb.option("--seed", sampling.seed,
                     "Of the random numbers; the same seed gives the same text (default: drawn)");
  verb.option("--stop", stop, "Text that ends the answer; may be given several times").once_each();
  verb.flag("--ignore-eos", ignore_eos, "Go on where the model would end");
}

GenerateOptions SamplingOptions::options() const {
  GenerateOptions result;
  result.sampling = sampling;
  if (!seed || !seed->given()) result.sampling.seed = std::random_device()();
  result.max_tokens = max_tokens;
  result.ignore_stop_ids = ignore_eos;
  result.stop = stop;
  return result;
}

}  // namespace intarsia::cli
