// The walk for pointwise operations: cases follow from the lines of pointwise.inl. The formula instantiated
// here with double is the definition; a second test holds the formulas against libm, written independently.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "intarsia/dual.h"
#include "intarsia/error.h"
#include "kernel/kernels.h"
#include "op/walk.h"

namespace intarsia::walk {
namespace {

template <class F>
double evaluate(const F& f, const Values& x) {
  using simd::Double;
  if constexpr (requires { f(Double(0)); })
    return f(Double(x[0])).raw;
  else if constexpr (requires { f(Double(0), Double(0)); })
    return f(Double(x[0]), Double(x[1])).raw;
  else
    return f(Double(x[0]), Double(x[1]), Double(x[2])).raw;
}

struct Line {
  const char* name;
  int inputs;
  std::function<double(const Values&)> formula;
  std::function<Tensor(std::span<const Tensor>)> op;
  bool steps = false;  // takes no gradient
};

std::vector<Line> lines() {
  using namespace simd;
  std::vector<Line> all;
#define POINTWISE1(NAME, A, ...)                                                                            \
  all.push_back({#NAME, 1, [](const Values& v) { return evaluate([](auto A) { return __VA_ARGS__; }, v); }, \
                 [](std::span<const Tensor> x) { return intarsia::NAME(x[0]); }});
#define POINTWISE2(NAME, A, B, ...)                                                                       \
  all.push_back({#NAME, 2,                                                                                \
                 [](const Values& v) { return evaluate([](auto A, auto B) { return __VA_ARGS__; }, v); }, \
                 [](std::span<const Tensor> x) { return intarsia::NAME(x[0], x[1]); }});
#define POINTWISE3(NAME, A, B, C, ...)                                                                  \
  all.push_back(                                                                                        \
      {#NAME, 3,                                                                                        \
       [](const Values& v) { return evaluate([](auto A, auto B, auto C) { return __VA_ARGS__; }, v); }, \
       [](std::span<const Tensor> x) { return intarsia::NAME(x[0], x[1], x[2]); }});
#define STEP1(NAME, A, ...)                                                                                 \
  all.push_back({#NAME, 1, [](const Values& v) { return evaluate([](auto A) { return __VA_ARGS__; }, v); }, \
                 [](std::span<const Tensor> x) { return intarsia::NAME(x[0]); }, true});
#define BACKWARD2(...)
#include "intarsia/pointwise.inl"
  return all;
}

// Inputs stay away from the poles of log, sqrt and division; signed inputs are drawn where the formula is
// defined there.
bool positive_only(const std::string& name) {
  return name == "log" || name == "log1p" || name == "sqrt" || name == "rsqrt" || name == "div" ||
         name == "pow" || name == "kl_error";
}

Case case_of(const Line& line, const std::vector<Shape>& shapes, Walk& walk) {
  Case c{line.name, {}, {}, line.op, {}};
  for (const Shape& shape : shapes) {
    const bool condition = std::string(line.name) == "where" && c.inputs.empty();
    c.inputs.push_back(condition                  ? walk.integers(shape, 2)
                       : positive_only(line.name) ? walk.uniform(shape, 0.3, 3)
                                                  : walk.normal(shape));
    c.smooth.push_back(!line.steps && !condition);
  }
  Shape out = shapes[0];
  for (const Shape& shape : shapes) out = broadcast(out, shape, "test");
  c.definition = [=](std::span<const Values> x) {
    Values y;
    for (int64_t i = 0; i < out.count(); i++) {
      Values in;
      for (size_t k = 0; k < x.size(); k++) {  // the element of input k that stands at place i of the result
        int64_t index = 0, rest = i, step = 1;
        for (int axis = 1; axis <= out.rank(); axis++) {
          const int64_t at = rest % out[-axis];
          rest /= out[-axis];
          if (axis > shapes[k].rank()) continue;
          index += (shapes[k][-axis] == 1 ? 0 : at) * step;
          step *= shapes[k][-axis];
        }
        in.push_back(x[k][static_cast<size_t>(index)]);
      }
      y.push_back(line.formula(in));
    }
    return y;
  };
  c.tolerance = 2;
  return c;
}

void check(const Line& line, Walk& walk) {
  const auto n = static_cast<size_t>(line.inputs);
  walk.check(case_of(line, std::vector<Shape>(n, Shape{3, 37}), walk));
  if (n == 1) return;
  std::vector<Shape> mixed = {{3, 1, 5}, {4, 1}, {5}};
  mixed.resize(n);
  walk.check(case_of(line, mixed, walk));
}

}  // namespace

std::vector<Operation> pointwise_operations() {
  std::vector<Operation> all;
  for (const Line& line : lines()) all.push_back({line.name, [line](Walk& walk) { check(line, walk); }});
  return all;
}

namespace {

TEST(Walk, EveryPointwiseOperation) {
  Walk walk;
  for (const Operation& op : pointwise_operations()) op.cases(walk);
}

TEST(Pointwise, FormulasAgreeWithLibm) {
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  const auto gelu = [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); };
  const std::map<std::string, std::function<double(const Values&)>> expected = {
      {"add", [](const Values& v) { return v[0] + v[1]; }},
      {"sub", [](const Values& v) { return v[0] - v[1]; }},
      {"mul", [](const Values& v) { return v[0] * v[1]; }},
      {"div", [](const Values& v) { return v[0] / v[1]; }},
      {"neg", [](const Values& v) { return -v[0]; }},
      {"exp", [](const Values& v) { return std::exp(v[0]); }},
      {"log", [](const Values& v) { return std::log(v[0]); }},
      {"sqrt", [](const Values& v) { return std::sqrt(v[0]); }},
      {"rsqrt", [](const Values& v) { return 1 / std::sqrt(v[0]); }},
      {"tanh", [](const Values& v) { return std::tanh(v[0]); }},
      {"sigmoid", [=](const Values& v) { return sigmoid(v[0]); }},
      {"relu", [](const Values& v) { return std::max(v[0], 0.0); }},
      {"silu", [=](const Values& v) { return v[0] * sigmoid(v[0]); }},
      {"gelu", [=](const Values& v) { return gelu(v[0]); }},
      {"gelu_tanh",
       [](const Values& v) {
         return 0.5 * v[0] * (1 + std::tanh(std::sqrt(2 / M_PI) * (v[0] + 0.044715 * v[0] * v[0] * v[0])));
       }},
      {"swiglu", [=](const Values& v) { return v[0] * sigmoid(v[0]) * v[1]; }},
      {"geglu", [=](const Values& v) { return gelu(v[0]) * v[1]; }},
      {"pow", [](const Values& v) { return std::pow(v[0], v[1]); }},
      {"abs", [](const Values& v) { return std::fabs(v[0]); }},
      {"expm1", [](const Values& v) { return std::expm1(v[0]); }},
      {"log1p", [](const Values& v) { return std::log1p(v[0]); }},
      {"sin", [](const Values& v) { return std::sin(v[0]); }},
      {"cos", [](const Values& v) { return std::cos(v[0]); }},
      {"atan", [](const Values& v) { return std::atan(v[0]); }},
      {"erf", [](const Values& v) { return std::erf(v[0]); }},
      {"softplus", [](const Values& v) { return std::log(1 + std::exp(v[0])); }},
      {"clamp", [](const Values& v) { return std::min(std::max(v[0], v[1]), v[2]); }},
      {"sign", [](const Values& v) { return v[0] > 0 ? 1.0 : -1.0; }},
      {"floor", [](const Values& v) { return std::floor(v[0]); }},
      {"ceil", [](const Values& v) { return std::ceil(v[0]); }},
      {"round", [](const Values& v) { return std::nearbyint(v[0]); }},
      {"squared_error", [](const Values& v) { return std::pow(v[0] - v[1], 2); }},
      {"absolute_error", [](const Values& v) { return std::fabs(v[0] - v[1]); }},
      {"huber_error",
       [](const Values& v) {
         const double e = std::fabs(v[0] - v[1]);
         return e < v[2] ? e * e / 2 : v[2] * (e - v[2] / 2);
       }},
      {"bce_error",
       [=](const Values& v) {
         return -v[1] * std::log(sigmoid(v[0])) - (1 - v[1]) * std::log(1 - sigmoid(v[0]));
       }},
      {"kl_error", [](const Values& v) { return v[1] * (std::log(v[1]) - v[0]); }},
      {"hinge_error", [](const Values& v) { return std::max(0.0, 1 - v[0] * v[1]); }},
      {"where", [](const Values& v) { return v[0] != 0 ? v[1] : v[2]; }},
      {"fma", [](const Values& v) { return std::fma(v[0], v[1], v[2]); }},
  };
  for (const Line& line : lines()) {
    ASSERT_TRUE(expected.contains(line.name)) << line.name << " has no definition by libm here";
    Random random(5);
    for (int i = 0; i < 200; i++) {
      Values in;
      for (int k = 0; k < line.inputs; k++)
        in.push_back(positive_only(line.name) ? 0.1 + 3 * random.uniform() : 2 * random.normal());
      const double want = expected.at(line.name)(in), got = line.formula(in);
      EXPECT_NEAR(got, want, 1e-13 * (1 + std::abs(want))) << line.name;
    }
  }
}

TEST(Pointwise, MixedTypesWidenAndScalarsDoNot) {
  const Tensor h = kernel::cast(Array::of<float>({1, 2}), DType::bf16), f = Array::of<float>({3, 4});
  const Tensor g = kernel::cast(Array::of<float>({1, 2}), DType::f16);
  EXPECT_EQ((h + f).dtype(), DType::f32);
  EXPECT_EQ((h + g).dtype(), DType::f32);
  EXPECT_EQ((h * 0.1).dtype(), DType::bf16);
  EXPECT_EQ(where(Tensor(Array::of<bool>({true, false})), h, h).dtype(), DType::bf16);
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) { return e.what(); }
  return "no error";
}

