// What the files of `intarsia bench` share.
#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "intarsia/array.h"
#include "intarsia/random.h"
#include "intarsia/tensor.h"
#include "kernel/kernels.h"
#include "kernel/measure.h"

namespace intarsia::cli {

using Json = nlohmann::ordered_json;
using Call = std::function<void()>;

// One line of a benchmark: the request that the peer gets, and our side of it.
struct Item {
  std::string title;
  Json request;                   // null: no peer for this one
  std::function<Call()> prepare;  // makes the inputs, returns what is timed
  double work = 0;                // operations, bytes, or 0
  enum class Unit { flops, bytes, seconds } unit = Unit::seconds;
  DType dtype = DType::f32;
  int threads = thread_count();
  // What takes as long as the limit allows, timed in the same turns; null: the limit is the machine's.
  std::function<Call()> limit = nullptr;
  // Another call of ours in the peer's place, and its name.
  std::string against{};
  std::function<Call()> prepare_other = nullptr;
  // Bytes, measured once, in the place of a time.
  std::function<double()> bytes_held = nullptr;
};

// Standard normal.
Array random_array(const Shape& shape, DType dtype, uint64_t stream = 0);
// Runs the backward of y's own node alone, as PyTorch's grad with retain_graph: the graph is kept.
Call backward_of(const Tensor& y, const Array& dy, const std::vector<Tensor>& inputs);

std::vector<Item> product_items();
std::vector<Item> pointwise_items();
std::vector<Item> attention_items();
std::vector<Item> decode_items();
std::vector<Item> convolution_items();
std::vector<Item> optimizer_items();
std::vector<Item> train_step_items();
std::vector<Item> small_model_items();
std::vector<Item> tape_items();

// ---- profile.cpp

// Runs the item's training step and prints each operation's time beside its limit; the steps' events, as a
// Chrome trace, go to the file `trace` if it has a name.
void profile(const Item& item, const kernel::Limits& limits, int steps, const std::string& trace, bool json);

// ---- optimizer.cpp

// A step of a rule on n f32 weights in some arrays; with a bf16 copy that the pass refreshes, or without.
Item update_item(kernel::UpdateRule rule, int64_t n, int64_t arrays, bool copy);

}  // namespace intarsia::cli
