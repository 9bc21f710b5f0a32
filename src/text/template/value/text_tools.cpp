#include "text/template/value/text_tools.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "core/fail.h"
#include "text/template/value/unicode_text.h"

namespace intarsia::jinja {

Text stripped(const Text& text, Side side, const Text* set) {
  const std::string_view bytes = text.view();
  const auto dropped = [&](const Letter& letter, size_t at) {
    if (!set) return is_space(letter.code);
    const std::string_view character = bytes.substr(at, letter.size);
    for (size_t i = 0; i < set->size(); i += letter_at(set->view(), i).size)
      if (set->view().substr(i, letter_at(set->view(), i).size) == character) return true;
    return false;
  };
  size_t begin = 0, end = bytes.size();
  while (side != Side::right && begin < end) {
    const Letter letter = letter_at(bytes, begin);
    if (!dropped(letter, begin)) break;
    begin += letter.size;
  }
  while (side != Side::left && begin < end) {
    size_t start = end - 1;
    while (start > begin && end - start < 4 && (static_cast<unsigned char>(bytes[start]) & 0xc0) == 0x80)
      --start;
    Letter letter = letter_at(bytes, start);
    if (letter.size != end - start) {
      start = end - 1;  // a stray byte
      letter = {0xfffd, 1};
    }
    if (!dropped(letter, start)) break;
    end = start;
  }
  return text.part(begin, end);
}

Text replaced(Runtime& runtime, const Text& text, const Text& from, const Text& to, int64_t most) {
  runtime.work(text.size() / 16);
  Text out;
  size_t done = 0;
  const auto put = [&](size_t at) {
    runtime.work(1 + to.size() / 16);
    if (out.size() + to.size() > (size_t{1} << 26)) fail("replace: the text is too long");
    out.add(text, done, at);
    out.add(to);
    done = at + from.size();
  };
  if (from.empty()) {
    // Before every letter, and at the end.
    for (size_t at = 0; most != 0 && at <= text.size(); --most) {
      put(at);
      if (at == text.size()) break;
      at += letter_at(text.view(), at).size;
    }
  } else {
    for (size_t at; most != 0 && (at = text.view().find(from.view(), done)) != std::string_view::npos; --most)
      put(at);
  }
  out.add(text, done, text.size());
  return out;
}

Text padded(Runtime& runtime, const Text& text, int64_t width, Side text_at, const Text& fill) {
  if (count_letters(fill.view()) != 1) fail("the fill character must be exactly one character long");
  constexpr int64_t widest = 1 << 20;
  if (width > widest) fail("a text is padded to {} letters, expected at most {}", width, widest);
  const int64_t missing = std::max<int64_t>(0, width - static_cast<int64_t>(count_letters(text.view())));
  runtime.work(static_cast<size_t>(missing));
  // Python's center puts the odd letter to the left if the width is odd.
  const int64_t before = text_at == Side::left    ? 0
                         : text_at == Side::right ? missing
                                                  : missing / 2 + (missing & width & 1);
  Text out;
  for (int64_t i = 0; i < before; ++i) out.add(fill);
  out.add(text);
  for (int64_t i = before; i < missing; ++i) out.add(fill);
  return out;
}

namespace {

bool is_cased_at(std::string_view text, size_t at) {
  const uint32_t code = at < text.size() ? letter_at(text, at).code : 0;
  return is_upper(code) || is_lower(code) || is_titlecase(code);
}

}  // namespace

Text mapped(Runtime& runtime, const Text& text, const std::function<std::string(uint32_t, bool, bool)>& f) {
  runtime.work(text.size() / 4);
  Text out;
  bool behind_cased = false;
  for (size_t at = 0; at < text.size();) {
    const Letter letter = letter_at(text.view(), at);
    const bool stray = letter.size == 1 && letter.code == 0xfffd;
    if (stray)
      out.add(text, at, at + 1);
    else
      out.add(f(letter.code, behind_cased, is_cased_at(text.view(), at + letter.size)), text.foreign(at));
    behind_cased = is_cased_at(text.view(), at);
    at += letter.size;
  }
  return out;
}

Text upper(Runtime& runtime, const Text& text) {
  return mapped(runtime, text, [](uint32_t code, bool, bool) { return upper_of(code); });
}

Text lower(Runtime& runtime, const Text& text) {
  // A sigma at the end of a word has a form of its own (Unicode 15, 3.13, Final_Sigma).
  constexpr uint32_t sigma = 0x3a3;
  return mapped(runtime, text, [](uint32_t code, bool behind_cased, bool before_cased) {
    return code == sigma && behind_cased && !before_cased ? "\u03c2" : lower_of(code);
  });
}

Text capitalized(Runtime& runtime, const Text& text) {
  if (text.empty()) return text;
  const size_t first = letter_at(text.view(), 0).size;
  Text out = mapped(runtime, text.part(0, first), [](uint32_t code, bool, bool) { return title_of(code); });
  out.add(lower(runtime, text.part(first, text.size())));
  return out;
}

std::vector<Text> lines_of(const Text& text, bool keep_ends) {
  std::vector<Text> lines;
  size_t start = 0;
  for (size_t at = 0; at < text.size();) {
    const Letter letter = letter_at(text.view(), at);
    const uint32_t code = letter.code;
    const bool ends = (code >= 10 && code <= 13) || (code >= 0x1c && code <= 0x1e) || code == 0x85 ||
                      code == 0x2028 || code == 0x2029;
    size_t next = at + letter.size;
    if (ends) {
      if (code == '\r' && next < text.size() && text[next] == '\n') ++next;
      lines.push_back(text.part(start, keep_ends ? next : at));
      start = next;
    }
    at = next;
  }
  if (start < text.size()) lines.push_back(text.part(start, text.size()));
  return lines;
}

namespace {

// Digits with single underscores between them, without these; nothing if they stand elsewhere.
std::optional<std::string> without_underscores(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
      continue;
    }
    const bool between = i > 0 && i + 1 < text.size() &&
                         std::isalnum(static_cast<unsigned char>(text[i - 1])) &&
                         std::isalnum(static_cast<unsigned char>(text[i + 1]));
    if (!between) return std::nullopt;
  }
  return out;
}

