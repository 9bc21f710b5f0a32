#include "core/format.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/terminal.h"

namespace intarsia {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

TEST(Format, DurationsHaveAtMostTwoUnits) {
  EXPECT_EQ(format_duration(0), "0 ms");
  EXPECT_EQ(format_duration(0.0004), "0.40 ms");
  EXPECT_EQ(format_duration(0.748), "748 ms");
  EXPECT_EQ(format_duration(0.9994), "999 ms");
  EXPECT_EQ(format_duration(0.9996), "1.0 s");
  EXPECT_EQ(format_duration(2.04), "2.0 s");
  EXPECT_EQ(format_duration(9.96), "10 s");
  EXPECT_EQ(format_duration(59.4), "59 s");
  EXPECT_EQ(format_duration(59.6), "1 min");
  EXPECT_EQ(format_duration(118), "1 min 58 s");
  EXPECT_EQ(format_duration(599.6), "10 min");
  EXPECT_EQ(format_duration(35 * 60 + 20), "35 min");
  EXPECT_EQ(format_duration(5685), "1 h 35 min");
  EXPECT_EQ(format_duration(3599), "1 h");
  EXPECT_EQ(format_duration(67 * 3600 + 100), "2 d 19 h");
  EXPECT_EQ(format_duration(-3), "−3.0 s");
  EXPECT_EQ(format_duration(nan), "not measured");
  EXPECT_EQ(format_duration(infinity), "not measured");
  EXPECT_NE(format_duration(1e300).find(" d "), std::string::npos) << "no overflow";
}

TEST(Format, BytesAreBinaryWithThreeDigits) {
  EXPECT_EQ(format_bytes(0), "0 bytes");
  EXPECT_EQ(format_bytes(1000), "1000 bytes");
  EXPECT_EQ(format_bytes(12 * 1024), "12.0 KiB");
  EXPECT_EQ(format_bytes(378.2 * 1024 * 1024), "378 MiB");
  EXPECT_EQ(format_bytes(1023.9 * 1024 * 1024), "1.00 GiB");
  EXPECT_EQ(format_bytes(9.376 * 1024 * 1024 * 1024), "9.38 GiB");
  EXPECT_EQ(format_bytes(9.376 * 1024 * 1024 * 1024, 2), "9.4 GiB");
  EXPECT_EQ(format_bytes(9.999 * 1024 * 1024 * 1024), "10.0 GiB");
  EXPECT_EQ(format_bytes(nan), "not measured");
}

TEST(Format, CountsHaveCommasAndARealMinus) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(12400), "12,400");
  EXPECT_EQ(format_count(1234567), "1,234,567");
  EXPECT_EQ(format_count(-12400), "−12,400");
  EXPECT_EQ(format_count(std::numeric_limits<int64_t>::min()), "−9,223,372,036,854,775,808");
}

TEST(Format, ShortNumbersHaveThreeDigitsAndAFactor) {
  EXPECT_EQ(format_short(21874), "21.9k");
  EXPECT_EQ(format_short(22000), "22.0k");
  EXPECT_EQ(format_short(999.6), "1.00k");
  EXPECT_EQ(format_short(640), "640");
  EXPECT_EQ(format_short(33.1e6), "33.1M");
  EXPECT_EQ(format_short(7.4e12), "7.40T");
  EXPECT_EQ(format_short(-2120), "−2.12k");
  EXPECT_EQ(format_short(0), "0");
  EXPECT_EQ(format_short(nan), "NaN");
}

TEST(Format, SharesAndNumbers) {
  EXPECT_EQ(format_share(0.617), "62 %");
  EXPECT_EQ(format_share(0.0617), "6.2 %");
  EXPECT_EQ(format_share(0), "0 %");
  EXPECT_EQ(format_number(1.404, 3), "1.40");
  EXPECT_EQ(format_number(9.996, 3), "10.0");
  EXPECT_EQ(format_number(12400, 3), "12,400");
  EXPECT_EQ(format_number(6e-4, 3), "6e−4");
  EXPECT_EQ(format_number(-2.31e-5, 3), "−2.31e−5");
  EXPECT_EQ(format_number(2e9, 2), "2e9");
  EXPECT_EQ(format_number(-infinity), "−infinite");
  EXPECT_EQ(format_fixed(10.39, 3), "10.390");
  EXPECT_EQ(format_fixed(21850.4, 0), "21,850");
  EXPECT_EQ(format_fixed(-1234.5, 1), "−1,234.5");
  EXPECT_EQ(format_fixed(-0.0001, 2), "0.00");
}

TEST(Format, BrokenUtf8IsReplacedByteByByte) {
  EXPECT_EQ(repair_utf8("café 創世記 🙂"), "café 創世記 🙂");
  EXPECT_EQ(repair_utf8("a\xffz"), "a\ufffdz");
  EXPECT_EQ(repair_utf8("\xe5\x89"), "\ufffd\ufffd");                      // cut off
  EXPECT_EQ(repair_utf8("\xc0\xaf"), "\ufffd\ufffd");                      // overlong
  EXPECT_EQ(repair_utf8("\xed\xa0\x80"), "\ufffd\ufffd\ufffd");            // a surrogate
  EXPECT_EQ(repair_utf8("\xf4\x90\x80\x80"), "\ufffd\ufffd\ufffd\ufffd");  // above U+10FFFF
}

