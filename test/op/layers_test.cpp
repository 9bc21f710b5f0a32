// Convolutions, pooling, normalizations over channels, Fourier transforms and linear algebra against PyTorch
// in f64: values to 1e-12, gradients to 1e-10. test/golden/layers.py made the files and says how they are
// written.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

#include "intarsia/error.h"
#include "intarsia/op.h"
#include "kernel/kernels.h"

namespace intarsia {
namespace {

double value(uint64_t stream, uint64_t i) {
  uint64_t h = (i * 2654435761u + stream * 0x9E3779B9u + 12345) & 0xFFFFFFFFu;
  for (int round = 0; round < 2; round++) {
    h ^= h >> 16;
    h = h * 0x45D9F3B & 0xFFFFFFFFu;
  }
  h ^= h >> 16;
  return static_cast<double>(h) / 0x1p31 - 1;
}

Array values(uint64_t stream, const Shape& shape) {
  Array x = Array::empty(shape, DType::f64);
  for (int64_t i = 0; i < x.size(); i++)
    x.mutable_data<double>()[i] = value(stream, static_cast<uint64_t>(i));
  return x;
}

void spoil(Array& x) {
  double* v = x.mutable_data<double>();
  for (int64_t i = 0; i < x.size(); i++) {
    if (i % 11 == 5) v[i] = INFINITY;
    if (i % 13 == 6) v[i] = -INFINITY;
    if (i % 7 == 3) v[i] = NAN;
  }
}

// A view of the same values: every other element of each row of a longer array.
Array strided(const Array& x) {
  if (x.rank() == 0) return x;
  Shape padded = x.shape(), strides;
  padded[-1] = 2 * padded[-1] + 1;
  Array base = Array::zeros(padded, x.dtype());
  strides = base.strides();
  strides[-1] = 2;
  Array view = base.view(x.shape(), strides);
  kernel::copy(x, view);
  return view;
}

struct Case {
  std::string line, operation;
  std::map<std::string, std::vector<double>> options;
  std::vector<std::string> inputs;  // names, in order
  std::vector<std::vector<double>> arrays;

