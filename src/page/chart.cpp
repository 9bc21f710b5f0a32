#include "page/chart.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "core/format.h"
#include "page/page.h"

namespace intarsia {

namespace {

constexpr double label_gap = 15;     // px between labels
constexpr int bottom_room = 22;      // px for the marks of x
constexpr double plot_width = 1000;  // units of the stretched plot
constexpr size_t table_rows = 24;
constexpr double digit_width = 6.9, bold_width = 7.0;  // px at 12 px, on the wide side

void trim_zeros(std::string& text) {
  if (text.find('.') == std::string::npos || text.find('e') != std::string::npos) return;
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
}

// A value as the labels show it; the script writes it the same way.
std::string reading(const Chart& chart, double value) {
  if (chart.decimals) return format_fixed(value, *chart.decimals);
  std::string text = format_number(value, 3);
  trim_zeros(text);
  return text;
}

// Where things stand in the figure, in px from the top, and in shares of the width.
struct Frame {
  double top, bottom, low, high, last;
  bool log;
  Frame(const Chart& chart, double last_x)
      : top(chart.marks.empty() && chart.limits.empty() ? 8 : 20),
        bottom(chart.height - bottom_room),
        low(chart.low),
        high(chart.high),
        last(std::max(chart.last > 0 ? chart.last : last_x, 1.0)),
        log(chart.log) {}
  double y(double value) const {
    const double share = log ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
    return bottom - share * (bottom - top);
  }
  double x(double value) const { return value / last; }
  bool inside(double value) const { return value >= low && value <= high; }
};

std::string colour_of(const ChartLine& line) { return fmt::format("--c:var(--s{})", line.colour); }

// The last point that has a value.
std::optional<size_t> last_point(const ChartLine& line) {
  for (size_t i = line.y.size(); i-- > 0;)
    if (std::isfinite(line.y[i])) return i;
  return std::nullopt;
}

std::string path_of(const ChartLine& line, const Frame& frame) {
  std::string path;
  bool pen_up = true;
  for (size_t i = 0; i < line.x.size(); i++) {
    if (!std::isfinite(line.y[i]) || (frame.log && line.y[i] <= 0)) {
      pen_up = true;
      continue;
    }
    // Far outside the plot all places look alike; short numbers keep the page small.
    const double y = std::clamp(frame.y(line.y[i]), -999.0, 1999.0) - frame.top;
    path += fmt::format("{}{:.1f} {:.1f}", pen_up ? 'M' : 'L', plot_width * frame.x(line.x[i]), y);
    pen_up = false;
  }
  return path;
}

// A band: along its upper edge, and back along the lower one.
std::string band_of(const ChartLine& line, const Frame& frame) {
  ChartLine edge;
  edge.x = line.x;
  edge.y = line.high;
  std::string path = path_of(edge, frame);
  edge.y = line.low;
  std::reverse(edge.x.begin(), edge.x.end());
  std::reverse(edge.y.begin(), edge.y.end());
  std::string back = path_of(edge, frame);
  if (path.empty() || back.empty()) return {};
  back[0] = 'L';
  return path + back + 'Z';
}

std::string dots_of(const ChartLine& line, const Frame& frame) {
  std::string path;
  for (size_t i = 0; i < line.x.size(); i++)
    if (frame.inside(line.y[i]))
      path +=
          fmt::format("M{:.1f} {:.1f}h0", plot_width * frame.x(line.x[i]), frame.y(line.y[i]) - frame.top);
  return path;
}

// Moves the places apart to `label_gap`, as little as possible, and keeps them in [low, high].
void spread(std::vector<double>& places, double low, double high) {
  std::vector<size_t> order(places.size());
  for (size_t i = 0; i < order.size(); i++) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return places[a] < places[b]; });
  for (int round = 0; round < 60; round++) {
    for (size_t i = 1; i < order.size(); i++) {
      double &upper = places[order[i - 1]], &lower = places[order[i]];
      const double missing = label_gap - (lower - upper);
      if (missing <= 0) continue;
      upper -= missing / 2;
      lower += missing / 2;
    }
  }
  double least = low;
  for (const size_t i : order) {
    places[i] = std::max(places[i], least);
    least = places[i] + label_gap;
  }
  double most = high;
  for (auto i = order.rbegin(); i != order.rend(); ++i) {
    places[*i] = std::min(places[*i], most);
    most = places[*i] - label_gap;
  }
}

