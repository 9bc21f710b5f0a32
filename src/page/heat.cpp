#include "page/heat.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "core/format.h"
#include "page/page.h"

namespace intarsia {

namespace {

constexpr int colours = 7;

constexpr std::string_view style = R"css(
:root {
  --h0: light-dark(#edf5fb, #1a232b);
  --h1: light-dark(#d3e6f6, #203140);
  --h2: light-dark(#b4d4f0, #24415a);
  --h3: light-dark(#8dbde6, #285476);
  --h4: light-dark(#1a79b9, #5fa5de);
  --h5: light-dark(#005b99, #8cc1ee);
  --h6: light-dark(#003d6f, #bddcf7);
}
.heat { table-layout: fixed; border-collapse: separate; border-spacing: 2px }
.heat th, .heat td { padding: .35rem .15rem; border: 0; text-align: center }
.heat thead th { vertical-align: bottom; overflow-wrap: normal }
.heat tbody th, .heat thead th:first-child { text-align: left }
.heat tbody tr:hover { background: none }
.h0, .h1, .h2, .h3 { color: light-dark(#1a1d1c, #fff) }
.h4, .h5, .h6 { color: light-dark(#fff, #15181b) }
.h0 { background: var(--h0) } .h1 { background: var(--h1) } .h2 { background: var(--h2) } .h3 { background: var(--h3) }
.h4 { background: var(--h4) } .h5 { background: var(--h5) } .h6 { background: var(--h6) }
.heat .row-best { box-shadow: inset 0 0 0 2px var(--ink); font-weight: 600 }
.heat .all-best { font-weight: 700 }
.heat .failed { color: var(--muted); background: repeating-linear-gradient(135deg, var(--grid) 0 1px, transparent 1px 5px) }
.scale { display: flex; gap: 2px; max-width: 26rem; margin: .25rem 0 0; font-size: .75rem }
.scale span { flex: 1; padding: .1rem .2rem; text-align: center; white-space: nowrap }
@media (max-width: 40rem) {
  .heat { font-size: .6875rem; border-spacing: 1px; letter-spacing: -.02em }
  .heat th, .heat td { padding: .3rem 0 }
  .heat .unit { font-size: inherit }
  .heat small { font-size: .6875rem }
  .scale { font-size: .6875rem; letter-spacing: -.02em }
  .scale span { padding: .1rem 0; min-width: 0 }
}
)css";

int colour_of(double value, std::span<const double> steps) {
  int colour = 0;
  for (const double step : steps) colour += value >= step;
  return colour;
}

// The first column is as wide as the longest word in it; the others share the rest.
int first_width(const HeatMap& map) {
  int longest = 0;
  std::vector<std::string> heads = map.rows;
  heads.push_back(map.row_name);
  for (const std::string& head : heads)
    for (size_t begin = 0; begin < head.size();) {
      const size_t end = std::min(head.find(' ', begin), head.size());
      longest = std::max(longest, display_width(head.substr(begin, end - begin)));
      begin = end + 1;
    }
  return longest;
}

}  // namespace

std::string_view heat_style() { return style; }

std::vector<double> heat_steps(std::span<const double> values) {
  std::vector<double> sorted;
  for (const double value : values)
    if (std::isfinite(value)) sorted.push_back(value);
  if (sorted.empty()) return {};
  std::sort(sorted.begin(), sorted.end());
  const double low = sorted.front(), high = sorted[(sorted.size() - 1) * 85 / 100];
  if (!(high > low)) return {};
  const bool log = low > 0 && high / low > 1.5;
  std::vector<double> steps;
  for (int i = 1; i < colours; i++) {
    const double share = static_cast<double>(i) / colours;
    steps.push_back(log ? low * std::pow(high / low, share) : low + share * (high - low));
  }
  return steps;
}

std::string heat_html(const HeatMap& map, std::span<const double> steps) {
  std::string html = fmt::format(
      "<table class=\"heat\"><caption>{}</caption>\n<thead><tr><th scope=\"col\" "
      "style=\"width:{}ch\">{}</th>",
      escape_html(map.caption), first_width(map) + 2, escape_html(map.row_name));
  for (size_t c = 0; c < map.columns.size(); c++)
    html += fmt::format("<th class=\"unit\" scope=\"col\">{}{}</th>",
                        c == 0 && !map.column_name.empty()
                            ? fmt::format("<small>{}</small>", escape_html(map.column_name))
                            : "",
                        escape_html(map.columns[c]));
  html += "</tr></thead><tbody>\n";
  for (size_t r = 0; r < map.rows.size(); r++) {
    html += fmt::format("<tr><th scope=\"row\">{}</th>", escape_html(map.rows[r]));
    for (size_t c = 0; c < map.columns.size(); c++) {
      const double value = map.values[r][c];
      if (!std::isfinite(value)) {
        html +=
            "<td class=\"failed\"><span aria-hidden=\"true\">–</span><span "
            "class=\"hidden-text\">failed</span></td>";
        continue;
      }
      const bool best = static_cast<int>(r) == map.best_row && static_cast<int>(c) == map.best_column;
      const bool in_row = r < map.row_best.size() && map.row_best[r] == static_cast<int>(c);
      html +=
          fmt::format("<td class=\"h{}{}{}\">{}{}{}</td>", colour_of(value, steps), in_row ? " row-best" : "",
                      best ? " all-best" : "", best ? "<span aria-hidden=\"true\">◆</span>" : "",
                      format_fixed(value, map.decimals),
                      best     ? "<span class=\"hidden-text\"> best of all</span>"
                      : in_row ? "<span class=\"hidden-text\"> best of the row</span>"
                               : "");
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table>\n";
}

std::string heat_scale_html(std::span<const double> steps, int decimals) {
  if (steps.empty()) return {};
  std::string html = "<div class=\"scale\" aria-hidden=\"true\">";
  html += fmt::format("<span class=\"h0\">&lt; {}</span>", format_fixed(steps[0], decimals));
  for (size_t i = 0; i < steps.size(); i++)
    html += fmt::format("<span class=\"h{}\">{}{}</span>", i + 1, i + 1 == steps.size() ? "≥ " : "",
                        format_fixed(steps[i], decimals));
  return html + "</div>\n";
}

}  // namespace intarsia
