// intarsia bench train-step --profile: what each operation of a training step takes, and what it could take.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "cli/bench/item.h"
#include "core/format.h"
#include "data/file.h"
#include "tensor/watcher.h"

namespace intarsia::cli {
namespace {

using Clock = std::chrono::steady_clock;
using detail::Node;

double seconds_between(Clock::time_point a, Clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

// What a pass must do at least: multiply-adds as two operations each, and what it reads and writes.
struct Cost {
  double operations = 0, bytes = 0;
  // A product cannot be faster than the registers, nor anything than the memory.
  double seconds(const kernel::Limits& limits, DType type) const {
    const double peak = is_narrow(type) ? limits.bf16_flops : limits.f32_flops;
    return std::max(operations / peak, bytes / limits.read_bytes);
  }
  static bool is_narrow(DType type) { return type == DType::bf16 || type == DType::f16; }
};

struct Costs {
  Cost forward, backward;
};

// Of one recorded operation, by its name, value and inputs. What is not a product moves its inputs and its
// value.
Costs costs_of(std::string_view op, const Array& y, std::span<const Tensor* const> inputs) {
  double in = 0, wanted = 0;
  for (const Tensor* x : inputs) {
    if (!x->array()) continue;
    const auto bytes = static_cast<double>(x->array().bytes());
    in += bytes;
    if (x->needs_gradient()) wanted += bytes;
  }
  const auto out = static_cast<double>(y.bytes()), values = static_cast<double>(y.size());
  if (op == "reshape" || op == "permute") return {{}, {}};  // views, and of gradients, too
  if (op == "slice") return {{}, {0, 2 * out}};
  if (op == "embedding") return {{0, 2 * out}, {0, 3 * out}};
  if (op == "cross_entropy") return {{0, in}, {0, 2 * in}};
  Costs costs{{0, in + out}, {0, in + out + wanted}};
  const auto last = [&](size_t i) { return static_cast<double>(inputs[i]->dim(-1)); };
  if (op == "linear") {
    costs.forward.operations = 2 * values * last(0);
    costs.backward.operations = 2 * costs.forward.operations;
  } else if (op == "linear_add") {
    costs.forward.operations = 2 * values * last(1);
    costs.backward.operations = 2 * costs.forward.operations;
  } else if (op == "linear_cross_entropy") {
    // Logits and both gradients are computed in the forward pass; later the gradients are handed on.
    costs.forward.operations = 6 * static_cast<double>(inputs[0]->array().size() * inputs[1]->dim(0));
    costs.backward = {};
  } else if (op == "attention") {  // causal
    const auto keys = static_cast<double>(inputs[1]->dim(1));
    costs.forward.operations = 2 * values * (keys + 1);
    costs.backward.operations = 2.5 * costs.forward.operations;
  }
  return costs;
}

struct Event {
  std::string name;
  Clock::time_point begin, end;
  double limit;
};

// The events of the steps since it was made: what lies between the records of two operations is the second's
// forward pass, and what follows the last backward is the optimizer's step.
class Recorder final : public detail::Watcher {
 public:
  explicit Recorder(const kernel::Limits& limits) : limits_(limits) { detail::watcher = this; }
  ~Recorder() { detail::watcher = nullptr; }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  void step(const Call& call) {
    weights_.clear();
    pending_.clear();
    weight_bytes_ = 0;
    last_ = Clock::now();
    call();
    note("optimizer", last_, Clock::now(), {0, weight_bytes_}, DType::f32);
  }
  const std::vector<Event>& events() const { return events_; }

  void recorded(const Node& node, const Array& y, std::span<const Tensor* const> inputs) override {
    const Clock::time_point now = Clock::now();
    const Costs costs = costs_of(node.op, y, inputs);
    const DType type = inputs[0]->dtype();
    note(node.op, last_, now, costs.forward, type);
    pending_[node.order] = {costs.backward, type};
    for (const Tensor* x : inputs)
      if (x->node() && x->node()->leaf && weights_.insert(x->node().get()).second)
        weight_bytes_ += update_bytes(*x);
    last_ = Clock::now();
  }
  void backward_begins(const Node&) override { begin_ = Clock::now(); }
  void backward_ended(const Node& node) override {
    last_ = Clock::now();
    const Pending& p = pending_.at(node.order);
    note(std::string(node.op) + " backward", begin_, last_, p.cost, p.type);
  }

 private:
  struct Pending {
    Cost cost;
    DType type;
  };
  // AdamW reads gradient, master and two states in f32 and writes the last three and a narrow copy; the norm
  // for clipping reads the gradients once more.
  static double update_bytes(const Tensor& weight) {
    const double narrow = weight.dtype() == DType::f32 ? 0 : 2;
    return static_cast<double>(weight.array().size()) * (7 * 4 + 4 + narrow);
  }
  void note(std::string name, Clock::time_point begin, Clock::time_point end, const Cost& cost, DType type) {
    events_.push_back({std::move(name), begin, end, cost.seconds(limits_, type)});
  }

  const kernel::Limits& limits_;
  std::vector<Event> events_;
  std::map<uint64_t, Pending> pending_;
  std::set<const Node*> weights_;
  double weight_bytes_ = 0;
  Clock::time_point last_, begin_;
};

struct Row {
  int calls = 0;
  double seconds = 0, limit = 0;
};

// Chrome's trace event format: complete events, microseconds; chrome://tracing and Perfetto show it.
std::string chrome_trace(const std::vector<Event>& events) {
  Json list = Json::array();
  for (const Event& e : events)
    list.push_back({{"name", e.name},
                    {"ph", "X"},
                    {"pid", 1},
                    {"tid", 1},
                    {"ts", 1e6 * seconds_between(events.front().begin, e.begin)},
                    {"dur", 1e6 * seconds_between(e.begin, e.end)},
                    {"args", {{"limit_us", 1e6 * e.limit}}}});
  return Json{{"traceEvents", list}, {"displayTimeUnit", "ms"}}.dump();
}

}  // namespace

void profile(const Item& item, const kernel::Limits& limits, int steps, const std::string& trace, bool json) {
  const Call call = item.prepare();
  call();
  call();
  const auto start = Clock::now();
  Recorder recorder(limits);
  for (int i = 0; i < steps; i++) recorder.step(call);
  const double whole = seconds_between(start, Clock::now()) / steps;

  std::map<std::string, Row> rows;
  double seen = 0;
  for (const Event& e : recorder.events()) {
    Row& row = rows[e.name];
    row.calls++;
    row.seconds += seconds_between(e.begin, e.end) / steps;
    row.limit += e.limit / steps;
    seen += seconds_between(e.begin, e.end) / steps;
  }
  rows["between operations"] = {steps, std::max(0.0, whole - seen), 0};
  std::vector<std::pair<std::string, Row>> sorted(rows.begin(), rows.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });

  if (!json)
    fmt::print("{}: {:.2f} ms a step, {} steps\n{} {} {} {} {}\n", item.title, 1e3 * whole, steps,
               pad_to_width("operation", 32), pad_to_width("calls", 6, true), pad_to_width("ms", 9, true),
               pad_to_width("of step", 8, true), pad_to_width("of its limit", 13, true));
  for (const auto& [name, row] : sorted) {
    const double share = row.limit / row.seconds;
    if (json) {
      fmt::print("{}\n", Json{{"name", item.title},
                              {"operation", name},
                              {"calls", row.calls / steps},
                              {"seconds", row.seconds},
                              {"limit", row.limit},
                              {"share_of_step", row.seconds / whole},
                              {"share_of_limit", row.limit > 0 ? Json(share) : Json()}}
                             .dump());
      continue;
    }
    fmt::print("{} {:>6} {:>9.3f} {} {}\n", pad_to_width(name, 32), row.calls / steps, 1e3 * row.seconds,
               pad_to_width(fmt::format("{:.1f} %", 100 * row.seconds / whole), 8, true),
               pad_to_width(row.limit > 0 ? format_share(share) : "-", 13, true));
  }
  if (!trace.empty()) {
    write_file(trace, chrome_trace(recorder.events()));
    if (!json) fmt::print("trace: {} (open it in Perfetto or chrome://tracing)\n", trace);
  }
}

}  // namespace intarsia::cli