TEST(Errors, NameOperationArgumentShapeFoundAndExpected) {
  const auto zeros = [](const Shape& s) { return Tensor(Array::zeros(s)); };
  const Tensor ids = Array::zeros({2}, DType::i32);
  EXPECT_EQ(message_of([&] {
              rms_norm(zeros({2, 8, 64}), zeros({63}));
            }),
            "rms_norm: weight has shape [63], expected [64], the last axis of x [2, 8, 64]");
  EXPECT_EQ(message_of([&] {
              matmul(zeros({2, 3}), zeros({4, 5}));
            }),
            "matmul: a is [2, 3] and b is [4, 5]; expected a's last axis to equal b's last but one");
  EXPECT_EQ(message_of([&] {
              linear(zeros({2, 3}), zeros({5, 4}));
            }),
            "linear: w has shape [5, 4], expected [outputs, 3], the last axis of x [2, 3]");
  EXPECT_EQ(message_of([&] {
              add(zeros({2, 3}), zeros({2, 4}));
            }),
            "add: shapes [2, 3] and [2, 4] do not broadcast");
  EXPECT_EQ(message_of([&] {
              cross_entropy(zeros({2, 3}), Tensor(Array::of<int32_t>({0, 3})));
            }),
            "cross_entropy: targets hold 3, expected 0 to 2");
  EXPECT_EQ(message_of([&] {
              embedding(zeros({2, 3}), zeros({1}));
            }),
            "embedding: ids have type f32, expected integers");
  EXPECT_EQ(message_of([&] {
              embedding(zeros({2, 3}), Tensor(Array::of<int64_t>({-1})));
            }),
            "embedding: ids hold -1, expected 0 to 1");
  EXPECT_NE(message_of([&] {
              attention(zeros({1, 2, 4, 8}), zeros({1, 2, 3, 8}), zeros({1, 2, 3, 8}));
            }).find("a divisor of 4 heads"),
            std::string::npos);
  EXPECT_NE(message_of([&] { slice(zeros({2, 3}), 1, 2, 5); }).find("slice: 2 to 5"), std::string::npos);
  EXPECT_NE(message_of([&] { sum(zeros({2, 3}), {2}); }).find("axis 2 is outside"), std::string::npos);
  EXPECT_NE(message_of([&] { silu(ids); }).find("no error"), std::string::npos) << "integers count as f32";
  EXPECT_NE(message_of([&] { softmax(ids); }).find("expected a float type"), std::string::npos);
}

