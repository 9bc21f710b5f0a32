// printf-style formatting (str % values) and str.format.
#include <algorithm>
#include <cmath>

#include "core/fail.h"
#include "data/file.h"
#include "text/template/python.h"
#include "text/template/value/text_tools.h"
#include "text/template/value/unicode_text.h"

namespace intarsia::jinja {

namespace {

constexpr int64_t widest = 1000;

// How a value is laid out: [[fill]align][sign][#][0][width][,][.precision][type] in both notations.
struct Layout {
  std::string fill = " ";
  char align = '\0';  // < > ^ =, or by type
  char sign = '-';    // - + or space
  bool alternative = false, zeros = false;
  char grouping = '\0';
  int64_t width = 0, precision = -1;
  char type = '\0';
};

std::string grouped(std::string digits, char separator) {
  const size_t end = std::min(digits.find_first_not_of("0123456789"), digits.size());
  for (size_t at = end; at > 3; at -= 3) digits.insert(at - 3, 1, separator);
  return digits;
}

// The digits of a number without its sign.
std::string digits_of(const Value& value, const Layout& layout) {
  std::string type(1, layout.type);
  const auto whole = value.integer();
  if (whole &&
      (layout.type == '\0' || std::string_view("dxXob").find(layout.type) != std::string_view::npos)) {
    const uint64_t size = *whole < 0 ? 0 - static_cast<uint64_t>(*whole) : static_cast<uint64_t>(*whole);
    std::string prefix;
    if (layout.alternative && layout.type != 'd' && layout.type) prefix = std::string("0") + layout.type;
    if (layout.type == 'x') return prefix + fmt::format("{:x}", size);
    if (layout.type == 'X') return prefix + fmt::format("{:X}", size);
    if (layout.type == 'o') return prefix + fmt::format("{:o}", size);
    if (layout.type == 'b') return prefix + fmt::format("{:b}", size);
    return fmt::format("{}", size);
  }
  const double number = std::abs(value.number().value_or(0));
  if (layout.type == '\0' && layout.precision < 0) return number_text(number);
  if (!std::isfinite(number)) return std::isnan(number) ? "nan" : "inf";
  const int64_t precision = layout.precision < 0 ? 6 : layout.precision;
  const std::string alternative = layout.alternative ? "#" : "";
  switch (layout.type) {
    case 'e':
      return fmt::format("{:.{}e}", number, precision);
    case 'E':
      return fmt::format("{:.{}E}", number, precision);
    case 'f':
    case 'F':
      return fmt::format("{:.{}f}", number, precision);
    case 'g':
      return fmt::format("{:.{}g}", number, precision);
    case 'G':
      return fmt::format("{:.{}G}", number, precision);
    case '%':
      return fmt::format("{:.{}f}%", number * 100, precision);
    default:
      fail("format: the type {} does not fit a {}", quote(type), value.type_name());
  }
}

bool is_negative(const Value& value) {
  if (const auto whole = value.integer()) return *whole < 0;
  const double number = value.number().value_or(0);
  return std::signbit(number) && !std::isnan(number);
}

void put(Runtime& runtime, Text& out, const Text& text, const Layout& layout, char align) {
  const int64_t missing =
      std::max<int64_t>(0, layout.width - static_cast<int64_t>(count_letters(text.view())));
  runtime.work(static_cast<size_t>(missing) / 16 + 1);
  if (layout.align) align = layout.align;
  const int64_t before = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  for (int64_t i = 0; i < before; ++i) out.add(layout.fill);
  out.add(text);
  for (int64_t i = before; i < missing; ++i) out.add(layout.fill);
}

void put_number(Runtime& runtime, Text& out, const Value& value, Layout layout) {
  std::string sign = is_negative(value) ? "-" : layout.sign == '-' ? "" : std::string(1, layout.sign);
  std::string digits = digits_of(value, layout);
  if (layout.grouping) digits = grouped(digits, layout.grouping);
  if (layout.zeros && !layout.align) {
    layout.align = '=';
    layout.fill = "0";
  }
  if (layout.align == '=') {
    // The filling stands between sign and digits.
    const int64_t missing = layout.width - static_cast<int64_t>(sign.size() + digits.size());
    for (int64_t i = 0; i < missing; ++i) sign += layout.fill;
    layout.width = 0;
  }
  put(runtime, out, Text(sign + digits), layout, '>');
}

int64_t take_number(std::string_view text, size_t& at) {
  int64_t number = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    number = number * 10 + (text[at] - '0');
    if (number > widest) fail("format: a width is above {}", widest);
  }
  return number;
}

// The values of "..." % values, in order or by name.
class PrintfValues {
 public:
  explicit PrintfValues(const Value& values) : all_(values) {
    const Sequence* sequence = values.get<Sequence>();
    if (sequence && sequence->kind == SequenceKind::tuple) tuple_ = sequence;
  }
  const Value& next() {
    if (!tuple_ && used_ == 0) return ++used_, all_;
    if (!tuple_ || used_ == tuple_->items.size()) fail("format: there are not enough values");
    return tuple_->items[used_++];
  }
  const Value& named(std::string_view name) {
    const Dict* dict = all_.get<Dict>();
    const Value* found = dict ? dict->find(name) : nullptr;
    if (!found) fail("format: there is no value {}", quote(name));
    used_ = 1;
    return *found;
  }
  void end() const {
    const bool left =
        tuple_ ? used_ < tuple_->items.size() : used_ == 0 && !all_.get<Dict>() && !all_.get<Sequence>();
    if (left) fail("format: not all values are used");
  }

