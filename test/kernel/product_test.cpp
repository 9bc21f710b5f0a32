// Matrix products of every rung against f64, and the promise that a row's bits never depend on its
// neighbours.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/fail.h"
#include "intarsia/array.h"
#include "kernel/kernels.h"
#include "kernel/table.h"

namespace intarsia {
namespace {

uint16_t to_bf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  if (std::isnan(x)) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
float from_bf16(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}
// By definition of the format: 1 sign, 5 exponent, 10 mantissa bits.
float from_f16(uint16_t half) {
  const int exponent = half >> 10 & 31, mantissa = half & 1023;
  const float sign = half >> 15 ? -1.0f : 1.0f;
  if (exponent == 31) return mantissa ? std::numeric_limits<float>::quiet_NaN() : sign * INFINITY;
  return sign * (exponent ? std::ldexp(1024.0f + static_cast<float>(mantissa), exponent - 25)
                          : std::ldexp(static_cast<float>(mantissa), -24));
}
// The nearest of all halves; ties to the even one.
uint16_t to_f16(float x) {
  if (std::isnan(x)) return 0x7e00;
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  const float magnitude = std::fabs(x);
  if (magnitude >= 65520.0f) return static_cast<uint16_t>(sign | 0x7c00);
  int low = 0, high = 0x7bff;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (from_f16(static_cast<uint16_t>(middle)) <= magnitude)
      low = middle;
    else
      high = middle - 1;
  }
  const float below = magnitude - from_f16(static_cast<uint16_t>(low));
  const float above = (low == 0x7bff ? 65536.0f : from_f16(static_cast<uint16_t>(low + 1))) - magnitude;
  if (above < below || (above == below && low % 2)) low++;
  return static_cast<uint16_t>(sign | low);
}

double read(const void* p, DType type, int64_t i) {
  switch (type) {
    case DType::f32:
      return static_cast<const float*>(p)[i];
    case DType::f64:
      return static_cast<const double*>(p)[i];
    case DType::bf16:
      return from_bf16(static_cast<const uint16_t*>(p)[i]);
    default:
      return from_f16(static_cast<const uint16_t*>(p)[i]);
  }
}
void write(void* p, DType type, int64_t i, double x) {
  switch (type) {
    case DType::f32:
      static_cast<float*>(p)[i] = static_cast<float>(x);
      break;
    case DType::f64:
      static_cast<double*>(p)[i] = x;
      break;
    case DType::bf16:
      static_cast<uint16_t*>(p)[i] = to_bf16(static_cast<float>(x));
      break;
    default:
      static_cast<uint16_t*>(p)[i] = to_f16(static_cast<float>(x));
  }
}

// Uniform in (-2, 2).
Array random_array(const Shape& shape, DType type, unsigned seed) {
  Array x = Array::empty(shape, type);
  std::mt19937 engine(seed);
  void* p = x.raw_mutable();
  for (int64_t i = 0; i < x.size(); i++) {
    if (type == DType::f16) {  // random bits, since to_f16 searches
      static_cast<uint16_t*>(p)[i] = static_cast<uint16_t>((engine() & 0x83ff) | (11 + engine() % 5) << 10);
    } else {
      write(p, type, i, (engine() - 2147483647.5) * 0x1p-30);
    }
  }
  return x;
}
Array transposed(const Array& x) {
  Shape shape = x.shape(), strides = x.strides();
  std::swap(shape[-1], shape[-2]);
  std::swap(strides[-1], strides[-2]);
  return x.view(shape, strides);
}
// Element (i, j) of the matrix at offset `start` of x.
double element(const Array& x, int64_t start, int64_t i, int64_t j) {
  return read(x.raw(), x.dtype(), start + i * x.strides()[-2] + j * x.strides()[-1]);
}

struct Form {
  bool a_transposed, b_transposed;
};
constexpr Form forms[] = {{false, false}, {false, true}, {true, false}, {true, true}};

// Random a [m, k] and b [k, n], stored as the form says.
struct Operands {
  Array a, b;
};
Operands operands(int64_t m, int64_t k, int64_t n, Form form, DType a_type, DType b_type) {
  Operands o;
  o.a = form.a_transposed ? transposed(random_array({k, m}, a_type, 1)) : random_array({m, k}, a_type, 1);
  o.b = form.b_transposed ? transposed(random_array({n, k}, b_type, 2)) : random_array({k, n}, b_type, 2);
  return o;
}

double rounding_of(DType type) {
  switch (type) {
    case DType::bf16:
      return 0x1p-8;
    case DType::f16:
      return 0x1p-11;
    case DType::f64:
      return 0x1p-52;
    default:
      return 0x1p-24;
  }
}

// Expects c = a b within the rounding of f32 (f64) sums and of c's type, in every `step`th row.
void expect_product(const Array& a, const Array& b, const Array& c, const std::string& what,
                    int64_t step = 1) {
  const bool f64 = a.dtype() == DType::f64 || b.dtype() == DType::f64;
  const int64_t k = a.dim(-1), n = c.dim(-1);
  std::vector<double> left(static_cast<size_t>(k)), right(static_cast<size_t>(n * k));
  for (int64_t j = 0; j < n; j++) {
    for (int64_t l = 0; l < k; l++) right[static_cast<size_t>(j * k + l)] = element(b, 0, l, j);
  }
  int64_t wrong = 0;
  for (int64_t i = 0; i < c.dim(-2); i += step) {
    for (int64_t l = 0; l < k; l++) left[static_cast<size_t>(l)] = element(a, 0, i, l);
    for (int64_t j = 0; j < n; j++) {
      double sum = 0, size = 0;
      for (int64_t l = 0; l < k; l++) {
        const double x = left[static_cast<size_t>(l)] * right[static_cast<size_t>(j * k + l)];
        sum += x;
        size += std::fabs(x);
      }
      const double unit = f64 ? 0x1p-52 : 0x1p-23;
      const double tolerance = size * unit * (8 + std::sqrt(static_cast<double>(k))) +
                               std::fabs(sum) * rounding_of(c.dtype()) +
                               (c.dtype() == DType::f16 ? 0x1p-24 : 0);
      if (!(std::fabs(element(c, 0, i, j) - sum) <= tolerance) && wrong++ == 0) {
        ADD_FAILURE() << what << ": element " << i << ", " << j << " is " << element(c, 0, i, j)
                      << ", expected " << sum << " +- " << tolerance;
      }
    }
  }
  EXPECT_EQ(wrong, 0) << what;
}

bool same_bytes(const void* a, const void* b, size_t count) { return std::memcmp(a, b, count) == 0; }

// Each test runs on every rung that this cpu has, and leaves the best one and all threads.
class ProductTest : public testing::Test {
 protected:
  void TearDown() override {
    kernel::use_rung(kernel::rungs().back()->name);
    set_thread_count(threads_);
  }
  template <class F>
  void on_every_rung(F f) {
    for (const kernel::Kernels* rung : kernel::rungs()) {
      SCOPED_TRACE(rung->name);
      kernel::use_rung(rung->name);
      f(std::string(rung->name));
    }
  }

