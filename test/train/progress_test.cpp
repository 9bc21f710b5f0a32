#include "train/report/progress.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <regex>

#include "core/format.h"

namespace intarsia {
namespace {

using namespace std::chrono_literals;

const std::vector<double> falling = {8, 7, 6, 5, 4, 3, 2, 1};

// The progress of the design's own example.
TrainProgress example() {
  TrainProgress p;
  p.step = 12400;
  p.steps = 20000;
  p.loss = 1.404;
  p.validation = 1.421;
  p.tokens_per_second = 21900;
  p.peak_share = 0.61;
  p.memory_peak = static_cast<size_t>(9.38 * 1024 * 1024 * 1024);
  p.seconds = 9360;
  p.seconds_left = 5685;
  return p;
}

Terminal screen(int columns) {
  Terminal terminal;
  terminal.interactive = true;
  terminal.columns = columns;
  return terminal;
}

TEST(ProgressLine, HasEverythingInOrderAt100Columns) {
  EXPECT_EQ(
      progress_line(example(), falling, screen(101)),
      "12,400/20,000 62 %  loss 1.404 █▇▆▅▄▃▂▁  val 1.421  21.9k tok/s 61 % peak  9.4 GiB  1 h 35 min left");
}

TEST(ProgressLine, DropsPartsInTheirOrder) {
  std::string last;
  std::vector<std::string> forms;
  for (int columns = 120; columns >= 20; columns--) {
    const std::string line = progress_line(example(), falling, screen(columns));
    if (line != last) forms.push_back(line);
    last = line;
  }
  const std::vector<std::string> expected = {
      "12,400/20,000 62 %  loss 1.404 █▇▆▅▄▃▂▁  val 1.421  21.9k tok/s 61 % peak  9.4 GiB  1 h 35 min left",
      "12,400/20,000 62 %  loss 1.404 █▇▆▅▄▃▂▁  21.9k tok/s 61 % peak  9.4 GiB  1 h 35 min left",
      "12,400/20,000 62 %  loss 1.404 █▇▆▅▄▃▂▁  21.9k tok/s 61 % peak  1 h 35 min left",
      "12,400/20,000 62 %  loss 1.404 █▇▆▅▄▃▂▁  21.9k tok/s  1 h 35 min left",
      "12,400/20,000 62 %  loss 1.404  21.9k tok/s  1 h 35 min left",
      "12,400/20,000 62 %  loss 1.404  1 h 35 min left",
      "12,400/20,000 62 %  loss 1.404",
      "12,400/20,000  loss 1.404",
      "12,400  loss 1.404",
  };
  EXPECT_EQ(forms, expected);
}

TEST(ProgressLine, NeverReachesTheLastColumn) {
  for (int columns = 1; columns < 130; columns++)
    EXPECT_LE(display_width(progress_line(example(), falling, screen(columns))), std::max(0, columns - 1))
        << columns;
}

TEST(ProgressLine, LeavesOutWhatIsNotKnown) {
  TrainProgress p;
  p.step = 3;
  p.steps = 10;
  p.loss = 8.3;
  p.seconds_left = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(progress_line(p, {}, screen(100)), "3/10 30 %  loss 8.300");
}

TEST(ProgressLine, SaysHowLongItTookAtTheEnd) {
  TrainProgress p = example();
  p.step = p.steps;
  p.seconds = 118;
  EXPECT_TRUE(progress_line(p, falling, screen(120)).ends_with("  done in 1 min 58 s"));
}

TEST(ProgressLine, UsesAsciiWithoutUtf8AndColoursOnlyWhereAllowed) {
  Terminal terminal = screen(120);
  terminal.utf8 = false;
  EXPECT_NE(progress_line(example(), falling, terminal).find("loss 1.404 #%*+=-._  val"), std::string::npos);
  terminal.colour = true;
  const std::string line = progress_line(example(), falling, terminal);
  EXPECT_NE(line.find("\x1b[2mloss\x1b[0m \x1b[1m1.404\x1b[0m"), std::string::npos);
  EXPECT_EQ(std::regex_replace(line, std::regex("\x1b\\[[0-9]+m"), ""), progress_line(example(), falling, [] {
              Terminal t = screen(120);
              t.utf8 = false;
              return t;
            }()));
}

TEST(PlainProgressLine, IsTheDesignsExample) {
  EXPECT_EQ(plain_progress_line(example()),
            "step 12400 loss 1.404 val 1.421 tok/s 21900 peak 0.61 mem_gib 9.38 left_s 5685");
}

// Collects what a Progress writes; the clock stands still unless it is moved.
struct Recorder {
  std::string written;
  std::chrono::steady_clock::time_point time{};
  Progress progress;
  explicit Recorder(const Terminal& terminal)
      : progress([this](std::string_view text) { written += text; }, terminal, [this] { return time; }) {}
  std::string take() { return std::exchange(written, {}); }
};

TEST(Progress, WritesPlainLinesWithoutControlCodesToAFile) {
  Recorder r{Terminal()};
  TrainProgress p = example();
  r.progress.update(p);
  r.progress.note("saved \x1b[31mruns/bible");
  r.progress.sample({12400, "In the", " beginning\nGod\tcreated"});
  p.step = 20000;
  r.progress.update(p);
  r.progress.finish();
  const std::string text = r.take();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4);
  for (const char c : text) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
  EXPECT_NE(text.find("\nsample 12400 In the beginning God created\n"), std::string::npos);
}

TEST(Progress, RewritesOneLineAtMostTenTimesASecond) {
  Recorder r{screen(100)};
  TrainProgress p = example();
  for (int i = 0; i < 1000; i++) {
    p.step++;
    r.progress.update(p);
    r.time += 10ms;
  }
  const std::string text = r.take();
  const auto drawn = std::count(text.begin(), text.end(), '\r');
  EXPECT_LE(drawn, 101);
  EXPECT_GE(drawn, 90);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  r.progress.finish();
  const std::string end = r.take();
  EXPECT_NE(end.find("13,400/20,000"), std::string::npos) << "the last state is shown";
  EXPECT_EQ(end.back(), '\n');
  r.progress.finish();
  EXPECT_EQ(r.take(), "") << "the line is ended once";
}

TEST(Progress, SamplesStandAboveTheLine) {
  Terminal terminal = screen(100);
  terminal.colour = true;
  Recorder r{terminal};
  r.progress.update(example());
  r.take();
  r.progress.sample({12400, "In the", " beginning \x1b]0;title\x07\nGod\n\n"});
  const std::string text = r.take();
  EXPECT_TRUE(text.starts_with("\r\x1b[K")) << "the line is cleared first";
  EXPECT_NE(text.find("\x1b[2mIn the\x1b[0m beginning ]0;title\nGod\n\r"), std::string::npos)
      << "the prompt is dim, and control codes of the model are left out";
  EXPECT_NE(text.find("12,400/20,000"), std::string::npos) << "the line comes back";
}

TEST(Progress, TheTrendCoversTheNewerHalf) {
  Recorder r{screen(100)};
  TrainProgress p = example();
  for (int i = 0; i < 160; i++) {
    p.loss = i < 80 ? 100 : i;
    r.progress.update(p);
  }
  const std::vector<double> trend = r.progress.recent_trend(8);
  ASSERT_EQ(trend.size(), 8u);
  EXPECT_EQ(trend.front(), 84.5);  // the mean of 80 .. 89
  EXPECT_EQ(trend.back(), 154.5);
  EXPECT_EQ(r.progress.loss_trend(8).front(), 100) << "the closing one covers all";
}

TEST(Progress, TheTrendOfFewLossesHasAsManyValues) {
  Recorder r{screen(100)};
  TrainProgress p = example();
  EXPECT_TRUE(r.progress.loss_trend(8).empty() && r.progress.recent_trend(8).empty());
  for (const double loss : {3.0, 2.0, 1.0}) {
    p.loss = loss;
    r.progress.update(p);
  }
  EXPECT_EQ(r.progress.loss_trend(8), (std::vector<double>{3, 2, 1}));
}

}  // namespace
}  // namespace intarsia
