// Row operations against definitions in double, gradients against differences, on every rung and element
// type.
#include "arrays.h"

namespace intarsia::test {
namespace {

using Vector = std::vector<double>;

// Applies f(row, out, d) to each row of d values.
Vector by_rows(const Vector& x, size_t d, const std::function<void(const double*, double*)>& f) {
  Vector y(x.size());
  for (size_t i = 0; i + d <= x.size() && d; i += d) f(&x[i], &y[i]);
  return y;
}
double log_sum_exp(const double* x, size_t d) {
  double most = -INFINITY, sum = 0;
  for (size_t i = 0; i < d; i++) most = std::max(most, x[i]);
  for (size_t i = 0; i < d; i++) sum += std::exp(x[i] - most);
  return most + std::log(sum);
}

const int64_t widths[] = {1, 2, 7, 16, 33, 64, 100, 257};

// Runs f with 1 and with 2 threads; the results must have equal bits.
void expect_equal_on_threads(const std::function<std::vector<Array>()>& f) {
  std::vector<Array> one, two;
  {
    Threads threads(1);
    one = f();
  }
  {
    Threads threads(2);
    two = f();
  }
  ASSERT_EQ(one.size(), two.size());
  for (size_t i = 0; i < one.size(); i++) EXPECT_TRUE(same_bits(one[i], two[i])) << "result " << i;
}

// A small array in every float type, computed on, against what f64 gives for the same (rounded) inputs.
void expect_like_f64(const Shape& shape, double bound,
                     const std::function<std::vector<Array>(const Array&)>& f) {
  for (DType type : float_types) {
    const Array x = random_array(shape, type, 11);
    const std::vector<Array> got = f(x), exact = f(kernel::cast(x, DType::f64));
    for (size_t i = 0; i < got.size(); i++)
      expect_close(got[i], doubles(exact[i]), bound * rounding(type),
                   std::string(info(type).name) + " result " + std::to_string(i) + " of " + shape.text());
  }
}

TEST(Softmax, EqualsItsDefinition) {
  on_every_rung([] {
    for (DType type : float_types)
      for (int64_t d : widths) {
        const Array x = random_array({5, d}, type, 1, 3);
        const auto n = static_cast<size_t>(d);
        const Vector want = by_rows(doubles(x), n, [&](const double* row, double* y) {
          const double lse = log_sum_exp(row, n);
          for (size_t i = 0; i < n; i++) y[i] = std::exp(row[i] - lse);
        });
        expect_close(kernel::softmax(x), want, 8 * rounding(type), "softmax");
        Vector logs = want;
        for (double& v : logs) v = std::log(v);
        expect_close(kernel::log_softmax(x), logs, 8 * rounding(type), "log_softmax", 1);
      }
  });
}

TEST(Softmax, TakesInfinitiesAndLargeNumbers) {
  on_every_rung([] {
    const Array x = Array::copy_of<float>(
        std::vector<float>{1e30f, 1e30f, -INFINITY, 80000, 80001, -80000, 0, -INFINITY, 0}, {3, 3});
    expect_close(kernel::softmax(x),
                 {0.5, 0.5, 0, 1 / (1 + std::exp(1.0)), 1 / (1 + std::exp(-1.0)), 0, 0.5, 0, 0.5}, 1e-6);
    expect_close(kernel::softmax(Array::of<float>({NAN, 1})), {NAN, NAN}, 0);
  });
}

TEST(Softmax, GradientEqualsDifferences) {
  on_every_rung([] {
    const Array x = random_array({3, 19}, DType::f64, 1), dy = random_array({3, 19}, DType::f64, 2);
    expect_close(kernel::softmax_backward(kernel::softmax(x), dy),
                 differences(x, doubles(dy), kernel::softmax), 1e-8);
    expect_close(kernel::log_softmax_backward(kernel::log_softmax(x), dy),
                 differences(x, doubles(dy), kernel::log_softmax), 1e-8);
    expect_like_f64({4, 45}, 8, [&](const Array& v) {
      const Array d = random_array({4, 45}, v.dtype(), 5);
      const Array y = kernel::cast(kernel::softmax(kernel::cast(v, DType::f64)), v.dtype());
      return std::vector<Array>{
          kernel::softmax_backward(y, kernel::cast(random_array({4, 45}, DType::bf16, 5), v.dtype()))};
    });
  });
}

TEST(CrossEntropy, EqualsItsDefinitionWithSmoothingAndIgnoredRows) {
  on_every_rung([] {
    for (DType type : float_types)
      for (double smoothing : {0.0, 0.1}) {
        const Array x = random_array({6, 37}, type, 1, 2);
        const Array target = Array::of<int64_t>({0, 36, -100, 5, 5, 17});
        const auto r = kernel::cross_entropy(x, target, -100, smoothing);
        const Vector v = doubles(x);
        Vector loss(6), lse(6);
        for (size_t row = 0; row < 6; row++) {
          const int64_t t = target.data<int64_t>()[row];
          if (t == -100) continue;
          lse[row] = log_sum_exp(&v[row * 37], 37);
          double mean = 0;
          for (size_t i = 0; i < 37; i++) mean += (lse[row] - v[row * 37 + i]) / 37;
          loss[row] = (1 - smoothing) * (lse[row] - v[row * 37 + static_cast<size_t>(t)]) + smoothing * mean;
        }
        const double bound = type == DType::f64 ? 1e-14 : 1e-6;
        expect_close(r.loss, loss, bound, "loss");
        expect_close(r.lse, lse, bound, "lse");
      }
  });
}

TEST(CrossEntropy, GradientEqualsDifferences) {
  on_every_rung([] {
    const Array target = Array::of<int64_t>({2, -1, 0, 10});
    for (double smoothing : {0.0, 0.2}) {
      const Array x = random_array({4, 11}, DType::f64, 1), dloss = random_array({4}, DType::f64, 2);
      const auto loss = [&](const Array& v) { return kernel::cross_entropy(v, target, -1, smoothing).loss; };
      const auto r = kernel::cross_entropy(x, target, -1, smoothing);
      const Array dx = kernel::cross_entropy_backward(x, target, r.lse, dloss, -1, smoothing);
      expect_close(dx, differences(x, doubles(dloss), loss), 1e-8);
      for (size_t i = 11; i < 22; i++) EXPECT_EQ(doubles(dx)[i], 0) << "an ignored row";
      expect_like_f64({4, 11}, 8, [&](const Array& v) {
        const auto wide = kernel::cross_entropy(v, target, -1, smoothing);
        return std::vector<Array>{kernel::cross_entropy_backward(v, target, wide.lse, dloss, -1, smoothing)};
      });
    }
  });
}

TEST(CrossEntropy, RefusesTargetsOutsideTheClasses) {
  const Array x = random_array({2, 3}, DType::f32, 1);
  EXPECT_THROW(kernel::cross_entropy(x, Array::of<int64_t>({0, 3}), -100, 0), Error);
  EXPECT_THROW(kernel::cross_entropy(x, Array::of<int64_t>({0, -1}), -100, 0), Error);
  EXPECT_THROW(kernel::cross_entropy(x, Array::of<int64_t>({0}), -100, 0), Error);
}

TEST(Norms, EqualTheirDefinitions) {
  on_every_rung([] {
    for (DType type : float_types)
      for (int64_t d : widths) {
        const Array x = random_array({5, d}, type, 1), w = random_array({d}, type, 2),
                    b = random_array({d}, DType::f32, 3);
        const Vector wv = doubles(w), bv = doubles(b);
        const auto n = static_cast<size_t>(d);
        const Vector rms = by_rows(doubles(x), n, [&](const double* row, double* y) {
          double square = 0;
          for (size_t i = 0; i < n; i++) square += row[i] * row[i] / static_cast<double>(n);
          for (size_t i = 0; i < n; i++) y[i] = row[i] / std::sqrt(square + 1e-5) * wv[i];
        });
        expect_close(kernel::rms_norm(x, &w, 1e-5).y, rms, 4 * rounding(type), "rms_norm");
        const Vector layer = by_rows(doubles(x), n, [&](const double* row, double* y) {
          double mean = 0, square = 0;
          for (size_t i = 0; i < n; i++) mean += row[i] / static_cast<double>(n);
          for (size_t i = 0; i < n; i++) square += (row[i] - mean) * (row[i] - mean) / static_cast<double>(n);
          for (size_t i = 0; i < n; i++) y[i] = (row[i] - mean) / std::sqrt(square + 1e-5) * wv[i] + bv[i];
        });
        // With two values a small difference is divided by its own size: what the mean lost shows.
        expect_close(kernel::layer_norm(x, &w, &b, 1e-5).y, layer, (d <= 2 ? 100 : 4) * rounding(type),
                     "layer_norm", 1);
      }
  });
}

TEST(Norms, LayerNormSurvivesALargeMean) {
  on_every_rung([] {
    std::vector<float> v(300);
    for (size_t i = 0; i < 300; i++) v[i] = 10000 + static_cast<float>(i % 2);
    const auto r = kernel::layer_norm(Array::copy_of<float>(v, {1, 300}), nullptr, nullptr, 1e-5);
    expect_close(r.rstd, {1 / std::sqrt(0.25 + 1e-5)}, 1e-3);
  });
}

TEST(Norms, GradientsEqualDifferences) {
  on_every_rung([] {
    const int64_t rows = 70, d = 6;  // more rows than a chunk of column sums
    const Array x = random_array({rows, d}, DType::f64, 1), w = random_array({d}, DType::f64, 2);
    const Array b = random_array({d}, DType::f64, 3), dy = random_array({rows, d}, DType::f64, 4);
    const Vector c = doubles(dy);
    Array dx, dw, db;
    const auto rms = kernel::rms_norm(x, &w, 1e-5);
    kernel::rms_norm_backward(x, &w, rms.rstd, dy, &dx, &dw);
    expect_close(dx, differences(x, c, [&](const Array& v) { return kernel::rms_norm(v, &w, 1e-5).y; }),
                 1e-7);
    expect_close(dw, differences(w, c, [&](const Array& v) { return kernel::rms_norm(x, &v, 1e-5).y; }),
                 1e-7);
    const auto layer = kernel::layer_norm(x, &w, &b, 1e-5);
    kernel::layer_norm_backward(x, &w, layer.mean, layer.rstd, dy, &dx, &dw, &db);
    expect_close(dx, differences(x, c, [&](const Array& v) { return kernel::layer_norm(v, &w, &b, 1e-5).y; }),
                 1e-7);
    expect_close(dw, differences(w, c, [&](const Array& v) { return kernel::layer_norm(x, &v, &b, 1e-5).y; }),
                 1e-7);
    expect_close(db, differences(b, c, [&](const Array& v) { return kernel::layer_norm(x, &w, &v, 1e-5).y; }),
                 1e-7);

    const auto bare = kernel::layer_norm(x, nullptr, nullptr, 1e-5);
    kernel::layer_norm_backward(x, nullptr, bare.mean, bare.rstd, dy, &dx, nullptr, nullptr);
    expect_close(
        dx,
        differences(x, c, [&](const Array& v) { return kernel::layer_norm(v, nullptr, nullptr, 1e-5).y; }),
        1e-7);
  });
}

TEST(Norms, GradientsOfEveryTypeEqualThoseOfF64) {
  on_every_rung([] {
    const Array w = random_array({67}, DType::f32, 2);
    expect_like_f64({130, 67}, 16, [&](const Array& x) {
      const Array dy = kernel::cast(random_array({130, 67}, DType::bf16, 4), x.dtype());
      Array dx, dw, db;
      const auto rms = kernel::rms_norm(x, &w, 1e-6);
      kernel::rms_norm_backward(x, &w, rms.rstd, dy, &dx, &dw);
      std::vector<Array> all = {dx, dw};
      const auto layer = kernel::layer_norm(x, &w, nullptr, 1e-6);
      kernel::layer_norm_backward(x, &w, layer.mean, layer.rstd, dy, &dx, &dw, &db);
      all.insert(all.end(), {dx, dw, db});
      return all;
    });
  });
}

TEST(Rope, RotatesPairsAndCopiesTheRest) {
  on_every_rung([] {
    for (DType type : float_types)
      for (int64_t pairs : {1, 3, 16, 40})
        for (bool interleaved : {false, true}) {
          const int64_t d = 2 * pairs + 5, tokens = 3, first = 2;
          const Array angles = random_array({8, pairs}, DType::f32, 1);
          const Array cos = from_doubles(
              [&] {
                Vector v = doubles(angles);
                for (double& a : v) a = std::cos(a);
                return v;
              }(),
              {8, pairs}, DType::f32);
          const Array sin = from_doubles(
              [&] {
                Vector v = doubles(angles);
                for (double& a : v) a = std::sin(a);
                return v;
              }(),
              {8, pairs}, DType::f32);
          // Heads are apart by more than d, as a slice of a joint projection is.
          const Array x = random_array({2, tokens, 4, d + 3}, type, 2)
                              .view({2, tokens, 2, d}, {tokens * 4 * (d + 3), 4 * (d + 3), 2 * (d + 3), 1});
          const Vector v = doubles(x), c = doubles(cos), s = doubles(sin);
          Vector want = v;
          for (int64_t row = 0; row < 2 * tokens * 2; row++)
            for (int64_t i = 0; i < pairs; i++) {
              const int64_t a = row * d + (interleaved ? 2 * i : i),
                            b = row * d + (interleaved ? 2 * i + 1 : i + pairs);
              const auto at = static_cast<size_t>((first + row / 2 % tokens) * pairs + i);
              want[static_cast<size_t>(a)] =
                  v[static_cast<size_t>(a)] * c[at] - v[static_cast<size_t>(b)] * s[at];
              want[static_cast<size_t>(b)] =
                  v[static_cast<size_t>(a)] * s[at] + v[static_cast<size_t>(b)] * c[at];
            }
          const Array y = kernel::rope(x, cos, sin, interleaved, first, false);
          expect_close(y, want, 2 * rounding(type), "rope");
          expect_close(kernel::rope(y, cos, sin, interleaved, first, true), v, 4 * rounding(type) + 1e-6,
                       "inverse");
        }
  });
}

TEST(Rope, RefusesPositionsBeyondTheTable) {
  const Array table = random_array({4, 2}, DType::f32, 1), x = random_array({1, 3, 1, 4}, DType::f32, 1);
  EXPECT_THROW(kernel::rope(x, table, table, false, 2, false), Error);
  EXPECT_THROW(kernel::rope(x, table, table, false, -1, false), Error);
  EXPECT_THROW(kernel::rope(random_array({1, 1, 1, 3}, DType::f32, 1), table, table, false, 0, false), Error);
}

TEST(Embedding, PicksRowsOfEveryType) {
  on_every_rung([] {
    for (DType type : float_types) {
      const Array w = random_array({9, 21}, type, 1),
                  ids = Array::copy_of<int64_t>(std::vector<int64_t>{8, 0, 3, 3}, {2, 2});
      const Array y = kernel::embedding(w, ids);
      EXPECT_EQ(y.shape(), (Shape{2, 2, 21}));
      EXPECT_EQ(y.dtype(), type);
      const Vector table = doubles(w), got = doubles(y);
      for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 21; j++)
          EXPECT_EQ(got[i * 21 + j], table[static_cast<size_t>(ids.data<int64_t>()[i]) * 21 + j]);
    }
  });
  EXPECT_THROW(kernel::embedding(random_array({3, 2}, DType::f32, 1), Array::of<int64_t>({3})), Error);
  EXPECT_THROW(kernel::embedding(random_array({3, 2}, DType::f32, 1), Array::of<int64_t>({-1})), Error);
}

TEST(Embedding, PicksQuantizedRows) {
  on_every_rung([] {
    // q8_0: a half scale (0x3c00 = 1) and 32 signed bytes.
    std::vector<uint8_t> bytes;
    for (int row = 0; row < 3; row++) {
      bytes.push_back(0x00);
      bytes.push_back(0x3c);
      for (int i = 0; i < 32; i++) bytes.push_back(static_cast<uint8_t>(row * 32 + i));
    }
    const Array w = Array::borrow(bytes.data(), {3, 32}, DType::q8_0, nullptr);
    const Array y = kernel::embedding(w, Array::of<int64_t>({2, 0}));
    ASSERT_EQ(y.dtype(), DType::f32);
    for (int i = 0; i < 32; i++) {
      EXPECT_EQ(y.data<float>()[i], 64 + i);
      EXPECT_EQ(y.data<float>()[32 + i], i);
    }
    EXPECT_EQ(doubles(w)[40], 40) << "a cast dequantizes";
  });
}

TEST(Embedding, GradientAddsRowsInOrder) {
  on_every_rung([] {
    for (DType type : float_types) {
      const Array ids = Array::of<int64_t>({4, 1, 4, 4}), dy = random_array({4, 300}, type, 1);
      const Array dw = kernel::embedding_backward({6, 300}, ids, dy, type);
      EXPECT_EQ(dw.dtype(), type);
      const Vector d = doubles(dy);
      Vector want(1800);
      for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 300; j++)
          want[static_cast<size_t>(ids.data<int64_t>()[i]) * 300 + j] += d[i * 300 + j];
      expect_close(dw, want, 2 * rounding(type));
    }
  });
}