TEST(Errors, OfPickingLossesAndFormulasSayWhatWasExpected) {
  const auto zeros = [](const Shape& s) { return Tensor(Array::zeros(s)); };
  const Tensor ids = Array::of<int64_t>({0, 3}), x = zeros({2, 3});
  EXPECT_EQ(message_of([&] { index_select(x, 1, ids); }), "index_select: ids hold 3, expected 0 to 2");
  EXPECT_EQ(message_of([&] { pad(x, 1, 3, 0, PadMode::reflect); }),
            "pad: 3 before and 0 behind, but axis 1 of x [2, 3] mirrors at most 2");
  EXPECT_EQ(message_of([&] { pad(x, 0, -1, 0); }), "pad: -1 before and 0 behind, expected 0 or more");
  EXPECT_EQ(message_of([&] { repeat(x, {2}); }),
            "repeat: [2] numbers given for x [2, 3], expected one for each axis");
  EXPECT_EQ(message_of([&] {
              masked_fill(x, zeros({4, 2, 3}), 1);
            }),
            "masked_fill: mask [4, 2, 3] does not broadcast to x [2, 3]");
  EXPECT_EQ(message_of([&] { scatter_add(x, 1, ids, x); }),
            "scatter_add: source has shape [2, 3], expected [2], as index");
  EXPECT_EQ(message_of([&] { norm(x, NAN); }), "norm: p is nan, expected a number");
  EXPECT_EQ(message_of([&] { norm(zeros({2, 0}), -1, {1}); }), "norm: x [2, 0] has nothing along axis 1");
  EXPECT_EQ(message_of([&] { min(zeros({2, 0}), {1}); }), "min: x [2, 0] has nothing along axis 1");
  EXPECT_EQ(message_of([&] { mse_loss(x, zeros({3})); }),
            "mse_loss: target has shape [3], expected [2, 3], as x");
  EXPECT_EQ(message_of([&] { bincount(Tensor(Array::of<int64_t>({-1}))); }),
            "bincount: ids hold -1, expected 0 or more");
  EXPECT_EQ(message_of([&] { unique(x); }), "unique: values have type f32, expected integers");
  EXPECT_EQ(message_of([&] { one_hot(ids, 3); }), "one_hot: ids hold 3, expected 0 to 2");
  EXPECT_EQ(message_of([&] { less(x, zeros({4})); }), "less: shapes [2, 3] and [4] do not broadcast");
  EXPECT_EQ(message_of([&] { einsum("ij,jk", x, x); }),
            "einsum: the formula is \"ij,jk\", expected the form \"ij,jk->ik\"");
  EXPECT_EQ(message_of([&] { einsum("ij,kj->ijl", x, x); }),
            "einsum: the result's l is in neither operand of formula \"ij,kj->ijl\"");
  EXPECT_EQ(message_of([&] { einsum("ii,jk->ik", x, x); }),
            "einsum: i occurs twice in \"ii\" of formula \"ii,jk->ik\", expected once");
  EXPECT_EQ(message_of([&] { einsum("ij,jk->ik", x, x); }),
            "einsum: j is 3 long in a [2, 3] and 2 long in b [2, 3]");
  EXPECT_EQ(message_of([&] { einsum("..i.,ij->j", x, x); }),
            "einsum: \".\" in formula \"..i.,ij->j\", expected letters or \"...\"");
  EXPECT_EQ(message_of([&] { einsum("......i,ij->j", x, x); }),
            "einsum: ... occurs twice in \"......i\" of formula \"......i,ij->j\", expected once");
  EXPECT_EQ(message_of([&] { einsum("ij,jk->...k", x, x); }),
            "einsum: the result's ... is in neither operand of formula \"ij,jk->...k\"");
  EXPECT_EQ(message_of([&] { einsum("...ijk,ij->k", x, x); }),
            "einsum: a has shape [2, 3], expected at least 3 axes, ...ijk");
  EXPECT_EQ(message_of([&] {
              einsum("...i,...i->...", zeros({4, 2, 3}), zeros({3, 2, 3}));
            }),
            "einsum: axis -2 of ... is 4 long in a [4, 2, 3] and 3 long in b [3, 2, 3]");
  const Tensor log_p = zeros({1, 2, 3}), one = Array::of<int64_t>({1});
  EXPECT_EQ(message_of([&] {
              ctc_loss(log_p, reshape(one, {1, 1}), Tensor(Array::of<int64_t>({3})), one);
            }),
            "ctc_loss: steps hold 3, expected 0 to 2");
  EXPECT_EQ(message_of([&] {
              ctc_loss(log_p, reshape(one, {1, 1}), one, one, 1);
            }),
            "ctc_loss: target 0 of sequence 0 is the blank, 1");
}

