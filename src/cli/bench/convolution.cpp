// intarsia bench conv: a convolution's value, the gradient of its input and that of its weights.
#include <fmt/core.h>

#include <memory>

#include "cli/bench/item.h"
#include "intarsia/op.h"

namespace intarsia::cli {
namespace {

struct ConvolutionSizes {
  int64_t batch, channels, pixels, outputs, kernel, stride, groups;
};

Item convolution_item(const ConvolutionSizes& z, DType dtype, int gradient) {
  static constexpr const char* names[] = {"conv2d", "conv2d_dx", "conv2d_dw"};
  const int64_t padding = z.kernel / 2, out = (z.pixels + 2 * padding - z.kernel) / z.stride + 1;
  const int64_t terms = z.channels / z.groups * z.kernel * z.kernel;
  const double sums = static_cast<double>(z.batch * z.outputs * out * out);
  return {
      fmt::format("{} {} {}x{}x{}^2 to {}, {}^2{}{}", names[gradient], info(dtype).name, z.batch, z.channels,
                  z.pixels, z.outputs, z.kernel, z.stride > 1 ? fmt::format(" /{}", z.stride) : "",
                  z.groups > 1 ? fmt::format(", {} groups", z.groups) : ""),
      {{"name", names[gradient]},
       {"batch", z.batch},
       {"channels", z.channels},
       {"pixels", z.pixels},
       {"outputs", z.outputs},
       {"kernel", z.kernel},
       {"stride", z.stride},
       {"groups", z.groups},
       {"dtype", info(dtype).name}},
      [=]() -> Call {
        const Array x = random_array({z.batch, z.channels, z.pixels, z.pixels}, dtype);
        const Array w = random_array({z.outputs, z.channels / z.groups, z.kernel, z.kernel}, dtype, 1);
        const Conv2d options{z.stride, padding, 1, z.groups};
        if (gradient == 0) return [=] { conv2d(Tensor(x), Tensor(w), {}, options); };
        const Tensor input = gradient == 1 ? parameter(x) : Tensor(x);
        const Tensor weight = gradient == 2 ? parameter(w) : Tensor(w);
        const Tensor y = conv2d(input, weight, {}, options);
        const Array dy = random_array(y.shape(), dtype, 9);
        return backward_of(y, dy, {input, weight});
      },
      2 * sums* static_cast<double>(terms),
      Item::Unit::flops,
      dtype};
}

}  // namespace

std::vector<Item> convolution_items() {
  std::vector<Item> items;
  for (DType dtype : {DType::f32, DType::bf16})
    for (const ConvolutionSizes& z : {ConvolutionSizes{64, 1, 28, 32, 3, 1, 1},
                                      {64, 32, 28, 32, 3, 1, 1},
                                      {64, 32, 28, 64, 3, 2, 1},
                                      {64, 64, 14, 64, 3, 1, 1},
                                      {64, 64, 14, 128, 1, 1, 1},
                                      {64, 128, 7, 128, 3, 1, 1},
                                      {64, 64, 28, 64, 3, 1, 64},
                                      {1, 64, 112, 64, 3, 1, 1}})
      for (int gradient : {0, 1, 2}) items.push_back(convolution_item(z, dtype, gradient));
  return items;
}

}  // namespace intarsia::cli
