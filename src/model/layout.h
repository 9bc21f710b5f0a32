// How a file lays out a weight's numbers, and the way from and to the model's own layout.
#pragma once
#include "intarsia/model.h"

namespace intarsia {

enum class Layout {
  hugging_face,  // "Conv1D" weights are [in, out]
  gguf,          // rows of rotary heads: pairs are neighbours
  llama2c,       // the same
};

Shape stored_shape(const Weight& weight, const Shape& shape, Layout layout);
// The array in the model's layout, from a file's; and back. Block-quantized rows move as they are.
Array from_layout(const Weight& weight, const Array& stored, Layout layout);
Array to_layout(const Weight& weight, const Array& value, Layout layout);

}  // namespace intarsia
