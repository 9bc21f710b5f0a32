#include "op/walk.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "kernel/kernels.h"
#include "kernel/table.h"

namespace intarsia::walk {
namespace {

Values as_values(const Array& x) {
  const Array wide = kernel::cast(kernel::contiguous(x), DType::f64);
  const auto s = wide.span<double>();
  return Values(s.begin(), s.end());
}

Array as_array(const Values& v, const Shape& shape, DType dtype) {
  return kernel::cast(Array::copy_of(std::span<const double>(v), shape), dtype);
}

// max |a - b| / max |b|, with infinities and NaN required to stand at the same places.
double distance(const Values& a, const Values& b) {
  EXPECT_EQ(a.size(), b.size());
  double top = 0, scale = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); i++) {
    if (std::isnan(b[i]) || std::isinf(b[i])) {
      EXPECT_TRUE(std::isnan(b[i]) ? std::isnan(a[i]) : a[i] == b[i])
          << "at " << i << ": " << a[i] << " for " << b[i];
      continue;
    }
    top = std::isnan(a[i]) ? INFINITY : std::max(top, std::abs(a[i] - b[i]));
    scale = std::max(scale, std::abs(b[i]));
  }
  return scale > 0 ? top / scale : top;
}

// The weights of the scalar sum(y * r) whose gradient is taken: fixed numbers of mixed sign.
double weight_at(size_t i) { return std::sin(1.7 * static_cast<double>(i) + 0.3); }

double weighted_sum(const Values& y) {
  double s = 0;
  for (size_t i = 0; i < y.size(); i++) s += y[i] * weight_at(i);
  return s;
}

// A view with the same values whose elements lie at every other place of a transposed array.
Array strided(const Array& x) {
  if (x.rank() == 0) return x;
  Shape padded = x.shape();
  for (int i = 0; i < padded.rank(); i++) padded[i] = padded[i] * (i == 0 ? 2 : 1) + 1;
  Shape reversed;
  for (int i = padded.rank() - 1; i >= 0; i--) reversed.append(padded[i]);
  Array base = Array::zeros(reversed, x.dtype());
  Shape strides;
  const Shape base_strides = contiguous_strides(reversed);
  for (int i = 0; i < x.rank(); i++) strides.append(base_strides[x.rank() - 1 - i] * (i == 0 ? 2 : 1));
  Array view = base.view(x.shape(), strides, 0);
  kernel::copy(x, view);
  return view;
}

bool same_bits(const Array& a, const Array& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  const Array x = kernel::contiguous(a), y = kernel::contiguous(b);
  return x.bytes() == 0 || std::memcmp(x.raw(), y.raw(), x.bytes()) == 0;
}

void expect_same(const Outcome& a, const Outcome& b, const std::string& what) {
  EXPECT_TRUE(same_bits(a.y, b.y)) << what << ": value";
  for (size_t i = 0; i < a.gradients.size(); i++)
    if (a.gradients[i]) {
      EXPECT_TRUE(same_bits(a.gradients[i], b.gradients[i])) << what << ": gradient " << i;
    }
}

struct Threads {
  int before = thread_count();
  ~Threads() { set_thread_count(before); }
};
struct Rung {
  std::string before = kernel::table().name;
  ~Rung() { kernel::use_rung(before); }
};

// Expected relative error of one operation; sums of n terms are a little above the unit of the type.
double tolerance(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return 1e-12;
    case DType::f32:
      return 4e-6;
    case DType::bf16:
      return 2e-2;
    default:
      return 4e-3;
  }
}

struct Slopes {
  double gradient, difference, norm;
};
// The slope when every element of input i moves by plus or minus one, by the gradient and by the definition.
Slopes along_a_direction(const Case& c, const std::vector<Values>& at, size_t i, const Values& gradient,
                         uint64_t seed) {
  const double h = 1e-5;
  std::vector<Values> above = at, below = at;
  Random random(17, seed);
  Slopes s = {};
  for (size_t e = 0; e < gradient.size(); e++) {
    const double direction = random.below(2) ? 1 : -1;
    above[i][e] += h * direction;
    below[i][e] -= h * direction;
    s.gradient += gradient[e] * direction;
    s.norm += gradient[e] * gradient[e];
  }
  s.norm = std::max(1e-6, std::sqrt(s.norm));
  s.difference = (weighted_sum(c.definition(above)) - weighted_sum(c.definition(below))) / (2 * h);
  return s;
}

}  // namespace