 private:
  int threads_ = thread_count();
};

TEST_F(ProductTest, AllFormsAndOddSizesMatchF64) {
  const int64_t sizes[][3] = {{1, 1, 1},    {1, 7, 33},    {3, 64, 100},   {5, 33, 31},
                              {8, 129, 65}, {13, 300, 40}, {25, 17, 16},   {37, 96, 70},
                              {100, 50, 3}, {97, 515, 2},  {200, 31, 100}, {211, 45, 37}};
  on_every_rung([&](const std::string& rung) {
    for (const auto& s : sizes) {
      for (const Form form : forms) {
        for (const DType type : {DType::f32, DType::bf16, DType::f16, DType::f64}) {
          const auto [a, b] = operands(s[0], s[1], s[2], form, type, type);
          Array c = Array::empty({s[0], s[2]}, type);
          kernel::matmul(a, b, c);
          expect_product(a, b, c,
                         rung + " " + info(type).name + " " + Shape{s[0], s[1], s[2]}.text() +
                             (form.a_transposed ? " T" : " N") + (form.b_transposed ? "T" : "N"));
        }
      }
    }
  });
}

TEST_F(ProductTest, TypesMayBeMixed) {
  const DType types[] = {DType::f32, DType::bf16, DType::f16, DType::f64};
  on_every_rung([&](const std::string& rung) {
    for (const DType a_type : types) {
      for (const DType b_type : types) {
        for (const DType c_type : types) {
          for (const Form form : forms) {
            const auto [a, b] = operands(29, 51, 45, form, a_type, b_type);
            Array c = Array::empty({29, 45}, c_type);
            kernel::matmul(a, b, c);
            expect_product(
                a, b, c,
                rung + " " + info(a_type).name + " " + info(b_type).name + " to " + info(c_type).name);
          }
        }
      }
    }
  });
}

TEST_F(ProductTest, LongSumsAreCutWithoutError) {
  on_every_rung([&](const std::string& rung) {
    for (const DType type : {DType::f32, DType::bf16}) {
      for (const DType c_type : {DType::f32, DType::bf16}) {
        for (const Form form : forms) {
          const auto [a, b] = operands(205, 9001, 19, form, type, type);
          Array c = Array::empty({205, 19}, c_type);
          kernel::matmul(a, b, c);
          expect_product(a, b, c, rung + " " + info(type).name, 17);
        }
      }
    }
  });
}

TEST_F(ProductTest, RowsHaveTheSameBitsAloneAndAmongOthers) {
  on_every_rung([&](const std::string& rung) {
    for (const DType type : {DType::f32, DType::bf16, DType::f16, DType::f64}) {
      for (const DType c_type : {DType::f32, DType::bf16}) {
        for (const bool b_transposed : {false, true}) {
          for (const int64_t k : {int64_t{131}, int64_t{2500}}) {
            const int64_t m = 210, n = 75;
            const auto [a, b] = operands(m, k, n, {false, b_transposed}, type, type);
            Array whole = Array::empty({m, n}, c_type);
            kernel::matmul(a, b, whole);
            const size_t row_bytes = static_cast<size_t>(n) * static_cast<size_t>(info(c_type).bytes);
            for (const int64_t rows : {1, 2, 5, 6, 7, 12, 13, 100}) {
              for (const int64_t first : {int64_t{0}, int64_t{5}, m - rows}) {
                Array part = Array::empty({rows, n}, c_type);
                kernel::matmul(a.view({rows, k}, a.strides(), first * k), b, part);
                EXPECT_TRUE(same_bytes(part.raw(), static_cast<const char*>(whole.raw()) + first * row_bytes,
                                       static_cast<size_t>(rows) * row_bytes))
                    << rung << " " << info(type).name << " to " << info(c_type).name << ", " << rows
                    << " rows from " << first << ", k " << k;
              }
            }
          }
        }
      }
    }
  });
}

TEST_F(ProductTest, FormsAndThreadCountsAgreeInBits) {
  on_every_rung([&](const std::string& rung) {
    for (const DType type : {DType::f32, DType::bf16, DType::f16, DType::f64}) {
      // 96 columns are whole tiles, and so few that b is read where it lies.
      for (const auto& [m, n] : {std::pair<int64_t, int64_t>{9, 133}, {250, 133}, {250, 96}}) {
        const int64_t k = 1201;
        const Array a = random_array({m, k}, type, 3), b = random_array({k, n}, type, 4);
        Array first;
        for (const int threads : {1, 2, 3}) {
          set_thread_count(threads);
          for (const Form form : forms) {
            const Array left = form.a_transposed ? transposed(kernel::contiguous(transposed(a))) : a;
            const Array right = form.b_transposed ? transposed(kernel::contiguous(transposed(b))) : b;
            Array c = Array::empty({m, n}, DType::f32);
            kernel::matmul(left, right, c);
            if (!first) first = c;
            EXPECT_TRUE(same_bytes(first.raw(), c.raw(), c.bytes()))
                << rung << " " << info(type).name << ", " << threads << " threads, " << form.a_transposed
                << form.b_transposed;
          }
        }
      }
    }
  });
}

void halve_and_shift(float* row, int64_t count) {
  for (int64_t i = 0; i < count; i++) row[i] = 0.5f * row[i] + 1.0f;
}

TEST_F(ProductTest, AMatrixPackedOnceGivesTheSameBits) {
  on_every_rung([&](const std::string& rung) {
    for (const DType type : {DType::f32, DType::bf16}) {
      for (const auto& [k, n] :
           {std::pair<int64_t, int64_t>{131, 75}, {2048, 40}, {1500, 64}, {5000, 130}, {1, 1}}) {
        for (const bool b_transposed : {false, true}) {
          const auto [a, b] = operands(260, k, n, {false, b_transposed}, type, type);
          const Array bias = random_array({n}, DType::f32, 16);
          const kernel::PackedMatrix packed = kernel::pack(b, type);
          Array back = kernel::contiguous(kernel::unpack(packed)), plain_b = kernel::contiguous(b);
          EXPECT_TRUE(same_bytes(back.raw(), plain_b.raw(), back.bytes()));
          for (const DType c_type : {DType::f32, DType::bf16}) {
            for (const int64_t m : {1, 2, 3, 4, 5, 7, 12, 29, 191, 193, 260}) {
              for (const int threads : {1, 2}) {
                set_thread_count(threads);
                const Array rows = a.view({m, k}, a.strides());
                Array plain = random_array({m, n}, c_type, 17), c = random_array({m, n}, c_type, 17);
                const bool accumulate = m % 2;
                const kernel::Epilogue epilogue{bias.data<float>(), m % 3 ? nullptr : halve_and_shift};
                kernel::matmul(rows, b, plain, accumulate, epilogue);
                kernel::matmul(rows, packed, c, accumulate, epilogue);
                EXPECT_TRUE(same_bytes(plain.raw(), c.raw(), c.bytes()))
                    << rung << " " << info(type).name << " to " << info(c_type).name << " " << m << " x " << k
                    << " x " << n << ", " << threads << " threads";
              }
            }
          }
        }
      }
    }
    // f32 sums of a's other types, and a in columns.
    const auto [a, b] = operands(30, 51, 45, {true, false}, DType::bf16, DType::f32);
    Array plain = Array::empty({30, 45}, DType::f32), c = Array::empty({30, 45}, DType::f32);
    kernel::matmul(a, b, plain);
    kernel::matmul(a, kernel::pack(b, DType::f32), c);
    EXPECT_TRUE(same_bytes(plain.raw(), c.raw(), c.bytes())) << rung;
  });
}

TEST_F(ProductTest, AMatrixPackedForAnotherRungIsRefused) {
  if (kernel::rungs().size() < 2) GTEST_SKIP() << "this cpu has one rung";
  const Array b = random_array({8, 8}, DType::f32, 1);
  kernel::use_rung("base");
  const kernel::PackedMatrix packed = kernel::pack(b, DType::f32);
  kernel::use_rung(kernel::rungs().back()->name);
  Array c = Array::empty({8, 8}, DType::f32);
  EXPECT_THROW(kernel::matmul(b, packed, c), Error);
}

TEST_F(ProductTest, BatchesBroadcastAndFold) {
  on_every_rung([&](const std::string& rung) {
    const int64_t batch = 3, heads = 2, m = 17, k = 24, n = 40;
    for (const DType type : {DType::f32, DType::bf16}) {
      const Array a = random_array({batch, heads, m, k}, type, 5),
                  b = random_array({batch, heads, k, n}, type, 6);
      const Array shared = random_array({k, n}, type, 7), per_head = random_array({heads, k, n}, type, 8);
      // [batch, m, heads, k] seen as [batch, heads, m, k], as attention's heads are.
      const Array stored = random_array({batch, m, heads, k}, type, 9);
      const Array permuted = stored.view({batch, heads, m, k}, {m * heads * k, k, heads * k, 1});
      const Array broadcast_b = per_head.view({batch, heads, k, n}, {0, k * n, n, 1});
      const Array one_a = random_array({m, k}, type, 10);
      const std::pair<Array, Array> cases[] = {
          {a, b},
          {a, shared},
          {a, per_head},
          {permuted, b},
          {permuted, shared},
          {a, broadcast_b},
          {one_a, broadcast_b},
          {one_a, b},
          {a, transposed(random_array({batch, heads, n, k}, type, 11))},
          {transposed(random_array({batch, heads, k, m}, type, 12)), shared},
          {random_array({1, 1, m, k}, type, 21), shared},
          {random_array({batch, 1, m, k}, type, 22), shared},
          {random_array({batch, 1, m, k}, type, 23), per_head},
          {random_array({1, heads, m, k}, type, 24), b}};
      int index = 0;
      for (const auto& [left, right] : cases) {
        Array c = Array::empty({batch, heads, m, n}, type);
        kernel::matmul(left, right, c);
        auto matrix = [](const Array& x, int64_t i, int64_t j) {
          int64_t at = 0;
          if (x.rank() == 4 && x.dim(0) > 1) at += i * x.strides()[0];
          if (x.rank() >= 3 && x.dim(-3) > 1) at += j * x.strides()[-3];
          return x.view({x.dim(-2), x.dim(-1)}, {x.strides()[-2], x.strides()[-1]}, at);
        };
        for (int64_t i = 0; i < batch; i++) {
          for (int64_t j = 0; j < heads; j++) {
            expect_product(matrix(left, i, j), matrix(right, i, j), matrix(c, i, j),
                           rung + " case " + std::to_string(index));
          }
        }
        index++;
      }
    }
  });
}

TEST_F(ProductTest, OddStridesAreMadeContiguous) {
  on_every_rung([&](const std::string& rung) {
    for (const DType type : {DType::f32, DType::bf16}) {
      const Array wide_a = random_array({20, 60}, type, 13), wide_b = random_array({30, 90}, type, 14);
      const Array a = wide_a.view({20, 30}, {60, 2}), b = wide_b.view({30, 30}, {90, 3});
      const Array odd = wide_a.view({19, 33}, {61, 1}), repeated = wide_a.view({6, 30}, {0, 1});
      Array c = Array::empty({20, 30}, DType::f32);
      kernel::matmul(a, b, c);
      expect_product(a, b, c, rung + " strides of 2 and 3");
      const Array b33 = random_array({33, 50}, type, 15);
      Array c2 = Array::empty({19, 50}, DType::f32);
      kernel::matmul(odd, b33, c2);
      expect_product(odd, b33, c2, rung + " rows 61 apart");
      Array c3 = Array::empty({6, 30}, DType::f32);
      kernel::matmul(repeated, b, c3);
      expect_product(repeated, b, c3, rung + " one row repeated");
    }
  });
}

TEST_F(ProductTest, EpilogueAddsThenActivatesThenRounds) {
  on_every_rung([&](const std::string& rung) {
    for (const DType type : {DType::f32, DType::bf16}) {
      for (const DType c_type : {DType::f32, DType::bf16, DType::f16, DType::f64}) {
        for (const int64_t m : {2, 30, 200}) {
          for (const int64_t k : {40, 4200}) {
            const int64_t n = 70;
            const auto [a, b] = operands(m, k, n, {false, true}, type, type);
            const Array bias = random_array({n}, DType::f32, 16);
            Array plain = Array::empty({m, n}, DType::f32);
            kernel::matmul(a, b, plain);
            for (const bool accumulate : {false, true}) {
              Array c = random_array({m, n}, c_type, 17);
              const Array before = kernel::cast(c, DType::f32);
              const std::vector<float> old(before.span<float>().begin(), before.span<float>().end());
              kernel::matmul(a, b, c, accumulate, {bias.data<float>(), halve_and_shift});
              int64_t wrong = 0;
              for (int64_t i = 0; i < m * n; i++) {
                float x = plain.data<float>()[i];
                if (accumulate) x += old[static_cast<size_t>(i)];
                x = 0.5f * (x + bias.data<float>()[i % n]) + 1.0f;
                double expected;
                write(&expected, c_type, 0, x);
                wrong += read(&expected, c_type, 0) != read(c.raw(), c_type, i);
              }
              EXPECT_EQ(wrong, 0) << rung << " " << info(type).name << " to " << info(c_type).name << " m "
                                  << m << " k " << k << (accumulate ? " accumulating" : "");
            }
          }
        }
      }
    }
  });
}

TEST_F(ProductTest, ResidualAndGateGiveWhatSeparateStepsGive) {
  on_every_rung([&](const std::string& rung) {
    for (const DType type : {DType::f32, DType::bf16}) {
      for (const int64_t m : {1, 30, 200}) {
        const int64_t k = 40, n = 70;
        const auto [a, b] = operands(m, k, n, {false, true}, type, type);
        const Array residual = random_array({m, n}, type, 31), gate = random_array({m, n}, type, 32);
        Array sum = Array::empty({m, n}, type), plain = Array::empty({m, n}, type);
        Array added = Array::empty({m, n}, type), gated = Array::empty({m, n}, type);
        kernel::copy(residual, sum);
        kernel::matmul(a, b, sum, true);
        kernel::Epilogue with_residual, with_gate;
        with_residual.residual = &residual;
        kernel::matmul(a, b, added, false, with_residual);
        EXPECT_TRUE(same_bytes(sum.raw(), added.raw(), sum.bytes())) << rung << " residual";
        kernel::matmul(a, b, plain);
        with_gate.gate = &gate;
        with_gate.gate_activation = halve_and_shift;
        kernel::matmul(a, b, gated, false, with_gate);
        int64_t wrong = 0;
        for (int64_t i = 0; i < m * n; i++) {
          const auto g = static_cast<float>(read(gate.raw(), type, i));
          double expected;
          write(&expected, type, 0, (0.5f * g + 1.0f) * static_cast<float>(read(plain.raw(), type, i)));
          wrong += read(&expected, type, 0) != read(gated.raw(), type, i);
        }
        EXPECT_EQ(wrong, 0) << rung << " gate, " << info(type).name;
      }
    }
  });
}

TEST_F(ProductTest, AnEmptySumIsZeroAndStillFinishes) {
  on_every_rung([&](const std::string&) {
    for (const DType type : {DType::f32, DType::bf16, DType::f64}) {
      for (const int64_t m : {3, 300}) {
        const Array a = Array::empty({m, 0}, type), b = Array::empty({0, 35}, type);
        const Array bias = random_array({35}, DType::f32, 18);
        Array c = random_array({m, 35}, DType::f32, 19);
        kernel::matmul(a, b, c, false, {bias.data<float>(), nullptr});
        for (int64_t i = 0; i < m * 35; i++) ASSERT_EQ(c.data<float>()[i], bias.data<float>()[i % 35]);
        Array none = Array::empty({0, 35}, DType::f32);
        kernel::matmul(Array::empty({0, 4}, type), Array::empty({4, 35}, type), none);
      }
    }
  });
}

TEST_F(ProductTest, NanAndInfinityReachExactlyTheirRowsAndColumns) {
  on_every_rung([&](const std::string& rung) {
    for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
      for (const Form form : forms) {
        for (const int64_t m : {5, 220}) {
          const int64_t k = 37, n = 41;
          auto [a, b] = operands(m, k, n, form, type, type);
          const int64_t a_at = 3 * a.strides()[0] + 36 * a.strides()[1],
                        b_at = 36 * b.strides()[0] + 40 * b.strides()[1];
          write(a.raw_mutable(), type, a_at, std::numeric_limits<double>::quiet_NaN());
          write(b.raw_mutable(), type, b_at, INFINITY);
          Array c = Array::empty({m, n}, DType::f32);
          kernel::matmul(a, b, c);
          for (int64_t i = 0; i < m; i++) {
            for (int64_t j = 0; j < n; j++) {
              const float x = c.data<float>()[i * n + j];
              const bool expected = i == 3 ? std::isnan(x) : j == 40 ? std::isinf(x) : std::isfinite(x);
              ASSERT_TRUE(expected) << rung << " " << info(type).name << " " << i << ", " << j << " is " << x;
            }
          }
        }
      }
    }
  });
}

