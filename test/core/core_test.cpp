#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <thread>
#include <vector>

#include "core/threads.h"
#include "intarsia/array.h"
#include "intarsia/error.h"
#include "intarsia/random.h"

namespace intarsia {
namespace {

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) { return e.what(); }
  return "no error";
}

TEST(Shape, BroadcastsAsNumPyDoes) {
  EXPECT_EQ(broadcast({3, 1}, {2, 1, 4}, "add"), Shape({2, 3, 4}));
  EXPECT_EQ(broadcast({}, {5}, "add"), Shape({5}));
  EXPECT_EQ(broadcast({0, 3}, {1, 3}, "add"), Shape({0, 3}));
  EXPECT_EQ(message_of([] { broadcast({3, 2}, {4}, "add"); }), "add: shapes [3, 2] and [4] do not broadcast");
}

TEST(Shape, RefusesWhatCannotBeCounted) {
  const int64_t big = int64_t{1} << 40;
  EXPECT_THROW(Shape({big, big}).count(), Error);
  EXPECT_EQ(Shape({big, big, 0}).count(), 0);
  EXPECT_THROW(Shape({-1}).count(), Error);
  EXPECT_THROW(Array::empty({big, 64}), Error);
  EXPECT_THROW(Shape({1, 2, 3, 4, 5, 6, 7, 8, 9}), Error);
}

TEST(Array, CopiesAndViewsShareMemory) {
  Array a = Array::of<float>({0, 1, 2, 3, 4, 5});
  Array b = a.reshape({2, -1});
  a.mutable_data<float>()[4] = 40;
  EXPECT_EQ(b.data<float>()[4], 40);
  EXPECT_EQ(b.shape(), Shape({2, 3}));
  const Array column = b.view({2}, {3}, 1);
  EXPECT_FALSE(column.contiguous());
  EXPECT_THROW(column.data<float>(), Error);
  EXPECT_THROW(b.data<double>(), Error);
  EXPECT_THROW(b.reshape({4}), Error);
}

TEST(Array, BorrowedMemoryIsReadOnlyAndKeptAlive) {
  auto owner = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3});
  std::weak_ptr<std::vector<float>> alive = owner;
  Array a = Array::borrow(owner->data(), {3}, DType::f32, owner);
  owner.reset();
  EXPECT_FALSE(alive.expired());
  EXPECT_EQ(a.data<float>()[2], 3);
  EXPECT_THROW(a.raw_mutable(), Error);
  a = Array();
  EXPECT_TRUE(alive.expired());
}

TEST(Array, QuantizedRowsAreWholeBlocks) {
  EXPECT_EQ(Array::empty({2, 64}, DType::q4_1).bytes(), 2u * 2 * 20);
  EXPECT_THROW(Array::empty({2, 63}, DType::q4_1), Error);
}

TEST(Pool, ReusesBlocksAndCountsThem) {
  const size_t before = memory_use().current;
  { Array a = Array::empty({1 << 20}); }
  EXPECT_EQ(memory_use().current, before);
  const size_t reserved = memory_use().reserved;
  for (int i = 0; i < 100; i++) Array::empty({1 << 20});
  EXPECT_EQ(memory_use().reserved, reserved);
  reset_peak_memory();
  EXPECT_EQ(memory_use().peak, memory_use().current);
  for (int64_t n : {1, 3, 100, 1000, 4097, 300000}) {
    const Array a = Array::empty({n}, DType::u8);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(a.raw()) % 64, 0u) << n;
  }
}

// The limit is off again at the end, whatever happens.
struct MemoryLimit {
  explicit MemoryLimit(size_t bytes) { set_memory_limit(bytes); }
  ~MemoryLimit() { set_memory_limit(0); }
};

