#include "text/model/string_table.h"

#include <bit>
#include <limits>
#include <random>

#include "core/fail.h"

namespace intarsia {

uint64_t hash_seed() {
  static const uint64_t seed = [] {
    std::random_device device;
    return uint64_t{device()} << 32 | device();
  }();
  return seed;
}

void StringTable::push(std::string_view text) {
  if (text.size() > std::numeric_limits<uint32_t>::max() - text_.size())
    fail("vocabulary: its strings have more than 4 GiB");
  text_ += text;
  ends_.push_back(static_cast<uint32_t>(text_.size()));
}

void StringTable::reserve_slots() {
  const auto count = static_cast<size_t>(size());
  slots_.assign(std::bit_ceil(count + count / 2 + 2), Slot{});
  mask_ = slots_.size() - 1;
  filter_.reset(slots_.size());
}

void StringTable::insert(int32_t id) {
  const std::string_view text = (*this)[id];
  if (find(text) >= 0) return;
  const uint64_t key = key_of(text), hash = hash_of(key, text.size());
  filter_.add(hash);
  size_t at = hash & mask_;
  while (slots_[at].id >= 0) at = (at + 1) & mask_;
  slots_[at] = {key, id, static_cast<uint32_t>(text.size())};
}

}  // namespace intarsia
