// Sees each operation that the tape takes in and walks back: `intarsia bench train-step --profile`.
#pragma once
#include <span>

#include "intarsia/tensor.h"

namespace intarsia::detail {

struct Watcher {
  // `node` was recorded: its value y was just computed from the inputs.
  virtual void recorded(const Node& node, const Array& y, std::span<const Tensor* const> inputs) = 0;
  virtual void backward_begins(const Node& node) = 0;
  virtual void backward_ended(const Node& node) = 0;

 protected:
  ~Watcher() = default;
};
// Null but for such a run.
extern Watcher* watcher;

}  // namespace intarsia::detail