TEST(Format, WidthCountsWideCharactersAsTwoAndMarksAsNone) {
  EXPECT_EQ(display_width("loss 1.404"), 10);
  EXPECT_EQ(display_width("創世記"), 6);
  EXPECT_EQ(display_width("ｆｕｌｌ"), 8);
  EXPECT_EQ(display_width("e\u0301"), 1);
  EXPECT_EQ(display_width("🙂"), 2);
  EXPECT_EQ(display_width("▁▂█"), 3);
  EXPECT_EQ(cut_to_width("創世記", 5), "創世");
  EXPECT_EQ(cut_to_width("abc", 0), "");
  EXPECT_EQ(cut_to_width("abc", 9), "abc");
  EXPECT_EQ(pad_to_width("創", 4), "創  ");
  EXPECT_EQ(pad_to_width("12", 4, true), "  12");
  EXPECT_EQ(pad_to_width("12345", 4), "12345");
}

TEST(Format, WhatATerminalWouldObeyIsLeftOut) {
  EXPECT_EQ(printable("a\x1b[2Jb\r\nc\td\x7f"), "a[2Jb\nc\td");
  EXPECT_EQ(printable("a\u202eb\u2066c\u009bd"), "abcd");
  EXPECT_EQ(printable("\xff"), "\ufffd");
}

TEST(Format, SparklineSpansItsOwnRange) {
  EXPECT_EQ(sparkline(std::vector<double>{8, 7, 6, 5, 4, 3, 2, 1}), "█▇▆▅▄▃▂▁");
  EXPECT_EQ(sparkline(std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8}, false), "_.-=+*%#");
  EXPECT_EQ(sparkline(std::vector<double>{2, 2, 2}), "▁▁▁");
  EXPECT_EQ(sparkline(std::vector<double>{1, nan, 2}), "▁ █");
  EXPECT_EQ(sparkline(std::vector<double>{-1.7e308, 1.7e308}), "▁█");
  EXPECT_EQ(sparkline({}), "");
}

TEST(Format, AnErrorIsOneLineWithItsHint) {
  EXPECT_EQ(error_line(Error("recipe.toml:14: unknown key \"learning_rat\"", "did you mean learning_rate?")),
            "error: recipe.toml:14: unknown key \"learning_rat\"; hint: did you mean learning_rate?");
  EXPECT_EQ(error_line(Error("disk is full")), "error: disk is full");
  EXPECT_EQ(error_line("two\nlines \x1b[31m"), "error: two lines [31m");
}

// A pseudo-terminal's own end, as a program's stderr would be.
class PseudoTerminal {
 public:
  explicit PseudoTerminal(unsigned short columns) : main_(posix_openpt(O_RDWR | O_NOCTTY)) {
    if (main_ < 0 || grantpt(main_) != 0 || unlockpt(main_) != 0) return;
    stream_ = std::fopen(ptsname(main_), "r+");
    resize(columns);
  }
  ~PseudoTerminal() {
    if (stream_) std::fclose(stream_);
    if (main_ >= 0) close(main_);
  }
  void resize(unsigned short columns) {
    const winsize size{24, columns, 0, 0};
    ioctl(main_, TIOCSWINSZ, &size);
  }
  std::FILE* stream() const { return stream_; }

 private:
  int main_;
  std::FILE* stream_ = nullptr;
};

class TerminalTest : public testing::Test {
 protected:
  TerminalTest() {
    for (const char* name : {"NO_COLOR", "LC_ALL", "LC_CTYPE"}) unsetenv(name);
    setenv("TERM", "xterm", 1);
    setenv("LANG", "C.UTF-8", 1);
  }
};

TEST_F(TerminalTest, KnowsWidthColourAndCharactersOfATerminal) {
  PseudoTerminal pseudo(123);
  if (!pseudo.stream()) GTEST_SKIP() << "this system gives no pseudo-terminal";
  Terminal terminal = Terminal::of(pseudo.stream());
  EXPECT_TRUE(terminal.interactive);
  EXPECT_TRUE(terminal.colour);
  EXPECT_TRUE(terminal.utf8);
  EXPECT_EQ(terminal.columns, 123);
  EXPECT_EQ(terminal.bold("x"), "\x1b[1mx\x1b[0m");
  pseudo.resize(45);
  terminal.measure(pseudo.stream());
  EXPECT_EQ(terminal.columns, 45);

  setenv("NO_COLOR", "1", 1);
  EXPECT_TRUE(Terminal::of(pseudo.stream()).interactive);
  EXPECT_EQ(Terminal::of(pseudo.stream()).bold("x"), "x");
  unsetenv("NO_COLOR");
  setenv("TERM", "dumb", 1);
  EXPECT_FALSE(Terminal::of(pseudo.stream()).interactive);
  EXPECT_FALSE(Terminal::of(pseudo.stream()).colour);
  setenv("LC_ALL", "C", 1);
  EXPECT_FALSE(Terminal::of(pseudo.stream()).utf8);
}

TEST_F(TerminalTest, ALineOverAnotherStaysBelowTheWidth) {
  Terminal terminal;
  for (const int columns : {1, 20, 40}) {
    terminal.columns = columns;
    for (const std::string_view line : {"window 1/2", "window 1/200  perplexity 12.34  5 h 20 min left",
                                        "\u6a21\u578b \u6a21\u578b \u6a21\u578b \u6a21\u578b"}) {
      const std::string written = terminal.over(line);
      ASSERT_TRUE(written.starts_with("\r") && written.ends_with("\x1b[K"));
      const std::string_view shown = std::string_view(written).substr(1, written.size() - 4);
      EXPECT_LT(display_width(shown), columns);
      EXPECT_TRUE(line.starts_with(shown)) << shown;
    }
  }
}

TEST_F(TerminalTest, AFileIsNoTerminal) {
  std::FILE* file = std::tmpfile();
  ASSERT_TRUE(file);
  const Terminal terminal = Terminal::of(file);
  EXPECT_FALSE(terminal.interactive);
  EXPECT_FALSE(terminal.colour);
  EXPECT_EQ(terminal.columns, 80);
  std::fclose(file);
}

}  // namespace
}  // namespace intarsia
