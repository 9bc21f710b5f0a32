// Which type each operation computes in (mixed precision as PyTorch's autocast has it).
#pragma once
#include <string>
#include <string_view>

#include "intarsia/array.h"

namespace intarsia {

// While one of these lives in the thread, operations of `narrow` take their inputs in `type` and give such a
// result, those of `wide` do so in f32, and the others work as they are given; f64 and quantized weights
// stay. Sums of two types have the wider one. Gradients arrive in the type of what was given. A list holds
// names with blanks between, of
//   attention cross_entropy layer_norm linear log_softmax matmul rms_norm softmax
// where linear stands for linear_add and gated_linear, too. An Error: another name, or one in both lists.
class Autocast {
 public:
  Autocast(DType type, std::string_view narrow, std::string_view wide);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

  // What this policy asks of an operation; `otherwise` if it says nothing.
  DType type_of(std::string_view op, DType otherwise) const;

 private:
  DType type_;
  std::string narrow_, wide_;
  const Autocast* before_;
};

// Throws what the constructor would throw.
void check_autocast(std::string_view narrow, std::string_view wide);

}  // namespace intarsia