TEST_F(ProductTest, HalvesAreConvertedExactlyBothWays) {
  // Every half times one, through the packed panels and back: the same bits (NaN apart).
  on_every_rung([&](const std::string& rung) {
    Array halves = Array::empty({0x10000, 1}, DType::f16), one = Array::empty({1, 1}, DType::f16);
    auto* p = static_cast<uint16_t*>(halves.raw_mutable());
    for (int i = 0; i < 0x10000; i++) p[i] = static_cast<uint16_t>(i);
    static_cast<uint16_t*>(one.raw_mutable())[0] = 0x3c00;
    Array as_left = Array::empty({0x10000, 1}, DType::f16), as_right = Array::empty({1, 0x10000}, DType::f32);
    kernel::matmul(halves, one, as_left);
    kernel::matmul(one, transposed(halves), as_right);
    const auto* left = static_cast<const uint16_t*>(as_left.raw());
    const auto* right = as_right.data<float>();
    for (int i = 0; i < 0x10000; i++) {
      const float expected = from_f16(static_cast<uint16_t>(i));
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(from_f16(left[i])) && std::isnan(right[i])) << rung << " " << i;
      } else {
        ASSERT_TRUE(right[i] == expected && (i == 0x8000 || left[i] == i)) << rung << " " << i;
      }
    }
  });
}