TEST(Pool, RefusesWhatIsBeyondTheLimitAndKeepsAllElse) {
  constexpr int64_t mebi = 1 << 20;
  const Array kept = Array::copy_of(std::span<const float>(std::vector<float>(1000, 2.5f)), {1000});
  const MemoryLimit limit(memory_use().reserved + 24 * mebi);
  EXPECT_EQ(memory_limit(), memory_use().reserved + 24 * mebi);
  std::vector<Array> many;
  try {
    for (int i = 0; i < 100; i++) many.push_back(Array::empty({3 * mebi}, DType::u8));
    FAIL() << "no limit held";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("out of memory: "), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("the limit is "), std::string::npos) << error.what();
    EXPECT_NE(error.hint().find("--memory"), std::string::npos);
  }
  EXPECT_GE(many.size(), 4u);
  EXPECT_LE(memory_use().reserved, memory_limit());
  for (const float value : kept.span<float>()) ASSERT_EQ(value, 2.5f);
  // What one size class gave back serves another.
  many.clear();
  EXPECT_NO_THROW(Array::empty({15 * mebi}, DType::u8));
  EXPECT_THROW(Array::empty({60 * mebi}, DType::u8), Error);
  EXPECT_NO_THROW(Array::zeros({15 * mebi}, DType::u8));
}

TEST(Threads, EveryPartRunsOnceAndNestedCallsRunInline) {
  for (int threads : {1, 2, 3}) {
    set_thread_count(threads);
    for (int round = 0; round < 200; round++) {
      std::vector<std::atomic<int>> hits(17);
      parallel(17, [&](int part) { parallel(2, [&](int) { hits[static_cast<size_t>(part)]++; }); });
      for (auto& h : hits) ASSERT_EQ(h.load(), 2);
    }
  }
  set_thread_count(2);
}

TEST(Threads, AnExceptionReachesTheCallerAndThePoolStaysUsable) {
  EXPECT_THROW(parallel(8,
                        [](int part) {
                          if (part == 5) throw Error("five");
                        }),
               Error);
  std::atomic<int64_t> sum{0};
  parallel_for(1000, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) sum += i;
  });
  EXPECT_EQ(sum.load(), 499500);
}

TEST(Threads, TwoCallersAtOnce) {
  std::atomic<int> total{0};
  const auto work = [&] {
    for (int i = 0; i < 500; i++) parallel(4, [&](int) { total++; });
  };
  std::thread other(work);
  work();
  other.join();
  EXPECT_EQ(total.load(), 4000);
}

TEST(Threads, DenormalModeOfTheCallerComesBack) {
  volatile float tiny = 1e-39f;
  float inside = 1;
  parallel_for(1, 1, [&](int64_t, int64_t) { inside = tiny * 0.5f; });
  EXPECT_EQ(inside, 0);
  EXPECT_GT(tiny * 0.5f, 0);
}

TEST(Threads, AForkedChildCanCompute) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the thread sanitizer starts no threads in a forked child";
#endif
  parallel(4, [](int) {});
  const pid_t child = fork();
  if (child == 0) {
    std::atomic<int> n{0};
    parallel(4, [&](int) { n++; });
    _exit(n == 4 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

// Known answers of Random123's kat_vectors for philox4x32-10.
TEST(Random, PhiloxKnownAnswers) {
  const Philox zero = philox(0, 0, 0);
  EXPECT_EQ(zero.word[0], 0x6627e8d5u);
  EXPECT_EQ(zero.word[1], 0xe169c58du);
  EXPECT_EQ(zero.word[2], 0xbc57ac4cu);
  EXPECT_EQ(zero.word[3], 0x9b00dbd8u);
  const Philox ones = philox(~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0});
  EXPECT_EQ(ones.word[0], 0x408f276du);
  EXPECT_EQ(ones.word[1], 0x41c83b0eu);
  EXPECT_EQ(ones.word[2], 0xa20bc7c6u);
  EXPECT_EQ(ones.word[3], 0x6d5451fdu);
}

TEST(Random, MomentsAndRanges) {
  const Array x = normal({100000}, 2, 1), u = uniform({100000}, -1, 3, 1);
  double sum = 0, squares = 0, mean = 0;
  for (float v : x.span<float>()) sum += v, squares += v * v;
  for (float v : u.span<float>()) {
    ASSERT_TRUE(v >= -1 && v <= 3);
    mean += v;
  }
  EXPECT_NEAR(sum / 1e5, 0, 0.03);
  EXPECT_NEAR(squares / 1e5, 4, 0.1);
  EXPECT_NEAR(mean / 1e5, 1, 0.02);
  Random random(3);
  std::vector<int> count(7);
  for (int i = 0; i < 70000; i++) count[random.below(7)]++;
  for (int c : count) EXPECT_NEAR(c, 10000, 500);
}

}  // namespace
}  // namespace intarsia
