#include "data/arrays.h"

#include <utility>

#include "core/fail.h"

namespace intarsia {

ArraySource::ArraySource(std::string array_name, Array array)
    : name(std::move(array_name)),
      shape(array.shape()),
      dtype(array.dtype()),
      values([held = std::move(array)] { return held; }) {}

ArraySource::ArraySource(std::string array_name, const Shape& array_shape, DType array_dtype,
                         std::function<Array()> make)
    : name(std::move(array_name)), shape(array_shape), dtype(array_dtype), values(std::move(make)) {}

void write_values(FileWriter& out, const ArraySource& source) {
  const Array array = source.values();
  if (array.dtype() != source.dtype || !(array.shape() == source.shape))
    fail("{}: the values are {} {}, announced were {} {}", source.name, info(array.dtype()).name,
         array.shape().text(), info(source.dtype).name, source.shape.text());
  if (!array.contiguous()) fail("{}: only contiguous arrays can be written", source.name);
  if (array.bytes() == 0) return;
  out.write(array.raw(), array.bytes());
  if (WatchedMapping::any_lost()) WatchedMapping::check(array.raw(), source.name.c_str());
}

}  // namespace intarsia
