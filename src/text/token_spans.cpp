#include "text/token_spans.h"

#include <algorithm>

namespace intarsia {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 0x20) : c; }

bool same_letters(std::string_view text, size_t at, std::string_view token) {
  if (at + token.size() > text.size()) return false;
  return std::equal(token.begin(), token.end(), text.begin() + static_cast<std::ptrdiff_t>(at),
                    [](char a, char b) { return lower(a) == lower(b); });
}

}  // namespace

std::vector<TokenSpan> token_spans(const Tokenizer& tokenizer, std::string_view text,
                                   std::span<const int32_t> ids) {
  // How far ahead a token is looked for, behind some that were not found.
  constexpr size_t window = 64;
  std::vector<TokenSpan> spans(ids.size());
  std::vector<bool> found(ids.size());
  size_t done = 0;
  bool lost = false;  // the token before was not found, so that bytes may be skipped
  for (size_t i = 0; i < ids.size(); ++i) {
    std::string_view token = tokenizer.bytes(ids[i], true);
    size_t at = done;
    bool matches = !token.empty() && same_letters(text, at, token);
    if (!matches) {
      // A space that the tokenizer put there, or one of the text's that it left out.
      while (token.starts_with(' ')) token.remove_prefix(1);
      while (at < text.size() && (text[at] == ' ' || text[at] == '\n' || text[at] == '\t')) ++at;
      matches = !token.empty() && same_letters(text, at, token);
    }
    for (size_t skip = 1; !matches && lost && !token.empty() && skip <= window; ++skip)
      matches = same_letters(text, at + skip, token) && (at += skip, true);
    lost = !matches;
    if (!matches) continue;
    spans[i] = {at, at + token.size()};
    found[i] = true;
    done = at + token.size();
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    if (found[i]) continue;
    const size_t begin = i == 0 ? 0 : spans[i - 1].end;
    size_t next = i + 1;
    while (next < ids.size() && !found[next]) ++next;
    spans[i] = {begin, next < ids.size() ? spans[next].begin : text.size()};
  }
  return spans;
}

}  // namespace intarsia
