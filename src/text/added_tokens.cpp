#include "text/added_tokens.h"

#include <algorithm>

#include "text/unicode/unicode.h"

namespace intarsia {

namespace {

// The start of the last character of `text`, which is not empty.
size_t last_character(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && text.size() - at < 4 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return at;
}

bool starts_with_word(std::string_view text) {
  return valid_utf8_prefix(text.substr(0, 4)) > 0 && is_word_character(decode_character(text.data()).code);
}

bool ends_with_word(std::string_view text) {
  return !text.empty() && starts_with_word(text.substr(last_character(text)));
}

bool starts_with_space(std::string_view text) {
  return valid_utf8_prefix(text.substr(0, 4)) > 0 &&
         class_of(decode_character(text.data()).code) == CharacterClass::space;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::erase_if(tokens_, [](const AddedToken& token) { return token.text.empty(); });
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [](const auto& a, const auto& b) { return a.text < b.text; });
  for (const AddedToken& token : tokens_) {
    const auto first = static_cast<unsigned char>(token.text[0]);
    starts_[first] = true;
    only_start_ = first;
  }
  if (std::count(std::begin(starts_), std::end(starts_), true) != 1) only_start_ = -1;
}

bool SpecialText::allows(size_t begin, size_t end) const {
  if (!wanted) return false;
  // The first stretch that ends behind `begin` must not have begun before `end`.
  const auto next =
      std::partition_point(plain.begin(), plain.end(), [&](const auto& p) { return p.second <= begin; });
  return next == plain.end() || next->first >= end;
}

const AddedToken* AddedTokens::longest_at(std::string_view text, size_t at,
                                          const SpecialText& special) const {
  // The tokens that agree with the text so far are a range that narrows byte by byte.
  auto low = tokens_.begin(), high = tokens_.end();
  const AddedToken* longest = nullptr;
  for (size_t depth = 0; at + depth < text.size(); ++depth) {
    const auto byte_of = [&](const AddedToken& token) {
      return depth < token.text.size() ? static_cast<unsigned char>(token.text[depth]) : -1;
    };
    const int wanted = static_cast<unsigned char>(text[at + depth]);
    low = std::partition_point(low, high, [&](const AddedToken& token) { return byte_of(token) < wanted; });
    high = std::partition_point(low, high, [&](const AddedToken& token) { return byte_of(token) == wanted; });
    if (low == high) break;
    const bool ends = low->text.size() == depth + 1;
    if (ends && (!low->special || special.allows(at, at + depth + 1))) longest = &*low;
  }
  return longest;
}

bool AddedTokens::find(std::string_view text, size_t from, const SpecialText& special, Found& found) const {
  if (tokens_.empty()) return false;
  for (size_t at = from; at < text.size(); ++at) {
    if (only_start_ >= 0) {
      at = text.find(static_cast<char>(only_start_), at);
      if (at == std::string_view::npos) return false;
    } else if (!starts_[static_cast<unsigned char>(text[at])]) {
      continue;
    }
    const AddedToken* token = longest_at(text, at, special);
    if (!token) continue;
    size_t begin = at, end = at + token->text.size();
    if (token->single_word && (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) {
      at = end - 1;
      continue;
    }
    while (token->lstrip && begin > from) {
      const size_t last = last_character(text.substr(0, begin));
      if (last < from || !starts_with_space(text.substr(last, begin - last))) break;
      begin = last;
    }
    while (token->rstrip && starts_with_space(text.substr(end)))
      end += decode_character(text.data() + end).length;
    found = {begin, end, token->id};
    return true;
  }
  return false;
}

}  // namespace intarsia