std::string_view trimmed(std::string_view text) {
  text.remove_prefix(leading_space(text));
  text.remove_suffix(trailing_space(text));
  return text;
}

}  // namespace

std::optional<int64_t> parse_integer(std::string_view text, int base) {
  text = trimmed(text);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.size() > 2 && text[0] == '0') {
    const char letter = static_cast<char>(text[1] | 0x20);
    const int named = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (named && (named == base || base == 0)) {
      text.remove_prefix(2);
      base = named;
    }
  }
  if (base == 0) base = 10;
  const auto digits = without_underscores(text);
  if (!digits || digits->empty() || (*digits)[0] == '-') return std::nullopt;
  int64_t value = 0;
  const std::string number = (negative ? "-" : "") + *digits;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value, base);
  if (end != number.data() + number.size()) return std::nullopt;
  if (error == std::errc::result_out_of_range)
    fail("the integer {} does not fit into 64 bits", number.substr(0, 40));
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

std::optional<double> parse_number(std::string_view text) {
  text = trimmed(text);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty() || text[0] == '-' || text[0] == '+') return std::nullopt;
  std::string lowered;
  for (const char c : text) lowered += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  double value = 0;
  if (lowered == "inf" || lowered == "infinity") {
    value = std::numeric_limits<double>::infinity();
  } else if (lowered == "nan") {
    value = std::numeric_limits<double>::quiet_NaN();
  } else {
    if (lowered.find_first_not_of("0123456789._e+-") != lowered.npos) return std::nullopt;
    const auto digits = without_underscores(lowered);
    if (!digits) return std::nullopt;
    const auto [end, error] = std::from_chars(digits->data(), digits->data() + digits->size(), value);
    if (end != digits->data() + digits->size()) return std::nullopt;
    if (error == std::errc::result_out_of_range) {
      // Python gives infinity, or zero.
      const size_t exponent = digits->find('e');
      const bool small = exponent != digits->npos && (*digits)[exponent + 1] == '-';
      value = small ? 0 : std::numeric_limits<double>::infinity();
    } else if (error != std::errc()) {
      return std::nullopt;
    }
  }
  return negative ? -value : value;
}

Text joined(Runtime& runtime, const Text& between, const std::vector<Text>& parts) {
  Text out;
  for (size_t i = 0; i < parts.size(); ++i) {
    runtime.work(1 + (between.size() + parts[i].size()) / 64);
    if (i) out.add(between);
    out.add(parts[i]);
  }
  return out;
}

}  // namespace intarsia::jinja
