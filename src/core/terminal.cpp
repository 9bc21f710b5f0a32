#include "core/terminal.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "core/format.h"

namespace intarsia {

namespace {

// An environment variable; absent and empty are the same.
std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// Whether the locale's characters are UTF-8: LC_ALL goes before LC_CTYPE before LANG. The library never calls
// setlocale, so it asks the environment.
bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string value(environment(name));
    if (value.empty()) continue;
    return strcasestr(value.c_str(), "utf-8") || strcasestr(value.c_str(), "utf8");
  }
  return false;
}

}  // namespace

Terminal Terminal::of(std::FILE* stream) {
  Terminal terminal;
  const bool screen = isatty(fileno(stream)) == 1;
  terminal.interactive = screen && environment("TERM") != "dumb";
  terminal.colour = terminal.interactive && environment("NO_COLOR").empty();
  terminal.utf8 = locale_is_utf8();
  terminal.measure(stream);
  return terminal;
}

void Terminal::measure(std::FILE* stream) {
  winsize size{};
  if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) columns = size.ws_col;
}

std::string Terminal::over(std::string_view line) const {
  // The last column stays free: some terminals wrap as soon as it is written.
  return fmt::format("\r{}\x1b[K", cut_to_width(line, columns - 1));
}

std::string Terminal::styled(const char* code, std::string_view text) const {
  if (!colour || text.empty()) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

}  // namespace intarsia
