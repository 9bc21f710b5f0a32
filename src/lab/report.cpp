#include "lab/report.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <ctime>

#include "core/format.h"
#include "data/file.h"
#include "kernel/table.h"
#include "page/chart.h"
#include "page/heat.h"
#include "page/page.h"
#include "page/parts.h"

namespace intarsia {

namespace {

constexpr std::string_view style = R"css(
.spread { color: var(--muted); font-weight: 400 }
.strip { display: block; width: 100%; height: .75rem; margin-top: .15rem }
.strip line { stroke: var(--rule) }
.strip circle { fill: var(--s1); opacity: .75 }
.results tbody th { white-space: nowrap }
@media (max-width: 40rem) { .results tbody tr { grid-template-columns: 1fr } .results tbody th { grid-column: 1 / -1 } }
)css";

int colour_of(size_t variant) { return static_cast<int>(variant % 8) + 1; }

// "0.016", "3e−4".
std::string tick_of(double value) {
  if (value <= 0 || value >= 0.01) return fmt::format("{:g}", value);
  std::string digits = fmt::format("{:.1e}", value);
  const int exponent = std::stoi(digits.substr(digits.find('e') + 2));
  digits.resize(digits.find('e'));
  if (digits.ends_with(".0")) digits.resize(digits.size() - 2);
  return fmt::format("{}e−{}", digits, exponent);
}

std::string capitalized(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

const char* arrow_of(Measure::Better better) {
  return better == Measure::Better::lower ? " ↓" : better == Measure::Better::higher ? " ↑" : "";
}

// Each variant's text of a cell: the number, its spread, the seeds as dots on the column's scale.
std::string measure_html(const Measure& measure, const Statistic& statistic, Standing standing,
                         const Extent& extent) {
  const char* kind = standing == Standing::best ? " best" : standing == Standing::near ? " near" : "";
  const std::string head = escape_html(fmt::format("{} {}", measure.name, measure.unit));
  if (statistic.values.empty())
    return fmt::format("<td role=\"cell\" class=\"number\" data-head=\"{}\">every seed failed</td>", head);
  std::string html = fmt::format("<td role=\"cell\" class=\"number{}\" data-head=\"{}\">{}", kind, head,
                                 format_fixed(statistic.mean, measure.decimals));
  if (statistic.values.size() > 1)
    html += fmt::format(" <span class=\"spread\">± {}</span>",
                        format_fixed(statistic.deviation, measure.decimals));
  html += standing == Standing::best   ? "<span class=\"hidden-text\"> best</span>"
          : standing == Standing::near ? "<span class=\"hidden-text\"> within the noise of the best</span>"
                                       : "";
  if (statistic.values.size() < 2) return html + "</td>";
  html += "<svg class=\"strip\" aria-hidden=\"true\"><line x2=\"100%\" y1=\"50%\" y2=\"50%\"/>";
  for (const double value : statistic.values) {
    const double share = extent.high > extent.low ? (value - extent.low) / (extent.high - extent.low) : .5;
    html += fmt::format("<circle cx=\"{:.1f}%\" cy=\"50%\" r=\"2.6\"/>", 3 + 94 * share);
  }
  return html + "</svg></td>";
}

std::string results_html(const Comparison& comparison, const TaskSetup& setup, const TaskSummary& task) {
  const Task& kind = *setup.task;
  std::string caption =
      fmt::format("{} ± standard deviation over {} seeds; dots: the single seeds, on one scale a column",
                  comparison.seeds.size() > 1 ? "Mean" : "Value", comparison.seeds.size());
  if (comparison.seeds.size() == 1) caption = "One seed";
  if (setup.grid)
    caption +=
        fmt::format("; each variant at its best {} and {}", setup.grid->rows.name, setup.grid->columns.name);
  std::string html = fmt::format(
      "<table role=\"table\" class=\"stack results\"><caption>{}.</caption><thead role=\"rowgroup\"><tr "
      "role=\"row\">"
      "<th role=\"columnheader\" scope=\"col\">variant</th>",
      escape_html(caption));
  for (const Measure& measure : kind.measures)
    html += fmt::format("<th role=\"columnheader\" class=\"number\" scope=\"col\">{}<small>{}{}</small></th>",
                        escape_html(measure.name), escape_html(measure.unit), arrow_of(measure.better));
  if (setup.grid)
    for (const Axis* axis : {&setup.grid->rows, &setup.grid->columns})
      html += fmt::format(
          "<th role=\"columnheader\" class=\"number\" scope=\"col\">{}<small>of the best</small></th>",
          escape_html(axis->name));
  html += "</tr></thead><tbody role=\"rowgroup\">\n";
  std::vector<Extent> extents(kind.measures.size());
  for (const VariantSummary& variant : task.variants)
    for (size_t m = 0; m < extents.size(); m++) extents[m].add(variant.measures[m].values);
  for (size_t v = 0; v < task.variants.size(); v++) {
    const VariantSummary& variant = task.variants[v];
    html += fmt::format("<tr role=\"row\"><th role=\"rowheader\" scope=\"row\">{}</th>",
                        escape_html(setup.variants[v].name));
    for (size_t m = 0; m < extents.size(); m++)
      html += measure_html(kind.measures[m], variant.measures[m], variant.standings[m], extents[m]);
    if (setup.grid) {
      const auto cell = [&](const Axis& axis, size_t index) {
        html += fmt::format("<td role=\"cell\" class=\"number\" data-head=\"best {}\">{}</td>",
                            escape_html(axis.name), tick_of(axis.values[index]));
      };
      cell(setup.grid->rows, variant.row);
      cell(setup.columns(v), variant.column);
    }
    html += "</tr>\n";
  }
  html += "</tbody></table>\n";
  if (comparison.seeds.size() < 2) return html;
  std::string ranges;
  for (size_t m = 0; m < extents.size(); m++)
    if (extents[m].known())
      ranges += fmt::format("{}{} to {}", ranges.empty() ? "" : ", ",
                            format_fixed(extents[m].low, kind.measures[m].decimals),
                            format_fixed(extents[m].high, kind.measures[m].decimals));
  return html + fmt::format("<p class=\"note\">The strips run from {}.</p>\n", ranges);
}

// Where the best columns lie, in numbers.
std::string valleys_html(const TaskSetup& setup, const Grid& grid, const TaskSummary& task) {
  const std::string row = escape_html(grid.rows.name), column = escape_html(grid.columns.name);
  std::string rows;
  for (size_t v = 0; v < task.variants.size(); v++) {
    const Valley& valley = task.variants[v].valley;
    if (valley.shared < 0) continue;
    const auto cell = [](const std::string& head, const std::string& text) {
      return fmt::format("<td role=\"cell\" class=\"number\" data-head=\"{}\">{}</td>", head, text);
    };
    rows += fmt::format("<tr role=\"row\"><th role=\"rowheader\" scope=\"row\">{}</th>",
                        escape_html(setup.variants[v].name));
    rows += cell("slope", slope_text(valley, grid.rows.name));
    rows += cell("gain", fmt::format("{} <span class=\"spread\">noise {}</span>", format_share(valley.gain),
                                     format_share(valley.noise)));
    rows += cell("one " + column, tick_of(setup.columns(v).values[static_cast<size_t>(valley.shared)]));
    rows += cell("costs at most", format_share(valley.cost)) + "</tr>\n";
  }
  if (rows.empty()) return {};
  const auto head = [](const std::string& name, const std::string& small) {
    return fmt::format("<th role=\"columnheader\" class=\"number\" scope=\"col\">{}<small>{}</small></th>",
                       name, small);
  };
  return fmt::format(
             "<table role=\"table\" class=\"stack results\"><caption>The valley: the best {0} goes as {1} to "
             "the power "
             "of the slope; 0 means that {0} and {1} can be chosen apart.</caption><thead "
             "role=\"rowgroup\"><tr "
             "role=\"row\"><th role=\"columnheader\" scope=\"col\">variant</th>",
             column, row) +
         head("slope", "of log best " + column) + head("gain", "of the best " + column + " over the least") +
         head("one " + column, "for every " + row) + head("costs at most", "above the best") +
         "</tr></thead><tbody role=\"rowgroup\">\n" + rows + "</tbody></table>\n";
}

std::string heats_html(const TaskSetup& setup, const TaskSummary& task) {
  if (!setup.grid) return {};
  const Grid& grid = *setup.grid;
  const Measure& measure = setup.task->measures[0];
  std::vector<double> all;
  for (const VariantSummary& variant : task.variants)
    for (const std::vector<double>& row : variant.grid) all.insert(all.end(), row.begin(), row.end());
  const std::vector<double> steps = heat_steps(all);
  std::string html = fmt::format("<h3>{} over {} and {}</h3>\n<div class=\"columns\">\n",
                                 escape_html(capitalized(measure.name)), escape_html(grid.rows.name),
                                 escape_html(grid.columns.name));
  const int decimals = std::max(0, measure.decimals - 1);  // many cells, little room
  for (size_t v = 0; v < task.variants.size(); v++) {
    const VariantSummary& variant = task.variants[v];
    HeatMap map;
    map.caption = setup.variants[v].name;
    map.row_name = grid.rows.name;
    map.column_name = grid.columns.name;
    for (const double value : grid.rows.values) map.rows.push_back(tick_of(value));
    for (const double value : setup.columns(v).values) map.columns.push_back(tick_of(value));
    map.values = variant.grid;
    map.decimals = decimals;
    if (!variant.measures[0].values.empty()) {
      map.best_row = static_cast<int>(variant.row);
      map.best_column = static_cast<int>(variant.column);
    }
    map.row_best = variant.row_best;
    html += "<div>" + heat_html(map, steps) + "</div>\n";
  }
  html += "</div>\n" + heat_scale_html(steps, decimals);
  return html +
         fmt::format(
             "<p class=\"note\">{}, {}, mean over the seeds. Framed: the best {} of each {}; ◆ the "
             "best of all. "
             "Hatched: a run failed.</p>\n",
             escape_html(capitalized(measure.name)), escape_html(measure.unit),
             escape_html(grid.columns.name), escape_html(grid.rows.name)) +
         valleys_html(setup, grid, task);
}

std::string profiles_html(const TaskSetup& setup, const TaskSummary& task) {
  if (!setup.task->profile) return {};
  HeatMap map;
  map.caption = capitalized(fmt::format("{}: shares in %", setup.task->profile));
  map.row_name = "variant";
  map.decimals = 1;
  std::vector<double> all;
  for (size_t v = 0; v < task.variants.size(); v++) {
    const Profile& profile = task.variants[v].profile;
    if (profile.labels.empty()) continue;
    if (map.columns.empty()) map.columns = profile.labels;
    if (profile.labels != map.columns) continue;
    map.rows.push_back(setup.variants[v].name);
    map.values.emplace_back();
    for (const double share : profile.values) map.values.back().push_back(100 * share);
    all.insert(all.end(), map.values.back().begin(), map.values.back().end());
  }
  return map.rows.empty() ? "" : heat_html(map, heat_steps(all));
}

Chart chart_of(const Comparison& comparison, const TaskSetup& setup, const TaskSummary& task, size_t index) {
  const Measure& measure = setup.task->curve.name ? setup.task->curve : setup.task->measures[0];
  Chart chart;
  chart.id = fmt::format("task{}", index);
  chart.title = setup.title;
  chart.height = 260;
  chart.unit = measure.unit;
  chart.decimals = measure.decimals;
  chart.subtitle = fmt::format("{}, {}, by {}", measure.name, measure.unit, setup.task->x);
  Extent extent, later;
  for (size_t v = 0; v < task.variants.size(); v++) {
    const VariantSummary& variant = task.variants[v];
    if (variant.curve.x.size() < 2) continue;
    ChartLine line;
    line.name = setup.variants[v].name.substr(0, 14);
    line.colour = colour_of(v);
    line.dotted = v >= 8;
    line.x = variant.curve.x;
    line.y = variant.curve.y;
    if (comparison.seeds.size() > 1) {
      line.low = variant.low;
      line.high = variant.high;
    }
    chart.last = std::max(chart.last, line.x.back());
    for (size_t i = 0; i < line.y.size(); i++) {
      extent.add(line.y[i]);
      if (i >= line.y.size() / 6) later.add(line.y[i]);
    }
    chart.finding += fmt::format("{}{} {}", chart.finding.empty() ? "At the end: " : ", ",
                                 setup.variants[v].name, format_fixed(line.y.back(), measure.decimals));
    chart.lines.push_back(std::move(line));
  }
  if (!extent.known()) return chart;
  if (later.low > 0) {
    // The steep start may be cut, so that the rest is not flattened.
    const bool cut = extent.high > 1.5 * later.high;
    set_log_range(chart, cut ? later : extent);
    chart.subtitle += ", log scale";
    if (cut)
      chart.subtitle += fmt::format("; starts at {}, cut above {}", format_number(extent.high, 3),
                                    format_number(chart.high, 2));
  } else {
    const double room = std::max(1e-9, .05 * (extent.high - extent.low));
    chart.low = extent.low - room;
    chart.high = extent.high + room;
  }
  return chart;
}

std::string cost_html(const Comparison& comparison, const LabSummary& summary) {
  std::vector<std::string> names;
  for (const TaskSetup& task : comparison.tasks)
    for (const Variant& variant : task.variants)
      if (std::find(names.begin(), names.end(), variant.name) == names.end()) names.push_back(variant.name);
  std::string html =
      "<section><h2 id=\"cost\">Cost</h2>\n<table role=\"table\" class=\"stack\"><caption>Mean of a run, "
      "seconds</caption><thead role=\"rowgroup\"><tr role=\"row\"><th role=\"columnheader\" "
      "scope=\"col\">variant</th>";
  for (const TaskSetup& task : comparison.tasks)
    html += fmt::format("<th role=\"columnheader\" class=\"number\" scope=\"col\">{}<small>s</small></th>",
                        escape_html(task.name));
  html += "</tr></thead><tbody role=\"rowgroup\">\n";
  for (const std::string& name : names) {
    html += fmt::format("<tr role=\"row\"><th role=\"rowheader\" class=\"wide\" scope=\"row\">{}</th>",
                        escape_html(name));
    for (size_t t = 0; t < summary.tasks.size(); t++) {
      const std::vector<Variant>& variants = comparison.tasks[t].variants;
      std::string seconds;
      for (size_t v = 0; v < variants.size(); v++) {
        const Statistic& took = summary.tasks[t].variants[v].seconds;
        if (variants[v].name != name) continue;
        seconds = took.values.empty() ? "not measured" : format_fixed(took.mean, 2);
      }
      if (seconds.empty()) seconds = "<span class=\"muted\">not in it</span>";
      html += fmt::format("<td role=\"cell\" class=\"number\" data-head=\"{}\">{}</td>",
                          escape_html(comparison.tasks[t].name), seconds);
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></section>\n";
}

// "6 × 2" for two tasks of six variants, "4 + 3" for unequal ones.
std::string variants_text(const Comparison& comparison) {
  std::vector<size_t> counts;
  counts.reserve(comparison.tasks.size());
  for (const TaskSetup& task : comparison.tasks) counts.push_back(task.variants.size());
  if (std::equal(counts.begin() + 1, counts.end(), counts.begin()))
    return counts.size() == 1 ? fmt::format("{}", counts[0])
                              : fmt::format("{} × {}", counts[0], counts.size());
  std::string text;
  for (const size_t count : counts) text += fmt::format("{}{}", text.empty() ? "" : " + ", count);
  return text;
}

std::string machine_html(double now) {
  std::string html = "<section><h2 id=\"machine\">Machine</h2>\n<dl class=\"facts\">\n";
  html += fact_html("processor", kernel::cpu().brand) + fact_html("threads", format_count(thread_count()));
  html += fact_html("rung", kernel::table().name) + fact_html("intarsia", INTARSIA_VERSION);
  return html + fact_html("written", local_time(now, now)) + "</dl></section>\n";
}

std::string how_html(const Comparison& comparison, const LabSummary& summary, const std::string& command) {
  std::string html = "<h2 id=\"how\">How it was measured</h2>\n<ul>\n";
  for (const std::string& line : comparison.how) html += fmt::format("<li>{}</li>\n", escape_html(line));
  for (const auto& [key, value] : comparison.overrides)
    html += fmt::format("<li>For this report: <code>{} = {}</code>.</li>\n", escape_html(key),
                        escape_html(value));
  html += "</ul>\n";
  if (summary.failed > 0) {
    html += fmt::format(
        "<h3 id=\"failed\">{} failed</h3>\n<ul>\n",
        summary.failed == 1 ? "One run" : format_count(static_cast<int64_t>(summary.failed)) + " runs");
    for (const std::string& failure : summary.failures)
      html += fmt::format("<li>{}</li>\n", escape_html(failure));
    html += "</ul>\n";
  }
  return html + command_html("command", command) +
         "<p class=\"note\">All numbers: <code>runs.jsonl</code>, one run a line.</p>\n";
}

}  // namespace

std::string lab_page(const Comparison& comparison, const LabSummary& summary, size_t runs,
                     const std::string& command, double now) {
  Page page;
  page.title = comparison.question + " · intarsia lab";
  page.place = "lab / " + comparison.name;
  page.style = std::string(style) + std::string(heat_style());
  if (summary.done < runs)
    page.state = fmt::format("<span class=\"state warning\">{} of {} runs</span>", summary.done, runs);
  const std::string lead = answer(comparison, summary);
  page.body = fmt::format("<h1>{}</h1>\n<p class=\"lead\">{}</p>\n<dl class=\"keys\">\n",
                          escape_html(comparison.question), escape_html(lead));
  page.body +=
      key_html("Compared", fmt::format("{} × {}", variants_text(comparison), comparison.seeds.size()),
               comparison.tasks.size() == 1 ? "variants, seeds" : "variants of each task, seeds");
  page.body += key_html("Runs", format_count(static_cast<int64_t>(summary.done)),
                        summary.failed ? fmt::format("{} failed", summary.failed) : "none failed");
  page.body += key_html("Took", with_small_unit(format_duration(summary.seconds)),
                        fmt::format("rung {}, {} threads", kernel::table().name, thread_count()));
  page.body += "</dl>\n";
  std::vector<Chart> charts;
  for (size_t t = 0; t < comparison.tasks.size(); t++) {
    const TaskSetup& setup = comparison.tasks[t];
    const TaskSummary& task = summary.tasks[t];
    page.body += fmt::format("<h2 id=\"{}\">{}</h2>\n", escape_html(setup.name), escape_html(setup.title));
    // What the lead has said already is not said again.
    if (const std::string found = finding(setup, task);
        !found.empty() && lead.find(found) == std::string::npos)
      page.body += fmt::format("<p>{}</p>\n", escape_html(capitalized(found)));
    page.body += results_html(comparison, setup, task) + heats_html(setup, task);
    const Chart chart = chart_of(comparison, setup, task, t);
    if (!chart.lines.empty()) {
      page.body += chart_html(chart, chart.last, room_of(chart, chart.last));
      if (comparison.seeds.size() > 1)
        page.body +=
            fmt::format("<p class=\"note\">Lines: mean of {} seeds. Bands: one standard deviation.</p>\n",
                        comparison.seeds.size());
      charts.push_back(chart);
    }
    page.body += profiles_html(setup, task);
  }
  page.body +=
      "<p class=\"note\"><span style=\"color:var(--accent)\">◆</span> best mean, <span "
      "style=\"color:var(--accent)\">◇</span> "
      "not distinguishable from it (difference below twice its standard error; of one seed, below a "
      "hundredth), ↓ lower is better, ↑ higher "
      "is better.</p>\n";
  page.body += "<div class=\"columns\">\n" + cost_html(comparison, summary) + machine_html(now) + "</div>\n";
  page.body += how_html(comparison, summary, command);
  page.foot = fmt::format("<span>written by intarsia {}, {}</span><span>numbers: runs.jsonl</span>",
                          INTARSIA_VERSION, local_time(now, now, true));
  page.data = charts_json(charts, 1);
  return page_html(page);
}

void write_lab_report(const Comparison& comparison, const LabResult& result, const LabOptions& options) {
  const LabSummary summary = summarize(comparison, result);
  write_file(options.directory / "report.html",
             lab_page(comparison, summary, result.outcomes.size(), options.command,
                      static_cast<double>(std::time(nullptr))));
}

}  // namespace intarsia
