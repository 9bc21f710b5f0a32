// Products in other forms against the plain ones: packed weights, fused gates and residuals, parts of bf16.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "intarsia/error.h"
#include "intarsia/op.h"
#include "intarsia/random.h"
#include "kernel/kernels.h"

namespace intarsia {
namespace {

Array drawn(const Shape& shape, DType dtype, uint64_t stream) {
  return kernel::cast(normal(shape, 1, 21, stream), dtype);
}
bool same_bytes(const Array& a, const Array& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

TEST(PackedWeight, LinearHasTheSameBitsValueAndGradient) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Tensor w = drawn({70, 45}, dtype, 1), bias = drawn({70}, dtype, 2);
    const PackedWeight packed = pack(w);
    EXPECT_TRUE(same_bytes(unpack(packed).array(), w.array()));
    for (const Activation activation : {Activation::none, Activation::silu}) {
      for (const int64_t rows : {1, 7, 200}) {
        const Array x = drawn({rows, 45}, dtype, 3), dy = drawn({rows, 70}, dtype, 4);
        EXPECT_TRUE(same_bytes(linear(Tensor(x), w, bias, activation).array(),
                               linear(Tensor(x), packed, bias, activation).array()));
        const Tensor a = parameter(x), b = parameter(x), one = parameter(bias.array()),
                     other = parameter(bias.array());
        backward(sum(linear(a, w, one, activation) * Tensor(dy)));
        backward(sum(linear(b, packed, other, activation) * Tensor(dy)));
        EXPECT_TRUE(same_bytes(a.gradient(), b.gradient()));
        EXPECT_TRUE(same_bytes(one.gradient(), other.gradient()));
      }
    }
  }
}

TEST(PackedWeight, WrongArgumentsAreNamed) {
  const PackedWeight packed = pack(Tensor(drawn({7, 5}, DType::bf16, 1)));
  EXPECT_THROW(linear(Tensor(drawn({3, 4}, DType::bf16, 1)), packed), Error);
  EXPECT_THROW(linear(Tensor(drawn({3, 5}, DType::f32, 1)), packed), Error);
  EXPECT_THROW(linear(Tensor(drawn({3, 5}, DType::bf16, 1)), packed, Tensor(drawn({6}, DType::f32, 1))),
               Error);
  EXPECT_THROW(pack(Tensor(drawn({7, 5}, DType::f16, 1))), Error);
  EXPECT_THROW(pack(Tensor(drawn({7}, DType::f32, 1))), Error);
}

TEST(GatedLinear, FusedHasTheBitsOfTheTwoSteps) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (const int64_t rows : {1, 30, 200}) {
      const Tensor gate = drawn({rows, 70}, dtype, 1), x = drawn({rows, 45}, dtype, 2),
                   w = drawn({70, 45}, dtype, 3), bias = drawn({70}, dtype, 4);
      EXPECT_TRUE(
          same_bytes(gated_linear(gate, x, w, bias).array(), swiglu(gate, linear(x, w, bias)).array()));
      EXPECT_TRUE(same_bytes(gated_linear(gate, x, w, bias, Activation::gelu).array(),
                             geglu(gate, linear(x, w, bias)).array()));
    }
  }
}

TEST(Products, PartsOfBf16StayNearF32WithTheirGradients) {
  const Array a = drawn({20, 70}, DType::f32, 1), b = drawn({70, 30}, DType::f32, 2);
  const auto run = [&](Products form) {
    const Tensor x = parameter(a), y = parameter(b);
    const Tensor z = matmul(x, y, form);
    backward(sum(z * z));
    return std::vector<Array>{z.array(), x.gradient(), y.gradient()};
  };
  const std::vector<Array> exact = run(Products::own), three = run(Products::three_bf16),
                           six = run(Products::six_bf16);
  const auto distance = [](const Array& x, const Array& y) {
    double top = 0, scale = 0;
    for (int64_t i = 0; i < x.size(); i++) {
      top = std::max(top, std::fabs(static_cast<double>(x.data<float>()[i]) - y.data<float>()[i]));
      scale = std::max(scale, std::fabs(static_cast<double>(y.data<float>()[i])));
    }
    return top / scale;
  };
  for (size_t i = 0; i < exact.size(); i++) {
    EXPECT_LT(distance(three[i], exact[i]), 1e-4);
    EXPECT_GT(distance(three[i], exact[i]), 0);  // it is another way
    EXPECT_LT(distance(six[i], exact[i]), 2e-6);
  }
}

TEST(GroupedMatmul, SizesThatDoNotFitAreNamed) {
  const Tensor x = drawn({9, 5}, DType::f32, 1), w = drawn({2, 5, 7}, DType::f32, 2);
  const auto run = [&](std::vector<int64_t> sizes) { return grouped_matmul(x, sizes, w); };
  EXPECT_NO_THROW(run({9, 0}));
  EXPECT_THROW(run({9}), Error);
  EXPECT_THROW(run({4, 4}), Error);
  EXPECT_THROW(run({10, -1}), Error);
  EXPECT_THROW(run({INT64_MAX, INT64_MAX}), Error);
  EXPECT_THROW(grouped_matmul(x, std::vector<int64_t>{4, 5}, Tensor(drawn({2, 6, 7}, DType::f32, 2))), Error);
}

TEST(MatmulInt8, WrongArgumentsAreNamed) {
  const Tensor a = cast(Tensor(drawn({3, 5}, DType::f32, 1)), DType::i8);
  const Tensor b = cast(Tensor(drawn({5, 4}, DType::f32, 1)), DType::i8);
  const Tensor three = drawn({3}, DType::f32, 1), four = drawn({4}, DType::f32, 1);
  EXPECT_EQ(matmul_int8(a, b).dtype(), DType::i32);
  EXPECT_EQ(matmul_int8(a, three, b, four).dtype(), DType::f32);
  EXPECT_THROW(matmul_int8(a, four, b, four), Error);
  EXPECT_THROW(matmul_int8(b, a), Error);
  EXPECT_THROW(matmul_int8(Tensor(drawn({3, 5}, DType::f32, 1)), b), Error);
}

}  // namespace
}  // namespace intarsia