TEST(Gather, PicksAlongAnyAxisAndItsGradientAdds) {
  on_every_rung([] {
    for (int axis = 0; axis < 3; axis++) {
      const Shape shape{3, 4, 5};
      Shape picked{2, 3, 4};
      picked[axis] = 7;
      std::vector<int64_t> index(static_cast<size_t>(picked.count()));
      for (size_t i = 0; i < index.size(); i++)
        index[i] = static_cast<int64_t>(i * 7 % static_cast<size_t>(shape[axis]));
      const Array at = Array::copy_of<int64_t>(index, picked);
      const Array x = random_array(shape, DType::f64, 1), dy = random_array(picked, DType::f64, 2);
      const Array y = kernel::gather(x, axis, at);
      const Vector v = doubles(x), got = doubles(y), d = doubles(dy);
      Vector want(v.size());
      for (int64_t i = 0; i < picked.count(); i++) {
        int64_t place[3] = {i / (picked[1] * picked[2]), i / picked[2] % picked[1], i % picked[2]};
        place[axis] = index[static_cast<size_t>(i)];
        const auto from = static_cast<size_t>((place[0] * 4 + place[1]) * 5 + place[2]);
        EXPECT_EQ(got[static_cast<size_t>(i)], v[from]);
        want[from] += d[static_cast<size_t>(i)];
      }
      expect_close(kernel::gather_backward(shape, axis, at, dy), want, 1e-15);
      for (DType type : {DType::f32, DType::bf16, DType::f16, DType::i64, DType::u8})
        EXPECT_TRUE(same_bits(kernel::gather(kernel::cast(x, type), axis, at), kernel::cast(y, type)))
            << info(type).name;
    }
  });
  EXPECT_THROW(kernel::gather(random_array({3}, DType::f32, 1), 0, Array::of<int64_t>({3})), Error);
}

