// Convolutions of images that are cut into bands, and what their bits may not depend on.
#include <gtest/gtest.h>

#include <cmath>

#include "kernel/arrays.h"

namespace intarsia::test {
namespace {

struct Results {
  Array y, dx, dw;
};
Results run(const Array& x, const Array& w, const Array& dy, const kernel::Convolution& c) {
  return {kernel::convolution(x, w, nullptr, c, dy.dim(2), dy.dim(3)),
          kernel::convolution_input_gradient(dy, w, nullptr, c, x.dim(2), x.dim(3)),
          kernel::convolution_weight_gradient(x, dy, c, w.dim(2), w.dim(3))};
}

double inner_product(const Array& a, const Array& b) {
  const Array x = kernel::cast(a, DType::f64), y = kernel::cast(b, DType::f64);
  double sum = 0;
  for (int64_t i = 0; i < x.size(); i++) sum += x.data<double>()[i] * y.data<double>()[i];
  return sum;
}

// Some outputs against their definition in f64; the gradients are then right if y dy = x dx = w dw, summed.
TEST(Convolution, BandsOfALargeImageAreItsWhole) {
  on_every_rung([] {
    for (const int64_t stride : {1, 2}) {
      kernel::Convolution c;
      c.stride[0] = c.stride[1] = stride;
      c.padding[0] = 1, c.padding[1] = 2;
      c.dilation[0] = 2;
      const int64_t height = 230, width = 150, channels = 9, outputs = 10;
      const int64_t rows = (height + 2 - 5) / stride + 1, columns = (width + 4 - 3) / stride + 1;
      const Array x = random_array({2, channels, height, width}, DType::f32, 1),
                  w = random_array({outputs, channels, 3, 3}, DType::f32, 2);
      const Array dy = random_array({2, outputs, rows, columns}, DType::f32, 3);
      const Results r = run(x, w, dy, c);
      const float *px = x.data<float>(), *pw = w.data<float>(), *py = r.y.data<float>();
      for (int64_t at = 0; at < r.y.size(); at += 97) {
        const int64_t j = at % columns, i = at / columns % rows, o = at / (columns * rows) % outputs,
                      n = at / (columns * rows * outputs);
        double sum = 0;
        for (int64_t k = 0; k < channels; k++)
          for (int64_t a = 0; a < 3; a++)
            for (int64_t b = 0; b < 3; b++) {
              const int64_t h = i * stride + 2 * a - 1, v = j * stride + b - 2;
              if (h < 0 || h >= height || v < 0 || v >= width) continue;
              sum += static_cast<double>(px[((n * channels + k) * height + h) * width + v]) *
                     static_cast<double>(pw[((o * channels + k) * 3 + a) * 3 + b]);
            }
        ASSERT_NEAR(py[at], sum, 1e-4) << "stride " << stride << " at " << at;
      }
      const double whole = inner_product(r.y, dy), scale = std::sqrt(inner_product(r.y, r.y));
      EXPECT_NEAR(inner_product(x, r.dx), whole, 1e-4 * scale);
      EXPECT_NEAR(inner_product(w, r.dw), whole, 1e-4 * scale);
    }
  });
}

TEST(Convolution, BitsDependNeitherOnTheBatchNorOnTheThreads) {
  on_every_rung([] {
    for (const DType type : {DType::f32, DType::bf16})
      for (const int64_t size : {7, 60}) {
        SCOPED_TRACE(std::string(info(type).name) + " " + std::to_string(size));
        kernel::Convolution c;
        c.padding[0] = c.padding[1] = 1;
        const Array x = random_array({5, 20, size, size}, type, 1), w = random_array({24, 20, 3, 3}, type, 2);
        const Array dy = random_array({5, 24, size, size}, type, 3);
        const auto run_with = [&](int threads) {
          const Threads some(threads);
          return run(x, w, dy, c);
        };
        const Results one = run_with(1), three = run_with(3);
        EXPECT_TRUE(same_bits(one.y, three.y));
        EXPECT_TRUE(same_bits(one.dx, three.dx));
        EXPECT_TRUE(same_bits(one.dw, three.dw));
        const auto image = [](const Array& a, int64_t n) {
          return kernel::contiguous(
              a.view({1, a.dim(1), a.dim(2), a.dim(3)}, a.strides(), n * a.strides()[0]));
        };
        for (int64_t n : {0, 4}) {
          const Results alone = run(image(x, n), w, image(dy, n), c);
          EXPECT_TRUE(same_bits(alone.y, image(one.y, n)));
          EXPECT_TRUE(same_bits(alone.dx, image(one.dx, n)));
        }
      }
  });
}

}  // namespace
}  // namespace intarsia::test
