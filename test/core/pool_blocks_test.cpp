// Large arrays share regions of memory: what one leaves, another of any size may take.
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "intarsia/array.h"

namespace intarsia {
namespace {

constexpr size_t mebibyte = size_t{1} << 20;
Array bytes(size_t count) { return Array::empty({static_cast<int64_t>(count)}, DType::u8); }

TEST(PoolBlocks, ALargeArrayTakesHardlyMoreThanItsBytes) {
  for (const size_t size : {3 * mebibyte, 5 * mebibyte / 2, 100 * mebibyte}) {
    const size_t before = memory_use().current;
    const Array x = bytes(size);
    EXPECT_GE(memory_use().current - before, size);
    EXPECT_LE(memory_use().current - before, size + 32 * 1024);
  }
}

TEST(PoolBlocks, FreeNeighboursBecomeOnePiece) {
  std::vector<Array> small;
  for (int i = 0; i < 8; i++) small.push_back(bytes(4 * mebibyte));
  const size_t reserved = memory_use().reserved;
  // In an order in which each meets neighbours before, behind, on both sides and on none.
  for (const int i : {1, 3, 2, 0, 7, 5, 6, 4}) small[static_cast<size_t>(i)] = Array();
  const Array large = bytes(28 * mebibyte);
  EXPECT_EQ(memory_use().reserved, reserved);
}

TEST(PoolBlocks, BlocksNeverOverlapAndKeepWhatIsWrittenThroughManyTurns) {
  std::mt19937 random(3);
  std::vector<std::pair<Array, uint8_t>> held;
  for (int turn = 0; turn < 2000; turn++) {
    if (held.size() > 24 || (random() % 2 && !held.empty())) {
      const size_t which = random() % held.size();
      const auto& [array, mark] = held[which];
      const auto* data = static_cast<const uint8_t*>(array.raw());
      const auto last = static_cast<size_t>(array.size()) - 1;
      ASSERT_EQ(data[0], mark);
      ASSERT_EQ(data[last / 2], mark);
      ASSERT_EQ(data[last], mark);
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
      continue;
    }
    Array fresh = bytes(mebibyte / 4 + random() % (3 * mebibyte));
    const auto mark = static_cast<uint8_t>(turn);
    auto* data = static_cast<uint8_t*>(fresh.raw_mutable());
    const auto last = static_cast<size_t>(fresh.size()) - 1;
    data[0] = data[last / 2] = data[last] = mark;
    held.emplace_back(std::move(fresh), mark);
  }
}

TEST(PoolBlocks, TheSameTurnsAskTheSystemForNothingNew) {
  const auto turn = [] {
    std::vector<Array> arrays;
    for (size_t i = 1; i < 30; i++) {
      arrays.push_back(bytes(i * 700'000));
      if (i % 3 == 0) arrays.erase(arrays.begin() + static_cast<std::ptrdiff_t>(arrays.size() / 2));
    }
  };
  turn();
  turn();
  const size_t reserved = memory_use().reserved;
  for (int i = 0; i < 5; i++) turn();
  EXPECT_EQ(memory_use().reserved, reserved);
}

}  // namespace
}  // namespace intarsia