std::string grid_html(const Chart& chart, const Frame& frame) {
  std::string html;
  const Ticks marks = axis_ticks(chart.low, chart.high, chart.height > 220 ? 5 : 3, chart.log);
  for (size_t i = 0; i < marks.values.size(); i++) {
    const double y = frame.y(marks.values[i]);
    html += fmt::format("<line class=\"grid\" x2=\"100%\" y1=\"{0:.1f}\" y2=\"{0:.1f}\"/>", y);
    html += fmt::format("<text class=\"y\" x=\"-6\" y=\"{:.1f}\">{}</text>", y + 4, marks.labels[i]);
  }
  const double bottom = frame.bottom + .5;
  html += fmt::format("<line class=\"axis\" x2=\"100%\" y1=\"{0}\" y2=\"{0}\"/>", bottom);
  const Ticks steps = axis_ticks(0, frame.last, chart.height > 220 ? 7 : 5);
  for (size_t i = 0; i < steps.values.size(); i++) {
    const std::string at = fmt::format("{:.2f}%", 100 * frame.x(steps.values[i]));
    const char* odd = i % 2 ? " odd" : "";
    html += fmt::format("<line class=\"axis{}\" x1=\"{}\" x2=\"{}\" y1=\"{}\" y2=\"{}\"/>", odd, at, at,
                        frame.bottom, frame.bottom + 4);
    html += fmt::format("<text class=\"x{}\" x=\"{}\" y=\"{}\">{}</text>", odd, at, chart.height - 4,
                        steps.labels[i]);
  }
  return html;
}

std::string lines_html(const Chart& chart, const Frame& frame) {
  const double height = frame.bottom - frame.top;
  std::string html = fmt::format(
      "<svg class=\"plot\" y=\"{}\" width=\"100%\" height=\"{}\" viewBox=\"0 0 {} {}\" "
      "preserveAspectRatio=\"none\">",
      frame.top, height, plot_width, height);
  const bool many = chart.lines.size() > 4;  // colour alone no longer tells them apart
  for (const ChartLine& line : chart.lines) {
    if (!line.low.empty())
      html +=
          fmt::format("<path class=\"band\" style=\"{}\" d=\"{}\"/>", colour_of(line), band_of(line, frame));
    html += fmt::format("<path class=\"line{}{}\" style=\"{}\" d=\"{}\"/>", line.faint ? " faint" : "",
                        line.dotted               ? " dotted"
                        : many && line.colour > 4 ? " dashed"
                                                  : "",
                        colour_of(line), path_of(line, frame));
    if (line.points)
      html +=
          fmt::format("<path class=\"dots\" style=\"{}\" d=\"{}\"/>", colour_of(line), dots_of(line, frame));
  }
  return html + "</svg>";
}

std::string limits_html(const Chart& chart, const Frame& frame) {
  std::string html;
  for (const auto& [y, text] : chart.limits) {
    if (!frame.inside(y)) continue;
    html += fmt::format("<line class=\"limit\" x2=\"100%\" y1=\"{0:.1f}\" y2=\"{0:.1f}\"/>", frame.y(y));
    html += fmt::format("<text class=\"y halo\" x=\"100%\" dx=\"-2\" y=\"{:.1f}\">{}</text>", frame.y(y) - 5,
                        escape_html(text));
  }
  for (const auto& [x, text] : chart.marks) {
    const std::string at = fmt::format("{:.2f}%", 100 * frame.x(x));
    const char* anchor = frame.x(x) > .6 ? "end" : "start";
    html += fmt::format("<line class=\"limit\" x1=\"{}\" x2=\"{}\" y1=\"{}\" y2=\"{}\"/>", at, at,
                        frame.top - 6, frame.bottom);
    html += fmt::format("<text text-anchor=\"{}\" x=\"{}\" y=\"{}\">{}</text>", anchor, at, frame.top - 9,
                        escape_html(text));
  }
  return html;
}

