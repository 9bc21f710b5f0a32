// Block-quantized weights: their values against the package gguf, and their products against
// dequantize-then-multiply.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "intarsia/array.h"
#include "kernel/kernels.h"
#include "kernel/table.h"

namespace intarsia {
namespace {

constexpr DType formats[] = {DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1, DType::q8_0,
                             DType::q2_k, DType::q3_k, DType::q4_k, DType::q5_k, DType::q6_k};

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

// Random blocks for [rows, columns] whose scales are small finite halves.
Array random_weights(int64_t rows, int64_t columns, DType format, unsigned seed) {
  const DTypeInfo& type = info(format);
  Array bytes = Array::empty({rows * columns / type.block * type.bytes}, DType::u8);
  auto* p = bytes.mutable_data<uint8_t>();
  std::mt19937 engine(seed);
  for (int64_t i = 0; i < bytes.size(); i++) p[i] = static_cast<uint8_t>(engine());
  const int place = format == DType::q2_k   ? 80
                    : format == DType::q3_k ? 108
                    : format == DType::q6_k ? 208
                                            : 0;
  for (int64_t block = 0; block < rows * columns / type.block; block++) {
    for (int at = place; at < place + 4 && at + 1 < type.bytes; at += 2) {
      const uint16_t half =
          static_cast<uint16_t>(0x1c00 + engine() % 0x400 + (engine() & 1) * 0x8000);  // 0.004-0.008
      std::memcpy(p + block * type.bytes + at, &half, 2);
    }
  }
  return Array::borrow(p, {rows, columns}, format, std::make_shared<Array>(bytes));
}
Array transposed(const Array& x) { return x.view({x.dim(1), x.dim(0)}, {x.strides()[1], x.strides()[0]}); }

Array random_rows(int64_t rows, int64_t columns, DType type, unsigned seed) {
  Array x = Array::empty({rows, columns}, DType::f32);
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < x.size(); i++) x.mutable_data<float>()[i] = normal(engine);
  return kernel::cast(x, type);
}

Array dequantized(const Array& weights) {
  Array values = Array::empty(weights.shape(), DType::f32);
  kernel::table().product.dequantize(weights.dtype(), weights.raw(), weights.size(),
                                     values.mutable_data<float>());
  return values;
}

class QuantizedTest : public testing::TestWithParam<DType> {
 protected:
  void TearDown() override {
    kernel::use_rung(kernel::rungs().back()->name);
    set_thread_count(threads_);
  }

 private:
  int threads_ = thread_count();
};

TEST_P(QuantizedTest, ValuesEqualTheReferencesBitForBit) {
  const DTypeInfo& type = info(GetParam());
  const std::string path = INTARSIA_SOURCE_DIR "/test/golden/quantized/" + std::string(type.name);
  const std::string blocks = read_file(path + ".blocks"), expected = read_file(path + ".f32");
  const size_t elements = blocks.size() / static_cast<size_t>(type.bytes) * static_cast<size_t>(type.block);
  ASSERT_GE(elements, 1024u);
  ASSERT_EQ(expected.size(), elements * 4);
  for (const kernel::Kernels* rung : kernel::rungs()) {
    std::vector<float> values(elements);
    rung->product.dequantize(GetParam(), blocks.data(), static_cast<int64_t>(elements), values.data());
    for (size_t i = 0; i < elements; i++) {
      uint32_t got, wanted;
      std::memcpy(&got, &values[i], 4);
      std::memcpy(&wanted, expected.data() + 4 * i, 4);
      ASSERT_EQ(got, wanted) << rung->name << ", element " << i;
    }
  }
}

TEST_P(QuantizedTest, ProductsEqualDequantizeThenMultiplyBitForBit) {
  for (const kernel::Kernels* rung : kernel::rungs()) {
    kernel::use_rung(rung->name);
    for (const DType type : {DType::f32, DType::bf16}) {
      for (const int64_t n : {1, 45, 64}) {
        const int64_t k = 1536;
        const Array weights = random_weights(n, k, GetParam(), 1);
        const Array plain = kernel::cast(dequantized(weights), type);
        const Array rows = random_rows(200, k, type, 2);
        for (const int64_t m : {1, 2, 3, 5, 8, 13, 200}) {
          for (const int threads : {1, 2}) {
            set_thread_count(threads);
            const Array x = rows.view({m, k}, {k, 1});
            Array got = Array::empty({m, n}, DType::f32), expected = Array::empty({m, n}, DType::f32);
            kernel::matmul(x, transposed(weights), got);
            kernel::matmul(x, transposed(plain), expected);
            EXPECT_EQ(std::memcmp(got.raw(), expected.raw(), got.bytes()), 0)
                << rung->name << " " << info(type).name << " m " << m << " n " << n << ", " << threads
                << " threads";
          }
        }
      }
    }
  }
}

TEST_P(QuantizedTest, WeightsMayStandOnTheirSide) {
  // [m, k] [k, n] with blocks along n, as in the gradient of a linear layer's input.
  const Array weights = random_weights(37, 512, GetParam(), 3), x = random_rows(19, 37, DType::f32, 4);
  Array got = Array::empty({19, 512}), expected = Array::empty({19, 512});
  kernel::matmul(x, weights, got);
  kernel::matmul(x, dequantized(weights), expected);
  EXPECT_EQ(std::memcmp(got.raw(), expected.raw(), got.bytes()), 0);
}

INSTANTIATE_TEST_SUITE_P(Formats, QuantizedTest, testing::ValuesIn(formats),
                         [](const auto& format) { return std::string(intarsia::info(format.param).name); });

}  // namespace
}  // namespace intarsia
