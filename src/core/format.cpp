#include "core/format.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>

namespace intarsia {

namespace {

constexpr std::string_view minus = "\u2212";

// A number as fmt wrote it, with the real minus sign.
std::string with_minus(std::string text) {
  for (size_t at = 0; (at = text.find('-', at)) != std::string::npos; at += minus.size())
    text.replace(at, 1, minus);
  return text;
}

// What a number that is not finite is called; empty for others.
std::string not_finite(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "infinite" : fmt::format("{}infinite", minus);
  return {};
}

// floor(log10(|value|)) of the value as it is printed with `digits` digits: 9.996 with three is 10.0.
int exponent_of(double value, int digits) {
  const std::string text = fmt::format("{:.{}e}", std::abs(value), digits - 1);
  return std::stoi(text.substr(text.find('e') + 1));
}

void trim_zeros(std::string& text) {
  if (text.find('.') == std::string::npos) return;
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
}

std::string with_commas(std::string digits) {
  size_t end = digits.find('.');
  if (end == std::string::npos) end = digits.size();
  const size_t start = digits.starts_with('-') ? 1 : 0;
  for (size_t at = end; at > start + 3;) digits.insert(at -= 3, 1, ',');
  return digits;
}

// One character of a text: its code point and length, or a length of 1 and `valid` false.
struct Character {
  uint32_t code;
  size_t length;
  bool valid;
};

Character character_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(at);
  if (first < 0x80) return {first, 1, true};
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + length > text.size()) return {first, 1, false};
  uint32_t code = first & (0x7fu >> length);
  for (size_t i = 1; i < length; i++) {
    if ((byte(at + i) & 0xc0) != 0x80) return {first, 1, false};
    code = code << 6 | (byte(at + i) & 0x3f);
  }
  static constexpr uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < least[length] || code > 0x10ffff || surrogate) return {first, 1, false};
  return {code, length, true};
}

struct Range {
  uint32_t first, last;
};

// Combining marks, joiners and variation selectors of the scripts that are most common in texts.
constexpr Range zero_width[] = {
    {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x05bf, 0x05c7},   {0x0610, 0x061a},
    {0x064b, 0x065f}, {0x0670, 0x0670}, {0x06d6, 0x06dc}, {0x06df, 0x06e4},   {0x0900, 0x0902},
    {0x093c, 0x093c}, {0x0941, 0x0948}, {0x094d, 0x094d}, {0x0e31, 0x0e31},   {0x0e34, 0x0e3a},
    {0x0e47, 0x0e4e}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f},   {0x202a, 0x202e},
    {0x2060, 0x2064}, {0x2066, 0x206f}, {0x20d0, 0x20ff}, {0x302a, 0x302d},   {0x3099, 0x309a},
    {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0xe0001, 0xe01ef},
};

// East Asian wide and fullwidth characters (Unicode annex 11), and emoji that are shown as pictures.
constexpr Range wide[] = {
    {0x1100, 0x115f},   {0x231a, 0x231b},   {0x2329, 0x232a},   {0x23e9, 0x23ec},   {0x23f0, 0x23f0},
    {0x23f3, 0x23f3},   {0x25fd, 0x25fe},   {0x2614, 0x2615},   {0x2648, 0x2653},   {0x267f, 0x267f},
    {0x2693, 0x2693},   {0x26a1, 0x26a1},   {0x26aa, 0x26ab},   {0x26bd, 0x26be},   {0x26c4, 0x26c5},
    {0x26ce, 0x26ce},   {0x26d4, 0x26d4},   {0x26ea, 0x26ea},   {0x26f2, 0x26f3},   {0x26f5, 0x26f5},
    {0x26fa, 0x26fa},   {0x26fd, 0x26fd},   {0x2705, 0x2705},   {0x270a, 0x270b},   {0x2728, 0x2728},
    {0x274c, 0x274c},   {0x274e, 0x274e},   {0x2753, 0x2755},   {0x2757, 0x2757},   {0x2795, 0x2797},
    {0x27b0, 0x27b0},   {0x27bf, 0x27bf},   {0x2b1b, 0x2b1c},   {0x2b50, 0x2b50},   {0x2b55, 0x2b55},
    {0x2e80, 0x303e},   {0x3041, 0x33ff},   {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xa000, 0xa4cf},
    {0xa960, 0xa97f},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe10, 0xfe19},   {0xfe30, 0xfe6f},
    {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x16fe0, 0x18dff}, {0x1aff0, 0x1b2ff}, {0x1f004, 0x1f004},
    {0x1f0cf, 0x1f0cf}, {0x1f18e, 0x1f18e}, {0x1f191, 0x1f19a}, {0x1f200, 0x1f265}, {0x1f300, 0x1f64f},
    {0x1f680, 0x1f6ff}, {0x1f7e0, 0x1f7eb}, {0x1f900, 0x1faff}, {0x20000, 0x3fffd},
};