TEST(Ctc, IsInfiniteWithoutGradientWhereNoAlignmentFits) {
  const Tensor log_p = parameter(Array::zeros({1, 2, 3}));
  const Tensor labels = Array::of<int64_t>({1, 1}).reshape({1, 2}), two = Array::of<int64_t>({2});
  const Tensor loss = ctc_loss(log_p, labels, two, two);  // equal labels need a blank between them
  EXPECT_EQ(loss.item(), INFINITY);
  backward(loss);
  for (float g : log_p.gradient().span<float>()) EXPECT_EQ(g, 0);
}

TEST(Gradients, StepsAndComparisonsRefuse) {
  const Tensor x = parameter(Array::of<float>({1.5f, -2.5f}));
  for (const Tensor& y : {floor(x), ceil(x), round(x), sign(x), cast(greater(x, 0 * x), DType::f32)})
    EXPECT_NE(message_of([&] { backward(sum(y)); }).find("has no gradient; use stop_gradient"),
              std::string::npos);
}

TEST(Gradients, ArgmaxRefusesAndFlowsNowhereElse) {
  const Tensor x = parameter(Array::of<float>({1, 3, 2}));
  EXPECT_NE(message_of([&] { backward(sum(cast(argmax(x), DType::f32))); }).find("argmax has no gradient"),
            std::string::npos);
}

TEST(Gradients, OfATensorUsedThroughViews) {
  const Tensor x = parameter(Array::of<float>({1, 2, 3, 4, 5, 6}).reshape({2, 3}));
  backward(sum(matmul(x, transpose(x))));  // d/dx of sum_ij x_i . x_j = 2 sum_j x_j in each row
  const Array g = kernel::contiguous(x.gradient());
  for (int i = 0; i < 6; i++) EXPECT_EQ(g.data<float>()[i], 2 * (i % 3 + 1 + i % 3 + 4));
}

}  // namespace
}  // namespace intarsia::walk
