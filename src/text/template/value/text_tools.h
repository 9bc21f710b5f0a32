// Work on marked text that methods and filters share.
#pragma once
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "text/template/runtime.h"
#include "text/template/value/text.h"

namespace intarsia::jinja {

enum class Side { left, right, both };

// Without the characters of `set` (null: white space) at its ends.
Text stripped(const Text& text, Side side, const Text* set);
// With `to` in place of the first `most` occurrences of `from`; all if `most` is negative.
Text replaced(Runtime& runtime, const Text& text, const Text& from, const Text& to, int64_t most);
// Padded with `fill` to a number of letters.
Text padded(Runtime& runtime, const Text& text, int64_t width, Side text_at, const Text& fill);
// Each letter mapped by f(code, whether a letter with case stands before it, whether one stands behind it).
Text mapped(Runtime& runtime, const Text& text, const std::function<std::string(uint32_t, bool, bool)>& f);
Text upper(Runtime& runtime, const Text& text);
Text lower(Runtime& runtime, const Text& text);
Text capitalized(Runtime& runtime, const Text& text);
// The lines of a text, with their ends if `keep_ends`.
std::vector<Text> lines_of(const Text& text, bool keep_ends);
// The integer or number that a text holds, as int() and float() read it; nothing if it holds none.
std::optional<int64_t> parse_integer(std::string_view text, int base);
std::optional<double> parse_number(std::string_view text);
// The parts, with text between them.
Text joined(Runtime& runtime, const Text& between, const std::vector<Text>& parts);

}  // namespace intarsia::jinja
