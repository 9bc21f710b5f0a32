#include "text/split/splitter.h"
#include "text/unicode/unicode.h"

namespace intarsia {

namespace {

class MatchSplitter final : public Splitter {
 public:
  MatchSplitter(std::shared_ptr<const Matcher> matcher, SplitBehavior behavior, bool invert)
      : matcher_(std::move(matcher)), behavior_(behavior), invert_(invert) {}

  Piece next(std::string_view text, size_t begin) const override {
    const Part part = part_at(text, begin);
    switch (behavior_) {
      case SplitBehavior::isolated:
        return {part.end};
      case SplitBehavior::removed:
        return {part.end, !part.matched};
      case SplitBehavior::merged_with_previous: {
        // A match joins what comes before it; behind another match it stands alone.
        if (part.matched || part.end == text.size()) return {part.end};
        const Part following = part_at(text, part.end);
        return {following.matched ? following.end : part.end};
      }
      case SplitBehavior::merged_with_next: {
        if (!part.matched || part.end == text.size()) return {part.end};
        const Part following = part_at(text, part.end);
        return {following.matched ? part.end : following.end};
      }
      case SplitBehavior::contiguous: {
        size_t end = part.end;
        while (end < text.size()) {
          const Part following = part_at(text, end);
          if (following.matched != part.matched) break;
          end = following.end;
        }
        return {end};
      }
    }
    return {part.end};
  }

 private:
  struct Part {
    size_t end;
    bool matched;
  };
  // The match that starts at `begin`, or what lies before the next one.
  Part part_at(std::string_view text, size_t begin) const {
    const Matcher::Match match = matcher_->find(text, begin);
    if (match.begin == begin) return {match.end, !invert_};
    return {match.begin, invert_};
  }
  std::shared_ptr<const Matcher> matcher_;
  SplitBehavior behavior_;
  bool invert_;
};

class CharacterMatcher final : public Matcher {
 public:
  explicit CharacterMatcher(bool (*is)(char32_t)) : is_(is) {}
  Match find(std::string_view text, size_t from) const override {
    while (from < text.size()) {
      const Character c = decode_character(text.data() + from);
      if (is_(c.code)) return {from, from + c.length};
      from += c.length;
    }
    return {from, from};
  }

 private:
  bool (*is_)(char32_t);
};

class WordMatcher final : public Matcher {
 public:
  Match find(std::string_view text, size_t from) const override {
    while (from < text.size() && kind(text, from) == Kind::space) from += length(text, from);
    size_t end = from;
    while (end < text.size() && kind(text, end) == kind(text, from)) end += length(text, end);
    return {from, end};
  }

 private:
  enum class Kind { space, word, other };
  static size_t length(std::string_view text, size_t at) { return decode_character(text.data() + at).length; }
  static Kind kind(std::string_view text, size_t at) {
    const char32_t code = decode_character(text.data() + at).code;
    if (is_word_character(code)) return Kind::word;
    return class_of(code) == CharacterClass::space ? Kind::space : Kind::other;
  }
};

}  // namespace

std::shared_ptr<const Matcher> character_matcher(bool (*is)(char32_t)) {
  return std::make_shared<CharacterMatcher>(is);
}

std::shared_ptr<const Matcher> word_matcher() { return std::make_shared<WordMatcher>(); }

std::shared_ptr<const Splitter> match_splitter(std::shared_ptr<const Matcher> matcher, SplitBehavior behavior,
                                               bool invert) {
  return std::make_shared<MatchSplitter>(std::move(matcher), behavior, invert);
}

}  // namespace intarsia
