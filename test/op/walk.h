// One harness walks the table of operations. A case gives inputs in f64, the operation, and its definition as
// plain loops in f64; the walk then checks
//   - the value in f64 against the definition, and the gradient against central differences of the
//   definition, in single elements and in directions that move all of them;
//   - on every rung this cpu has and for f32, bf16 and f16: value and gradients against f64 on the rounded
//   inputs;
//   - strided views of the inputs: the same bits as contiguous ones;
//   - 1, 2 and 3 threads, and a second run: the same bits.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "intarsia/op.h"

namespace intarsia::walk {

using Values = std::vector<double>;

struct Case {
  std::string name;
  std::vector<Array> inputs;  // f64, and integers where the operation takes them
  std::vector<bool> smooth;   // which inputs take a gradient
  std::function<Tensor(std::span<const Tensor>)> op;
  // The definition: inputs as f64 in row order -> outputs in row order.
  std::function<Values(std::span<const Values>)> definition;
  double tolerance = 1;   // factor on the tolerances of the float types
  bool same_type = true;  // bf16 and f16 are walked too
};

// What an operation gives for a case: its value, and the gradients of a fixed weighted sum of it.
struct Outcome {
  Array y;
  std::vector<Array> gradients;  // empty where the input takes none
};
Outcome run(const Case& c, const std::vector<Array>& inputs);
// The inputs of a case, floats rounded to a type.
std::vector<Array> inputs_as(const Case& c, DType dtype);

// Runs all checks of a case; failures are GoogleTest failures that name it.
void check_case(const Case& c);

class Walk {
 public:
  // `use` gets each case.
  explicit Walk(std::function<void(Case)> use = check_case) : use_(std::move(use)) {}
  void check(Case c) { use_(std::move(c)); }
  // Values drawn from N(0, 1), or uniform in [low, high), as f64; another array at each call.
  Array normal(const Shape& shape);
  Array uniform(const Shape& shape, double low, double high);
  Array integers(const Shape& shape, int64_t bound);

 private:
  uint64_t stream_ = 0;
  std::function<void(Case)> use_;
};

struct Operation {
  const char* name;
  std::function<void(Walk&)> cases;
};
std::vector<Operation> listed_operations();     // of op/list.inl
std::vector<Operation> pointwise_operations();  // of intarsia/pointwise.inl

// The cases of an operation: one function for each line of op/list.inl, so that a missing one does not link.
#define OP(NAME) void NAME(Walk&);
namespace cases {
#include "op/list.inl"
}
#undef OP

}  // namespace intarsia::walk
