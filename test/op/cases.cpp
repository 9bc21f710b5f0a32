// The cases of the walk: for each operation its inputs and its definition in f64, written out as loops. Here
// products, rows, tokens and shapes.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "op/definitions.h"

namespace intarsia::walk::cases {

namespace {
// c[m, n] += a[m, k] b[k, n] at offsets, in f64.
void multiply(const double* a, const double* b, double* c, int64_t m, int64_t k, int64_t n) {
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < n; j++)
      for (int64_t t = 0; t < k; t++) c[i * n + j] += a[i * k + t] * b[t * n + j];
}
}  // namespace

void matmul(Walk& w) {
  struct Sizes {
    int64_t m, k, n;
  };
  for (auto [m, k, n] : {Sizes{1, 1, 1}, Sizes{3, 5, 7}, Sizes{13, 33, 35}, Sizes{2, 64, 1}}) {
    w.check({"matmul " + std::to_string(m),
             {w.normal({m, k}), w.normal({k, n})},
             {true, true},
             [](In x) { return intarsia::matmul(x[0], x[1]); },
             [=](Defs x) {
               Values y(size(m * n));
               multiply(x[0].data(), x[1].data(), y.data(), m, k, n);
               return y;
             }});
  }
  w.check({"matmul with broadcast batches",
           {w.normal({2, 1, 3, 5}), w.normal({4, 5, 6})},
           {true, true},
           [](In x) { return intarsia::matmul(x[0], x[1]); },
           [](Defs x) {
             Values y(2 * 4 * 18);
             for (int a = 0; a < 2; a++)
               for (int b = 0; b < 4; b++)
                 multiply(&x[0][size(a * 15)], &x[1][size(b * 30)], &y[size((a * 4 + b) * 18)], 3, 5, 6);
             return y;
           }});
  w.check({"matmul of transposed views",
           {w.normal({5, 3}), w.normal({6, 5})},
           {true, true},
           [](In x) { return intarsia::matmul(transpose(x[0]), transpose(x[1])); },
           [](Defs x) {
             Values y(18);
             for (int i = 0; i < 3; i++)
               for (int j = 0; j < 6; j++)
                 for (int t = 0; t < 5; t++)
                   y[size(i * 6 + j)] += x[0][size(t * 3 + i)] * x[1][size(j * 5 + t)];
             return y;
           }});
}

void linear(Walk& w) {
  const auto gelu = [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); };
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  for (Activation a :
       {Activation::none, Activation::relu, Activation::silu, Activation::gelu, Activation::gelu_tanh})
    w.check({"linear with activation " + std::to_string(static_cast<int>(a)),
             {w.normal({2, 3, 9}), w.normal({17, 9}), w.normal({17})},
             {true, true, true},
             [a](In x) { return intarsia::linear(x[0], x[1], x[2], a); },
             [=](Defs x) {
               Values y(6 * 17);
               for (int i = 0; i < 6; i++)
                 for (int j = 0; j < 17; j++) {
                   double s = x[2][size(j)];
                   for (int t = 0; t < 9; t++) s += x[0][size(i * 9 + t)] * x[1][size(j * 9 + t)];
                   switch (a) {
                     case Activation::none:
                       break;
                     case Activation::relu:
                       s = std::max(s, 0.0);
                       break;
                     case Activation::silu:
                       s = s * sigmoid(s);
                       break;
                     case Activation::gelu:
                       s = gelu(s);
                       break;
                     case Activation::gelu_tanh:
                       s = 0.5 * s * (1 + std::tanh(std::sqrt(2 / M_PI) * (s + 0.044715 * s * s * s)));
                       break;
                   }
                   y[size(i * 17 + j)] = s;
                 }
               return y;
             },
             2});
}

void linear_add(Walk& w) {
  w.check({"linear_add",
           {w.normal({2, 3, 17}), w.normal({2, 3, 9}), w.normal({17, 9}), w.normal({17})},
           {true, true, true, true},
           [](In x) { return intarsia::linear_add(x[0], x[1], x[2], x[3]); },
           [](Defs x) {
             Values y = x[0];
             for (int i = 0; i < 6; i++)
               for (int j = 0; j < 17; j++) {
                 y[size(i * 17 + j)] += x[3][size(j)];
                 for (int t = 0; t < 9; t++)
                   y[size(i * 17 + j)] += x[1][size(i * 9 + t)] * x[2][size(j * 9 + t)];
               }
             return y;
           },
           2});
}

