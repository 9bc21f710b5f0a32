// intarsia eval: how well a model predicts a text, what a broken last token costs it, and its logits for
// other programs.
#include <fmt/core.h>

#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/model_options.h"
#include "cli/verbs.h"
#include "core/fail.h"
#include "core/format.h"
#include "core/terminal.h"
#include "data/file.h"
#include "data/json.h"
#include "data/npy.h"
#include "generate/cut_loss.h"
#include "intarsia/op.h"

namespace intarsia::cli {
namespace {

// Rows of logits that are held at a time: a vocabulary may be large.
constexpr int64_t rows_at_once = 64;

struct Arguments {
  ModelOptions model;
  std::string file, ids, out;
  int64_t context = 0;
  HealingMeasure healing;
  bool json = false;
};

Array row_of(std::span<const int32_t> ids) {
  return Array::copy_of(ids, {1, static_cast<int64_t>(ids.size())});
}

// The sum of -log p of ids 1.. of the window, each from those before it.
double window_loss(const Model& model, std::span<const int32_t> window) {
  const Tensor hidden = model.hidden(Tensor(row_of(window)));
  const auto predicted = static_cast<int64_t>(window.size()) - 1;
  double sum = 0;
  for (int64_t begin = 0; begin < predicted; begin += rows_at_once) {
    const int64_t end = std::min(begin + rows_at_once, predicted);
    const Tensor logits = cast(model.logits(slice(hidden, 1, begin, end)), DType::f32);
    const Tensor targets =
        row_of(window.subspan(static_cast<size_t>(begin) + 1, static_cast<size_t>(end - begin)));
    sum += cross_entropy(logits, targets).item() * static_cast<double>(end - begin);
  }
  return sum;
}

void perplexity(const Arguments& arguments) {
  const NoGradient no_gradient;
  const Loaded loaded = arguments.model.load();
  if (!loaded.tokenizer) fail_hint("name one with --tokenizer", "eval: the model has no tokenizer");
  const int64_t context =
      arguments.context ? arguments.context : std::min<int64_t>(loaded.model->context(), 512);
  if (context < 2 || context > loaded.model->context())
    fail("eval: context is {}, expected 2 to {}", context, loaded.model->context());
  const Ids ids = loaded.tokenizer->encode(read_file(arguments.file));
  const auto windows = static_cast<int64_t>(ids.size()) / context;
  if (windows == 0)
    fail_hint("lower --context", "{}: has {} tokens, expected at least one window of {}", arguments.file,
              ids.size(), context);

  const Terminal screen = Terminal::of(stderr);
  const auto start = std::chrono::steady_clock::now();
  double sum = 0;
  for (int64_t i = 0; i < windows; i++) {
    sum += window_loss(*loaded.model, std::span(ids).subspan(static_cast<size_t>(i * context),
                                                             static_cast<size_t>(context)));
    if (!screen.interactive) continue;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double left = seconds / static_cast<double>(i + 1) * static_cast<double>(windows - i - 1);
    const double so_far = std::exp(sum / static_cast<double>((i + 1) * (context - 1)));
    fmt::print(stderr, "{}",
               screen.over(fmt::format("window {}/{}  perplexity {:.2f}  {} left", i + 1, windows, so_far,
                                       format_duration(left))));
  }
  if (screen.interactive) fmt::print(stderr, "{}", screen.over(""));
  const int64_t tokens = windows * (context - 1);
  const double result = std::exp(sum / static_cast<double>(tokens));
  if (arguments.json) {
    fmt::print("{}\n", nlohmann::ordered_json{{"perplexity", result}, {"tokens", tokens}}.dump());
  } else {
    fmt::print("perplexity {:.3f} over {} tokens in {} windows of {}\n", result, format_count(tokens),
               format_count(windows), format_count(context));
  }
}

void healing(const Arguments& arguments) {
  Generator generator(arguments.model.load());
  HealingMeasure options = arguments.healing;
  const Terminal screen = Terminal::of(stderr);
  if (screen.interactive)
    options.on_cut = [&](int64_t done) { fmt::print(stderr, "\rcut {}/{}\x1b[K", done, options.cuts); };
  const CutLoss loss = measure_healing(generator, read_file(arguments.file), options);
  if (screen.interactive) fmt::print(stderr, "\r\x1b[K");
  if (arguments.json) {
    fmt::print("{}\n", nlohmann::ordered_json{{"naive", loss.naive},
                                              {"healed", loss.healed},
                                              {"exact", loss.exact},
                                              {"recovered", recovered(loss)}}
                           .dump());
    return;
  }
  fmt::print(
      "nats a byte over {} bytes behind {} cuts: naive {:.4f}, healed {:.4f}, exact {:.4f}; healing recovers "
      "{:.1f} % of the gap\n",
      options.bytes, format_count(options.cuts), loss.naive, loss.healed, loss.exact, 100 * recovered(loss));
}

Ids parse_ids(const std::string& text, int64_t vocabulary) {
  const Json list = parse_json(text, "ids");
  if (!list.is_array() || list.empty()) fail("ids: expected a list such as [1, 2]");
  Ids ids;
  for (const Json& id : list) {
    const bool fits = id.is_number_unsigned() && id.get<uint64_t>() < static_cast<uint64_t>(vocabulary);
    if (!fits) fail("ids: element {} is {}, expected 0 to {}", ids.size(), id.dump(), vocabulary - 1);
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

void logits(const Arguments& arguments) {
  const NoGradient no_gradient;
  const Loaded loaded = arguments.model.load();
  const Ids ids = parse_ids(arguments.ids, loaded.model->vocabulary());
  const Tensor all = contiguous(cast((*loaded.model)(Tensor(row_of(ids))), DType::f32));
  const Array rows = all.array().reshape({static_cast<int64_t>(ids.size()), loaded.model->vocabulary()});
  write_npy(arguments.out, rows);
  fmt::print("{}: f32 {}\n", arguments.out, rows.shape().text());
}

}  // namespace

void add_eval(Command app) {
  Command verb = app.add("eval", "Measure a model: perplexity, broken tokens, logits");
  verb.needs_verb();
  verb.footer("Example:\n  intarsia eval perplexity runs/book book.txt");
  const auto arguments = std::make_shared<Arguments>();

  Command measure =
      verb.add("perplexity", "How well the model predicts a text, in windows that do not overlap");
  arguments->model.add(measure);
  measure.option("FILE", arguments->file, "The text").required();
  measure.option("--context", arguments->context,
                 "Tokens of a window (default: 512, or the model's context)");
  measure.flag("--json", arguments->json, "Print {\"perplexity\", \"tokens\"}");
  measure.footer(
      "Example:\n  intarsia eval perplexity models/SmolLM2-135M-Instruct.Q4_1.gguf wiki.txt --context 512");
  measure.run([arguments] { perplexity(*arguments); });

  Command cuts = verb.add(
      "healing", "What prompts that end inside a token cost, and how much of it token healing recovers");
  arguments->model.add(cuts);
  cuts.option("FILE", arguments->file, "The text").required();
  cuts.option("--cuts", arguments->healing.cuts, "Places drawn at random").show_default();
  cuts.option("--bytes", arguments->healing.bytes, "Bytes behind each").show_default();
  cuts.option("--context", arguments->healing.context, "Bytes before each").show_default();
  cuts.option("--seed", arguments->healing.seed).show_default();
  cuts.flag("--json", arguments->json, "Print {\"naive\", \"healed\", \"exact\", \"recovered\"}");
  cuts.footer("Example:\n  intarsia eval healing models/SmolLM2-135M-Instruct.Q4_1.gguf wiki.txt --cuts 100");
  cuts.run([arguments] { healing(*arguments); });

  Command dump = verb.add("logits", "Write the logits of ids as a NumPy file, f32 [T, V]");
  arguments->model.add(dump);
  dump.option("IDS", arguments->ids, "A JSON list of ids").required();
  dump.option("--out", arguments->out, "The .npy file to write").required();
  dump.footer("Example:\n  intarsia eval logits runs/book '[1, 2, 3]' --out logits.npy");
  dump.run([arguments] { logits(*arguments); });
}

}  // namespace intarsia::cli
