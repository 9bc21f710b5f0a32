// What words were encoded to, for the short ones seen last: texts repeat their words. Of fixed size, shared
// by all threads without locks: a reader that meets a writer takes the word as unseen.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "intarsia/tokenizer.h"

namespace intarsia {

// A word of at most 15 bytes, as they are in memory, and its length. `high` is 0 for other words.
struct WordKey {
  static constexpr size_t longest = 15;
  WordKey() = default;
  explicit WordKey(std::string_view word) {
    const size_t n = word.size();
    if (n > longest || n == 0) return;
    const char* p = word.data();
    high = uint64_t{n} << 56;
    // Shifted twice, because at n = 8 it is by 64.
    if (n >= 8) {
      low = load<uint64_t>(p);
      high |= load<uint64_t>(p + n - 8) >> 8 >> (8 * (15 - n));
    } else if (n >= 4) {
      low = load<uint32_t>(p) | load<uint32_t>(p + n - 4) << (8 * (n - 4));
    } else {
      low = load<uint8_t>(p) | load<uint8_t>(p + n / 2) << (8 * (n / 2)) |
            load<uint8_t>(p + n - 1) << (8 * (n - 1));
    }
  }
  // The same, without a branch for the length, where 16 bytes may be read.
  static WordKey of_readable(std::string_view word) {
    // Behind 16 bytes of ones those of zeros.
    static constexpr std::array<unsigned char, 32> ones = [] {
      std::array<unsigned char, 32> bytes = {};
      for (size_t i = 0; i < 16; ++i) bytes[i] = 0xff;
      return bytes;
    }();
    const size_t n = word.size();
    WordKey key;
    if (n > longest || n == 0) return key;
    const auto* masks = reinterpret_cast<const char*>(ones.data()) + 16 - n;
    key.low = load<uint64_t>(word.data()) & load<uint64_t>(masks);
    key.high = (load<uint64_t>(word.data() + 8) & load<uint64_t>(masks + 8)) | uint64_t{n} << 56;
    return key;
  }
  explicit operator bool() const { return high != 0; }
  uint64_t low = 0, high = 0;

 private:
  template <class T>
  static uint64_t load(const char* p) {
    T value;
    std::memcpy(&value, p, sizeof value);
    return value;
  }
};

// Of words with at most `most` ids, an odd number.
template <size_t most>
class WordCache {
 public:
  // Fetches what find() will look at.
  void prefetch(WordKey key) const { __builtin_prefetch(&entries_[place_of(key)]); }

  // Writes the ids of the word, and whatever behind them, to out[0 .. most); returns their number, 0 if they
  // are not known. (A sequence lock: whoever reads what a writer stores also sees the odd version that it
  // stored before, because stores are releases and loads acquires; on x86 neither costs anything.)
  size_t find(WordKey key, int32_t* out) const {
    const Entry* entry = &entries_[place_of(key)];
    // Without a branch, which the processor would guess wrong half of the time.
    if (ways == 2) entry += entry[1].is_of(key) ? 1 : 0;
    const uint32_t version = entry->version.load(std::memory_order_acquire);
    if (!entry->is_of(key)) return 0;
    const size_t count = entry->high.load(std::memory_order_acquire) >> count_shift;
    out[0] = entry->first.load(std::memory_order_acquire);
    for (size_t i = 0; i < most / 2; ++i) {
      const uint64_t pair = entry->pairs[i].load(std::memory_order_acquire);
      std::memcpy(out + 1 + 2 * i, &pair, sizeof pair);
    }
    if (version % 2 == 1 || entry->version.load(std::memory_order_relaxed) != version) return 0;
    return count;
  }

  // Remembers the ids of the word, in the place of another; not if they are too many.
  void put(WordKey key, const int32_t* ids, size_t count) {
    if (count == 0 || count > most) return;
    Entry* entry = &entries_[place_of(key)];
    // The entry that was written less often is the older one.
    if (ways == 2 &&
        entry[1].version.load(std::memory_order_relaxed) < entry[0].version.load(std::memory_order_relaxed))
      ++entry;
    uint32_t version = entry->version.load(std::memory_order_relaxed);
    // An odd version: a writer is at work.
    if (version % 2 == 1) return;
    if (!entry->version.compare_exchange_strong(version, version + 1, std::memory_order_acquire)) return;
    entry->low.store(key.low, std::memory_order_release);
    entry->high.store(key.high | uint64_t{count} << count_shift, std::memory_order_release);
    entry->first.store(ids[0], std::memory_order_release);
    for (size_t i = 1; i < count; i += 2) {
      int32_t two[2] = {ids[i], i + 1 < count ? ids[i + 1] : 0};
      uint64_t pair;
      std::memcpy(&pair, two, sizeof pair);
      entry->pairs[i / 2].store(pair, std::memory_order_release);
    }
    entry->version.store(version + 2, std::memory_order_release);
  }

 private:
  static constexpr int count_shift = 60;  // above the length
  static constexpr uint64_t count_mask = uint64_t{15} << count_shift;
  static constexpr size_t line = 64;
  struct alignas(most <= 3 ? line / 2 : line) Entry {
    std::atomic<uint64_t> low = 0, high = 0;  // high is 0 in an empty entry, and never in a key
    std::atomic<uint32_t> version = 0;
    std::atomic<int32_t> first = 0;
    std::array<std::atomic<uint64_t>, most / 2> pairs = {};  // the others, two by two
    bool is_of(WordKey key) const {
      const uint64_t other = (low.load(std::memory_order_acquire) ^ key.low) |
                             ((high.load(std::memory_order_acquire) & ~count_mask) ^ key.high);
      return other == 0;
    }
  };
  static_assert(most % 2 == 1 && most < 16 && line % sizeof(Entry) == 0);
  // A word may be in any entry of a line.
  static constexpr size_t ways = line / sizeof(Entry), size = ways << 14;
  static size_t place_of(WordKey key) {
    const auto product =
        static_cast<unsigned __int128>(key.low ^ 0x2d358dccaa6c78a5u) * (key.high ^ 0x8bb84b93962eacc9u);
    return (static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64)) & (size - ways);
  }
  std::unique_ptr<Entry[]> entries_ = std::make_unique<Entry[]>(size);
};

}  // namespace intarsia
