#include "text/normalize/normalizer.h"

#include "text/unicode/unicode.h"

namespace intarsia {

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  size_t at = 0;
  for (size_t found; (found = text.find(from, at)) != std::string_view::npos; at = found + from.size()) {
    out.append(text.substr(at, found - at));
    out.append(to);
  }
  out.append(text.substr(at));
  return out;
}

std::string Normalizer::operator()(std::string_view text) const {
  std::string out(text);
  for (const TextStep& step : steps_) out = step(std::move(out));
  return out;
}

namespace {

// The characters for which keep(code) says so; broken bytes stay.
template <class Keep>
std::string filtered(std::string_view text, Keep&& keep) {
  std::string out;
  out.reserve(text.size());
  for_each_character(
      text,
      [&](char32_t code, std::string_view bytes) {
        if (keep(code)) out += bytes;
      },
      [&](std::string_view byte) { out += byte; });
  return out;
}

bool is_ideograph(char32_t code) {
  // The fifth range starts at 2B920, not 2B820, in `tokenizers`.
  return (code >= 0x4e00 && code <= 0x9fff) || (code >= 0x3400 && code <= 0x4dbf) ||
         (code >= 0x20000 && code <= 0x2a6df) || (code >= 0x2a700 && code <= 0x2b73f) ||
         (code >= 0x2b740 && code <= 0x2b81f) || (code >= 0x2b920 && code <= 0x2ceaf) ||
         (code >= 0xf900 && code <= 0xfaff) || (code >= 0x2f800 && code <= 0x2fa1f);
}

// A nonspacing mark in the older Unicode of `tokenizers`; these five have another category since.
bool is_accent(char32_t code) {
  if (code == 0x1885 || code == 0x1886 || code == 0xa9bd) return false;
  return code == 0x1734 || code == 0x1171e || category_of(code) == Category::Mn;
}

std::string clean(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_character(
      text,
      [&](char32_t code, std::string_view bytes) {
        const Category category = category_of(code);
        const bool break_or_tab = code == '\t' || code == '\n' || code == '\r';
        const bool control = category == Category::Cc || category == Category::Cf || category == Category::Co;
        if (code == 0 || code == 0xfffd || (control && !break_or_tab)) return;
        if (class_of(code) == CharacterClass::space) {
          out += ' ';
        } else {
          out += bytes;
        }
      },
      [&](std::string_view byte) { out += byte; });
  return out;
}

std::string spaced_ideographs(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_character(
      text,
      [&](char32_t code, std::string_view bytes) {
        const bool alone = is_ideograph(code);
        if (alone) out += ' ';
        out += bytes;
        if (alone) out += ' ';
      },
      [&](std::string_view byte) { out += byte; });
  return out;
}

}  // namespace

bool is_bert_punctuation(char32_t code) {
  const Category category = category_of(code);
  return is_punctuation(category) || (code < 0x80 && is_symbol(category));
}

TextStep bert_step(const BertOptions& options) {
  return [options](std::string text) {
    if (options.clean_text) text = clean(text);
    if (options.handle_chinese_chars) text = spaced_ideographs(text);
    if (options.strip_accents) {
      text = to_normal_form(text, NormalForm::d);
      text = filtered(text, [](char32_t code) { return !is_accent(code); });
    }
    if (options.lowercase) text = to_lower(text);
    return text;
  };
}

TextStep strip_accents_step() {
  return [](const std::string& text) {
    return filtered(text, [](char32_t code) { return !is_mark(category_of(code)); });
  };
}

TextStep nmt_step() {
  return [](const std::string& text) {
    std::string out;
    for_each_character(
        text,
        [&](char32_t code, std::string_view bytes) {
          const bool dropped = (code >= 1 && code <= 8) || code == 0xb || (code >= 0xe && code <= 0x1f) ||
                               code == 0x7f || code == 0x8f || code == 0x9f;
          if (dropped) return;
          const bool space = code == 9 || code == 0xa || code == 0xc || code == 0xd || code == 0x1680 ||
                             (code >= 0x200b && code <= 0x200f) || code == 0x2028 || code == 0x2029 ||
                             code == 0x2581 || code == 0xfeff || code == 0xfffd;
          if (space) {
            out += ' ';
          } else {
            out += bytes;
          }
        },
        [&](std::string_view byte) { out += byte; });
    return out;
  };
}

TextStep strip_step(bool left, bool right) {
  return [=](const std::string& text) {
    size_t begin = text.size(), end = 0, at = 0;
    for_each_character(
        text,
        [&](char32_t code, std::string_view bytes) {
          if (class_of(code) != CharacterClass::space) {
            begin = std::min(begin, at);
            end = at + bytes.size();
          }
          at += bytes.size();
        },
        [&](std::string_view) {
          begin = std::min(begin, at);
          end = ++at;
        });
    if (!left) begin = 0;
    if (!right) end = text.size();
    return begin < end ? text.substr(begin, end - begin) : std::string();
  };
}

}  // namespace intarsia
