// Small parts that several pages are made of.
#pragma once
#include <string>
#include <string_view>

namespace intarsia {

// "14:03" if that is today, else "2026-03-09 14:03"; local time, of unix seconds.
std::string local_time(double time, double now, bool seconds = false);
// A word of a POSIX shell's command line, quoted if it must be.
std::string shell_word(std::string_view word);
// A number with its unit in small type: "9.38 GiB".
std::string with_small_unit(const std::string& text);
// One of the figures below the lead: its name, the value as HTML, a remark.
std::string key_html(std::string_view name, const std::string& value, std::string_view note);
// A line of a list of facts.
std::string fact_html(std::string_view name, std::string_view value);
// A command line with a button that copies it; `id` is the element's.
std::string command_html(const char* id, const std::string& command);

}  // namespace intarsia
