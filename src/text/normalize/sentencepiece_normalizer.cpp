#include "text/normalize/sentencepiece_normalizer.h"

#include "text/unicode/unicode.h"

namespace intarsia {

namespace {

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

}  // namespace

SentencePieceNormalizer::SentencePieceNormalizer(SentencePieceRules rules)
    : rules_(std::move(rules)), space_(rules_.escape_whitespaces ? space_mark : " ") {
  std::vector<std::pair<std::string_view, int32_t>> kept;
  kept.reserve(rules_.kept.size());
  for (const std::string& symbol : rules_.kept) kept.emplace_back(symbol, 0);
  if (!kept.empty()) kept_ = Trie(std::move(kept), "tokenizer");
  for (int byte = 0; byte < 256; ++byte)
    plain_[byte] = byte != ' ' && stands_for_itself(static_cast<char>(byte));
  plain_space_ = stands_for_itself(' ');
}

std::string SentencePieceNormalizer::operator()(std::string_view text) const {
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

// Of an ASCII byte whether no rule is about it, or begins with it and another one: then it stays as it is
// before any ASCII byte. (Before others it may be a letter that a mark changes.) Of another byte whether no
// rule begins with it: then the character that it starts stays.
bool SentencePieceNormalizer::stands_for_itself(char byte) const {
  if (kept_.find({&byte, 1}) != Trie::none || rules_.map->longest({&byte, 1}).length > 0) return false;
  if (!is_ascii(byte)) return !rules_.map->begins({&byte, 1});
  for (int next = 0; next < 128; ++next) {
    const char two[] = {byte, static_cast<char>(next)};
    if (rules_.map->begins({two, 2})) return false;
  }
  return true;
}

size_t SentencePieceNormalizer::plain_run(std::string_view text) const {
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

SentencePieceNormalizer::Part SentencePieceNormalizer::next(std::string_view text) const {
  if (const size_t length = kept_.longest(text).length; length > 0) return {length, text.substr(0, length)};
  if (const auto found = rules_.map->longest(text); found.length > 0) return {found.length, found.text};
  const size_t length = valid_character_length(text);
  if (length == 0) return {1, "\xef\xbf\xbd"};
  return {length, text.substr(0, length)};
}

void SentencePieceNormalizer::append(std::string_view text, std::string& out) const {
  for (const char c : text) {
    if (c == ' ') {
      out += space_;
    } else {
      out += c;
    }
  }
}

TextStep sentencepiece_step(std::shared_ptr<const SentencePieceNormalizer> normalizer) {
  return [normalizer = std::move(normalizer)](const std::string& text) { return (*normalizer)(text); };
}

}  // namespace intarsia
