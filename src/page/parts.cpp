#include "page/parts.h"

#include <fmt/core.h>

#include <cmath>
#include <ctime>

#include "core/format.h"
#include "page/page.h"

namespace intarsia {

std::string local_time(double time, double now, bool seconds) {
  if (!std::isfinite(time) || std::abs(time) > 1e11) return "at a time not recorded";
  const auto clock = static_cast<std::time_t>(time), today = static_cast<std::time_t>(now);
  std::tm at{}, on{};
  localtime_r(&clock, &at);
  localtime_r(&today, &on);
  std::string text = fmt::format("{:02}:{:02}", at.tm_hour, at.tm_min);
  if (seconds) text += fmt::format(":{:02}", at.tm_sec);
  if (at.tm_year == on.tm_year && at.tm_yday == on.tm_yday) return text;
  return fmt::format("{}-{:02}-{:02} {}", at.tm_year + 1900, at.tm_mon + 1, at.tm_mday, text);
}

std::string shell_word(std::string_view word) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=,:@+";
  if (!word.empty() && word.find_first_not_of(plain) == std::string_view::npos) return std::string(word);
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string with_small_unit(const std::string& text) {
  const size_t space = text.rfind(' ');
  if (space == std::string::npos) return escape_html(text);
  return fmt::format("{} <small>{}</small>", escape_html(text.substr(0, space)),
                     escape_html(text.substr(space + 1)));
}

std::string key_html(std::string_view name, const std::string& value, std::string_view note) {
  return fmt::format("<div><dt>{}</dt><dd>{}</dd><dd>{}</dd></div>\n", name, value, escape_html(note));
}

std::string fact_html(std::string_view name, std::string_view value) {
  return fmt::format("<dt>{}</dt><dd>{}</dd>\n", escape_html(name),
                     value.empty() ? "not recorded" : escape_html(value));
}

std::string command_html(const char* id, const std::string& command) {
  return fmt::format(
      "<div class=\"copy\"><pre tabindex=\"0\"><code id=\"{}\">{}</code></pre><button type=\"button\" "
      "data-copy=\"#{}\" "
      "data-script hidden>Copy</button></div>\n",
      id, escape_html(command), id);
}

}  // namespace intarsia
