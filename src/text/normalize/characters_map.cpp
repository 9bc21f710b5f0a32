#include "text/normalize/characters_map.h"

#include <algorithm>
#include <cstring>

#include "core/fail.h"
#include "text/unicode/unicode.h"

namespace intarsia {

CharactersMap::CharactersMap(std::string_view bytes, std::string_view name) {
  if (bytes.empty()) return;
  uint32_t size = 0;
  if (bytes.size() < sizeof size) fail("{}: the normalizer's map has {} bytes", name, bytes.size());
  std::memcpy(&size, bytes.data(), sizeof size);
  bytes.remove_prefix(sizeof size);
  if (size > bytes.size() || size % 4 != 0 || size == 0)
    fail("{}: the normalizer's map says that its index has {} bytes of {}", name, size, bytes.size());
  units_.resize(size / 4);
  std::memcpy(units_.data(), bytes.data(), size);
  texts_ = bytes.substr(size);
  if (texts_.empty() || texts_.back() != '\0') texts_ += '\0';
}

namespace {

// A unit: bits 0-7 and 31 the label (31: the unit is a value), 8 whether a value follows, 9 and 10-30 the
// offset.
uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }
bool has_value(uint32_t unit) { return (unit >> 8 & 1) != 0; }

}  // namespace

bool CharactersMap::step(size_t& at, unsigned char byte) const {
  const size_t next = (at ^ offset_of(units_[at])) ^ byte;
  if (next >= units_.size() || (units_[next] & (1u << 31 | 0xff)) != byte) return false;
  at = next;
  return true;
}

bool CharactersMap::begins(std::string_view text) const {
  size_t at = 0;
  return !units_.empty() && std::all_of(text.begin(), text.end(),
                                        [&](char c) { return step(at, static_cast<unsigned char>(c)); });
}

bool CharactersMap::goes_on_behind(std::string_view text) const {
  size_t at = 0;
  for (const char c : text) {
    if (units_.empty() || !step(at, static_cast<unsigned char>(c))) return false;
  }
  for (int byte = 1; byte < 256; ++byte) {
    size_t next = at;
    if (step(next, static_cast<unsigned char>(byte))) return true;
  }
  return false;
}

CharactersMap::Inside CharactersMap::inside() const {
  Inside found;
  if (units_.empty()) return found;
  constexpr uint32_t is_value = 1u << 31;
  // Where the children of the units are, but those of the root. (What is no unit of the tree may count, too.)
  std::vector<bool> bases(units_.size());
  for (size_t at = 1; at < units_.size(); ++at) {
    const size_t base = at ^ offset_of(units_[at]);
    if ((units_[at] & is_value) == 0 && base < bases.size()) bases[base] = true;
  }
  std::vector<uint32_t> walked(units_.size());
  for (size_t at = 1; at < units_.size(); ++at) {
    const uint32_t label = units_[at] & 0xff;
    const size_t base = at ^ label;
    if ((units_[at] & is_value) != 0 || label == 0 || base >= bases.size() || !bases[base]) continue;
    found.bytes.set(label);
    if ((label & 0xf0) != 0xe0) continue;
    // Once for each first byte, however many units lead to the same ones.
    const size_t below = at ^ offset_of(units_[at]);
    if (below >= units_.size() || (walked[below] >> (label & 15) & 1) != 0) continue;
    walked[below] |= 1u << (label & 15);
    for (unsigned second = 0x80; second < 0xc0; ++second) {
      size_t behind = at;
      if (!step(behind, static_cast<unsigned char>(second))) continue;
      for (unsigned third = 0x80; third < 0xc0; ++third) {
        size_t last = behind;
        if (!step(last, static_cast<unsigned char>(third))) continue;
        const char character[] = {static_cast<char>(label), static_cast<char>(second),
                                  static_cast<char>(third)};
        found.characters.set(place_of_three(character));
      }
    }
  }
  return found;
}

CharactersMap::Found CharactersMap::find(std::string_view text, bool first) const {
  Found found;
  if (units_.empty()) return found;
  size_t at = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!step(at, static_cast<unsigned char>(text[i]))) break;
    if (!has_value(units_[at])) continue;
    const size_t leaf = at ^ offset_of(units_[at]);
    if (leaf >= units_.size()) break;
    const size_t value = units_[leaf] & 0x7fffffff;
    if (value >= texts_.size()) break;
    found = {i + 1, texts_.c_str() + value};
    if (first) break;
  }
  return found;
}

TextStep precompiled_step(std::shared_ptr<const CharactersMap> map) {
  return [map](const std::string& text) {
    std::string out;
    std::string_view rest = text;
    while (!rest.empty()) {
      std::string_view valid = rest.substr(0, valid_utf8_prefix(rest));
      rest.remove_prefix(valid.size());
      while (!valid.empty()) {
        const std::string_view cluster = valid.substr(0, grapheme_length(valid));
        valid.remove_prefix(cluster.size());
        // A short cluster becomes what stands for the shortest string that it starts with: all of it.
        constexpr size_t short_cluster = 6;
        if (cluster.size() < short_cluster) {
          if (const auto found = map->shortest(cluster); found.length > 0) {
            out += found.text;
            continue;
          }
        }
        for_each_character(
            cluster,
            [&](char32_t, std::string_view bytes) {
              const auto found = map->shortest(bytes);
              out += found.length > 0 ? found.text : bytes;
            },
            [](std::string_view) {});
      }
      if (!rest.empty()) {
        out += rest[0];
        rest.remove_prefix(1);
      }
    }
    return out;
  };
}

}  // namespace intarsia