bool is_in(std::span<const Range> ranges, uint32_t code) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), code,
                                      [](uint32_t value, const Range& range) { return value < range.first; });
  return after != ranges.begin() && code <= std::prev(after)->last;
}

int width_of(const Character& character) {
  const uint32_t code = character.code;
  if (!character.valid) return 1;
  if (code < 0x20 || (code >= 0x7f && code < 0xa0) || is_in(zero_width, code)) return 0;
  return is_in(wide, code) ? 2 : 1;
}

bool is_control(uint32_t code) { return code < 0x20 || (code >= 0x7f && code < 0xa0); }

// Marks that change the direction of the text around them, or cannot be seen at all.
bool is_bidi_control(uint32_t code) {
  return (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

}  // namespace

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds)) return "not measured";
  if (seconds < 0) return fmt::format("{}{}", minus, format_duration(-seconds));
  if (seconds < 0.9995) {
    const double ms = seconds * 1000;
    return ms == 0 ? "0 ms" : ms < 0.995 ? fmt::format("{:.2f} ms", ms) : fmt::format("{:.0f} ms", ms);
  }
  if (seconds < 9.95) return fmt::format("{:.1f} s", seconds);
  if (seconds < 59.5) return fmt::format("{:.0f} s", seconds);
  const auto whole = [](double value) { return static_cast<int64_t>(std::llround(std::min(value, 1e15))); };
  const auto two = [](int64_t count, int64_t per, const char* large, const char* small) {
    return count % per ? fmt::format("{} {} {} {}", count / per, large, count % per, small)
                       : fmt::format("{} {}", count / per, large);
  };
  if (whole(seconds) < 600) return two(whole(seconds), 60, "min", "s");
  if (whole(seconds / 60) < 60) return fmt::format("{} min", whole(seconds / 60));
  if (whole(seconds / 3600) < 24) return two(whole(seconds / 60), 60, "h", "min");
  return two(whole(seconds / 3600), 24, "d", "h");
}

std::string format_bytes(double bytes, int digits) {
  static constexpr const char* units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (!std::isfinite(bytes)) return "not measured";
  if (bytes < 0) return fmt::format("{}{}", minus, format_bytes(-bytes, digits));
  if (bytes < 1023.5) return fmt::format("{:.0f} bytes", bytes);
  double value = bytes / 1024;
  size_t unit = 0;
  while (value >= 1023.5 && unit + 1 < std::size(units)) {
    value /= 1024;
    unit++;
  }
  const int decimals = std::max(0, digits - 1 - exponent_of(value, digits));
  return fmt::format("{:.{}f} {}", value, decimals, units[unit]);
}

std::optional<size_t> parse_bytes(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return {};
  std::string unit(end, text.data() + text.size());
  for (char& c : unit) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  const size_t power = unit.empty() ? std::string_view::npos : std::string_view("KMGT").find(unit[0]);
  if (power == std::string_view::npos) return {};
  const std::string_view rest = std::string_view(unit).substr(1);
  if (!rest.empty() && rest != "B" && rest != "IB") return {};
  const double bytes = number * std::exp2(10.0 * static_cast<double>(power + 1));
  if (!(bytes >= 0) || bytes > 1e18) return {};
  return static_cast<size_t>(bytes);
}