  bool has(const std::string& key) const { return options.contains(key); }
  double number(const std::string& key, double otherwise) const {
    return has(key) ? options.at(key)[0] : otherwise;
  }
  int64_t integer(const std::string& key, int64_t otherwise) const {
    return static_cast<int64_t>(number(key, static_cast<double>(otherwise)));
  }
  Size2 size(const std::string& key, int64_t otherwise) const {
    if (!has(key)) return otherwise;
    const auto& v = options.at(key);
    return {static_cast<int64_t>(v[0]), static_cast<int64_t>(v.back())};
  }
  Shape shape(const std::string& key) const {
    Shape s;
    for (double d : options.at(key)) s.append(static_cast<int64_t>(d));
    return s;
  }
};

Case parse(const std::string& line) {
  Case c;
  c.line = line;
  std::istringstream words(line);
  words >> c.operation;
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    const std::string key = word.substr(0, equals);
    std::istringstream numbers(word.substr(equals + 1));
    for (std::string n; std::getline(numbers, n, ',');) c.options[key].push_back(std::stod(n));
    for (const char* input : {"x", "w", "bias", "a", "b"})
      if (key == input) c.inputs.push_back(key);
  }
  return c;
}

std::vector<Case> read_cases(const std::string& name) {
  std::ifstream file(std::string(INTARSIA_SOURCE_DIR) + "/test/golden/layers/" + name + ".bin",
                     std::ios::binary);
  EXPECT_TRUE(file) << name;
  const auto number = [&] {
    uint32_t n = 0;
    file.read(reinterpret_cast<char*>(&n), 4);
    return n;
  };
  std::vector<Case> cases;
  for (uint32_t length = number(); file; length = number()) {
    std::string line(length, ' ');
    file.read(line.data(), length);
    cases.push_back(parse(line));
    for (uint32_t n = number(); n > 0; n--) {
      std::vector<double> array(number());
      file.read(reinterpret_cast<char*>(array.data()), static_cast<std::streamsize>(array.size() * 8));
      cases.back().arrays.push_back(std::move(array));
    }
  }
  return cases;
}

Tensor identity(int64_t n, double factor) {
  Array x = Array::zeros({n, n}, DType::f64);
  for (int64_t i = 0; i < n; i++) x.mutable_data<double>()[i * (n + 1)] = factor;
  return Tensor(x);
}

// For each column of x [..., m, n] the sign of its element of largest magnitude (or of its diagonal): [...,
// 1, n].
Tensor signs(const Tensor& x, bool diagonal) {
  Shape shape = x.shape();
  const int64_t m = shape[-2], n = shape[-1], batch = x.array().size() > 0 ? x.array().size() / (m * n) : 0;
  shape[-2] = 1;
  Array s = Array::empty(shape, DType::f64);
  const Array from = kernel::contiguous(x.array());
  const double* v = from.data<double>();
  for (int64_t b = 0; b < batch; b++)
    for (int64_t j = 0; j < n; j++) {
      double top = 0;
      for (int64_t i = 0; i < m; i++) {
        const double e = v[(b * m + i) * n + j];
        if (diagonal ? i == j : std::abs(e) > std::abs(top)) top = e;
      }
      s.mutable_data<double>()[b * n + j] = top < 0 ? -1 : 1;
    }
  return Tensor(s);
}

std::vector<Tensor> run(const Case& c, std::map<std::string, Tensor>& t) {
  const std::string& op = c.operation;
  const Tensor x = t["x"], w = t["w"], bias = t["bias"], a = t["a"], b = t["b"];
  const Conv2d conv{c.size("stride", 1), c.size("padding", 0), c.size("dilation", 1), c.integer("groups", 1),
                    c.size("output_padding", 0)};
  const Conv1d line{conv.stride.height, conv.padding.height, conv.dilation.height, conv.groups,
                    conv.output_padding.height};
  const Pool2d pool{c.size("kernel_size", 1),       c.size("stride", 0),
                    c.size("padding", 0),           c.size("dilation", 1),
                    c.integer("ceil_mode", 0) != 0, c.integer("count_include_pad", 1) != 0};
  const Pool1d row{pool.kernel.height,   pool.stride.height, pool.padding.height,
                   pool.dilation.height, pool.ceil,          pool.count_padding};
  const Size2 size = c.size("output_size", 1);
  const double eps = c.number("eps", 1e-5);
  if (op == "conv1d") return {conv1d(x, w, bias, line)};
  if (op == "conv2d") return {conv2d(x, w, bias, conv)};
  if (op == "conv_transpose1d") return {conv_transpose1d(x, w, bias, line)};
  if (op == "conv_transpose2d") return {conv_transpose2d(x, w, bias, conv)};
  if (op == "max_pool1d") return {max_pool1d(x, row)};
  if (op == "max_pool2d") return {max_pool2d(x, pool)};
  if (op == "avg_pool1d") return {avg_pool1d(x, row)};
  if (op == "avg_pool2d") return {avg_pool2d(x, pool)};
  if (op == "adaptive_max_pool1d") return {adaptive_max_pool1d(x, size.height)};
  if (op == "adaptive_max_pool2d") return {adaptive_max_pool2d(x, size)};
  if (op == "adaptive_avg_pool1d") return {adaptive_avg_pool1d(x, size.height)};
  if (op == "adaptive_avg_pool2d") return {adaptive_avg_pool2d(x, size)};
  if (op == "group_norm") return {group_norm(x, c.integer("groups", 1), w, bias, eps)};
  if (op == "batch_norm") {
    Array variance = values(51, {x.dim(1)});
    for (int64_t i = 0; i < variance.size(); i++) variance.mutable_data<double>()[i] += 1.5;
    RunningMoments running{values(50, {x.dim(1)}), variance};
    const Tensor y =
        batch_norm(x, w, bias, running, c.integer("training", 0) != 0, c.number("momentum", 0.1), eps);
    return {y, Tensor(running.mean), Tensor(running.variance)};
  }
  if (op == "fft") return {fft(x)};
  if (op == "ifft") return {ifft(x)};
  if (op == "rfft") return {rfft(x)};
  if (op == "irfft") return {irfft(x, c.integer("n", 0))};
  if (op == "solve") return {solve(a + identity(a.dim(-1), 2), b)};
  if (op == "triangular_solve")
    return {triangular_solve(a + identity(a.dim(-1), 3), b, c.integer("upper", 0) != 0,
                             c.integer("unit", 0) != 0)};
  if (op == "cholesky")
    return {cholesky(matmul(a, transpose(a)) + identity(a.dim(-1), static_cast<double>(a.dim(-1))))};
  if (op == "qr") {
    const QR f = qr(a);
    const Tensor s = signs(slice(f.r, -1, 0, f.r.dim(-2)), true);
    return {f.q * s, f.r * transpose(s)};
  }
  if (op == "symmetric_eigen") {
    const SymmetricEigen f = symmetric_eigen(a + transpose(a));
    return {f.values, f.vectors * signs(f.vectors, false)};
  }
  if (op == "svd") {
    const SVD f = svd(a);
    const Tensor s = signs(f.u, false);
    return {f.u * s, f.s, f.vt * transpose(s)};
  }
  ADD_FAILURE() << "unknown operation " << op;
  return {};
}

void expect_near(const Array& found, const std::vector<double>& expected, double tolerance,
                 const std::string& what) {
  const Array x = kernel::contiguous(found);
  ASSERT_EQ(x.size(), static_cast<int64_t>(expected.size())) << what;
  double scale = 1;
  for (double e : expected)
    if (std::isfinite(e)) scale = std::max(scale, std::abs(e));
  for (int64_t i = 0; i < x.size(); i++) {
    const double f = x.data<double>()[i], e = expected[static_cast<size_t>(i)];
    const bool same = std::isfinite(e) ? std::abs(f - e) <= tolerance * scale
                      : std::isnan(e)  ? std::isnan(f)
                                       : f == e;
    ASSERT_TRUE(same) << what << " at " << i << ": " << f << ", expected " << e;
  }
}

void check(const Case& c, bool views) {
  SCOPED_TRACE(c.line + (views ? " (strided views)" : ""));
  std::map<std::string, Tensor> inputs;
  uint64_t stream = 0;
  for (const std::string& name : c.inputs) {
    Array x = values(stream, c.shape(name));
    if (c.has("special") && stream == 0) spoil(x);
    inputs[name] = parameter(views ? strided(x) : x);
    stream++;
  }
  const std::vector<Tensor> results = run(c, inputs);
  ASSERT_EQ(results.size() + c.inputs.size(), c.arrays.size());
  Tensor loss(Array::zeros({}, DType::f64));
  for (size_t k = 0; k < results.size(); k++) {
    expect_near(results[k].array(), c.arrays[k], 1e-12, "result " + std::to_string(k));
    if (results[k].needs_gradient())
      loss = loss + sum(results[k] * Tensor(values(100 + k, results[k].shape())));
  }
  backward(loss);
  for (size_t i = 0; i < c.inputs.size(); i++) {
    const Tensor& x = inputs[c.inputs[i]];
    const Array g = x.gradient() ? x.gradient() : Array::zeros(x.shape(), DType::f64);
    expect_near(g, c.arrays[results.size() + i], 1e-10, "gradient of " + c.inputs[i]);
  }
}

class Golden : public testing::TestWithParam<const char*> {};
TEST_P(Golden, EqualsPyTorchInF64) {
  const std::vector<Case> cases = read_cases(GetParam());
  EXPECT_GE(cases.size(), 25u);
  for (const Case& c : cases)
    for (bool views : {false, true}) check(c, views);
}
INSTANTIATE_TEST_SUITE_P(Layers, Golden, testing::Values("convolutions", "channels", "linear_algebra"),
                         [](const auto& name) { return std::string(name.param); });

// A result that is used through a transposed view hands its gradient back as one.
TEST(Layers, TakeGradientsThroughViews) {
  const Tensor weights(values(7, {5, 3})), a = parameter(values(1, {3, 3})), x = parameter(values(2, {3, 5}));
  const auto flat = [&](const Tensor& y) { return sum(transpose(y) * weights); };
  const auto gradients = [&](auto op) {
    a.clear_gradient();
    x.clear_gradient();
    const Tensor y = op(a + identity(3, 3), x);
    backward(flat(y));
    const Array through_view = x.gradient();
    x.clear_gradient();
    backward(sum(op(a + identity(3, 3), x) * Tensor(kernel::contiguous(transpose(weights).array()))));
    const auto g = through_view.span<double>();
    expect_near(x.gradient(), std::vector<double>(g.begin(), g.end()), 1e-14, "gradient");
  };
  gradients([](const Tensor& m, const Tensor& b) { return solve(m, b); });
  gradients([](const Tensor& m, const Tensor& b) { return triangular_solve(m, b, true); });
  gradients([](const Tensor& m, const Tensor& b) {
    return reshape(conv1d(reshape(b, {1, 3, 5}), reshape(m, {3, 3, 1})), {3, 5});
  });
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) { return error.what(); }
  return "no error";
}