// Labels stand at the lines' ends, right of the plot, where its width ends: inside an svg that begins there.
std::string labels_html(const Chart& chart, const Frame& frame) {
  std::vector<double> ends, places;
  std::string leaders, labels;
  for (const ChartLine& line : chart.lines) {
    if (line.faint) continue;
    const auto end = last_point(line);
    ends.push_back(end ? std::clamp(frame.y(line.y[*end]), frame.top, frame.bottom) : frame.bottom);
  }
  places = ends;
  spread(places, frame.top, frame.bottom);
  size_t i = 0;
  for (const ChartLine& line : chart.lines) {
    if (line.faint) continue;
    const auto end = last_point(line);
    const double place = places[i], from = ends[i];
    i++;
    labels += fmt::format(
        "<text class=\"label\" style=\"{}\" x=\"14\" y=\"{:.1f}\">{}<tspan dx=\"5\">{}</tspan></text>",
        colour_of(line), place + 4, escape_html(line.name), end ? reading(chart, line.y[*end]) : "NaN");
    if (std::abs(place - from) > 2)
      labels += fmt::format("<path class=\"leader\" style=\"{}\" d=\"M1 {:.1f}L6 {:.1f}H11\"/>",
                            colour_of(line), from, place);
    if (end && frame.x(line.x[*end]) < .99)
      leaders += fmt::format(
          "<line class=\"leader\" style=\"{0}\" x1=\"{1:.2f}%\" x2=\"100%\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>",
          colour_of(line), 100 * frame.x(line.x[*end]), from);
  }
  return leaders + "<svg class=\"labels\" x=\"100%\">" + labels + "</svg>";
}

double value_near(const ChartLine& line, double x) {
  size_t best = 0;
  for (size_t i = 1; i < line.x.size(); i++)
    if (std::abs(line.x[i] - x) < std::abs(line.x[best] - x)) best = i;
  return line.y.empty() ? std::numeric_limits<double>::quiet_NaN() : line.y[best];
}

std::string table_html(const Chart& chart) {
  // The rows are the steps of the line that was measured most rarely, so that no number is made up between
  // two.
  const ChartLine* base = nullptr;
  for (const ChartLine& line : chart.lines)
    if (!line.faint && line.x.size() > 1 && (!base || line.points)) base = &line;
  if (!base) return {};
  std::string html = fmt::format(
      "<details class=\"screen\"><summary>Numbers</summary><table><caption class=\"hidden-text\">{}: "
      "numbers</caption>"
      "<thead><tr><th class=\"number\" scope=\"col\">step</th>",
      escape_html(chart.title));
  for (const ChartLine& line : chart.lines)
    if (!line.faint)
      html += fmt::format("<th class=\"number\" scope=\"col\">{}</th>", escape_html(line.name));
  html += "</tr></thead><tbody>\n";
  const size_t every = (base->x.size() + table_rows - 1) / table_rows;
  for (size_t i = 0; i < base->x.size(); i++) {
    if (i % every && i + 1 != base->x.size()) continue;
    html += fmt::format("<tr><th class=\"number\" scope=\"row\">{}</th>",
                        format_count(static_cast<int64_t>(base->x[i])));
    for (const ChartLine& line : chart.lines)
      if (!line.faint)
        html += fmt::format("<td class=\"number\">{}</td>", reading(chart, value_near(line, base->x[i])));
    html += "</tr>\n";
  }
  return html + "</tbody></table></details>";
}

std::string json_number(double value) { return std::isfinite(value) ? fmt::format("{:.5g}", value) : "null"; }

std::string json_list(std::span<const double> values) {
  std::string json = "[";
  for (size_t i = 0; i < values.size(); i++) json += (i ? "," : "") + json_number(values[i]);
  return json + "]";
}

// Steps are whole numbers and must stay exact.
std::string json_steps(std::span<const double> steps) {
  std::string json = "[";
  for (size_t i = 0; i < steps.size(); i++) json += fmt::format("{}{:.0f}", i ? "," : "", steps[i]);
  return json + "]";
}

double nice_step(double range, int count) {
  const double raw = range / count, power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= raw * .99) return factor * power;
  return 10 * power;
}

std::vector<double> log_marks(double low, double high) {
  const double decades = std::log10(high / low);
  std::vector<double> factors = {1, 1.5, 2, 3, 5, 7};
  if (decades > 1.3) factors = {1, 2, 5};
  if (decades > 2.6) factors = {1};
  std::vector<double> marks;
  // Only so many powers that about six marks remain.
  const int stride = std::max(1, static_cast<int>(decades / 6));
  for (int power = static_cast<int>(std::floor(std::log10(low))); power <= std::log10(high); power += stride)
    for (const double factor : factors) {
      const double value = factor * std::pow(10, power);
      if (value >= low * .999 && value <= high * 1.001) marks.push_back(value);
    }
  return marks;
}