 private:
  const Value& all_;
  const Sequence* tuple_ = nullptr;
  size_t used_ = 0;
};

Layout read_printf_layout(std::string_view text, size_t& at, PrintfValues& values) {
  Layout layout;
  for (; at < text.size(); ++at) {
    if (text[at] == '-')
      layout.align = '<';
    else if (text[at] == '+')
      layout.sign = '+';
    else if (text[at] == ' ' && layout.sign == '-')
      layout.sign = ' ';
    else if (text[at] == '#')
      layout.alternative = true;
    else if (text[at] == '0')
      layout.zeros = true;
    else if (text[at] != ' ')
      break;
  }
  const auto number = [&] {
    if (at == text.size() || text[at] != '*') return take_number(text, at);
    ++at;
    const auto given = values.next().integer();
    if (!given || *given < 0 || *given > widest) fail("format: a width is not in 0 to {}", widest);
    return *given;
  };
  layout.width = number();
  if (at < text.size() && text[at] == '.') {
    ++at;
    layout.precision = number();
  }
  while (at < text.size() && (text[at] == 'h' || text[at] == 'l' || text[at] == 'L')) ++at;
  if (at == text.size()) fail("format: it ends inside a placeholder");
  layout.type = text[at++];
  return layout;
}

void put_printf(Runtime& runtime, Text& out, const Value& value, Layout layout, bool markup) {
  const char type = layout.type;
  require_defined(value);
  if (type == 's' || type == 'r' || type == 'a') {
    if (type == 'a') fail("format: %a is not supported");
    Text text;
    if (type == 's')
      text = markup ? markup_of(runtime, value) : str(runtime, value);
    else
      add_repr(runtime, text, value);
    if (type == 'r' && markup) text = escaped(text);
    if (layout.precision >= 0)
      text = text.part(0, letter_start(text.view(), static_cast<size_t>(layout.precision)));
    return put(runtime, out, text, layout, '>');
  }
  if (type == 'c') {
    Text letter;
    const auto code = value.integer();
    if (value.text() && count_letters(value.text()->view()) == 1) {
      letter = *value.text();
    } else if (code && *code >= 0 && *code < 0x110000 && (*code < 0xd800 || *code >= 0xe000)) {
      std::string character;
      append_character(character, static_cast<uint32_t>(*code));
      letter.add(character);
    } else {
      fail("format: %c needs one character");
    }
    return put(runtime, out, letter, layout, '>');
  }
  constexpr std::string_view numeric = "diuxXoeEfFgG";
  if (numeric.find(type) == numeric.npos)
    fail("format: unknown placeholder {}", quote(std::string("%") + type));
  const auto any = value.number();
  if (!any) fail("format: %{} needs a number, found {}", type, value.type_name());
  if (type == 'd' || type == 'i' || type == 'u') {
    layout.type = 'd';
    const double number = std::trunc(*any);
    if (!value.integer() && !(std::abs(number) < 0x1p63)) fail("format: %{} needs an integer", type);
    return put_number(runtime, out, value.integer() ? value : Value(static_cast<int64_t>(number)), layout);
  }
  const bool base = type == 'x' || type == 'X' || type == 'o';
  if (base && !value.integer()) fail("format: %{} needs an integer, found {}", type, value.type_name());
  put_number(runtime, out, value, layout);
}

// Reads "{:SPEC}".
Layout read_spec(std::string_view spec) {
  Layout layout;
  size_t at = 0;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  const size_t first = spec.empty() ? 0 : letter_at(spec, 0).size;
  if (first > 0 && first < spec.size() && is_align(spec[first])) {
    layout.fill = spec.substr(0, first);
    layout.align = spec[first];
    at = first + 1;
  } else if (!spec.empty() && is_align(spec[0])) {
    layout.align = spec[0];
    at = 1;
  }
  const auto take = [&](std::string_view any) {
    const bool found = at < spec.size() && any.find(spec[at]) != std::string_view::npos;
    return found ? spec[at++] : '\0';
  };
  if (const char sign = take("+- ")) layout.sign = sign;
  layout.alternative = take("#") != 0;
  layout.zeros = take("0") != 0;
  layout.width = take_number(spec, at);
  layout.grouping = take(",_");
  if (take(".")) layout.precision = take_number(spec, at);
  if (at < spec.size()) layout.type = spec[at++];
  if (at != spec.size()) fail("format: the specification {} is not supported", quote(spec));
  return layout;
}

void put_formatted(Runtime& runtime, Text& out, const Value& value, std::string_view spec) {
  if (spec.empty()) return out.add(str(runtime, value));
  const Layout layout = read_spec(spec);
  if (value.number() && !value.get<bool>()) {
    if (layout.type == 'd' && !value.integer()) fail("format: the type \"d\" needs an integer");
    return put_number(runtime, out, value, layout);
  }
  if (!value.text() || (layout.type && layout.type != 's') || layout.align == '=')
    fail("format: the specification {} does not fit a {}", quote(spec), value.type_name());
  Text text = *value.text();
  if (layout.precision >= 0)
    text = text.part(0, letter_start(text.view(), static_cast<size_t>(layout.precision)));
  put(runtime, out, text, layout, '<');
}

// A format from outside decides on what is filled in, so that all of the text is foreign.
Text marked_like(const Text& format, const Text& text) {
  return format.any_foreign() ? Text(std::string(text.view()), true) : text;
}

}  // namespace