Outcome run(const Case& c, const std::vector<Array>& inputs) {
  std::vector<Tensor> x;
  std::vector<Tensor> leaves;
  for (size_t i = 0; i < inputs.size(); i++) {
    x.push_back(c.smooth[i] ? parameter(inputs[i]) : Tensor(inputs[i]));
    if (c.smooth[i]) leaves.push_back(x.back());
  }
  const Tensor y = c.op(x);
  Outcome out{y.array(), {}};
  if (leaves.empty()) return out;
  Values r(static_cast<size_t>(y.array().size()));
  for (size_t i = 0; i < r.size(); i++) r[i] = weight_at(i);
  backward(sum(y * Tensor(as_array(r, y.shape(), y.dtype()))));
  for (size_t i = 0; i < x.size(); i++) {
    out.gradients.push_back(c.smooth[i] ? x[i].gradient() : Array());
    if (c.smooth[i] && !out.gradients.back()) out.gradients.back() = Array::zeros(x[i].shape(), x[i].dtype());
  }
  return out;
}

std::vector<Array> inputs_as(const Case& c, DType dtype) {
  std::vector<Array> inputs;
  for (const Array& x : c.inputs) inputs.push_back(is_float(x.dtype()) ? kernel::cast(x, dtype) : x);
  return inputs;
}

Array Walk::normal(const Shape& shape) {
  return kernel::cast(intarsia::normal(shape, 1, 11, stream_++), DType::f64);
}
Array Walk::uniform(const Shape& shape, double low, double high) {
  return kernel::cast(intarsia::uniform(shape, low, high, 12, stream_++), DType::f64);
}
Array Walk::integers(const Shape& shape, int64_t bound) {
  Array x = Array::empty(shape, DType::i64);
  Random random(13, stream_++);
  for (int64_t i = 0; i < x.size(); i++)
    x.mutable_data<int64_t>()[i] = static_cast<int64_t>(random.below(static_cast<uint64_t>(bound)));
  return x;
}

void check_case(const Case& c) {
  SCOPED_TRACE(c.name);
  std::vector<Values> values;
  for (const Array& x : c.inputs) values.push_back(as_values(x));

  // f64: value against the definition, gradient against central differences of the definition.
  const Outcome exact = run(c, c.inputs);
  EXPECT_LE(distance(as_values(exact.y), c.definition(values)), 1e-12) << "value in f64";
  for (size_t i = 0; i < exact.gradients.size(); i++) {
    if (!c.smooth[i]) continue;
    Values numeric(values[i].size());
    const size_t stride =
        std::max<size_t>(1, numeric.size() / 40);  // a sample of the elements is enough and quick
    Values sampled, analytic;
    const Values gradient = as_values(exact.gradients[i]);
    for (size_t e = 0; e < numeric.size(); e += stride) {
      std::vector<Values> moved = values;
      const double h = 1e-5;
      moved[i][e] += h;
      const double above = weighted_sum(c.definition(moved));
      moved[i][e] -= 2 * h;
      sampled.push_back((above - weighted_sum(c.definition(moved))) / (2 * h));
      analytic.push_back(gradient[e]);
    }
    EXPECT_LE(distance(analytic, sampled), 2e-6) << "gradient " << i << " in f64 against differences";
    for (uint64_t turn = 0; turn < 2; turn++) {
      const auto [slope, difference, norm] = along_a_direction(c, values, i, gradient, turn);
      EXPECT_LE(std::abs(slope - difference), 2e-6 * norm) << "gradient " << i << " in f64 in a direction";
    }
  }

  Rung keep_rung;
  Threads keep_threads;
  for (const kernel::Kernels* rung : kernel::rungs()) {
    kernel::use_rung(rung->name);
    for (DType dtype : {DType::f64, DType::f32, DType::bf16, DType::f16}) {
      if (!c.same_type && dtype != DType::f64 && dtype != DType::f32) continue;
      SCOPED_TRACE(std::string(rung->name) + " " + info(dtype).name);
      const std::vector<Array> rounded = inputs_as(c, dtype);
      std::vector<Array> views, wide;
      for (const Array& x : rounded) {
        views.push_back(strided(x));
        wide.push_back(is_float(x.dtype()) ? kernel::cast(x, DType::f64) : x);
      }
      const Outcome reference = run(c, wide);
      set_thread_count(1);
      const Outcome one = run(c, rounded);
      const double limit = tolerance(dtype) * c.tolerance;
      EXPECT_LE(distance(as_values(one.y), as_values(reference.y)), limit) << "value";
      for (size_t i = 0; i < one.gradients.size(); i++)
        if (c.smooth[i]) {
          EXPECT_LE(distance(as_values(one.gradients[i]), as_values(reference.gradients[i])), 2 * limit)
              << "gradient " << i;
        }
      expect_same(one, run(c, views), "strided views");
      expect_same(one, run(c, rounded), "a second run");
      for (const int threads : {2, 3}) {
        set_thread_count(threads);
        expect_same(one, run(c, rounded), std::to_string(threads) + " threads");
      }
    }
  }
}

std::vector<Operation> listed_operations() {
  return {
#define OP(NAME) {#NAME, cases::NAME},
#include "op/list.inl"
#undef OP
  };
}

TEST(Walk, EveryOperationOfTheList) {
  Walk walk;
  for (const Operation& op : listed_operations()) {
    SCOPED_TRACE(op.name);
    op.cases(walk);
  }
}

}  // namespace intarsia::walk
