// The bits of every operation's value and gradients, by rung, against test/golden/bits/operations.txt. A
// debug build compares with the same table as a release build.
#include "bits.h"

#include <gtest/gtest.h>

#include "kernel/kernels.h"
#include "kernel/table.h"
#include "op/walk.h"

namespace intarsia::walk {
namespace {

TEST(Bits, OfEveryOperationAreThoseOfTheTable) {
  std::vector<Operation> all = listed_operations();
  const std::vector<Operation> pointwise = pointwise_operations();
  all.insert(all.end(), pointwise.begin(), pointwise.end());
  const std::string before = kernel::table().name;
  Bits bits;
  for (const kernel::Kernels* rung : kernel::rungs()) {
    kernel::use_rung(rung->name);
    for (const Operation& op : all) {
      BitsHash hash;
      Walk walk([&](const Case& c) {
        for (const DType dtype : {DType::f32, DType::bf16}) {
          if (!c.same_type && dtype != DType::f32) continue;
          const Outcome outcome = run(c, inputs_as(c, dtype));
          hash.add(kernel::contiguous(outcome.y));
          for (const Array& gradient : outcome.gradients)
            if (gradient) hash.add(kernel::contiguous(gradient));
        }
      });
      op.cases(walk);
      bits[op.name][rung->name] = hash.text();
    }
  }
  kernel::use_rung(before);
  expect_bits("operations.txt", bits);
}

}  // namespace
}  // namespace intarsia::walk