std::string power_label(double value) {
  std::string text = format_number(value, 2);
  trim_zeros(text);
  return text;
}

// "5e−4", "1e−3".
std::string scientific(double value) {
  const int exponent = static_cast<int>(std::floor(std::log10(std::abs(value)) + 1e-9));
  std::string text = format_fixed(value / std::pow(10, exponent), 1);
  trim_zeros(text);
  return fmt::format("{}e{}{}", text, exponent < 0 ? "−" : "", std::abs(exponent));
}

std::vector<std::string> tick_labels(const std::vector<double>& values, bool log) {
  double most = 0;
  for (const double value : values) most = std::max(most, std::abs(value));
  const double unit = most >= 1e9 ? 1e9 : most >= 1e6 ? 1e6 : most >= 1e3 ? 1e3 : 1;
  const char* letter = most >= 1e9 ? "G" : most >= 1e6 ? "M" : most >= 1e3 ? "k" : "";
  int decimals = 0;
  const auto exact = [&](double value) {
    const double scaled = value / unit * std::pow(10, decimals);
    return std::abs(scaled - std::round(scaled)) < 1e-6;
  };
  while (decimals < 4 && !std::all_of(values.begin(), values.end(), exact)) decimals++;
  std::vector<std::string> labels;
  for (const double value : values) {
    if (value == 0)
      labels.push_back("0");
    else if (most < 0.01)
      labels.push_back(scientific(value));
    else if (log)
      labels.push_back(value >= 1000 ? power_label(value / unit) + letter : power_label(value));
    else
      labels.push_back(format_fixed(value / unit, decimals) + letter);
  }
  return labels;
}

}  // namespace

void Extent::add(double value) {
  if (!std::isfinite(value)) return;
  low = std::min(low, value);
  high = std::max(high, value);
}
void Extent::add(std::span<const double> values) {
  for (const double value : values) add(value);
}

void set_log_range(Chart& chart, const Extent& extent) {
  chart.log = true;
  const double room = std::max(std::pow(extent.high / extent.low, .04), 1.01);
  chart.low = extent.low / room;
  chart.high = extent.high * room;
}

void set_range_from_zero(Chart& chart, const Extent& extent) {
  chart.low = 0;
  chart.high = extent.known() && extent.high > 0 ? extent.high * 1.08 : 1;
}

ChartLine thinned(const ChartLine& line, size_t limit) {
  const size_t n = line.x.size();
  if (n <= limit) return line;
  ChartLine out = line;
  out.x.clear();
  out.y.clear();
  const auto keep = [&](size_t i) {
    out.x.push_back(line.x[i]);
    out.y.push_back(line.y[i]);
  };
  out.low.clear();  // a band does not survive: its edges belong to the points
  out.high.clear();
  const size_t buckets = (limit - 1) / 2;
  for (size_t b = 0; b < buckets; b++) {
    const size_t begin = b * (n - 1) / buckets, end = (b + 1) * (n - 1) / buckets;
    size_t least = begin, most = begin;
    for (size_t i = begin; i < end; i++) {
      // A NaN never compares, so one that stands first would hide the bucket's numbers.
      if (line.y[i] < line.y[least] || std::isnan(line.y[least])) least = i;
      if (line.y[i] > line.y[most] || std::isnan(line.y[most])) most = i;
    }
    keep(std::min(least, most));
    if (least != most) keep(std::max(least, most));
  }
  keep(n - 1);
  return out;
}

std::vector<double> smoothed(std::span<const double> values, int window) {
  const auto n = static_cast<std::ptrdiff_t>(values.size());
  const std::ptrdiff_t half = window / 2;
  std::vector<double> out(values.size());
  for (std::ptrdiff_t i = 0; i < n; i++) {
    // No further right than left, or the steep start of a falling line would be bent; at the end the left
    // half remains, or the last value would be a raw one.
    const std::ptrdiff_t left = std::min(half, i), right = std::min(left, n - 1 - i);
    double sum = 0;
    int count = 0;
    for (std::ptrdiff_t k = i - left; k <= i + right; k++) {
      if (!std::isfinite(values[static_cast<size_t>(k)])) continue;
      sum += values[static_cast<size_t>(k)];
      count++;
    }
    out[static_cast<size_t>(i)] = count ? sum / count : std::numeric_limits<double>::quiet_NaN();
  }
  return out;
}

