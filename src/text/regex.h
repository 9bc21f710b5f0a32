// Patterns from outside, on PCRE2 with bounded work.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "text/splitter.h"

namespace intarsia {

class Regex {
 public:
  // `pattern` as Hugging Face's tokenizers (Oniguruma) reads it; `literal`: a plain string. What the two
  // engines would read differently is refused. Errors name the pattern and the place.
  Regex(std::string_view pattern, bool literal);
  ~Regex();
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;

  struct Match {
    size_t begin, end;
  };
  // The first non-empty match in `text` (valid UTF-8) at or after `from`; begin = end = text.size() if there
  // is none. Throws when the pattern takes too many steps on this text.
  Match find(std::string_view text, size_t from) const;
  const std::string& pattern() const { return pattern_; }

 private:
  std::string pattern_;
  void* code_ = nullptr;
  void* context_ = nullptr;
};

// What becomes of the matches: as in `tokenizers`' Split.
enum class SplitBehavior { isolated, removed, merged_with_previous, merged_with_next, contiguous };

// Cuts at the matches of `regex`; `invert`: what lies between matches counts as the match.
std::shared_ptr<const Splitter> regex_splitter(std::shared_ptr<const Regex> regex, SplitBehavior behavior,
                                               bool invert);

}  // namespace intarsia
