#include "text/normalize/characters_map.h"

#include <cstring>

#include "core/fail.h"
#include "text/model/trie.h"
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

CharactersMap::Found CharactersMap::find(std::string_view text, bool first) const {
  // A unit: bits 0-7 and 31 the label (31: the unit is a value), 8 whether a value follows, 9 and 10-30 the
  // offset.
  const auto offset = [](uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); };
  Found found;
  if (units_.empty()) return found;
  uint32_t at = offset(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    at ^= byte;
    if (at >= units_.size()) break;
    const uint32_t unit = units_[at];
    if ((unit & (1u << 31 | 0xff)) != byte) break;
    at ^= offset(unit);
    if (!(unit >> 8 & 1)) continue;
    if (at >= units_.size()) break;
    const size_t value = units_[at] & 0x7fffffff;
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

namespace {

class SentencePieceNormalizer {
 public:
  explicit SentencePieceNormalizer(SentencePieceRules rules)
      : rules_(std::move(rules)), space_(rules_.escape_whitespaces ? space_mark : " ") {
    std::vector<std::pair<std::string_view, int32_t>> kept;
    for (const std::string& symbol : rules_.kept) kept.emplace_back(symbol, 0);
    if (!kept.empty()) kept_ = Trie(std::move(kept), "tokenizer");
  }

  std::string operator()(std::string_view text) const {
    std::string out;
    out.reserve(text.size() + text.size() / 4 + 8);
    const bool squeeze = rules_.remove_extra_whitespaces;
    while (squeeze && !text.empty()) {
      const Part part = next(text);
      if (part.text != " ") break;
      text.remove_prefix(part.length);
    }
    if (text.empty()) return out;
    if (rules_.add_dummy_prefix && !rules_.whitespace_as_suffix) out += space_;
    bool after_space = squeeze;
    while (!text.empty()) {
      Part part = next(text);
      text.remove_prefix(part.length);
      while (after_space && part.text.starts_with(' ')) part.text.remove_prefix(1);
      if (!part.text.empty()) {
        append(part.text, out);
        after_space = part.text.ends_with(' ');
      }
      if (!squeeze) after_space = false;
    }
    while (squeeze && out.ends_with(space_)) out.resize(out.size() - space_.size());
    if (rules_.add_dummy_prefix && rules_.whitespace_as_suffix) out += space_;
    return out;
  }

 private:
  struct Part {
    size_t length;  // of the input
    std::string_view text;
  };
  Part next(std::string_view text) const {
    if (const size_t length = kept_.longest(text).length; length > 0) return {length, text.substr(0, length)};
    if (const auto found = rules_.map->longest(text); found.length > 0) return {found.length, found.text};
    const size_t length = valid_character_length(text);
    if (length == 0) return {1, "\xef\xbf\xbd"};
    return {length, text.substr(0, length)};
  }
  void append(std::string_view text, std::string& out) const {
    for (const char c : text) {
      if (c == ' ') {
        out += space_;
      } else {
        out += c;
      }
    }
  }
  SentencePieceRules rules_;
  std::string_view space_;
  Trie kept_;
};

}  // namespace

TextStep sentencepiece_step(SentencePieceRules rules) {
  return [normalizer = std::make_shared<const SentencePieceNormalizer>(std::move(rules))](
             const std::string& text) { return (*normalizer)(text); };
}

}  // namespace intarsia
