// The error of a matrix product's forms against f64, beside the sum of |a| |b| that bounds each element's
// rounding.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/fail.h"
#include "data/file.h"
#include "intarsia/op.h"
#include "intarsia/random.h"
#include "lab/task.h"

namespace intarsia {

namespace {

constexpr Measure measures[] = {{"largest error", "log2, of the sum of |a| |b|", Measure::Better::lower, 1},
                                {"typical error", "log2, root of the mean square", Measure::Better::lower, 1},
                                {"speed", "Gflop/s", Measure::Better::higher, 0}};

Outcome run(const Cell& cell) {
  const auto rows = static_cast<int64_t>(cell.number("rows", 256)),
             depth = static_cast<int64_t>(cell.number("depth", 1024));
  const std::string form = cell.text("form", "f32");
  cell.finish();
  if (rows < 1 || rows > 4096 || depth < 1 || depth > 65536)
    fail("lab: task.rows is {}, depth {}; expected 1 to 4,096 and 1 to 65,536", rows, depth);
  const auto seed = static_cast<uint64_t>(cell.seed());
  const Tensor a(normal({rows, depth}, 1, seed, 0)), b(normal({depth, rows}, 1, seed, 1));
  const bool narrow = form == "bf16";
  if (!narrow && form != "f32" && form != "bf16 x3" && form != "bf16 x6")
    fail("lab: task.form is {}, expected f32, bf16, \"bf16 x3\" or \"bf16 x6\"", quote(form));
  const Products products = form == "bf16 x3"   ? Products::three_bf16
                            : form == "bf16 x6" ? Products::six_bf16
                                                : Products::own;
  const DType type = narrow ? DType::bf16 : DType::f32;
  const Tensor x = cast(a, type), y = cast(b, type);
  std::vector<double> seconds;
  Tensor product;
  for (int i = 0; i < 5; i++) {
    const auto start = std::chrono::steady_clock::now();
    product = matmul(x, y, products);
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(seconds.begin(), seconds.end());
  const Tensor wide_a = cast(a, DType::f64), wide_b = cast(b, DType::f64);
  const Array exact = matmul(wide_a, wide_b).array(), size = matmul(abs(wide_a), abs(wide_b)).array(),
              got = cast(product, DType::f64).array();
  double largest = 0, squares = 0;
  for (size_t i = 0; i < exact.span<double>().size(); i++) {
    const double error = std::fabs(got.span<double>()[i] - exact.span<double>()[i]) / size.span<double>()[i];
    largest = std::max(largest, error);
    squares += error * error;
  }
  Outcome outcome;
  outcome.measures = {std::log2(largest), .5 * std::log2(squares / static_cast<double>(rows * rows)),
                      2e-9 * static_cast<double>(rows * rows * depth) / seconds[2]};
  return outcome;
}

}  // namespace

namespace task {
extern const Task product_error;
const Task product_error = {"product_error", "k", nullptr, measures, run};
}  // namespace task

}  // namespace intarsia
