// Optimizer steps against their definitions in double.
#include "arrays.h"

namespace intarsia::test {
namespace {

using kernel::AdamWTensors;

struct Reference {  // one tensor's state in double
  std::vector<double> w, m, v;
};

std::vector<AdamWTensors> tensors(std::initializer_list<int64_t> sizes) {
  std::vector<AdamWTensors> all;
  uint64_t seed = 1;
  for (int64_t n : sizes) {
    AdamWTensors t;
    t.weight = random_array({n}, DType::f32, seed++);
    t.gradient = random_array({n}, DType::f32, seed++);
    t.m = Array::zeros({n});
    t.v = Array::zeros({n});
    t.shadow = Array::zeros({n}, DType::bf16);
    all.push_back(t);
  }
  return all;
}

TEST(AdamW, StepsEqualTheDefinition) {
  on_every_rung([] {
    std::vector<AdamWTensors> all = tensors({1, 17, 0, 30000, 100});
    std::vector<Reference> exact;
    for (const AdamWTensors& t : all)
      exact.push_back({doubles(t.weight), std::vector<double>(static_cast<size_t>(t.weight.size())),
                       std::vector<double>(static_cast<size_t>(t.weight.size()))});
    for (int64_t step = 1; step <= 5; step++) {
      const kernel::AdamWStep s{1e-2, 0.9, 0.95, 1e-8, 0.1, 0.5, step};
      kernel::adamw(all, s);
      const double n = static_cast<double>(step);
      for (size_t k = 0; k < all.size(); k++) {
        const std::vector<double> g = doubles(all[k].gradient);
        for (size_t i = 0; i < g.size(); i++) {
          Reference& r = exact[k];
          const double gradient = g[i] * 0.5;
          r.w[i] *= 1 - 1e-2 * 0.1;
          r.m[i] = 0.9 * r.m[i] + 0.1 * gradient;
          r.v[i] = 0.95 * r.v[i] + 0.05 * gradient * gradient;
          const double root = std::sqrt(r.v[i]) / std::sqrt(1 - std::pow(0.95, n)) + 1e-8;
          r.w[i] -= 1e-2 / (1 - std::pow(0.9, n)) * r.m[i] / root;
        }
        expect_close(all[k].weight, exact[k].w, 1e-6, "weight");
        expect_close(all[k].m, exact[k].m, 1e-6, "m");
        expect_close(all[k].v, exact[k].v, 1e-6, "v");
        EXPECT_TRUE(same_bits(all[k].shadow, kernel::cast(all[k].weight, DType::bf16)));
      }
    }
  });
}

TEST(Sgd, StepsEqualTheDefinition) {
  on_every_rung([] {
    for (double momentum : {0.0, 0.9}) {
      std::vector<AdamWTensors> all = tensors({33, 20000});
      std::vector<Reference> exact;
      for (AdamWTensors& t : all) {
        exact.push_back({doubles(t.weight), std::vector<double>(static_cast<size_t>(t.weight.size())), {}});
        t.v = {};
        t.shadow = {};
        if (momentum == 0) t.m = {};
      }
      for (int step = 0; step < 4; step++) {
        kernel::sgd(all, {0.1, momentum, 0.01, 2, step == 0});
        for (size_t k = 0; k < all.size(); k++) {
          const std::vector<double> g = doubles(all[k].gradient);
          for (size_t i = 0; i < g.size(); i++) {
            Reference& r = exact[k];
            const double change = 2 * g[i] + 0.01 * r.w[i];
            r.m[i] = step == 0 ? change : momentum * r.m[i] + change;
            r.w[i] -= 0.1 * (momentum == 0 ? change : r.m[i]);
          }
          expect_close(all[k].weight, exact[k].w, 1e-6);
        }
      }
    }
  });
}

TEST(Optimizers, SumOfSquaresIsExactEnoughAndFixed) {
  on_every_rung([] {
    std::vector<Array> x;
    double want = 0;
    for (int64_t n : {0, 1, 100, 70000, 150001}) {
      x.push_back(random_array({n}, n == 100 ? DType::bf16 : DType::f32, static_cast<uint64_t>(n)));
      for (double v : doubles(x.back())) want += v * v;
    }
    double sums[2];
    for (int threads = 1; threads <= 2; threads++) {
      Threads scope(threads);
      sums[threads - 1] = kernel::sum_of_squares(x);
    }
    EXPECT_NEAR(sums[0], want, want * 1e-6);
    EXPECT_EQ(sums[0], sums[1]);
  });
}

TEST(Optimizers, BitsDoNotDependOnThreads) {
  on_every_rung([] {
    std::vector<AdamWTensors> one = tensors({40000, 7, 30001}), two = tensors({40000, 7, 30001});
    {
      Threads threads(1);
      kernel::adamw(one, {1e-3, 0.9, 0.999, 1e-8, 0.01, 1, 1});
    }
    {
      Threads threads(2);
      kernel::adamw(two, {1e-3, 0.9, 0.999, 1e-8, 0.01, 1, 1});
    }
    for (size_t i = 0; i < one.size(); i++)
      EXPECT_TRUE(same_bits(one[i].weight, two[i].weight) && same_bits(one[i].v, two[i].v));
  });
}

TEST(Optimizers, RefuseOtherTypesAndSizes) {
  std::vector<AdamWTensors> all = tensors({8});
  all[0].gradient = Array::zeros({7});
  EXPECT_THROW(kernel::adamw(all, {1e-3, 0.9, 0.999, 1e-8, 0.01, 1, 1}), Error);
  all[0].gradient = Array::zeros({8}, DType::bf16);
  EXPECT_THROW(kernel::sgd(all, {1e-3, 0.9, 0, 1, true}), Error);
}

}  // namespace
}  // namespace intarsia::test