void gated_linear(Walk& w) {
  const auto gelu = [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); };
  for (Activation a : {Activation::silu, Activation::gelu})
    w.check({"gated_linear " + std::to_string(static_cast<int>(a)),
             {w.normal({2, 3, 17}), w.normal({2, 3, 9}), w.normal({17, 9}), w.normal({17})},
             {true, true, true, true},
             [a](In x) { return intarsia::gated_linear(x[0], x[1], x[2], x[3], a); },
             [=](Defs x) {
               Values y(6 * 17);
               for (int i = 0; i < 6; i++)
                 for (int j = 0; j < 17; j++) {
                   double up = x[3][size(j)];
                   for (int t = 0; t < 9; t++) up += x[1][size(i * 9 + t)] * x[2][size(j * 9 + t)];
                   const double gate = x[0][size(i * 17 + j)];
                   y[size(i * 17 + j)] =
                       up * (a == Activation::silu ? gate / (1 + std::exp(-gate)) : gelu(gate));
                 }
               return y;
             },
             4});
}

void grouped_matmul(Walk& w) {
  for (const bool transposed : {false, true})
    w.check({transposed ? "grouped_matmul, transposed weights" : "grouped_matmul",
             {w.normal({9, 5}), transposed ? w.normal({4, 7, 5}) : w.normal({4, 5, 7})},
             {true, true},
             [=](In x) {
               const int64_t sizes[] = {3, 0, 5, 1};
               return intarsia::grouped_matmul(x[0], sizes, transposed ? transpose(x[1]) : x[1]);
             },
             [=](Defs x) {
               Values y(9 * 7);
               for (int i = 0; i < 9; i++) {
                 const int group = i < 3 ? 0 : i < 8 ? 2 : 3;
                 for (int j = 0; j < 7; j++)
                   for (int t = 0; t < 5; t++)
                     y[size(i * 7 + j)] += x[0][size(i * 5 + t)] *
                                           x[1][size(group * 35 + (transposed ? j * 5 + t : t * 7 + j))];
               }
               return y;
             }});
}

void quantize_rows(Walk& w) {
  // Values times scales; the inputs are whole units of their row's scale, which every float type holds.
  Array x = w.integers({4, 9}, 11);
  x = intarsia::cast(Tensor(x), DType::f64).array();
  for (int i = 0; i < 4; i++) x.mutable_data<double>()[i * 9] = i == 2 ? -127 : 127;
  w.check({"quantize_rows",
           {x},
           {false},
           [](In in) {
             const QuantizedRows q = intarsia::quantize_rows(in[0]);
             return intarsia::cast(q.values, DType::f32) * reshape(q.scales, {4, 1});
           },
           [](Defs in) { return in[0]; },
           1,
           true});
}

void matmul_int8(Walk& w) {
  // Scales that are powers of two: the result is exact in f32.
  const auto powers = [&](const Shape& shape) {
    Array x = intarsia::cast(Tensor(w.integers(shape, 5)), DType::f64).array();
    for (int64_t i = 0; i < x.size(); i++) x.mutable_data<double>()[i] = std::exp2(x.data<double>()[i] - 2);
    return x;
  };
  const Array scales = powers({5}), columns = powers({6});
  for (const bool scaled : {false, true})
    w.check({scaled ? "matmul_int8 with scales" : "matmul_int8",
             {w.integers({5, 7}, 100), w.integers({7, 6}, 100), scales, columns},
             {false, false, false, false},
             [=](In x) {
               const Tensor a = intarsia::cast(x[0], DType::i8), b = intarsia::cast(x[1], DType::i8);
               return scaled ? intarsia::matmul_int8(a, x[2], b, x[3]) : intarsia::matmul_int8(a, b);
             },
             [=](Defs x) {
               Values y(30);
               for (int i = 0; i < 5; i++)
                 for (int j = 0; j < 6; j++) {
                   double& sum = y[size(i * 6 + j)];
                   for (int t = 0; t < 7; t++) sum += x[0][size(i * 7 + t)] * x[1][size(t * 6 + j)];
                   if (scaled) sum *= x[2][size(i)] * x[3][size(j)];
                 }
               return y;
             }});
}

