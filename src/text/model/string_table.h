// Strings numbered by id, in one block of memory, with a hash table from string to id.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "text/model/hash_filter.h"

namespace intarsia {

// Drawn once per process, so that no file can be made whose strings all fall into one slot of a hash table.
uint64_t hash_seed();

class StringTable {
 public:
  // Appends the string of the next id (0, 1, ...); strings may repeat or be empty. At most 4 GiB in all.
  void push(std::string_view text);
  // Makes strings findable: each id for which `wanted(id)`. Of equal strings the lowest id is found.
  template <class F>
  void index(F&& wanted) {
    reserve_slots();
    for (int32_t id = 0; id < size(); ++id) {
      if (wanted(id)) insert(id);
    }
  }

  int32_t size() const { return static_cast<int32_t>(ends_.size()) - 1; }
  std::string_view operator[](int32_t id) const {
    return {text_.data() + ends_[id], ends_[id + 1] - ends_[id]};
  }
  // The id of an indexed string, or -1.
  int32_t find(std::string_view text) const {
    const uint64_t key = key_of(text), hash = hash_of(key, text.size());
    if (!filter_.may_hold(hash)) return -1;
    for (size_t at = hash & mask_;; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      if (slot.id < 0) return -1;
      if (slot.key == key && slot.length == text.size() && (text.size() <= 8 || (*this)[slot.id] == text))
        return slot.id;
    }
  }

 private:
  struct Slot {
    uint64_t key;
    int32_t id = -1;
    uint32_t length;
  };
  void reserve_slots();
  void insert(int32_t id);

  template <class T>
  static uint64_t load(const char* p) {
    T value;
    std::memcpy(&value, p, sizeof value);
    return value;
  }
  // The string itself up to 8 bytes (given its length), else a hash.
  uint64_t key_of(std::string_view text) const {
    const char* p = text.data();
    const size_t n = text.size();
    if (n >= 8) return n == 8 ? load<uint64_t>(p) : long_key(p, n);
    if (n >= 4) return load<uint32_t>(p) | load<uint32_t>(p + n - 4) << 32;
    if (n == 0) return 0;
    return load<uint8_t>(p) | load<uint8_t>(p + n / 2) << 8 | load<uint8_t>(p + n - 1) << 16;
  }
  uint64_t long_key(const char* p, size_t n) const {
    uint64_t hash = n ^ seed_;
    for (size_t i = 0; i + 8 < n; i += 8) hash = mix(hash ^ load<uint64_t>(p + i));
    return mix(hash ^ load<uint64_t>(p + n - 8));
  }
  static uint64_t mix(uint64_t x) {
    const auto product = static_cast<unsigned __int128>(x) * 0x9e3779b97f4a7c15u;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
  uint64_t hash_of(uint64_t key, size_t length) const { return mix(key ^ seed_ ^ length << 56); }

  uint64_t seed_ = hash_seed();
  std::string text_;
  std::vector<uint32_t> ends_ = {0};  // string i is [ends_[i], ends_[i + 1])
  std::vector<Slot> slots_;
  size_t mask_ = 0;
  HashFilter filter_;
};

}  // namespace intarsia
