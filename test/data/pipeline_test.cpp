#include "intarsia/pipeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <set>
#include <thread>

#include "data/folder.h"
#include "data/permutation.h"

namespace intarsia {
namespace {

TEST(Permutation, MeetsEachNumberOnce) {
  for (const uint64_t count : {1, 2, 3, 4, 5, 16, 17, 1000, 4096, 4097}) {
    const Permutation order(count, 5, 2);
    std::vector<bool> met(count);
    for (uint64_t i = 0; i < count; i++) {
      const uint64_t to = order(i);
      ASSERT_LT(to, count);
      ASSERT_FALSE(met[to]) << count << " " << i;
      met[to] = true;
    }
  }
}

TEST(Permutation, DiffersWithSeedAndEpochAndIsSpread) {
  constexpr uint64_t count = 10'000;
  const Permutation a(count, 1, 0), b(count, 1, 1), c(count, 2, 0);
  int same_b = 0, same_c = 0, rises = 0;
  for (uint64_t i = 0; i < count; i++) {
    same_b += a(i) == b(i);
    same_c += a(i) == c(i);
    if (i > 0) rises += a(i) > a(i - 1);
  }
  EXPECT_LT(same_b, 20);
  EXPECT_LT(same_c, 20);
  EXPECT_NEAR(rises, count / 2, 200);  // deviation of a random order: sqrt(count / 12), about 29
}

// 10 rows of two numbers, and their labels.
Pipeline numbers() {
  Array x = Array::empty({10, 2}), y = Array::empty({10}, DType::i32);
  for (int i = 0; i < 10; i++) {
    x.mutable_data<float>()[2 * i] = static_cast<float>(i);
    x.mutable_data<float>()[2 * i + 1] = static_cast<float>(-i);
    y.mutable_data<int32_t>()[i] = i;
  }
  return Pipeline::of({x, y});
}

// Adds noise that depends on the sample, and takes unequal times.
Pipeline noisy() {
  return numbers().shuffle(3).map([](Sample sample, Random& random) {
    Array x = Array::empty({2});
    for (int i = 0; i < 2; i++)
      x.mutable_data<float>()[i] = sample[0].data<float>()[i] + static_cast<float>(random.uniform());
    if (random.below(3) == 0) std::this_thread::sleep_for(std::chrono::microseconds(random.below(300)));
    sample[0] = x;
    return sample;
  });
}

std::vector<float> all_of(Loader& loader) {
  std::vector<float> values;
  while (const auto batch = loader.next())
    for (const float value : (*batch)[0].span<float>()) values.push_back(value);
  return values;
}

TEST(Pipeline, GivesTheItemsInOrderAndTheRestAtTheEnd) {
  Loader loader(numbers().batch(4));
  std::vector<int32_t> labels;
  std::vector<int64_t> sizes;
  while (const auto batch = loader.next()) {
    ASSERT_EQ(batch->size(), 2u);
    EXPECT_EQ((*batch)[0].shape(), (Shape{(*batch)[1].dim(0), 2}));
    sizes.push_back((*batch)[1].dim(0));
    for (const int32_t label : (*batch)[1].span<int32_t>()) labels.push_back(label);
  }
  std::vector<int32_t> expected(10);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(labels, expected);
  EXPECT_EQ(sizes, (std::vector<int64_t>{4, 4, 2}));
  EXPECT_EQ(loader.position(), 10);
}

TEST(Pipeline, EveryEpochHasEachItemOnceInAnOrderOfItsOwn) {
  const Pipeline data = numbers().shuffle(7).epochs(3);
  std::set<std::vector<int64_t>> orders;
  for (int64_t epoch = 0; epoch < 3; epoch++) {
    std::vector<int64_t> items;
    for (int64_t i = 0; i < 10; i++) items.push_back(data.item(epoch * 10 + i));
    orders.insert(items);
    std::sort(items.begin(), items.end());
    for (int64_t i = 0; i < 10; i++) EXPECT_EQ(items[static_cast<size_t>(i)], i);
  }
  EXPECT_EQ(orders.size(), 3u);
  EXPECT_NE(data.item(0) * 10 + data.item(1),
            numbers().shuffle(8).item(0) * 10 + numbers().shuffle(8).item(1));
}

TEST(Loader, GivesEqualBitsForAnyNumberOfWorkers) {
  const Pipeline data = noisy().batch(3).epochs(4);
  Loader alone(data, {.workers = 0});
  const std::vector<float> expected = all_of(alone);
  ASSERT_EQ(expected.size(), 80u);
  for (const int workers : {1, 2, 5})
    for (const int ahead : {1, 7}) {
      Loader loader(data, {.workers = workers, .ahead = ahead});
      EXPECT_EQ(all_of(loader), expected) << workers << " workers, " << ahead << " ahead";
    }
}

TEST(Loader, GoesOnWhereAnotherStood) {
  const Pipeline data = noisy().epochs(3);
  Loader whole(data.batch(4), {.workers = 2});
  const std::vector<float> expected = all_of(whole);
  for (const int64_t stop : {0, 1, 3, 7}) {
    Loader first(data.batch(4), {.workers = 3});
    std::vector<float> values;
    for (int64_t i = 0; i < stop; i++) {
      const Sample batch = *first.next();
      values.insert(values.end(), batch[0].span<float>().begin(), batch[0].span<float>().end());
    }
    // With other workers and another batch size.
    Loader second(data.batch(5), {.workers = 1}, first.position());
    const std::vector<float> rest = all_of(second);
    values.insert(values.end(), rest.begin(), rest.end());
    EXPECT_EQ(values, expected) << "stopped after " << stop << " batches";
  }
  Loader again(data.batch(4), {.workers = 2});
  again.next();
  again.seek(0);
  EXPECT_EQ(all_of(again), expected);
}

TEST(Loader, PreparesNoMoreThanAskedFor) {
  std::atomic<int> made{0};
  const Pipeline data = numbers().epochs(0).map([&](Sample sample, Random&) {
    made++;
    return sample;
  });
  Loader loader(data.batch(2), {.workers = 2, .ahead = 3});
  for (int tries = 0; tries < 1000 && made < 6; tries++)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(made, 6);
  loader.next();
  for (int tries = 0; tries < 1000 && made < 8; tries++)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(made, 8);
}

TEST(Loader, ThrowsWhenTheBatchIsDueAndCanTryAgain) {
  std::atomic<bool> broken{true};
  const Pipeline data = numbers().batch(2).map([&](Sample sample, Random&) {
    if (broken && sample[1].data<int32_t>()[0] == 5) throw Error("item five");
    return sample;
  });
  for (const int workers : {0, 3}) {
    broken = true;
    Loader loader(data, {.workers = workers});
    EXPECT_TRUE(loader.next());
    EXPECT_TRUE(loader.next());
    EXPECT_EQ(error_of([&] { loader.next(); }), "item five");
    EXPECT_EQ(loader.position(), 4);
    EXPECT_EQ(error_of([&] { loader.next(); }), "item five");
    broken = false;
    EXPECT_EQ((*loader.next())[1].data<int32_t>()[1], 5);
    EXPECT_EQ((*loader.next())[1].data<int32_t>()[0], 6);
  }
}

TEST(Loader, TellsItsProgressAndCanBeCancelled) {
  std::vector<int64_t> seen;
  LoaderOptions options;
  options.workers = 2;
  options.progress = [&](int64_t done, int64_t total) {
    EXPECT_EQ(total, 10);
    seen.push_back(done);
    return done < 8;
  };
  Loader loader(numbers().batch(4), options);
  EXPECT_TRUE(loader.next());
  EXPECT_TRUE(loader.next());  // this one is whole; then it ends
  EXPECT_FALSE(loader.next());
  EXPECT_EQ(seen, (std::vector<int64_t>{4, 8}));
  loader.seek(loader.position());
  EXPECT_EQ((*loader.next())[1].data<int32_t>()[0], 8);

  // From another thread, while next() waits.
  std::atomic<bool> hold{true};
  Loader waiting(numbers().map([&](Sample sample, Random&) {
    while (hold) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return sample;
  }));
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    waiting.cancel();
  });
  EXPECT_FALSE(waiting.next());
  hold = false;
  other.join();
}

TEST(Pipeline, NamesWhatIsWrong) {
  EXPECT_EQ(error_of([] { Pipeline(0, {}); }), "pipeline: has 0 items, expected at least 1");
  EXPECT_NE(error_of([] {
              Pipeline::of({Array::zeros({2}), Array::zeros({3})});
            }).find("[3]"),
            std::string::npos);
  EXPECT_THROW(numbers().batch(0), Error);
  EXPECT_THROW(numbers().epochs(-1), Error);
  EXPECT_THROW(numbers().sample(10), Error);
  EXPECT_THROW(Loader(numbers(), {.workers = -1}), Error);
  EXPECT_THROW(Loader(numbers(), {}, 11), Error);
  const Pipeline uneven(4, [](int64_t i) { return Sample{Array::zeros({i < 3 ? 2 : 3})}; });
  EXPECT_EQ(error_of([&] { uneven.batch(4).batch_at(0); }),
            "pipeline: sample 3 differs in shape or type from sample 0: [3] where [2] is expected");
}

}  // namespace
}  // namespace intarsia
