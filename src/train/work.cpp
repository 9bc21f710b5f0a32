#include "train/work.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>

#include "core/threads.h"
#include "data/json.h"
#include "kernel/table.h"

namespace intarsia {

double measured_peak(DType compute) {
  using Clock = std::chrono::steady_clock;
  const kernel::MeasureSlots& slots = kernel::table().measure;
  const auto run = compute == DType::bf16 ? slots.bf16 : slots.f32;
  double best = 0;
  const auto end = Clock::now() + std::chrono::milliseconds(4);
  while (Clock::now() < end) {
    std::atomic<int64_t> done{0};
    const auto start = Clock::now();
    parallel(thread_count(), [&](int) { done += run(20000); });
    best = std::max(
        best, static_cast<double>(done.load()) / std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

double operations_per_token(const Model& model, int64_t context) {
  int64_t products = 0, tables = 0, smallest_table = 0;
  for (const Weight& weight : model.weights()) {
    const Shape& shape = weight.tensor->shape();
    if (shape.rank() < 2) continue;
    products += shape.count();
    if (shape[0] != model.vocabulary()) continue;
    tables++;
    smallest_table = shape.count();
  }
  if (tables > 1) products -= smallest_table;  // of embedding and output one is looked up, not multiplied
  const Json config = parse_json(model.config_json(), "config.json");
  const auto number = [&](const char* name, const char* other) {
    for (const char* key : {name, other})
      if (const auto found = config.find(key); found != config.end() && found->is_number())
        return found->get<double>();
    return 0.0;
  };
  const double layers = number("num_hidden_layers", "n_layer"), width = number("hidden_size", "n_embd");
  return 6.0 * static_cast<double>(products) + 6.0 * layers * width * static_cast<double>(context);
}

}  // namespace intarsia
