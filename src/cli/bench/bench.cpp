// intarsia bench NAME: intarsia and PyTorch take turns in one run. Ratio > 1 means that intarsia is faster.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/bench/item.h"
#include "cli/bench/peer.h"
#include "cli/bench/tokenizer.h"
#include "cli/verbs.h"
#include "core/fail.h"
#include "core/format.h"
#include "core/terminal.h"
#include "kernel/kernels.h"
#include "kernel/measure.h"
#include "kernel/table.h"
#include "lab/peers.h"

namespace intarsia::cli {

Array random_array(const Shape& shape, DType dtype, uint64_t stream) {
  return kernel::cast(normal(shape, 1, 7, stream), dtype);
}

Call backward_of(const Tensor& y, const Array& dy, const std::vector<Tensor>& inputs) {
  return [=] {
    Gradients dx(*y.node().get());
    const NoGradient off;
    y.node()->backward(dy, dx);
    for (const Tensor& x : inputs) x.clear_gradient();
  };
}

namespace {

using Clock = std::chrono::steady_clock;

double seconds_of(const Call& call, int inner) {
  const auto start = Clock::now();
  for (int i = 0; i < inner; i++) call();
  return std::chrono::duration<double>(Clock::now() - start).count() / inner;
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

struct Benchmark {
  const char* name;
  std::vector<Item> (*items)();
};
constexpr Benchmark benchmarks[] = {
    {"products", product_items},      {"pointwise", pointwise_items},      {"attention", attention_items},
    {"decode", decode_items},         {"conv", convolution_items},         {"optimizer", optimizer_items},
    {"train-step", train_step_items}, {"small-models", small_model_items}, {"tape", tape_items}};
std::string names() {
  std::string all;
  for (const Benchmark& b : benchmarks) all += std::string(b.name) + ", ";
  return all + "tokenizer";
}
std::vector<Item> items_of(const std::string& name) {
  for (const Benchmark& b : benchmarks)
    if (name == b.name) return b.items();
  fail_hint("names: " + names(), "bench: unknown name \"{}\"", name);
}

struct Row {
  std::string title;
  double ours, peer, low, high, limit, share;  // NaN where not measured
  std::string unit;
};

// Until the threads of the side whose turn ended have parked: ours spin for 200 microseconds, those of GNU's
// OpenMP under PyTorch for 300,000 pauses, which is 3 to 10 ms.
constexpr auto until_parked = std::chrono::milliseconds(20);
// Each side works this long, in seconds, before its time counts (bench/peer.py does so too): the system may
// wake a worker on the processor of the thread that wakes it, and takes some milliseconds to move it.
constexpr double warm_up = 0.02;

Row measure(const Item& item, Peer& peer, const kernel::Limits& limits, int rounds) {
  set_thread_count(item.threads);
  if (item.bytes_held) {
    const double nan = std::nan("");
    return {item.title, item.bytes_held() * 1e-6, nan, nan, nan, nan, nan, "MB"};
  }
  const Call call = item.prepare(), beside = item.limit ? item.limit() : Call();
  const Call other = item.prepare_other ? item.prepare_other() : Call();
  call();
  const int inner = std::clamp(static_cast<int>(0.002 / std::max(1e-8, seconds_of(call, 1))), 1, 10000);
  std::vector<double> ours, theirs, ratios, limit;
  Json request = item.request;
  const bool against = peer.present() && !request.is_null();
  if (against) request["threads"] = item.threads, request["repeat"] = 1;
  for (int round = 0; round < rounds; round++) {
    for (double warm = 0; warm < warm_up;) warm += seconds_of(call, inner) * inner;
    ours.push_back(seconds_of(call, inner));
    if (beside) limit.push_back(seconds_of(beside, inner));
    if (other) {
      theirs.push_back(seconds_of(other, inner));
      ratios.push_back(theirs.back() / ours.back());
    }
    std::this_thread::sleep_for(until_parked);
    if (!against) continue;
    const Json answer = Json::parse(peer.ask(request.dump()), nullptr, false);
    if (answer.is_discarded() || !answer.contains("seconds"))
      fail("bench: the peer answered {}", answer.is_discarded() ? "nothing" : answer.dump());
    theirs.push_back(answer["seconds"][0].get<double>());
    ratios.push_back(theirs.back() / ours.back());
    std::this_thread::sleep_for(until_parked);
  }
  const double nan = std::nan("");
  const auto scaled = [&](double seconds) {
    return item.unit == Item::Unit::seconds ? seconds * 1e6 : item.work / seconds * 1e-9;
  };
  Row row{item.title, scaled(median(ours)), nan, nan, nan, nan, nan, ""};
  switch (item.unit) {
    case Item::Unit::flops:
      row.unit = "Gflop/s";
      // A word holds four int8 and two bf16, and where there are instructions for either they are equally
      // fast.
      row.limit = item.dtype == DType::i8     ? 2e-9 * limits.bf16_flops
                  : item.dtype == DType::bf16 ? 1e-9 * limits.bf16_flops
                                              : 1e-9 * limits.f32_flops;
      break;
    case Item::Unit::bytes:
      row.unit = "GB/s";
      row.limit = limits.read_bytes * 1e-9;
      break;
    case Item::Unit::seconds:
      row.unit = "us";
      break;
  }
  if (beside) row.limit = scaled(median(limit));
  row.share = row.ours / row.limit;
  if (!theirs.empty()) {
    row.peer = scaled(median(theirs));
    std::sort(ratios.begin(), ratios.end());
    row.low = ratios.front(), row.high = ratios.back();
  }
  return row;
}

double ratio_of(const Row& row) { return row.unit == "us" ? row.peer / row.ours : row.ours / row.peer; }

Json number(double x) { return std::isfinite(x) ? Json(x) : Json(); }

struct Options {
  std::string name, only, python, script = "bench/peer.py", trace;
  bool json = false, profile = false;
  int rounds = 7;
};

void profiles(const Options& options) {
  if (options.name != "train-step" && options.name != "small-models")
    throw UsageError("--profile shows training steps; use it with train-step or small-models");
  std::vector<Item> steps = items_of(options.name);
  std::erase_if(steps, [&](const Item& item) {
    return item.title.find(options.only) == std::string::npos || item.request.value("compile", false) ||
           item.threads != thread_count();
  });
  if (!options.trace.empty() && steps.size() != 1)
    throw UsageError("--trace keeps the events of one training step; choose it by --only");
  for (const Item& item : steps) {
    if (&item != &steps.front() && !options.json) fmt::print("\n");
    profile(item, kernel::measure_limits(0.3), options.rounds, options.trace, options.json);
  }
}

void bench(Options options) {
  if (options.profile) return profiles(options);
  if (options.python.empty()) options.python = peers_python();
  if (options.name == "tokenizer") {
    const char* data = std::getenv("INTARSIA_DATA");
    TokenizerBench tokenizers;
    tokenizers.python = options.python;
    tokenizers.data = data ? data : "../shared/data";
    tokenizers.rounds = options.rounds;
    tokenizers.json = options.json;
    tokenizers.only = options.only;
    return bench_tokenizer(tokenizers);
  }
  const std::vector<Item> items = items_of(options.name);
  Peer peer(options.python, options.script);
  const Json hello = Json::parse(peer.hello(), nullptr, false);
  const std::string version =
      hello.is_object() ? hello.value("peer", "") + " " + hello.value("version", "") : "";
  const int all_threads = thread_count();
  std::map<int, kernel::Limits> limits;  // of each number of threads
  const Terminal screen = Terminal::of(stdout);
  if (!options.json) {
    fmt::print("{}, {} threads, rung {}; peer: {}\n", kernel::cpu().brand, thread_count(),
               kernel::table().name, version.empty() ? "none (scripts/peers makes it)" : version);
    fmt::print("{} {} {} {} {} {}\n", pad_to_width(options.name, 48), pad_to_width("ours", 10, true),
               pad_to_width("peer", 10, true), pad_to_width("ratio", 7, true),
               pad_to_width("spread", 13, true), "share of limit");
  }
  for (const Item& item : items) {
    if (item.title.find(options.only) == std::string::npos) continue;
    set_thread_count(item.threads);
    if (!limits.contains(item.threads)) limits[item.threads] = kernel::measure_limits(0.3);
    const Row row = measure(item, peer, limits[item.threads], options.rounds);
    const double ratio = ratio_of(row);
    const std::string& peer_name = item.against.empty() ? version : item.against;
    if (options.json) {
      fmt::print("{}\n", Json{{"name", fmt::format("{}, {} threads", row.title, item.threads)},
                              {"ours", row.ours},
                              {"peer", number(row.peer)},
                              {"ratio", number(ratio)},
                              {"low", number(row.low)},
                              {"high", number(row.high)},
                              {"unit", row.unit},
                              {"limit", number(row.limit)},
                              {"share", number(row.share)},
                              {"cpu", kernel::cpu().brand},
                              {"peer_version", peer_name.empty() ? Json() : Json(peer_name)}}
                             .dump());
    } else {
      const auto shown = [](double x, int decimals) {
        return std::isfinite(x) ? fmt::format("{:.{}f}", x, decimals) : std::string("-");
      };
      const std::string title =
          item.threads == all_threads ? row.title : fmt::format("{}, {} thread", row.title, item.threads);
      const std::string r = pad_to_width(shown(ratio, 2), 7, true);
      const std::string spread =
          std::isfinite(row.low) ? fmt::format("{:.2f}-{:.2f}", row.low, row.high) : "-";
      fmt::print("{} {} {} {} {} {} {}\n", pad_to_width(title, 48),
                 pad_to_width(shown(row.ours, 1), 10, true), pad_to_width(shown(row.peer, 1), 10, true),
                 ratio >= 1 ? screen.green(r) : screen.bold(r), pad_to_width(spread, 13, true),
                 pad_to_width(std::isfinite(row.share) ? format_share(row.share) : "-", 6, true), row.unit);
    }
    std::fflush(stdout);
  }
  set_thread_count(all_threads);
}

}  // namespace

void add_bench(Command app) {
  Command verb =
      app.add("bench", "Measure intarsia against PyTorch and other libraries, taking turns in one run");
  auto options = std::make_shared<Options>();
  verb.option("name", options->name, names()).required();
  verb.flag("--json", options->json, "Print one JSON object a line");
  verb.option("--only", options->only, "Only lines whose title contains this");
  verb.option("--rounds", options->rounds, "Turns of each side").between(1, 1000);
  verb.flag(
      "--profile", options->profile,
      "With train-step or small-models: time, share of the step and of its own limit for each operation");
  verb.option("--trace", options->trace, "With --profile: a Chrome trace of the steps, to this file");
  verb.option("--python", options->python, "The peers' Python (default: what scripts/peers makes)");
  verb.option("--peer", options->script, "The peer's script").show_default();
  verb.footer("Example:\n  scripts/peers && intarsia bench products");
  verb.run([options] { bench(*options); });
}

}  // namespace intarsia::cli
