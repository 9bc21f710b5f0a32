#include "text/split/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/fail.h"
#include "data/file.h"
#include "text/unicode/unicode.h"

namespace intarsia {

namespace {

constexpr size_t pattern_limit = 65536;
constexpr uint32_t step_limit = 5'000'000, heap_limit_kib = 32 << 10;

// White space of Unicode, which PCRE2's \s is not quite (it also takes U+180E).
constexpr std::string_view space_ranges =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view no_space_ranges =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";
constexpr std::string_view word_properties = R"(\p{L}\p{M}\p{N}\p{Pc})";

// Rewrites a pattern of Oniguruma (Ruby's dialect) for PCRE2 and refuses what would mean something else
// there.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        escape();
      } else if (in_class_) {
        if (c == '[' || rest().starts_with("&&")) refuse(rest().substr(0, 2));
        if (c == ']') in_class_ = false;
        copy(1);
      } else if (c == '[') {
        open_class();
      } else if (c == '{') {
        quantifier();
      } else if (c == '(') {
        group();
      } else {
        copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  std::string_view rest() const { return pattern_.substr(at_); }
  void copy(size_t count) {
    out_ += pattern_.substr(at_, count);
    at_ += count;
  }
  [[noreturn]] void refuse(std::string_view what) const {
    fail("pattern {}: {} at byte {} is not supported", quote(pattern_), quote(what), at_);
  }
  // What stands for an escape: its members, for inside or outside of a class.
  void members(std::string_view ranges, bool negated = false) {
    if (in_class_) {
      out_ += ranges;
    } else {
      out_ += negated ? "[^" : "[";
      out_ += ranges;
      out_ += ']';
    }
    at_ += 2;
  }
  void escape() {
    if (rest().size() < 2) refuse("\\");
    const char c = pattern_[at_ + 1];
    if (c == 's') return members(space_ranges);
    if (c == 'S') return members(no_space_ranges);
    if (c == 'w') return members(word_properties);
    if (c == 'W' && !in_class_) return members(word_properties, true);
    if (c == 'p' || c == 'P') return property();
    if (c == 'v') {
      out_ += "\\x{b}";
      at_ += 2;
      return;
    }
    if (c == 'u' && rest().size() >= 6) {
      out_ += fmt::format("\\x{{{}}}", pattern_.substr(at_ + 2, 4));
      at_ += 6;
      return;
    }
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter && std::string_view("adeDfnrtxAzZ").find(c) == std::string_view::npos)
      refuse(rest().substr(0, 2));
    copy(2);
  }
  // A script's name means its script in Oniguruma, its script extensions in PCRE2.
  void property() {
    const size_t end = pattern_.find('}', at_);
    if (rest().size() < 4 || rest()[2] != '{' || end == std::string_view::npos) refuse(rest().substr(0, 3));
    std::string_view name = pattern_.substr(at_ + 3, end - at_ - 3);
    out_ += pattern_.substr(at_, 3);
    if (name.starts_with('^')) {
      out_ += '^';
      name.remove_prefix(1);
    }
    const bool category = name.size() <= 2 || name == "Any";
    if (!category) out_ += "sc:";
    out_ += name;
    out_ += '}';
    at_ = end + 1;
  }
  void open_class() {
    in_class_ = true;
    copy(1);
    if (rest().starts_with('^')) copy(1);
    if (rest().starts_with(']')) refuse("]");
  }
  // A plus behind {1,3} repeats it in Oniguruma, and makes it possessive in PCRE2.
  void quantifier() {
    size_t end = at_ + 1;
    while (end < pattern_.size() && (pattern_[end] == ',' || (pattern_[end] >= '0' && pattern_[end] <= '9')))
      ++end;
    if (end < pattern_.size() && pattern_[end] == '}') {
      const std::string_view whole = pattern_.substr(at_, end + 2 - at_);
      if (whole.back() == '+' || whole.starts_with("{,")) refuse(whole);
      copy(end + 1 - at_);
    } else {
      copy(1);
    }
  }
  void group() {
    if (rest().starts_with("(*")) refuse("(*");
    if (rest().starts_with("(?")) {
      // The options i and x, and (?: (?= (?! (?<= (?<! (?> mean the same; m and s do not.
      for (size_t i = 2; i < rest().size() && i < 8; ++i) {
        const char c = rest()[i];
        if (c == ':' || c == ')' || c == '=' || c == '!' || c == '>') break;
        if (c != 'i' && c != 'x' && c != '-' && c != '<') refuse(rest().substr(0, i + 1));
      }
    }
    copy(1);
  }

