// What the stream that somebody looks at can show.
#pragma once
#include <cstdio>
#include <string>
#include <string_view>

namespace intarsia {

struct Terminal {
  bool interactive = false;  // a terminal: lines may be rewritten
  bool colour = false;       // a terminal, NO_COLOR is not set, TERM is not dumb
  bool utf8 = true;          // the locale's characters
  int columns = 80;

  static Terminal of(std::FILE* stream);
  // Asks the stream for its width again; the old one stays if it does not say.
  void measure(std::FILE* stream);

  // Writes a line over the one that the cursor is in, cut to the width: a longer one would scroll.
  std::string over(std::string_view line) const;

  // The text in the style, or as it is where colour is off.
  std::string bold(std::string_view text) const { return styled("1", text); }
  std::string dim(std::string_view text) const { return styled("2", text); }
  std::string green(std::string_view text) const { return styled("32", text); }
  std::string yellow(std::string_view text) const { return styled("33", text); }
  std::string red(std::string_view text) const { return styled("31", text); }

 private:
  std::string styled(const char* code, std::string_view text) const;
};

}  // namespace intarsia