Ticks axis_ticks(double low, double high, int count, bool log) {
  Ticks ticks;
  if (!(high > low) || !std::isfinite(low) || !std::isfinite(high)) return ticks;
  const bool powers = log && high / low > 4;
  if (powers) {
    ticks.values = log_marks(low, high);
  } else {
    double step = nice_step(high - low, count);
    // Fewer than three marks say too little about the scale.
    for (int more = count + 1; std::floor(high / step) - std::ceil(low / step) < 2 && more < count + 4;
         more++)
      step = nice_step(high - low, more);
    for (double k = std::ceil(low / step - 1e-9); k * step <= high + step * 1e-6; k++)
      ticks.values.push_back(k * step);
  }
  ticks.labels = tick_labels(ticks.values, powers);
  return ticks;
}

ChartRoom room_of(const Chart& chart, double last) {
  ChartRoom room;
  for (const std::string& label :
       axis_ticks(chart.low, chart.high, chart.height > 220 ? 5 : 3, chart.log).labels)
    room.left = std::max(room.left, static_cast<int>(std::ceil(display_width(label) * digit_width)) + 8);
  for (const ChartLine& line : chart.lines) {
    if (line.faint) continue;
    const auto end = last_point(line);
    const std::string value = end ? reading(chart, line.y[*end]) : "NaN";
    const double width = display_width(line.name) * bold_width + 5 + display_width(value) * digit_width;
    room.right = std::max(room.right, 16 + static_cast<int>(std::ceil(width)));
  }
  // The last step's own label may stand out at the end of the axis.
  room.right = std::max(
      room.right, 12 + static_cast<int>(format_count(static_cast<int64_t>(last)).size() * digit_width / 2));
  return room;
}

std::string chart_html(const Chart& chart, double last, ChartRoom room) {
  const Frame frame(chart, last);
  std::string html = fmt::format(
      "<figure class=\"chart\" data-chart=\"{}\" style=\"--left:{}px;--right:{}px\"><figcaption><b>{}</b> "
      "<span class=\"unit\">{}</span></figcaption>\n<svg role=\"img\" tabindex=\"0\" height=\"{}\" "
      "aria-label=\"{}\">",
      chart.id, room.left, room.right, escape_html(chart.title), escape_html(chart.subtitle), chart.height,
      escape_html(chart.finding));
  html += grid_html(chart, frame) + lines_html(chart, frame) + limits_html(chart, frame) +
          labels_html(chart, frame);
  html += "</svg><output class=\"hidden-text\" aria-live=\"polite\"></output>\n";
  return html + table_html(chart) + "</figure>\n";
}

std::string charts_json(std::span<const Chart> charts, double last) {
  std::vector<std::string> steps;  // lists of steps; charts of one run share most of them
  std::string body;
  for (const Chart& chart : charts) {
    const Frame frame(chart, last);
    std::string series;
    for (const ChartLine& line : chart.lines) {
      if (line.faint) continue;
      const std::string list = json_steps(line.x);
      auto at = std::find(steps.begin(), steps.end(), list);
      if (at == steps.end()) at = steps.insert(steps.end(), list);
      series += fmt::format("{}{{\"name\":{},\"x\":{},\"y\":{}}}", series.empty() ? "" : ",",
                            script_string(line.name), at - steps.begin(), json_list(line.y));
    }
    body += fmt::format(
        "{}\"{}\":{{\"range\":[{},{}],\"log\":{},\"last\":{:.0f},\"top\":{},\"bottom\":{},\"unit\":{},"
        "\"decimals\":{},"
        "\"series\":[{}]}}",
        body.empty() ? "" : ",\n", chart.id, chart.low, chart.high, chart.log, frame.last, frame.top,
        frame.bottom, script_string(chart.unit), chart.decimals ? fmt::format("{}", *chart.decimals) : "null",
        series);
  }
  std::string lists;
  for (const std::string& list : steps) lists += (lists.empty() ? "" : ",") + list;
  return fmt::format("{{\"last\":{:.0f},\"x\":[{}],\n\"charts\":{{{}}}}}", std::max(last, 1.0), lists, body);
}

}  // namespace intarsia