std::string format_count(int64_t count) { return with_minus(with_commas(fmt::format("{}", count))); }

std::string format_short(double value) {
  static constexpr struct {
    double factor;
    const char* unit;
  } units[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}};
  if (!std::isfinite(value)) return not_finite(value);
  for (const auto& [factor, unit] : units) {
    const double scaled = value / factor;
    if (std::abs(scaled) < 0.9995) continue;
    return with_minus(fmt::format("{:.{}f}{}", scaled, std::max(0, 2 - exponent_of(scaled, 3)), unit));
  }
  return format_number(value, 3);
}

std::string format_share(double share) {
  if (!std::isfinite(share)) return "not measured";
  const double percent = share * 100;
  const bool whole = percent == 0 || std::abs(percent) >= 9.95;
  return with_minus(fmt::format("{:.{}f} %", percent, whole ? 0 : 1));
}

std::string format_number(double value, int digits) {
  if (!std::isfinite(value)) return not_finite(value);
  if (value == 0) return "0";
  const int exponent = exponent_of(value, digits);
  if (exponent >= -3 && exponent < 6)
    return with_minus(with_commas(fmt::format("{:.{}f}", value, std::max(0, digits - 1 - exponent))));
  std::string text = fmt::format("{:.{}f}", value / std::pow(10, exponent), digits - 1);
  trim_zeros(text);
  return with_minus(fmt::format("{}e{}", text, exponent));
}

std::string format_fixed(double value, int decimals) {
  if (!std::isfinite(value)) return not_finite(value);
  std::string text = fmt::format("{:.{}f}", value, decimals);
  if (text.find_first_not_of("-0.") == std::string::npos && text[0] == '-') text.erase(0, 1);  // no "-0.00"
  return with_minus(with_commas(std::move(text)));
}

std::string repair_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Character character = character_at(text, at);
    out += character.valid ? text.substr(at, character.length) : std::string_view("\ufffd");
    at += character.length;
  }
  return out;
}

int display_width(std::string_view text) {
  int64_t width = 0;
  for (size_t at = 0; at < text.size();) {
    const Character character = character_at(text, at);
    width += width_of(character);
    at += character.length;
  }
  return static_cast<int>(std::min<int64_t>(width, std::numeric_limits<int>::max()));
}

std::string_view cut_to_width(std::string_view text, int columns) {
  int width = 0;
  for (size_t at = 0; at < text.size();) {
    const Character character = character_at(text, at);
    width += width_of(character);
    if (width > columns) return text.substr(0, at);
    at += character.length;
  }
  return text;
}

std::string pad_to_width(std::string_view text, int columns, bool right) {
  const std::string spaces(static_cast<size_t>(std::max(0, columns - display_width(text))), ' ');
  return right ? spaces + std::string(text) : std::string(text) + spaces;
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Character character = character_at(text, at);
    const bool kept = character.code == '\n' || character.code == '\t' ||
                      !(is_control(character.code) || is_bidi_control(character.code));
    if (!character.valid)
      out += "\ufffd";
    else if (kept)
      out += text.substr(at, character.length);
    at += character.length;
  }
  return out;
}

std::string sparkline(std::span<const double> values, bool utf8) {
  static constexpr const char* blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  static constexpr const char* letters[] = {"_", ".", "-", "=", "+", "*", "%", "#"};
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (double value : values) {
    if (!std::isfinite(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  std::string out;
  for (double value : values) {
    if (!std::isfinite(value)) {
      out += ' ';
      continue;
    }
    // Halves, so that a range wider than the greatest number stays finite.
    const double share = high > low ? (value / 2 - low / 2) / (high / 2 - low / 2) : 0;
    const int level = std::min(7, static_cast<int>(share * 8));
    out += utf8 ? blocks[level] : letters[level];
  }
  return out;
}

std::string error_line(std::string_view what, std::string_view hint) {
  std::string line = fmt::format("error: {}", what);
  if (!hint.empty()) line += fmt::format("; hint: {}", hint);
  line = printable(line);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

std::string error_line(const Error& error) { return error_line(error.what(), error.hint()); }

}  // namespace intarsia
