// How a model names its weights: once, in its constructor, each with its shape. Where the values come from
// (drawn, or read from a file in any of its layouts) is the business of the source.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "intarsia/model.h"
#include "nn/linear.h"
#include "nn/norm.h"

namespace intarsia {

// The value of a weight with the model's shape for it.
using WeightSource = std::function<Tensor(const Weight& weight, const Shape& shape)>;

// The deviation of layers that write to the residual stream, two in each of the model's: so its variance does
// not grow with depth (GPT-2).
double residual_deviation(double deviation, int64_t layers);

class Weights {
 public:
  // `deviation`: of matrices that are drawn, unless told otherwise.
  Weights(std::vector<Weight>& list, const WeightSource& source, double deviation)
      : list_(&list), source_(&source), deviation_(deviation) {}
  // The weights below "part." or "part.index.".
  Weights at(std::string_view part) const;
  Weights at(std::string_view part, int64_t index) const;

  struct LinearOptions {
    bool bias = false;
    bool transposed = false;   // see Weight
    int64_t rotary_heads = 0;  // see Weight
    double deviation = -1;     // negative: that of all
  };
  // Shapes: table [rows, columns]; linear [out, in] with bias [out]; norms [width].
  void table(std::string_view name, Tensor& tensor, int64_t rows, int64_t columns) const;
  void linear(std::string_view name, Linear& layer, int64_t in, int64_t out,
              const LinearOptions& options) const;
  void norm(std::string_view name, RmsNorm& layer, int64_t width, double eps) const;
  void norm(std::string_view name, LayerNorm& layer, int64_t width, double eps) const;

 private:
  void add(Weight weight, const Shape& shape) const;
  std::vector<Weight>* list_;
  const WeightSource* source_;
  double deviation_;
  std::string prefix_;
};

}  // namespace intarsia
