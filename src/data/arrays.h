// Named arrays: what the formats of weights read and write.
#pragma once
#include <functional>
#include <string>

#include "data/file.h"
#include "intarsia/data.h"

namespace intarsia {

// An array to be written: name, shape and type are known at once, the values (contiguous) are asked for when
// their turn comes, so that a conversion needs memory for one array at a time.
struct ArraySource {
  std::string name;
  Shape shape;
  DType dtype;
  std::function<Array()> values;

  ArraySource(std::string array_name, Array array);
  ArraySource(std::string array_name, const Shape& array_shape, DType array_dtype,
              std::function<Array()> make);
};

// Writes the values, checked against the announced shape and type.
void write_values(FileWriter& out, const ArraySource& source);

}  // namespace intarsia
