// Memory and time of attention, forward and backward, against the number of tokens.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>

#include "core/fail.h"
#include "data/file.h"
#include "intarsia/op.h"
#include "intarsia/random.h"
#include "lab/peers.h"
#include "lab/task.h"
#include "page/parts.h"

namespace intarsia {

namespace {

constexpr Measure memory_measures[] = {{"peak", "MiB", Measure::Better::lower, 1},
                                       {"growth", "for twice the tokens", Measure::Better::lower, 2}};
constexpr Measure time_measures[] = {{"time", "ms", Measure::Better::lower, 1},
                                     {"growth", "for twice the tokens", Measure::Better::lower, 2}};

struct Lengths {
  int64_t longest, heads, width;
  int turns;
  std::vector<int64_t> tokens() const {
    std::vector<int64_t> all;
    for (int64_t n = std::min<int64_t>(256, longest); n <= longest; n *= 2) all.push_back(n);
    return all;
  }
};
struct Point {
  double seconds, bytes;
};

// softmax(q k^T scale + mask) v, as it stands in the paper: all scores exist, [H, n, n].
Tensor stored_scores(const Tensor& q, const Tensor& k, const Tensor& v) {
  const int64_t n = q.dim(1);
  const Tensor by_head[] = {transpose(q, 1, 2), transpose(k, 1, 2), transpose(v, 1, 2)};
  const Tensor scores =
      matmul(by_head[0], transpose(by_head[1], 2, 3)) * (1 / std::sqrt(static_cast<double>(q.dim(3))));
  const Tensor hidden = triu(Tensor(Array::zeros({n, n})) + 1.0, 1);
  const Tensor masked = masked_fill(scores, hidden, -std::numeric_limits<double>::infinity());
  return transpose(matmul(softmax(masked), by_head[2]), 1, 2);
}

Point measure(const Lengths& lengths, int64_t n, bool tiled, uint64_t seed) {
  const Shape shape{1, n, lengths.heads, lengths.width};
  const Array q = normal(shape, 1, seed, 0), k = normal(shape, 1, seed, 1), v = normal(shape, 1, seed, 2),
              d_o = normal(shape, 1, seed, 3);
  std::vector<double> seconds;
  double bytes = 0;
  for (int i = 0; i < lengths.turns; i++) {
    const size_t before = memory_use().current;
    reset_peak_memory();
    const auto start = std::chrono::steady_clock::now();
    const Tensor inputs[] = {parameter(q), parameter(k), parameter(v)};
    const Tensor o =
        tiled ? attention(inputs[0], inputs[1], inputs[2]) : stored_scores(inputs[0], inputs[1], inputs[2]);
    backward(sum(o * Tensor(d_o)));
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    bytes = static_cast<double>(memory_use().peak - before);
  }
  std::sort(seconds.begin(), seconds.end());
  return {seconds[seconds.size() / 2], bytes};
}

// What bench/flash_peer.py prints: for each number of tokens a line of seconds and bytes.
std::vector<Point> measure_peer(const Lengths& lengths, const std::string& kind, const std::string& python,
                                const std::string& script) {
  if (!std::filesystem::exists(script))
    fail_hint("start the lab where bench/ lies, or give task.script=FILE", "lab: {} is not there",
              quote(script));
  std::string command =
      shell_word(python) + " " + shell_word(script) + " " + shell_word(kind) +
      fmt::format(" {} {} {} {}", lengths.heads, lengths.width, lengths.turns, thread_count());
  for (const int64_t n : lengths.tokens()) command += fmt::format(" {}", n);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(popen((command + " 2>/dev/null").c_str(), "r"),
                                                            pclose);
  std::vector<Point> points;
  Point point{};
  while (out && std::fscanf(out.get(), "%lf %lf", &point.seconds, &point.bytes) == 2) points.push_back(point);
  if (points.size() != lengths.tokens().size())
    fail_hint("scripts/peers installs it; INTARSIA_PEERS says where it lies",
              "lab: PyTorch did not answer ({})", quote(python));
  return points;
}

Outcome run(const Cell& cell, bool time) {
  const Lengths lengths{
      static_cast<int64_t>(cell.number("longest", 4096)), static_cast<int64_t>(cell.number("heads", 4)),
      static_cast<int64_t>(cell.number("width", 64)), static_cast<int>(cell.number("turns", 3))};
  const std::string form = cell.text("form", "tiled"), python = cell.text("python", peers_python()),
                    script = cell.text("script", "bench/flash_peer.py");
  cell.finish();
  if (lengths.longest < 2 || lengths.longest > 1 << 20 || lengths.turns < 1 || lengths.heads < 1 ||
      lengths.width < 1)
    fail("lab: task.longest is {}, turns {}, heads {}, width {}; expected 2 to 1,048,576, and at least 1",
         lengths.longest, lengths.turns, lengths.heads, lengths.width);
  std::vector<Point> points;
  if (form == "tiled" || form == "stored") {
    for (const int64_t n : lengths.tokens()) {
      cell.check();
      points.push_back(measure(lengths, n, form == "tiled", static_cast<uint64_t>(cell.seed())));
    }
  } else {
    points = measure_peer(lengths, form, python, script);
  }
  Outcome outcome;
  const std::vector<int64_t> tokens = lengths.tokens();
  for (size_t i = 0; i < tokens.size(); i++) {
    outcome.curve.x.push_back(static_cast<double>(tokens[i]));
    outcome.curve.y.push_back(time ? points[i].seconds * 1e3 : points[i].bytes / (1 << 20));
  }
  const std::vector<double>& y = outcome.curve.y;
  outcome.measures = {y.back(), y.size() > 1 ? y.back() / y[y.size() - 2] : 1.0};
  return outcome;
}

}  // namespace

namespace task {
extern const Task attention_memory, attention_time;
const Task attention_memory = {"attention_memory", "tokens", nullptr, memory_measures,
                               [](const Cell& cell) { return run(cell, false); }};
const Task attention_time = {"attention_time", "tokens", nullptr, time_measures,
                             [](const Cell& cell) { return run(cell, true); }};
}  // namespace task

}  // namespace intarsia