TEST(Rows, EmptyArraysGiveEmptyResults) {
  on_every_rung([] {
    const Array none = Array::empty({0, 8}), flat = Array::empty({4, 0}), w = Array::empty({8});
    EXPECT_EQ(kernel::softmax(none).shape(), none.shape());
    EXPECT_EQ(kernel::softmax(flat).shape(), flat.shape());
    EXPECT_EQ(kernel::rms_norm(none, &w, 1e-5).y.shape(), none.shape());
    Array dx, dw;
    kernel::rms_norm_backward(none, &w, Array::empty({0}), none, &dx, &dw);
    EXPECT_EQ(doubles(dw), Vector(8, 0.0));
    EXPECT_EQ(kernel::embedding(Array::empty({3, 8}), Array::empty({0}, DType::i64)).shape(), (Shape{0, 8}));
    EXPECT_EQ(kernel::cross_entropy(none, Array::empty({0}, DType::i64), -1, 0).loss.size(), 0);
  });
}

TEST(Rows, BitsDoNotDependOnThreads) {
  on_every_rung([] {
    for (DType type : float_types) {
      SCOPED_TRACE(info(type).name);
      const Array x = random_array({333, 129}, type, 1), dy = random_array({333, 129}, type, 2),
                  w = random_array({129}, type, 3);
      std::vector<int64_t> ids(333);
      for (size_t i = 0; i < ids.size(); i++) ids[i] = static_cast<int64_t>(i * i % 129);
      const Array id = Array::copy_of<int64_t>(ids, {333});
      expect_equal_on_threads([&] {
        Array dx, dw, ex, ew, eb;
        const auto rms = kernel::rms_norm(x, &w, 1e-5);
        kernel::rms_norm_backward(x, &w, rms.rstd, dy, &dx, &dw);
        const auto layer = kernel::layer_norm(x, &w, nullptr, 1e-5);
        kernel::layer_norm_backward(x, &w, layer.mean, layer.rstd, dy, &ex, &ew, &eb);
        const auto loss = kernel::cross_entropy(x, id, -1, 0.1);
        return std::vector<Array>{kernel::softmax(x),
                                  kernel::log_softmax(x),
                                  rms.y,
                                  dx,
                                  dw,
                                  layer.y,
                                  ex,
                                  ew,
                                  eb,
                                  loss.loss,
                                  kernel::embedding_backward({129, 129}, id, dy, type)};
      });
    }
  });
}

TEST(Rows, ARowDoesNotDependOnItsNeighbours) {
  on_every_rung([] {
    const Array x = random_array({9, 75}, DType::bf16, 1),
                row = kernel::contiguous(x.view({1, 75}, {75, 1}, 4 * 75));
    const auto alone = [](const Array& y) { return kernel::contiguous(y.view({1, 75}, {75, 1}, 4 * 75)); };
    EXPECT_TRUE(same_bits(alone(kernel::softmax(x)), kernel::softmax(row)));
    EXPECT_TRUE(
        same_bits(alone(kernel::rms_norm(x, nullptr, 1e-5).y), kernel::rms_norm(row, nullptr, 1e-5).y));
  });
}

}  // namespace
}  // namespace intarsia::test
