#include "intarsia/autocast.h"

#include <gtest/gtest.h>

#include "intarsia/error.h"
#include "intarsia/op.h"
#include "intarsia/random.h"

namespace intarsia {
namespace {

TEST(Autocast, NarrowOperationsTakeTheTypeWideOnesF32AndTheRestWhatTheyGet) {
  const Tensor x(normal({4, 8}, 1, 1)), w(normal({6, 8}, 1, 2)), gain(normal({6}, 1, 3));
  const Autocast autocast(DType::bf16, "linear matmul", "rms_norm");
  const Tensor y = linear(x, w);
  EXPECT_EQ(y.dtype(), DType::bf16);
  EXPECT_EQ(rms_norm(y, gain, 1e-5).dtype(), DType::f32);
  EXPECT_EQ(softmax(y).dtype(), DType::bf16);
  EXPECT_EQ(softmax(x).dtype(), DType::f32);
}

TEST(Autocast, GivesTheBitsOfCastsWrittenOutAndGradientsInTheTypeOfTheWeights) {
  const Array value = normal({6, 8}, 1, 2);
  const Tensor x(normal({4, 8}, 1, 1)), w = parameter(value), other = parameter(value);
  {
    const Autocast autocast(DType::bf16, "linear", "softmax");
    backward(sum(softmax(linear(x, w)) * Tensor(normal({4, 6}, 1, 3))));
  }
  const Tensor y = linear(cast(x, DType::bf16), cast(other, DType::bf16));
  backward(sum(softmax(cast(y, DType::f32)) * Tensor(normal({4, 6}, 1, 3))));
  ASSERT_EQ(w.gradient().dtype(), DType::f32);
  for (size_t i = 0; i < 48; i++) EXPECT_EQ(w.gradient().span<float>()[i], other.gradient().span<float>()[i]);
}

TEST(Autocast, PoliciesNestAndEndWithTheirScope) {
  const Tensor x(normal({4, 8}, 1, 1)), w(normal({6, 8}, 1, 2));
  {
    const Autocast outer(DType::bf16, "linear", "");
    {
      const Autocast inner(DType::f16, "", "");
      EXPECT_EQ(linear(x, w).dtype(), DType::f32);
    }
    EXPECT_EQ(linear(x, w).dtype(), DType::bf16);
  }
  EXPECT_EQ(linear(x, w).dtype(), DType::f32);
}

TEST(Autocast, FusedFormsFollowLinear) {
  const Tensor x(normal({4, 8}, 1, 1)), w(normal({6, 8}, 1, 2)), residual(normal({4, 6}, 1, 3));
  const Array plain = (residual + linear(cast(x, DType::bf16), cast(w, DType::bf16))).array();
  const Autocast autocast(DType::bf16, "linear", "");
  const Array fused = linear_add(residual, x, w).array();
  ASSERT_EQ(fused.dtype(), DType::f32);
  for (size_t i = 0; i < 24; i++) EXPECT_EQ(fused.span<float>()[i], plain.span<float>()[i]);
  EXPECT_EQ(gated_linear(cast(residual, DType::bf16), x, w).dtype(), DType::bf16);
}

TEST(Autocast, LeavesF64AndWhatIsInNoList) {
  const Tensor x = cast(Tensor(normal({4, 8}, 1, 1)), DType::f64);
  const Autocast autocast(DType::bf16, "matmul", "softmax");
  EXPECT_EQ(softmax(x).dtype(), DType::f64);
  EXPECT_EQ(matmul(x, transpose(x)).dtype(), DType::f64);
}

TEST(Autocast, OneOperationInBothListsIsAnError) {
  EXPECT_THROW(Autocast(DType::bf16, "linear matmul", "matmul"), Error);
}

TEST(Autocast, AnUnknownOperationIsAnErrorWithAHint) {
  try {
    const Autocast autocast(DType::bf16, "linaer", "");
    FAIL() << "no error";
  } catch (const Error& error) { EXPECT_EQ(error.hint(), "did you mean linear?"); }
}

}  // namespace
}  // namespace intarsia
