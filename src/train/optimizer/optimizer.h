// Optimizers: master weights, their states, and the update in one pass over each weight.
#pragma once
#include <limits>
#include <string>
#include <vector>

#include "intarsia/model.h"
#include "intarsia/train.h"
#include "kernel/kernels.h"
#include "train/optimizer/matrix_rules.h"

namespace intarsia {

// Makes the model's weights parameters and updates them by the rule of options.kind: a line of
// kernel/optimize/update_rules.inl or of matrix_rules.cpp. The parameters are
//   compute f32, f64   the masters themselves
//   bf16, f16          rounded copies of f32 masters, which each step refreshes; their gradients are f32
//   without masters    bf16 weights, rounded after each step to the nearest or at random (states are f32)
// With f16 the loss must be multiplied by loss_scale() before backward. The scale halves where a gradient is
// not finite, and that step is left out; it doubles after growth_interval good ones (Micikevicius et al.
// 2018).
class Optimizer {
 public:
  // The model's weights must be plain, not quantized; their memory is copied if it cannot be written.
  Optimizer(Model& model, const Recipe::Optimizer& options, DType compute,
            const Recipe::Precision& precision = {}, const Recipe::Average& average = {},
            int64_t total_steps = 0);

  // One update from the parameters' gradients, which are then dropped. Returns the norm of all gradients
  // together, without the loss scale and before clipping. If it is not finite, the weights stay: with loss
  // scaling the step counts as left out, otherwise that is an Error.
  double step(double learning_rate);

  double loss_scale() const { return state_.loss_scale; }  // 1 where nothing is scaled
  struct State {
    int64_t steps = 0;       // updates done
    int64_t good_steps = 0;  // since the loss scale changed
    double loss_scale = 1;
  };
  const State& state() const { return state_; }
  size_t bytes() const;  // of masters, states, averages and rounded copies

  // The arrays that a checkpoint keeps beside the model, each with a name such as "lm_head.weight.m". Reading
  // a checkpoint fills them in place, then calls restore().
  struct Part {
    std::string name;
    Array array;
  };
  std::vector<Part> parts() const;
  void restore(const State& state);

  bool averages() const { return average_.kind != "none"; }
  // Runs f while the model's weights are those to save: averages where they are kept, else masters.
  template <class F>
  void with_saved(Model& model, F&& f) {
    with_shown(model, Shown::saved, f);
  }
  // Runs f while the model's weights are those to judge it by: the same, in the type that it computes in.
  template <class F>
  void with_evaluated(Model& model, F&& f) {
    with_shown(model, averages() ? Shown::evaluated : Shown::parameters, f);
  }

 private:
  enum class Shown { parameters, saved, evaluated };
  struct Entry {
    std::string name;  // of the weight
    Array master;      // of the parameters' own type where there are no masters apart
    std::vector<Array> states;
    Array average;
    Tensor parameter;
    uint64_t index;  // of its first element among all weights
    size_t group;
  };
  // Weights that take one rule with one decay.
  struct Group {
    kernel::UpdateRule rule;
    const MatrixRule* matrix;  // null: `rule` alone
    bool decay;
    std::vector<kernel::UpdateTensors> tensors;  // of the step under way
  };
  size_t group_for(const Weight& weight);
  void update(Group& group, double learning_rate, double scale);
  void update_averages();
  bool scaled_well(double norm);
  void show(Model& model, Shown shown);
  template <class F>
  void with_shown(Model& model, Shown shown, F&& f) {
    show(model, shown);
    try {
      f();
    } catch (...) {
      show(model, Shown::parameters);
      throw;
    }
    show(model, Shown::parameters);
  }

  Recipe::Optimizer options_;
  Recipe::Precision precision_;
  Recipe::Average average_;
  DType compute_;
  int64_t average_start_ = 0;
  std::vector<Entry> entries_;
  std::vector<Group> groups_;
  std::vector<Array> gradients_;  // kept between steps, so that a step allocates nothing
  State state_;
};

// Names of optimizer.kind, with blanks between.
inline constexpr char optimizer_names[] =
#define UPDATE(NAME, DECAY, ...) UPDATE_NAME_##DECAY(NAME)
#define UPDATE_NAME_coupled(NAME) #NAME " "
#define UPDATE_NAME_decoupled(NAME) #NAME " "
#define UPDATE_NAME_direction(NAME)
#define UPDATE_NAME_part(NAME)
#include "kernel/optimize/update_rules.inl"
#undef UPDATE
    "adafactor lamb muon";

}  // namespace intarsia
