// Numbers and text as people read them: in progress lines, tables, pages and messages.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "intarsia/error.h"

namespace intarsia {

// "748 ms", "2.4 s", "12 s", "4 min 30 s", "35 min", "1 h 35 min", "2 d 19 h"; "not measured" if it is no
// finite number.
std::string format_duration(double seconds);
// "9.38 GiB", "378 MiB", "12.0 KiB", "40 bytes": `digits` digits, binary units.
std::string format_bytes(double bytes, int digits = 3);
// The bytes that "500M", "1.5GB" or "8GiB" say, in powers of 1024 either way; nothing if the text is no such
// size.
std::optional<size_t> parse_bytes(std::string_view text);
// "12,400", with a real minus sign below zero.
std::string format_count(int64_t count);
// Three digits and a factor of 1000: "21.9k", "33.1M", "2.12G", "640", "0.25".
std::string format_short(double value);
// "62 %" of 0.62.
std::string format_share(double share);
// `digits` significant digits, no exponent from 0.001 to a million, real minus sign: "1.40", "6e−4". "NaN",
// "infinite".
std::string format_number(double value, int digits = 3);
// `decimals` decimals, thousands with a comma, real minus sign: "10.390", "21,850".
std::string format_fixed(double value, int decimals);

// The text with each byte that is not part of valid UTF-8 replaced by U+FFFD.
std::string repair_utf8(std::string_view text);
// Columns that a UTF-8 text takes on a terminal: 0 for combining marks and control characters, 2 for East
// Asian wide characters and emoji, else 1. No escape sequences.
int display_width(std::string_view text);
// The longest start of the text that fits into `columns`.
std::string_view cut_to_width(std::string_view text, int columns);
// The text with spaces up to `columns` behind it (or before it, `right`).
std::string pad_to_width(std::string_view text, int columns, bool right = false);
// Text from outside, fit for a terminal: control characters but newline and tab are left out, broken UTF-8 is
// replaced.
std::string printable(std::string_view text);

// One character a value, from ▁ (the least of them) to █ (the greatest), _.-=+*%# without UTF-8; a space if a
// value is not finite.
std::string sparkline(std::span<const double> values, bool utf8 = true);

// "error: what; hint: action" on one line, without the end of line.
std::string error_line(const Error& error);
std::string error_line(std::string_view what, std::string_view hint = {});

}  // namespace intarsia