TEST_F(ProductTest, ResultsAreRoundedToTheNearestHalf) {
  on_every_rung([&](const std::string& rung) {
    std::mt19937 engine(20);
    std::uniform_real_distribution<float> exponent(-27, 17), mantissa(1, 2);
    const int64_t n = 20000;
    Array x = Array::empty({n, 1}, DType::f32), one = Array::empty({1, 1}, DType::f32);
    float* p = x.mutable_data<float>();
    for (int64_t i = 0; i < n; i++) p[i] = std::ldexp(mantissa(engine), static_cast<int>(exponent(engine)));
    // Ties, the largest half and what lies around it.
    const float special[] = {0x1p-24f, 0x1p-25f, 0x1.8p-24f, 0x1.8p-25f, 65504,     65519.9f,
                             65520,    1e30f,    2049,       2051,       0x1.004p0f};
    for (size_t i = 0; i < std::size(special); i++) p[i] = special[i];
    one.mutable_data<float>()[0] = 1;
    for (const DType type : {DType::f16, DType::bf16}) {
      Array y = Array::empty({n, 1}, type);
      kernel::matmul(x, one, y);
      for (int64_t i = 0; i < n; i++) {
        const uint16_t got = static_cast<const uint16_t*>(y.raw())[i];
        ASSERT_EQ(got, type == DType::f16 ? to_f16(p[i]) : to_bf16(p[i]))
            << rung << " " << info(type).name << " " << p[i];
      }
    }
  });
}

}  // namespace
}  // namespace intarsia
