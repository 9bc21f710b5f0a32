// intarsia bench NAME: intarsia and PyTorch take turns in one run. Ratio > 1 means that intarsia is faster.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "cli/bench.h"
#include "cli/bench_tokenizer.h"
#include "cli/peer.h"
#include "cli/verbs.h"
#include "core/fail.h"
#include "core/format.h"
#include "core/terminal.h"
#include "intarsia/model.h"
#include "intarsia/op.h"
#include "kernel/kernels.h"
#include "kernel/measure.h"
#include "kernel/table.h"
#include "train/optimizer/optimizer.h"

namespace intarsia::cli {
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

// ---- pointwise, rows, optimizer

struct Function {
  const char* name;
  int inputs;
  bool rows;
  Tensor (*apply)(std::span<const Tensor>);
};
constexpr Function functions[] = {
    {"add", 2, false, [](std::span<const Tensor> x) { return add(x[0], x[1]); }},
    {"gelu", 1, false, [](std::span<const Tensor> x) { return gelu(x[0]); }},
    {"silu", 1, false, [](std::span<const Tensor> x) { return silu(x[0]); }},
    {"tanh", 1, false, [](std::span<const Tensor> x) { return tanh(x[0]); }},
    {"swiglu", 2, false, [](std::span<const Tensor> x) { return swiglu(x[0], x[1]); }},
    {"softmax", 1, true, [](std::span<const Tensor> x) { return softmax(x[0]); }},
    {"rms_norm", 2, true, [](std::span<const Tensor> x) { return rms_norm(x[0], x[1]); }},
    {"layer_norm", 3, true, [](std::span<const Tensor> x) { return layer_norm(x[0], x[1], x[2]); }},
    {"cross_entropy", 1, true,
     [](std::span<const Tensor> x) {
       Array targets = Array::empty({x[0].dim(0)}, DType::i64);
       int64_t* t = targets.mutable_data<int64_t>();
       for (int64_t i = 0; i < targets.size(); i++) t[i] = i % x[0].dim(1);
       return cross_entropy(x[0], Tensor(targets));
     }},
};

Item function_item(const Function& f, int64_t rows, int64_t cols, DType dtype, bool back) {
  Json request = {{"name", std::string(f.name) + (back ? "_backward" : "")}, {"dtype", info(dtype).name}};
  if (f.rows)
    request["rows"] = rows, request["cols"] = cols;
  else
    request["n"] = rows * cols;
  const auto elements = static_cast<double>(rows * cols);
  const double passes = (f.rows ? 1 : f.inputs) * (back ? 2.0 : 1.0) + 1;
  return {fmt::format("{}{} {} {}x{}", f.name, back ? " backward" : "", info(dtype).name, rows, cols),
          request,
          [=, &f]() -> Call {
            auto x = std::make_shared<std::vector<Tensor>>();
            for (int i = 0; i < f.inputs; i++) {
              const Array value = random_array(f.rows && i > 0 ? Shape{cols} : Shape{rows, cols}, dtype,
                                               static_cast<uint64_t>(i));
              x->push_back(back ? parameter(value) : Tensor(value));
            }
            if (!back) return [=, &f] { f.apply(*x); };
            const Tensor y = f.apply(*x);
            const Tensor dy = y.rank() ? Tensor(random_array(y.shape(), dtype, 9)) : Tensor();
            // Only the node's own backward is timed, as on the other side: the graph is kept.
            return [=] {
              Gradients dx(*y.node().get());
              NoGradient off;
              Array seed = dy ? dy.array() : Array::zeros({}, y.dtype());
              y.node()->backward(seed, dx);
              for (const Tensor& t : *x) t.clear_gradient();
            };
          },
          elements* passes* info(dtype).bytes,
          Item::Unit::bytes,
          dtype};
}

std::vector<Item> pointwise() {
  std::vector<Item> items;
  for (DType dtype : {DType::f32, DType::bf16})
    for (const Function& f : functions)
      for (bool back : {false, true}) {
        if (back && std::string_view(f.name) == "add")
          continue;  // the tape hands dy on: there is nothing to time
        items.push_back(function_item(f, 768, 512, dtype, back));
        if (dtype == DType::f32) items.push_back(function_item(f, 8192, 1024, dtype, back));
      }
  items.push_back(update_item(kernel::UpdateRule::adamw, 800000, 30, false));
  items.push_back(update_item(kernel::UpdateRule::adamw, int64_t{1} << 24, 8, false));
  return items;
}

// ---- attention

Item attention_item(int64_t batch, int64_t heads, int64_t tokens, int64_t d, DType dtype, bool back) {
  const double work = 2.0 * static_cast<double>(batch * heads * tokens) * static_cast<double>(tokens * d);
  return {fmt::format("attention{} {} {}x{}x{}x{}", back ? " backward" : "", info(dtype).name, batch, heads,
                      tokens, d),
          {{"name", back ? "attention_backward" : "attention"},
           {"batch", batch},
           {"heads", heads},
           {"tokens", tokens},
           {"head_size", d},
           {"dtype", info(dtype).name}},
          [=]() -> Call {
            const Shape shape{batch, tokens, heads, d};
            std::vector<Tensor> x;
            for (uint64_t i = 0; i < 3; i++)
              x.push_back(back ? parameter(random_array(shape, dtype, i))
                               : Tensor(random_array(shape, dtype, i)));
            if (!back) return [=] { attention(x[0], x[1], x[2]); };
            const Tensor o = attention(x[0], x[1], x[2]);
            const Array dy = random_array(shape, dtype, 9);
            return [=] {
              Gradients dx(*o.node().get());
              NoGradient off;
              o.node()->backward(dy, dx);
              for (const Tensor& t : x) t.clear_gradient();
            };
          },
          back ? 2.5 * work : work,
          Item::Unit::flops,
          dtype};
}

std::vector<Item> attentions() {
  std::vector<Item> items;
  for (DType dtype : {DType::f32, DType::bf16})
    for (bool back : {false, true}) {
      items.push_back(attention_item(12, 4, 64, 32, dtype, back));
      items.push_back(attention_item(1, 12, 1024, 64, dtype, back));
      items.push_back(attention_item(1, 12, 4096, 64, dtype, back));
    }
  return items;
}

// ---- convolution: value, gradient of x, gradient of w

struct ConvolutionSizes {
  int64_t batch, channels, pixels, outputs, kernel, stride, groups;
};

Item convolution_item(const ConvolutionSizes& z, DType dtype, int gradient) {
  static constexpr const char* names[] = {"conv2d", "conv2d_dx", "conv2d_dw"};
  const int64_t padding = z.kernel / 2, out = (z.pixels + 2 * padding - z.kernel) / z.stride + 1;
  const int64_t terms = z.channels / z.groups * z.kernel * z.kernel;
  const double sums = static_cast<double>(z.batch * z.outputs * out * out);
  return {
      fmt::format("{} {} {}x{}x{}^2 to {}, {}^2{}{}", names[gradient], info(dtype).name, z.batch, z.channels,
                  z.pixels, z.outputs, z.kernel, z.stride > 1 ? fmt::format(" /{}", z.stride) : "",
                  z.groups > 1 ? fmt::format(", {} groups", z.groups) : ""),
      {{"name", names[gradient]},
       {"batch", z.batch},
       {"channels", z.channels},
       {"pixels", z.pixels},
       {"outputs", z.outputs},
       {"kernel", z.kernel},
       {"stride", z.stride},
       {"groups", z.groups},
       {"dtype", info(dtype).name}},
      [=]() -> Call {
        const Array x = random_array({z.batch, z.channels, z.pixels, z.pixels}, dtype);
        const Array w = random_array({z.outputs, z.channels / z.groups, z.kernel, z.kernel}, dtype, 1);
        const Conv2d options{z.stride, padding, 1, z.groups};
        if (gradient == 0) return [=] { conv2d(Tensor(x), Tensor(w), {}, options); };
        const Tensor input = gradient == 1 ? parameter(x) : Tensor(x);
        const Tensor weight = gradient == 2 ? parameter(w) : Tensor(w);
        const Tensor y = conv2d(input, weight, {}, options);
        const Array dy = random_array(y.shape(), dtype, 9);
        return [=] {
          Gradients dx(*y.node().get());
          NoGradient off;
          y.node()->backward(dy, dx);
          for (const Tensor& t : {input, weight}) t.clear_gradient();
        };
      },
      2 * sums* static_cast<double>(terms),
      Item::Unit::flops,
      dtype};
}

std::vector<Item> convolutions() {
  std::vector<Item> items;
  for (DType dtype : {DType::f32, DType::bf16})
    for (const ConvolutionSizes& z : {ConvolutionSizes{64, 1, 28, 32, 3, 1, 1},
                                      {64, 32, 28, 32, 3, 1, 1},
                                      {64, 32, 28, 64, 3, 2, 1},
                                      {64, 64, 14, 64, 3, 1, 1},
                                      {64, 64, 14, 128, 1, 1, 1},
                                      {64, 128, 7, 128, 3, 1, 1},
                                      {64, 64, 28, 64, 3, 1, 64},
                                      {1, 64, 112, 64, 3, 1, 1}})
      for (int gradient : {0, 1, 2}) items.push_back(convolution_item(z, dtype, gradient));
  return items;
}

// ---- a training step of nanoGPT's published CPU setting

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

// ---- the tape alone: nanoseconds an operation on 16 elements

std::vector<Item> tape() {
  const auto chain = [](bool recorded) {
    return [recorded]() -> Call {
      const Tensor x = recorded ? parameter(Array::zeros({16})) : Tensor(Array::zeros({16}));
      return [=] {
        Tensor y = x;
        for (int i = 0; i < 100; i++) y = y + x;
        if (recorded) backward(sum(y));
        x.clear_gradient();
      };
    };
  };
  return {{"100 additions of 16 elements", Json(), chain(false)},
          {"the same recorded, with backward", Json(), chain(true)}};
}

std::vector<Item> items_of(const std::string& name) {
  if (name == "products") return product_items();
  if (name == "pointwise") return pointwise();
  if (name == "attention") return attentions();
  if (name == "conv") return convolutions();
  if (name == "train-step") return {train_step_item(DType::f32), train_step_item(DType::bf16)};
  if (name == "optimizer") return optimizers();
  if (name == "tape") return tape();
  fail_hint("names: products, pointwise, attention, conv, optimizer, train-step, tape, tokenizer",
            "bench: unknown name \"{}\"", name);
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
  const Call call = item.prepare(), beside = item.limit ? item.limit() : Call();
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
  if (against) {
    row.peer = scaled(median(theirs));
    std::sort(ratios.begin(), ratios.end());
    row.low = ratios.front(), row.high = ratios.back();
  }
  return row;
}

double ratio_of(const Row& row) { return row.unit == "us" ? row.peer / row.ours : row.ours / row.peer; }

Json number(double x) { return std::isfinite(x) ? Json(x) : Json(); }

struct Options {
  std::string name, only, python, script = "bench/peer.py";
  bool json = false;
  int rounds = 7;
};

void bench(Options options) {
  if (options.python.empty()) {
    const char *peers = std::getenv("INTARSIA_PEERS"), *cache = std::getenv("XDG_CACHE_HOME"),
               *home = std::getenv("HOME");
    const std::string base =
        peers ? peers
              : (cache ? std::string(cache) : std::string(home ? home : "") + "/.cache") + "/intarsia-peers";
    options.python = base + "/bin/python";
  }
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
                              {"peer_version", version.empty() ? Json() : Json(version)}}
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
  verb.option("name", options->name,
              "products, pointwise, attention, conv, optimizer, train-step, tape or tokenizer")
      .required();
  verb.flag("--json", options->json, "Print one JSON object a line");
  verb.option("--only", options->only, "Only lines whose title contains this");
  verb.option("--rounds", options->rounds, "Turns of each side").between(1, 1000);
  verb.option("--python", options->python, "The peers' Python (default: what scripts/peers makes)");
  verb.option("--peer", options->script, "The peer's script").show_default();
  verb.footer("Example:\n  scripts/peers && intarsia bench products");
  verb.run([options] { bench(*options); });
}

}  // namespace intarsia::cli
