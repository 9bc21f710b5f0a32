#include "text/normalize/characters_map.h"

#include <algorithm>
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

namespace {

class SentencePieceNormalizer {
 public:
  explicit SentencePieceNormalizer(SentencePieceRules rules)
      : rules_(std::move(rules)), space_(rules_.escape_whitespaces ? space_mark : " ") {
    std::vector<std::pair<std::string_view, int32_t>> kept;
    kept.reserve(rules_.kept.size());
    for (const std::string& symbol : rules_.kept) kept.emplace_back(symbol, 0);
    if (!kept.empty()) kept_ = Trie(std::move(kept), "tokenizer");
    for (int byte = 0; byte < 256; ++byte)
      plain_[byte] = byte != ' ' && stands_for_itself(static_cast<char>(byte));
    plain_space_ = stands_for_itself(' ');
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
      if (text[0] == ' ' && plain_space_ && text.size() > 1 && is_ascii(text[1])) {
        if (!after_space) out += space_;
        after_space = squeeze;
        text.remove_prefix(1);
        continue;
      }
      if (const size_t length = plain_run(text); length > 0) {
        out += text.substr(0, length);
        text.remove_prefix(length);
        after_space = false;
        continue;
      }
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
  static bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }
  // Of an ASCII byte whether no rule is about it, or begins with it and another one: then it stays as it is
  // before any ASCII byte. (Before others it may be a letter that a mark changes.) Of another byte whether no
  // rule begins with it: then the character that it starts stays.
  bool stands_for_itself(char byte) const {
    if (kept_.find({&byte, 1}) != Trie::none || rules_.map->longest({&byte, 1}).length > 0) return false;
    if (!is_ascii(byte)) return !rules_.map->begins({&byte, 1});
    for (int next = 0; next < 128; ++next) {
      const char two[] = {byte, static_cast<char>(next)};
      if (rules_.map->begins({two, 2})) return false;
    }
    return true;
  }
  // The bytes at the start that stay as they are.
  size_t plain_run(std::string_view text) const {
    const auto is_plain = [&](size_t at) { return plain_[static_cast<unsigned char>(text[at])]; };
    size_t end = 0;
    while (end < text.size() && !is_ascii(text[end]) && is_plain(end)) {
      const size_t length = valid_character_length(text.substr(end));
      if (length == 0) break;
      end += length;
    }
    if (end > 0) return end;
    while (end < text.size() && is_ascii(text[end]) && is_plain(end)) ++end;
    const bool before_ascii = end == text.size() || is_ascii(text[end]);
    return end == 0 || before_ascii ? end : end - 1;
  }
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
  bool plain_[256] = {}, plain_space_ = false;
};

}  // namespace

TextStep sentencepiece_step(SentencePieceRules rules) {
  return [normalizer = std::make_shared<const SentencePieceNormalizer>(std::move(rules))](
             const std::string& text) { return (*normalizer)(text); };
}

}  // namespace intarsia
