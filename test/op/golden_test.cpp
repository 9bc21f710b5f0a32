// Values and gradients of operations against PyTorch in f64 (test/golden/ops.py, which names the cases and
// their inputs): odd shapes, empty arrays, axes of length 1, NaN and infinities. Each case is also run
// through views of larger arrays and with its inputs used twice, and its arrays are written to under the
// tape.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "intarsia/error.h"
#include "kernel/kernels.h"
#include "op/walk.h"

namespace intarsia::walk {
namespace {

using In = std::span<const Tensor>;
using Function = std::function<Tensor(In)>;

struct Input {
  Array array;
  bool smooth = false;  // takes a gradient
};
struct Golden {
  std::string name;
  std::vector<Input> inputs;
  Values value;
  std::vector<Values> gradients;  // of the smooth inputs, in order
};

Shape shape_of(const std::string& text) {
  Shape shape;
  std::istringstream dims(text);
  for (std::string d; std::getline(dims, d, ',');) shape.append(std::stoll(d));
  return shape;
}

// Element i of input number `seed`, as `made` in ops.py computes it.
double made(const std::string& kind, int64_t i, int64_t seed) {
  static const double special[] = {NAN, INFINITY, -INFINITY, 0.0,   -0.0,   1.0,   -1.0,
                                   0.5, 2.0,      -2.5,      1e300, -1e300, 1e-300};
  const int64_t h = (i * 40503 + seed * 25717 + 12345) % 65536;
  const double u = static_cast<double>(h) / 65536;
  if (kind == "normal") return 4 * u - 2;
  if (kind == "positive") return 0.1 + 2 * u;
  if (kind == "unit") return 0.01 + 0.98 * u;
  if (kind == "special") return special[(i + 5 * seed) % 13];
  if (kind == "ties") return static_cast<double>(h % 3) - 1;
  if (kind == "sign") return h / 8 % 2 ? 1 : -1;
  return static_cast<double>(h / 8 % std::stoll(kind.substr(1)));
}
Array made_array(const std::string& kind, const Shape& shape, int64_t seed) {
  Array x = Array::empty(shape, DType::f64);
  for (int64_t i = 0; i < x.size(); i++) x.mutable_data<double>()[i] = made(kind, i, seed);
  return kind[0] == 'i' ? kernel::cast(x, DType::i64) : x;
}

std::vector<Golden> read_golden() {
  const std::string folder = std::string(INTARSIA_SOURCE_DIR) + "/test/golden/ops/";
  std::ifstream text(folder + "cases.txt"), binary(folder + "values.f64", std::ios::binary);
  const auto values = [&](const Shape& shape) {
    Values v(static_cast<size_t>(shape.count()));
    binary.read(reinterpret_cast<char*>(v.data()), static_cast<std::streamsize>(v.size() * sizeof(double)));
    if (!binary) throw Error("values.f64 ends early");
    return v;
  };
  std::vector<Golden> all;
  for (std::string line; std::getline(text, line);) {
    if (line[0] == '#') continue;
    Golden g;
    std::istringstream parts(line);
    std::getline(parts, g.name, ';');
    for (std::string part; std::getline(parts, part, ';');) {
      std::istringstream words(part);
      std::string kind, dims;
      words >> kind >> dims;
      if (kind == "->") {
        g.value = values(shape_of(dims));
        continue;
      }
      const bool constant = part.back() == '!';
      if (constant) (dims.empty() ? kind : dims).pop_back();
      const auto seed = static_cast<int64_t>(g.inputs.size());
      g.inputs.push_back({made_array(kind, shape_of(dims), seed), !constant && kind[0] != 'i'});
    }
    for (const Input& input : g.inputs)
      if (input.smooth) g.gradients.push_back(values(input.array.shape()));
    all.push_back(std::move(g));
  }
  return all;
}

const Array& weights(const Shape& shape) {
  static std::map<std::string, Array> made_before;
  Array& w = made_before[shape.text()];
  if (!w) w = made_array("normal", shape, 99);
  return w;
}

// Integers moved by a number.
Tensor moved(const Tensor& ids, int64_t by) {
  Array y = Array::empty(ids.shape(), DType::i64);
  const Array from = kernel::contiguous(ids.array());
  for (int64_t i = 0; i < y.size(); i++) y.mutable_data<int64_t>()[i] = from.data<int64_t>()[i] + by;
  return y;
}

#define UNARY(NAME)                                  \
  {                                                  \
    #NAME, [](In x) { return intarsia::NAME(x[0]); } \
  }
#define BINARY(NAME)                                       \
  {                                                        \
    #NAME, [](In x) { return intarsia::NAME(x[0], x[1]); } \
  }
#define REDUCING(NAME, ...)                                          \
  {NAME " over 1", [](In x) { return __VA_ARGS__(x[0], {1}); }}, {   \
    NAME " over 0,2", [](In x) { return __VA_ARGS__(x[0], {0, 2}); } \
  }
#define NORM(TEXT, P) REDUCING("norm " TEXT, [](const Tensor& t, const Axes& a) { return norm(t, P, a); })

// What the names in cases.txt stand for.
const std::map<std::string, Function>& functions() {
  static const std::map<std::string, Function> table = {
      UNARY(neg),
      UNARY(abs),
      UNARY(exp),
      UNARY(expm1),
      UNARY(log),
      UNARY(log1p),
      UNARY(sqrt),
      UNARY(rsqrt),
      UNARY(sin),
      UNARY(cos),
      UNARY(atan),
      UNARY(tanh),
      UNARY(erf),
      UNARY(sigmoid),
      UNARY(relu),
      UNARY(softplus),
      UNARY(silu),
      UNARY(gelu),
      UNARY(gelu_tanh),
      UNARY(sign),
      UNARY(floor),
      UNARY(ceil),
      UNARY(round),
      BINARY(add),
      BINARY(sub),
      BINARY(mul),
      BINARY(div),
      BINARY(pow),
      BINARY(swiglu),
      BINARY(geglu),
      BINARY(squared_error),
      BINARY(absolute_error),
      BINARY(bce_error),
      BINARY(hinge_error),
      BINARY(kl_error),
      {"huber_error", [](In x) { return huber_error(x[0], x[1], x[2]); }},
      {"where", [](In x) { return where(x[0], x[1], x[2]); }},
      {"fma", [](In x) { return fma(x[0], x[1], x[2]); }},
      {"clamp", [](In x) { return clamp(x[0], x[1], x[2]); }},
      {"clamp -0.5 1", [](In x) { return clamp(x[0], -0.5, 1); }},
      {"pow 2", [](In x) { return pow(x[0], 2); }},
      {"pow 3", [](In x) { return pow(x[0], 3); }},
      {"pow -1", [](In x) { return pow(x[0], -1); }},
      {"pow 0.5", [](In x) { return pow(x[0], 0.5); }},
      {"pow 0", [](In x) { return pow(x[0], 0); }},
      BINARY(equal),
      BINARY(not_equal),
      BINARY(less),
      BINARY(less_equal),
      BINARY(greater),
      BINARY(greater_equal),
      BINARY(matmul),
      {"linear_add", [](In x) { return linear_add(x[0], x[1], x[2], x[3]); }},
      {"gated_linear silu", [](In x) { return gated_linear(x[0], x[1], x[2], x[3], Activation::silu); }},
      {"gated_linear gelu", [](In x) { return gated_linear(x[0], x[1], x[2], x[3], Activation::gelu); }},
      {"grouped_matmul 3,0,4",
       [](In x) {
         const int64_t sizes[] = {3, 0, 4};
         return grouped_matmul(x[0], sizes, x[1]);
       }},
      {"linear none", [](In x) { return linear(x[0], x[1], x[2]); }},
      {"linear relu", [](In x) { return linear(x[0], x[1], x[2], Activation::relu); }},
      {"linear silu", [](In x) { return linear(x[0], x[1], x[2], Activation::silu); }},
      {"linear gelu", [](In x) { return linear(x[0], x[1], x[2], Activation::gelu); }},
      {"linear gelu_tanh", [](In x) { return linear(x[0], x[1], x[2], Activation::gelu_tanh); }},
      BINARY(outer),
      UNARY(softmax),
      UNARY(log_softmax),
      {"rms_norm", [](In x) { return rms_norm(x[0], x[1], 1e-3); }},
      {"layer_norm", [](In x) { return layer_norm(x[0], x[1], x[2], 1e-3); }},
      BINARY(cross_entropy),
      {"linear_cross_entropy", [](In x) { return linear_cross_entropy(x[0], x[1], x[2]); }},
      {"linear_cross_entropy all",
       [](In x) {
         return linear_cross_entropy(x[0], x[1], x[2], {2, 0.1}, 1.5, 0.05);
       }},
      {"cross_entropy ignore 2",
       [](In x) {
         return cross_entropy(x[0], x[1], {2, 0});
       }},
      {"cross_entropy smoothing 0.1",
       [](In x) {
         return cross_entropy(x[0], x[1], {-100, 0.1});
       }},
      BINARY(embedding),
      {"attention causal", [](In x) { return attention(x[0], x[1], x[2]); }},
      {"attention full",
       [](In x) {
         return attention(x[0], x[1], x[2], {false, 0});
       }},
      {"reshape 4,-1",
       [](In x) {
         return reshape(x[0], {4, -1});
       }},
      {"permute 2,0,1",
       [](In x) {
         return permute(x[0], {2, 0, 1});
       }},
      UNARY(transpose),
      {"slice 1:6:2", [](In x) { return slice(x[0], 1, 1, 6, 2); }},
      {"concat 1", [](In x) { return concat(x, 1); }},
      {"broadcast_to 2,3,4",
       [](In x) {
         return broadcast_to(x[0], {2, 3, 4});
       }},
      {"gather 1", [](In x) { return gather(x[0], 1, x[1]); }},
      {"scatter_add 0", [](In x) { return scatter_add(x[0], 0, x[1], x[2]); }},
      {"scatter_add 1", [](In x) { return scatter_add(x[0], 1, x[1], x[2]); }},
      {"index_select 1", [](In x) { return index_select(x[0], 1, x[1]); }},
      {"flip 0,2",
       [](In x) {
         return flip(x[0], {0, 2});
       }},
      {"roll 2", [](In x) { return roll(x[0], 2, -1); }},
      {"roll -4", [](In x) { return roll(x[0], -4, 1); }},
      {"repeat 2,1,3,2",
       [](In x) {
         return repeat(x[0], {2, 1, 3, 2});
       }},
      {"repeat 0,2",
       [](In x) {
         return repeat(x[0], {0, 2});
       }},
      {"pad constant", [](In x) { return pad(x[0], 1, 2, 1, PadMode::constant, 0.5); }},
      {"pad reflect", [](In x) { return pad(x[0], 1, 2, 1, PadMode::reflect); }},
      {"pad replicate", [](In x) { return pad(x[0], 1, 2, 5, PadMode::replicate); }},
      {"tril -1", [](In x) { return tril(x[0], -1); }},
      {"tril 0", [](In x) { return tril(x[0]); }},
      {"tril 2", [](In x) { return tril(x[0], 2); }},
      {"triu -1", [](In x) { return triu(x[0], -1); }},
      {"triu 0", [](In x) { return triu(x[0]); }},
      {"triu 2", [](In x) { return triu(x[0], 2); }},
      {"masked_fill", [](In x) { return masked_fill(x[0], x[1], -0.75); }},
      {"one_hot", [](In x) { return one_hot(x[0], 4); }},
      {"cast", [](In x) { return cast(x[0], DType::f64); }},
      REDUCING("sum", sum),
      REDUCING("mean", mean),
      REDUCING("max", max),
      REDUCING("min", min),
      REDUCING("logsumexp", logsumexp),
      REDUCING("variance", variance),
      REDUCING("variance 0", [](const Tensor& t, const Axes& a) { return variance(t, a, false, 0); }),
      REDUCING("standard_deviation", standard_deviation),
      REDUCING("standard_deviation 0",
               [](const Tensor& t, const Axes& a) { return standard_deviation(t, a, false, 0); }),
      NORM("1", 1),
      NORM("2", 2),
      NORM("3.5", 3.5),
      NORM("inf", INFINITY),
      NORM("-inf", -INFINITY),
      NORM("0", 0),
      NORM("0.5", 0.5),
      NORM("-1", -1),
      NORM("-2.5", -2.5),
      {"prod over 1", [](In x) { return prod(x[0], {1}); }},
      {"cumsum 1", [](In x) { return cumsum(x[0], 1); }},
      {"cumprod 1", [](In x) { return cumprod(x[0], 1); }},
      {"cummax 1", [](In x) { return cummax(x[0], 1).values; }},
      {"cummax 1 indices", [](In x) { return cummax(x[0], 1).indices; }},
      {"argmax 1", [](In x) { return argmax(x[0], 1); }},
      {"topk", [](In x) { return topk(x[0], 1).values; }},
      {"sort", [](In x) { return sort(x[0]).values; }},
      {"sort indices", [](In x) { return sort(x[0]).indices; }},
      {"sort descending", [](In x) { return sort(x[0], true).values; }},
      {"sort descending indices", [](In x) { return sort(x[0], true).indices; }},
      {"unique", [](In x) { return unique(x[0]).values; }},
      {"unique inverse", [](In x) { return unique(x[0]).inverse; }},
      {"unique counts", [](In x) { return unique(x[0]).counts; }},
      {"bincount 4", [](In x) { return bincount(x[0], 4); }},
      BINARY(mse_loss),
      BINARY(mae_loss),
      {"huber_loss 0.7", [](In x) { return huber_loss(x[0], x[1], 0.7); }},
      BINARY(bce_with_logits),
      BINARY(kl_loss),
      BINARY(hinge_loss),
      BINARY(nll_loss),
      {"nll_loss ignore 2", [](In x) { return nll_loss(x[0], x[1], 2); }},
      BINARY(cosine_similarity),
      {"cosine_loss -0.2", [](In x) { return cosine_loss(x[0], x[1], x[2], -0.2); }},
      {"triplet_loss", [](In x) { return triplet_loss(x[0], x[1], x[2]); }},
      {"ctc_loss of log_softmax",
       [](In x) { return ctc_loss(log_softmax(x[0]), moved(x[1], 1), moved(x[2], x[0].dim(1) - 2), x[3]); }},
  };
  return table;
}

Tensor result_of(const Golden& g, In x) {
  if (g.name.starts_with("einsum ")) return einsum(g.name.substr(7), x[0], x[1]);
  return functions().at(g.name)(x);
}

void expect_equal(const Array& got, const Values& want, double bound, const std::string& what) {
  const Array wide = kernel::cast(got, DType::f64);
  const auto x = wide.span<double>();
  ASSERT_EQ(x.size(), want.size()) << what;
  for (size_t i = 0; i < want.size(); i++) {
    if (std::isnan(want[i])) {
      EXPECT_TRUE(std::isnan(x[i])) << what << " at " << i << " is " << x[i] << ", expected NaN";
    } else if (std::isinf(want[i])) {
      EXPECT_EQ(x[i], want[i]) << what << " at " << i;
    } else {
      EXPECT_LE(std::abs(x[i] - want[i]), bound * std::max(1.0, std::abs(want[i])))
          << what << " at " << i << " is " << x[i] << ", expected " << want[i];
    }
  }
}

void expect_gradients(const Golden& g, const std::vector<Tensor>& leaves, double factor,
                      const std::string& what) {
  for (size_t i = 0; i < g.gradients.size(); i++) {
    Values want = g.gradients[i];
    for (double& v : want) v *= factor;
    const Array got = leaves[i].gradient();
    expect_equal(got ? got : Array::zeros(leaves[i].shape(), DType::f64), want, 1e-10,
                 what + ", gradient " + std::to_string(i));
  }
}

Array copied(const Array& x) {
  Array y = Array::empty(x.shape(), x.dtype());
  kernel::copy(x, y);
  return y;
}

// Fresh inputs; the smooth ones are parameters, which are listed in `leaves`.
std::vector<Tensor> fresh_inputs(const Golden& g, std::vector<Tensor>& leaves) {
  std::vector<Tensor> x;
  for (const Input& input : g.inputs) {
    x.push_back(input.smooth ? parameter(copied(input.array)) : Tensor(copied(input.array)));
    if (input.smooth) leaves.push_back(x.back());
  }
  return x;
}

Tensor weighted(const Tensor& y) { return sum(y * Tensor(weights(y.shape()))); }

class Torch : public testing::Test {
 protected:
  static const std::vector<Golden>& golden() {
    static const std::vector<Golden> all = read_golden();
    return all;
  }
};

TEST_F(Torch, ValuesAndGradientsAreEqual) {
  for (const Golden& g : golden()) {
    SCOPED_TRACE(g.name);
    std::vector<Tensor> leaves;
    const Tensor y = result_of(g, fresh_inputs(g, leaves));
    expect_equal(y.array(), g.value, 1e-12, "value");
    if (leaves.empty()) continue;
    backward(weighted(y));
    expect_gradients(g, leaves, 1, "plain");
  }
}

TEST_F(Torch, GradientsThroughViewsAreEqual) {
  for (const Golden& g : golden()) {
    SCOPED_TRACE(g.name);
    std::vector<Tensor> x, leaves;
    std::vector<std::function<Tensor(const Tensor&)>> views;
    for (const Input& input : g.inputs) {
      // The values lie in every other place of a larger array with reversed axes.
      const int rank = input.array.rank();
      Shape large, reversed;
      for (int i = rank - 1; i >= 0; i--) {
        large.append(2 * input.array.dim(i) + 1);
        reversed.append(i);
      }
      const auto view = [=, shape = input.array.shape()](const Tensor& base) {
        Tensor v = permute(base, reversed);
        for (int i = 0; i < rank; i++) v = slice(v, i, 1, 1 + 2 * shape[i], 2);
        return v;
      };
      Array base = Array::zeros(large, input.array.dtype());
      Array places = view(base).array();
      kernel::copy(input.array, places);
      const Tensor leaf = input.smooth ? parameter(base) : Tensor(base);
      x.push_back(view(leaf));
      if (!input.smooth) continue;
      leaves.push_back(leaf);
      views.push_back(view);
    }
    const Tensor y = result_of(g, x);
    expect_equal(y.array(), g.value, 1e-12, "value");
    if (leaves.empty()) continue;
    backward(weighted(y));
    for (size_t i = 0; i < leaves.size(); i++) {
      if (!leaves[i].gradient()) continue;  // nothing arrived; the plain test checks that it is zero
      expect_equal(views[i](leaves[i].gradient()).array(), g.gradients[i], 1e-10, "gradient through a view");
    }
  }
}

TEST_F(Torch, GradientsOfInputsUsedTwiceAdd) {
  for (const Golden& g : golden()) {
    SCOPED_TRACE(g.name);
    std::vector<Tensor> leaves;
    const std::vector<Tensor> x = fresh_inputs(g, leaves);
    if (leaves.empty()) continue;
    backward(weighted(result_of(g, x)) + weighted(result_of(g, x)));
    expect_gradients(g, leaves, 2, "used twice");
  }
}

// Writes other numbers into an array.
void spoil(Array x) {
  if (x.size() == 0) return;
  kernel::fill(x, x.dtype() == DType::f64 ? 0.77 : 0);
}

// Whether backward is refused because an array was written; otherwise it must have been harmless.
bool refused(const Tensor& loss) {
  try {
    backward(loss);
    return false;
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("has been written since"), std::string::npos) << e.what();
    return true;
  }
}

TEST_F(Torch, WritingAnInputUnderTheTapeIsRefusedOrHarmless) {
  int refusals = 0;
  for (const Golden& g : golden()) {
    for (size_t written = 0; written < g.inputs.size(); written++) {
      SCOPED_TRACE(g.name + ", input " + std::to_string(written));
      std::vector<Tensor> leaves;
      const std::vector<Tensor> x = fresh_inputs(g, leaves);
      if (leaves.empty()) continue;
      const Tensor loss = weighted(result_of(g, x));
      spoil(x[written].array());
      if (refused(loss))
        refusals++;
      else
        expect_gradients(g, leaves, 1, "after the input was written");
    }
  }
  EXPECT_GT(refusals, 300);
}

TEST_F(Torch, WritingAResultUnderTheTapeIsRefusedOrHarmless) {
  for (const Golden& g : golden()) {
    SCOPED_TRACE(g.name);
    std::vector<Tensor> before, after;
    const std::vector<Tensor> x = fresh_inputs(g, before), z = fresh_inputs(g, after);
    if (before.empty()) continue;
    backward(sum(result_of(g, x)));
    const Tensor y = result_of(g, z), loss = sum(y);
    spoil(y.array());
    if (refused(loss)) continue;
    for (size_t i = 0; i < before.size(); i++) {
      const Array want = kernel::contiguous(before[i].gradient());
      expect_equal(after[i].gradient(), Values(want.span<double>().begin(), want.span<double>().end()), 0,
                   "after the result was written");
    }
  }
}

TEST_F(Torch, EveryFunctionHasACase) {
  std::set<std::string> seen;
  for (const Golden& g : golden()) seen.insert(g.name);
  for (const auto& [name, function] : functions())
    EXPECT_TRUE(seen.contains(name)) << name << " is in no case of test/golden/ops/cases.txt";
}

}  // namespace
}  // namespace intarsia::walk