Text printf_text(Runtime& runtime, const Text& format, const Value& arguments, bool markup) {
  PrintfValues values(arguments);
  Text out;
  const std::string_view text = format.view();
  runtime.work(text.size() / 16);
  for (size_t at = 0; at < text.size();) {
    if (text[at] != '%') {
      const size_t end = std::min(text.find('%', at), text.size());
      out.add(format, at, end);
      at = end;
      continue;
    }
    const size_t start = at++;
    const Value* value = nullptr;
    if (at < text.size() && text[at] == '(') {
      const size_t end = text.find(')', at);
      if (end == text.npos) fail("format: a name has no end");
      value = &values.named(text.substr(at + 1, end - at - 1));
      at = end + 1;
    }
    const Layout layout = read_printf_layout(text, at, values);
    if (layout.type == '%')
      out.add(format, start, start + 1);
    else
      put_printf(runtime, out, value ? *value : values.next(), layout, markup);
    if (out.size() > (size_t{1} << 26)) fail("format: the text is too long");
  }
  values.end();
  return marked_like(format, out);
}

Text format_text(Runtime& runtime, const Text& format, Arguments& arguments, bool markup) {
  Text out;
  const std::string_view text = format.view();
  size_t next = 0;
  runtime.work(text.size() / 16);
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    const bool doubled = at + 1 < text.size() && text[at + 1] == c;
    if (c != '{' && c != '}') {
      const size_t end = std::min(text.find_first_of("{}", at), text.size());
      out.add(format, at, end);
      at = end;
    } else if (doubled) {
      out.add(format, at, at + 1);
      at += 2;
    } else {
      const size_t end = text.find('}', at);
      if (c == '}' || end == text.npos) fail("format: a brace stands alone");
      std::string_view field = text.substr(at + 1, end - at - 1), spec;
      if (const size_t colon = field.find(':'); colon != field.npos) {
        spec = field.substr(colon + 1);
        field = field.substr(0, colon);
      }
      const bool repr = field.ends_with("!r");
      if (repr || field.ends_with("!s")) field.remove_suffix(2);
      if (field.find_first_of(".[!{") != field.npos || spec.find('{') != spec.npos)
        fail("format: the field {} is not supported", quote(text.substr(at, end - at + 1)));
      const Value* value = nullptr;
      const bool number = field.find_first_not_of("0123456789") == field.npos;
      if (number) {
        size_t digits = 0;
        const auto index = field.empty() ? next++ : static_cast<size_t>(take_number(field, digits));
        if (index < arguments.positional.size()) value = &arguments.positional[index];
      } else {
        for (const auto& [name, each] : arguments.named)
          if (name.view() == field) value = &each;
      }
      if (!value) fail("format: there is no value for {}", quote(text.substr(at, end - at + 1)));
      Text written;
      if (repr) add_repr(runtime, written, *value);
      if (markup) written = repr ? escaped(written) : markup_of(runtime, *value);
      put_formatted(runtime, out, repr || markup ? runtime.make(std::move(written)) : *value, spec);
      at = end + 1;
    }
    if (out.size() > (size_t{1} << 26)) fail("format: the text is too long");
  }
  return marked_like(format, out);
}

}  // namespace intarsia::jinja