void softmax(Walk& w) {
  for (int64_t width : {1, 7, 33})
    w.check({"softmax of " + std::to_string(width),
             {w.normal({3, 2, width})},
             {true},
             [](In x) { return intarsia::softmax(x[0]); },
             [=](Defs x) { return softmax_rows(x[0], size(width), false); }});
}

void log_softmax(Walk& w) {
  for (int64_t width : {7, 33})
    w.check({"log_softmax of " + std::to_string(width),
             {w.normal({3, 2, width})},
             {true},
             [](In x) { return intarsia::log_softmax(x[0]); },
             [=](Defs x) { return softmax_rows(x[0], size(width), true); }});
}

void rms_norm(Walk& w) {
  for (int64_t d : {5, 33})
    w.check({"rms_norm",
             {w.normal({3, 4, d}), w.normal({d})},
             {true, true},
             [](In x) { return intarsia::rms_norm(x[0], x[1], 1e-3); },
             [=](Defs x) {
               Values y(x[0].size());
               for (size_t r = 0; r < y.size(); r += size(d)) {
                 double s = 0;
                 for (int64_t i = 0; i < d; i++) s += x[0][r + size(i)] * x[0][r + size(i)];
                 for (int64_t i = 0; i < d; i++)
                   y[r + size(i)] =
                       x[0][r + size(i)] / std::sqrt(s / static_cast<double>(d) + 1e-3) * x[1][size(i)];
               }
               return y;
             },
             2});
}

void layer_norm(Walk& w) {
  for (int64_t d : {5, 33})
    w.check({"layer_norm",
             {w.normal({3, 4, d}), w.normal({d}), w.normal({d})},
             {true, true, true},
             [](In x) { return intarsia::layer_norm(x[0], x[1], x[2], 1e-3); },
             [=](Defs x) {
               Values y(x[0].size());
               const auto n = static_cast<double>(d);
               for (size_t r = 0; r < y.size(); r += size(d)) {
                 const double mean = std::accumulate(&x[0][r], &x[0][r] + d, 0.0) / n;
                 double var = 0;
                 for (int64_t i = 0; i < d; i++) var += std::pow(x[0][r + size(i)] - mean, 2) / n;
                 for (int64_t i = 0; i < d; i++)
                   y[r + size(i)] =
                       (x[0][r + size(i)] - mean) / std::sqrt(var + 1e-3) * x[1][size(i)] + x[2][size(i)];
               }
               return y;
             },
             3});
}

void embedding(Walk& w) {
  w.check({"embedding",
           {w.normal({11, 7}), w.integers({3, 5}, 11)},
           {true, false},
           [](In x) { return intarsia::embedding(x[0], x[1]); },
           [](Defs x) {
             Values y;
             for (double id : x[1])
               y.insert(y.end(), &x[0][size(static_cast<int64_t>(id) * 7)],
                        &x[0][size(static_cast<int64_t>(id) * 7)] + 7);
             return y;
           }});
}

void rope(Walk& w) {
  const int64_t T = 4, H = 3, d = 10, first = 2;
  for (bool interleaved : {false, true})
    for (int64_t pairs : {3, 5}) {
      std::vector<double> frequencies;
      for (int64_t i = 0; i < pairs; i++) frequencies.push_back(std::pow(0.3, static_cast<double>(i)));
      const RopeTable table = rope_table(frequencies, 8, interleaved);
      w.check({"rope",
               {w.normal({2, T, H, d})},
               {true},
               [=](In x) { return intarsia::rope(x[0], table, first); },
               [=](Defs x) {
                 Values y = x[0];
                 for (int64_t row = 0; row < 2 * T * H; row++)
                   for (int64_t i = 0; i < pairs; i++) {
                     const int64_t position = first + row / H % T;
                     // The table is f32: its rounding is part of the definition.
                     const double c = table.cos.data<float>()[position * pairs + i],
                                  s = table.sin.data<float>()[position * pairs + i];
                     const size_t p = size(row * d + (interleaved ? 2 * i : i)),
                                  q = size(row * d + (interleaved ? 2 * i + 1 : i + pairs));
                     y[p] = x[0][p] * c - x[0][q] * s;
                     y[q] = x[0][q] * c + x[0][p] * s;
                   }
                 return y;
               }});
    }
}

