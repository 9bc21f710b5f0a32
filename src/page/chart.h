// Line charts over training steps, drawn as SVG by the program; the page's script only adds the crosshair.
#pragma once
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace intarsia {

struct ChartLine {
  std::string name;               // at most 14 characters
  int colour = 0;                 // series 0 to 8 of the palette
  std::vector<double> x, y;       // y that is not finite: a gap
  std::vector<double> low, high;  // a band around y, or empty
  bool faint = false;             // raw data behind a smoothed line: no label, no reading
  bool points = false;            // measured rarely: a dot each
  bool dotted = false;            // where all colours are taken
};
struct Chart {
  std::string id, title, subtitle;
  std::string finding;  // one sentence for those who cannot see it
  std::string unit;     // of a reading: "nats per token"
  int height = 170;     // px
  bool log = false;
  double low = 0, high = 1;     // of the axis
  double last = 0;              // of x; 0: what the functions below are given
  std::optional<int> decimals;  // of a reading; none: three digits
  std::vector<ChartLine> lines;
  struct Limit {
    double y;
    std::string text;
  };
  struct Mark {
    double x;
    std::string text;
  };
  std::vector<Limit> limits;  // dotted, across
  std::vector<Mark> marks;    // dotted, from top to bottom
};

// The range of values that are finite.
struct Extent {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void add(double value);
  void add(std::span<const double> values);
  bool known() const { return high >= low; }
};
// A little room around positive values on a log axis, also where all are equal.
void set_log_range(Chart& chart, const Extent& extent);
// An axis from 0, for amounts.
void set_range_from_zero(Chart& chart, const Extent& extent);

// At most `limit` points that look like the line: the least and the greatest of each bucket, and the last.
ChartLine thinned(const ChartLine& line, size_t limit = 300);
// Means over `window` neighbours (odd; fewer at the ends), without those that are not finite.
std::vector<double> smoothed(std::span<const double> values, int window);

// Marks on an axis from low to high, about `count`: 1-2-5 steps, or 1, 1-2-5 or 1-1.5-2-3-5-7 on a log axis,
// where the range decides. Labels have equal decimals; k, M and G stand for thousands.
struct Ticks {
  std::vector<double> values;
  std::vector<std::string> labels;
};
Ticks axis_ticks(double low, double high, int count, bool log = false);

// Px that a chart needs left and right of the plot; charts that stand together share the largest.
struct ChartRoom {
  int left = 38, right = 60;
};
ChartRoom room_of(const Chart& chart, double last);
// The figure with its table of numbers. x goes from 0 to `last`.
std::string chart_html(const Chart& chart, double last, ChartRoom room);
// What the script reads: {"last":N,"x":[[...],...],"charts":{...}}.
std::string charts_json(std::span<const Chart> charts, double last);

}  // namespace intarsia
