// What words were encoded to, for the short ones seen last: texts repeat their words. Of fixed size, shared
// by all threads without locks: a reader that meets a writer takes the word as unseen.
#pragma once
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

#include "intarsia/tokenizer.h"

namespace intarsia {

class WordCache {
 public:
  // A word of at most 15 bytes as two numbers; different words have different ones.
  struct Key {
    uint64_t low, high;
  };
  static std::optional<Key> key_of(std::string_view word) {
    const size_t n = word.size();
    if (n > 15) return std::nullopt;
    const char* p = word.data();
    const uint64_t length = uint64_t{n} << 56;
    // Shifted twice, because at n = 8 it is by 64.
    if (n >= 8) return Key{load<uint64_t>(p), load<uint64_t>(p + n - 8) >> 1 >> (127 - 8 * n) | length};
    if (n >= 4) return Key{load<uint32_t>(p) | load<uint32_t>(p + n - 4) << 32, length};
    if (n == 0) return std::nullopt;
    return Key{load<uint8_t>(p) | load<uint8_t>(p + n / 2) << 8 | load<uint8_t>(p + n - 1) << 16, length};
  }

  // Appends the ids of the word if they are known. (A sequence lock: whoever reads what a writer stores also
  // sees the odd version that it stored before, because stores are releases and loads acquires; on x86
  // neither costs anything.)
  bool find(Key key, Ids& out) const {
    const Entry& entry = entries_[place_of(key)];
    const uint64_t version = entry.version.load(std::memory_order_acquire);
    if (entry.low.load(std::memory_order_acquire) != key.low) return false;
    const uint64_t high = entry.high.load(std::memory_order_acquire);
    if ((high & ~count_mask) != key.high) return false;
    std::array<uint64_t, pairs> ids = {};
    const size_t count = (high & count_mask) >> count_shift;
    for (size_t i = 0; 2 * i < count; ++i) ids[i] = entry.ids[i].load(std::memory_order_acquire);
    if (version % 2 == 1 || entry.version.load(std::memory_order_relaxed) != version) return false;
    if (count == 1) {
      out.push_back(static_cast<int32_t>(ids[0]));
      return true;
    }
    const auto each = std::bit_cast<std::array<int32_t, 2 * pairs>>(ids);
    out.insert(out.end(), each.begin(), each.begin() + static_cast<std::ptrdiff_t>(count));
    return true;
  }

  // Remembers the ids of the word, in the place of another; not if they are too many.
  void put(Key key, const int32_t* ids, size_t count) {
    if (count == 0 || count > 2 * pairs) return;
    Entry& entry = entries_[place_of(key)];
    uint64_t version = entry.version.load(std::memory_order_relaxed);
    // An odd version: a writer is at work.
    if (version % 2 == 1) return;
    if (!entry.version.compare_exchange_strong(version, version + 1, std::memory_order_acquire)) return;
    entry.low.store(key.low, std::memory_order_release);
    entry.high.store(key.high | uint64_t{count} << count_shift, std::memory_order_release);
    for (size_t i = 0; 2 * i < count; ++i) {
      const uint64_t second = 2 * i + 1 < count ? static_cast<uint32_t>(ids[2 * i + 1]) : 0;
      entry.ids[i].store(static_cast<uint32_t>(ids[2 * i]) | second << 32, std::memory_order_release);
    }
    entry.version.store(version + 2, std::memory_order_release);
  }

 private:
  static constexpr size_t size = size_t{1} << 15, pairs = 5;
  static constexpr int count_shift = 60;  // above the length
  static constexpr uint64_t count_mask = uint64_t{15} << count_shift;
  struct alignas(64) Entry {
    std::atomic<uint64_t> version = 0, low = 0, high = 0;  // high is 0 in an empty entry, and never in a key
    std::array<std::atomic<uint64_t>, pairs> ids = {};
  };
  template <class T>
  static uint64_t load(const char* p) {
    T value;
    std::memcpy(&value, p, sizeof value);
    return value;
  }
  static size_t place_of(Key key) {
    const auto product =
        static_cast<unsigned __int128>(key.low ^ 0x2d358dccaa6c78a5u) * (key.high ^ 0x8bb84b93962eacc9u);
    return (static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64)) & (size - 1);
  }
  std::unique_ptr<Entry[]> entries_ = std::make_unique<Entry[]>(size);
};

}  // namespace intarsia