TEST(Layers, ErrorsNameWhatWasFoundAndExpected) {
  const auto zeros = [](const Shape& s) { return Tensor(Array::zeros(s)); };
  EXPECT_EQ(message_of([&] {
              conv2d(zeros({1, 3, 8, 8}), zeros({4, 2, 3, 3}));
            }),
            "conv2d: w has shape [4, 2, 3, 3] in 1 groups, expected 3 channels of x [1, 3, 8, 8] over the "
            "groups on "
            "its second axis");
  EXPECT_EQ(message_of([&] {
              conv2d(zeros({1, 3, 2, 8}), zeros({4, 3, 3, 3}));
            }),
            "conv2d: the kernel reaches over 3 pixels of axis 2, x [1, 3, 2, 8] with padding has 2");
  EXPECT_EQ(message_of([&] {
              conv2d(zeros({1, 3, 8, 8}), zeros({4, 3, 3, 3}), {}, {0});
            }),
            "conv2d: stride is 0 x 0, expected at least 1");
  EXPECT_EQ(message_of([&] {
              max_pool2d(zeros({1, 1, 4, 4}), {.kernel = 2, .padding = 2});
            }),
            "max_pool2d: padding is 2, expected 0 to 1, half the kernel");
  EXPECT_EQ(message_of([&] {
              group_norm(zeros({2, 5, 3}), 2, {}, {});
            }),
            "group_norm: 2 groups for the 5 channels of x [2, 5, 3]");
  RunningMoments running;
  EXPECT_EQ(message_of([&] {
              batch_norm(zeros({1, 5}), {}, {}, running, true);
            }),
            "batch_norm: x [1, 5] has 1 value for each channel, expected more than 1 in training");
  EXPECT_EQ(message_of([&] {
              fft(zeros({4, 3}));
            }),
            "fft: x has shape [4, 3], expected a last axis of 2, real and imaginary parts");
  EXPECT_EQ(message_of([&] {
              solve(zeros({2, 2}), zeros({2, 1}));
            }),
            "solve: matrix 0 of the batch is singular");
  EXPECT_EQ(message_of([&] {
              cholesky(zeros({3, 2, 2}));
            }),
            "cholesky: matrix 0 of the batch is not positive definite");
}

}  // namespace
}  // namespace intarsia
