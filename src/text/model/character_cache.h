// What characters of three bytes (most of Unicode's first plane: Chinese, kana, Hangul) were encoded to. A
// place for each, written once with what every thread would write.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "text/unicode/unicode.h"

namespace intarsia {

class CharacterCache {
 public:
  static constexpr size_t most = 3;  // ids
  static constexpr int id_bits = 21;
  static constexpr int32_t largest = (1 << id_bits) - 1;  // of an id plus one, since 0 stands for none
  static bool holds(std::string_view text) {
    return text.size() == 3 && (byte(text, 0) & 0xf0) == 0xe0 && (byte(text, 1) & 0xc0) == 0x80 &&
           (byte(text, 2) & 0xc0) == 0x80;
  }
  // Writes the ids of a character that holds() accepts, and whatever behind them, to out[0 .. most); returns
  // their number, 0 if they are not known.
  size_t find(std::string_view character, int32_t* out) const {
    constexpr uint64_t mask = largest;
    const uint64_t ids = places_[place_of_three(character.data())].load(std::memory_order_relaxed);
    const uint64_t second = ids >> id_bits & mask, third = ids >> 2 * id_bits;
    out[0] = static_cast<int32_t>(ids & mask) - 1;
    out[1] = static_cast<int32_t>(second) - 1;
    out[2] = static_cast<int32_t>(third) - 1;
    return size_t{ids != 0} + size_t{second != 0} + size_t{third != 0};
  }
  // Not if they are too many, or too large for their place.
  void put(std::string_view character, const int32_t* ids, size_t count) {
    if (count > most) return;
    for (size_t i = 0; i < count; ++i)
      if (ids[i] >= largest) return;
    uint64_t packed = 0;
    for (size_t i = count; i-- > 0;) packed = packed << id_bits | (static_cast<uint64_t>(ids[i]) + 1);
    places_[place_of_three(character.data())].store(packed, std::memory_order_relaxed);
  }

 private:
  static uint32_t byte(std::string_view text, size_t i) { return static_cast<unsigned char>(text[i]); }
  std::unique_ptr<std::atomic<uint64_t>[]> places_ = std::make_unique<std::atomic<uint64_t>[]>(1 << 16);
};

}  // namespace intarsia
