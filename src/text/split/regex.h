// Patterns from outside, on PCRE2 with bounded work.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "text/split/splitter.h"

namespace intarsia {

class Regex final : public Matcher {
 public:
  // `pattern` as Hugging Face's tokenizers (Oniguruma) reads it; `literal`: a plain string. What the two
  // engines would read differently is refused. Errors name the pattern and the place.
  Regex(std::string_view pattern, bool literal);
  ~Regex() override;
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;

  // Throws when the pattern takes too many steps on this text.
  Match find(std::string_view text, size_t from) const override;
  const std::string& pattern() const { return pattern_; }

 private:
  std::string pattern_;
  void* code_ = nullptr;
  void* context_ = nullptr;
  mutable std::atomic<void*> spare_{nullptr};  // room for offsets, used again by the next call
};

}  // namespace intarsia