  std::string_view pattern_;
  std::string out_;
  size_t at_ = 0;
  bool in_class_ = false;
};

struct MatchDataDeleter {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

// One pair of offsets for a call: what the last call left, or fresh. No thread keeps one of its own: what a
// thread destroys at its end would keep the library loaded until then.
class MatchData {
 public:
  explicit MatchData(std::atomic<void*>& spare)
      : spare_(spare), data_(static_cast<pcre2_match_data*>(spare.exchange(nullptr))) {
    if (!data_) data_.reset(pcre2_match_data_create(1, nullptr));
    if (!data_) fail("pattern: out of memory");
  }
  ~MatchData() { data_.reset(static_cast<pcre2_match_data*>(spare_.exchange(data_.release()))); }
  MatchData(const MatchData&) = delete;
  MatchData& operator=(const MatchData&) = delete;
  pcre2_match_data* get() const { return data_.get(); }

 private:
  std::atomic<void*>& spare_;
  std::unique_ptr<pcre2_match_data, MatchDataDeleter> data_;
};

std::string message_of(int code) {
  PCRE2_UCHAR text[160];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

Regex::Regex(std::string_view pattern, bool literal) : pattern_(pattern) {
  if (pattern.empty()) fail("pattern: is empty, expected a regular expression or a string");
  if (pattern.size() > pattern_limit)
    fail("pattern: has {} bytes, expected at most {}", pattern.size(), pattern_limit);
  uint32_t options = PCRE2_UTF;
  // ^ and $ are those of lines in Oniguruma.
  options |= literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  const std::string source = literal ? pattern_ : Translator(pattern).run();
  int code = 0;
  PCRE2_SIZE where = 0;
  auto* compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source.data()), source.size(), options, &code,
                                 &where, nullptr);
  if (!compiled)
    fail("pattern {}: {} (at byte {} of {})", quote(pattern), message_of(code), where, quote(source, 200));
  code_ = compiled;
  auto* context = pcre2_match_context_create(nullptr);
  if (!context) {
    pcre2_code_free(compiled);
    fail("pattern: out of memory");
  }
  pcre2_set_match_limit(context, step_limit);
  pcre2_set_heap_limit(context, heap_limit_kib);
  context_ = context;
  pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);  // where it fails, the interpreter runs
}

Regex::~Regex() {
  pcre2_match_data_free(static_cast<pcre2_match_data*>(spare_.load()));
  pcre2_match_context_free(static_cast<pcre2_match_context*>(context_));
  pcre2_code_free(static_cast<pcre2_code*>(code_));
}

Matcher::Match Regex::find(std::string_view text, size_t from) const {
  const auto* code = static_cast<const pcre2_code*>(code_);
  auto* context = static_cast<pcre2_match_context*>(context_);
  const MatchData room(spare_);
  pcre2_match_data* data = room.get();
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
  int result = pcre2_match(code, subject, text.size(), from, options, data, context);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT)
    result = pcre2_match(code, subject, text.size(), from, options | PCRE2_NO_JIT, data, context);
  if (result == PCRE2_ERROR_NOMATCH) return {text.size(), text.size()};
  if (result < 0)
    fail("pattern {}: {}, on a text of {} bytes", quote(pattern_), message_of(result), text.size());
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data);
  // \K is refused, and nothing else makes an empty or backward match here.
  if (offsets[1] <= offsets[0] || offsets[0] < from)
    fail("pattern {}: makes an empty match", quote(pattern_));
  return {offsets[0], offsets[1]};
}

}  // namespace intarsia
