// Tokens that are found in the text itself, before it is split: special tokens ("<|im_end|>") and others that
// were added to a vocabulary by hand.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace intarsia {

struct AddedToken {
  std::string text;
  int32_t id = 0;
  bool special = false;        // found only when special text is asked for
  bool single_word = false;    // not between or beside word characters
  bool lstrip = false;         // takes the white space before it
  bool rstrip = false;         // and behind it
  bool normalized = false;     // looked for in the normalized text
  bool as_normalized = false;  // and its own text is in that form already
};

inline AddedToken special_token(std::string_view text, int32_t id) {
  AddedToken token;
  token.text = text;
  token.id = id;
  token.special = true;
  return token;
}

// Where the text of special tokens becomes their ids: nowhere, everywhere, or outside of the stretches
// `plain`, [begin, end) in order.
struct SpecialText {
  bool wanted = false;
  std::span<const std::pair<size_t, size_t>> plain;
  bool allows(size_t begin, size_t end) const;
};

class AddedTokens {
 public:
  AddedTokens() = default;
  explicit AddedTokens(std::vector<AddedToken> tokens);
  bool empty() const { return tokens_.empty(); }

  // Cuts `text` at the tokens in it, the leftmost first, the longest of those that start together: calls
  // plain(std::string_view) for what lies between and token(int32_t id) for each, in order.
  template <class Plain, class Token>
  void split(std::string_view text, const SpecialText& special, Plain&& plain, Token&& token) const {
    size_t done = 0;
    for (Found found; find(text, done, special, found); done = found.end) {
      if (found.begin > done) plain(text.substr(done, found.begin - done));
      token(found.id);
    }
    if (done < text.size()) plain(text.substr(done));
  }

 private:
  struct Found {
    size_t begin, end;
    int32_t id;
  };
  bool find(std::string_view text, size_t from, const SpecialText& special, Found& found) const;
  const AddedToken* longest_at(std::string_view text, size_t at, const SpecialText& special) const;

  std::vector<AddedToken> tokens_;  // sorted by text
  bool starts_[256] = {};           // first bytes
  int only_start_ = -1;             // the first byte, if all have the same
};

}  // namespace intarsia
