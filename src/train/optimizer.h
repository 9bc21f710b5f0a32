// Optimizers: f32 master weights, their moments, and the update in one pass over each weight.
#pragma once
#include <string>
#include <vector>

#include "intarsia/model.h"
#include "intarsia/train.h"
#include "kernel/kernels.h"

namespace intarsia {

// Makes the model's weights parameters and updates them. With compute f32 the parameters are the masters;
// with bf16 they are rounded copies that each step refreshes, and their gradients are f32.
//   adamw  decoupled weight decay (Loshchilov & Hutter 2019), bias-corrected
//   sgd    momentum m = momentum m + g, w -= rate m, as PyTorch has it
class Optimizer {
 public:
  // The model's weights must be plain, not quantized; their memory is copied if it cannot be written.
  Optimizer(Model& model, const Recipe::Optimizer& options, DType compute);

  // One update from the parameters' gradients, which are then dropped. Returns the norm of all gradients
  // together before clipping; throws, with the weights untouched, if it is not finite.
  double step(double learning_rate);

  int64_t steps() const { return steps_; }  // updates done
  size_t bytes() const;                     // of masters, moments and rounded copies

  struct Entry {
    std::string name;  // of the weight
    Array master, m, v;
    bool decay;
    Tensor parameter;
  };
  const std::vector<Entry>& entries() const { return entries_; }
  // Takes the moments of a checkpoint, in the order of entries(); v is empty for sgd.
  void restore(int64_t steps, const std::vector<Array>& m, const std::vector<Array>& v);
  // Runs f while the model's weights are the f32 masters: for saving.
  template <class F>
  void with_masters(Model& model, F&& f) {
    show_masters(model, true);
    try {
      f();
    } catch (...) {
      show_masters(model, false);
      throw;
    }
    show_masters(model, false);
  }

 private:
  void show_masters(Model& model, bool masters);
  void update(std::vector<kernel::AdamWTensors>& group, double learning_rate, double weight_decay,
              double scale);
  Recipe::Optimizer options_;
  bool adamw_;
  std::vector<Entry> entries_;
  int64_t steps_ = 0;
  // Kept between steps, so that a step allocates nothing.
  std::vector<Array> gradients_;
  std::vector<kernel::AdamWTensors> decayed_, plain_;
};

}  // namespace intarsia