void reshape(Walk& w) {
  w.check({"reshape",
           {w.normal({2, 3, 4})},
           {true},
           [](In x) {
             return intarsia::reshape(x[0], {4, -1});
           },
           [](Defs x) { return x[0]; }});
}

void permute(Walk& w) {
  w.check({"permute",
           {w.normal({2, 3, 4})},
           {true},
           [](In x) {
             return intarsia::permute(x[0], {2, 0, 1});
           },
           [](Defs x) {
             Values y(24);
             for (int a = 0; a < 2; a++)
               for (int b = 0; b < 3; b++)
                 for (int c = 0; c < 4; c++) y[size((c * 2 + a) * 3 + b)] = x[0][size((a * 3 + b) * 4 + c)];
             return y;
           }});
}

void slice(Walk& w) {
  w.check({"slice",
           {w.normal({3, 7, 2})},
           {true},
           [](In x) { return intarsia::slice(x[0], 1, 1, 6, 2); },
           [](Defs x) {
             Values y;
             for (int a = 0; a < 3; a++)
               for (int b : {1, 3, 5})
                 for (int c = 0; c < 2; c++) y.push_back(x[0][size((a * 7 + b) * 2 + c)]);
             return y;
           }});
}

void concat(Walk& w) {
  w.check({"concat",
           {w.normal({2, 3}), w.normal({2, 1}), w.normal({2, 4})},
           {true, true, true},
           [](In x) { return intarsia::concat(x, 1); },
           [](Defs x) {
             Values y;
             for (size_t r = 0; r < 2; r++)
               for (size_t part : {size_t{0}, size_t{1}, size_t{2}}) {
                 const size_t n = x[part].size() / 2;
                 y.insert(y.end(), &x[part][r * n], &x[part][r * n] + n);
               }
             return y;
           }});
}

void broadcast_to(Walk& w) {
  w.check({"broadcast_to",
           {w.normal({3, 1})},
           {true},
           [](In x) {
             return intarsia::broadcast_to(x[0], {2, 3, 4});
           },
           [](Defs x) {
             Values y;
             for (int a = 0; a < 2; a++)
               for (size_t b = 0; b < 3; b++) y.insert(y.end(), 4, x[0][b]);
             return y;
           }});
}

void gather(Walk& w) {
  w.check({"gather",
           {w.normal({3, 5}), w.integers({3, 4}, 5)},
           {true, false},
           [](In x) { return intarsia::gather(x[0], 1, x[1]); },
           [](Defs x) {
             Values y;
             for (size_t r = 0; r < 3; r++)
               for (size_t i = 0; i < 4; i++) y.push_back(x[0][r * 5 + static_cast<size_t>(x[1][r * 4 + i])]);
             return y;
           }});
}

void cast(Walk& w) {
  w.check({"cast to f64",
           {w.normal({3, 5})},
           {true},
           [](In x) { return intarsia::cast(x[0], DType::f64); },
           [](Defs x) { return x[0]; }});
}

void dropout(Walk& w) {
  // The mask is known from a first run on ones: dropout is then a product with it.
  const Array ones = [] {
    Array a = Array::empty({5, 9}, DType::f64);
    for (int64_t i = 0; i < a.size(); i++) a.mutable_data<double>()[i] = 1;
    return a;
  }();
  const Array mask = intarsia::dropout(Tensor(ones), 0.3, Random(5, 6, 7)).array();
  w.check({"dropout",
           {w.normal({5, 9})},
           {true},
           [](In x) { return intarsia::dropout(x[0], 0.3, Random(5, 6, 7)); },
           [=](Defs x) {
             Values y = x[0];
             for (size_t i = 0; i < y.size(); i++) y[i] *= mask.data<double>()[i];
             return y;
           }});
}

}  // namespace intarsia::walk::cases
