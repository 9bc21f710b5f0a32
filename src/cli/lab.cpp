// intarsia lab NAME: a comparison of mechanisms under one budget, and its report.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/interrupt.h"
#include "cli/verbs.h"
#include "core/fail.h"
#include "core/format.h"
#include "core/spelling.h"
#include "core/terminal.h"
#include "lab/summary.h"
#include "page/parts.h"

namespace intarsia::cli {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  std::string name, out;
  std::vector<std::string> assignments;
  bool quick = false, json = false;
};

// recipes/lab here, or beside the build directory that the program lies in.
fs::path comparisons() {
  fs::path here = "recipes/lab";
  if (fs::is_directory(here)) return here;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  return program.parent_path().parent_path() / here;
}

std::vector<std::string> names() {
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator it(comparisons(), error), end; !error && it != end; it.increment(error))
    if (it->path().extension() == ".toml") found.push_back(it->path().stem().string());
  std::sort(found.begin(), found.end());
  return found;
}

fs::path path_of(const std::string& name) {
  if (fs::path(name).extension() == ".toml") return name;
  const std::vector<std::string> known = names();
  if (std::find(known.begin(), known.end(), name) != known.end()) return comparisons() / (name + ".toml");
  std::string hint = "intarsia lab lists them";
  for (const std::string& other : known)
    if (edit_distance(name, other) <= 2) hint = fmt::format("did you mean {}?", other);
  fail_hint(hint, "lab: unknown comparison \"{}\"", name);
}

void list() {
  for (const std::string& name : names()) {
    const Comparison comparison = read_comparison(comparisons() / (name + ".toml"), false);
    fmt::print("{} {} ({} runs)\n", pad_to_width(name, 16), comparison.question,
               places_of(comparison).size());
  }
}

// One line on the terminal, rewritten; one plain line per tenth of the runs elsewhere.
class Line {
 public:
  explicit Line(std::FILE* stream) : stream_(stream), screen_(Terminal::of(stream)) {}
  ~Line() { clear(); }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;
  void show(const LabProgress& now) {
    std::string text = fmt::format("{}/{}  {}", format_count(static_cast<int64_t>(now.done)),
                                   format_count(static_cast<int64_t>(now.runs)), now.what);
    if (now.seconds_left > 0) text += fmt::format("  {} left", format_duration(now.seconds_left));
    if (screen_.interactive) {
      screen_.measure(stream_);
      fmt::print(stream_, "\r\x1b[K{}", cut_to_width(text, screen_.columns - 1));
      std::fflush(stream_);
      shown_ = true;
    } else if (const size_t tenth = 10 * now.done / std::max<size_t>(now.runs, 1); tenth != tenth_) {
      tenth_ = tenth;
      fmt::print(stream_, "{}\n", text);
    }
  }
  void clear() {
    if (shown_) fmt::print(stream_, "\r\x1b[K");
    shown_ = false;
  }

 private:
  std::FILE* stream_;
  Terminal screen_;
  bool shown_ = false;
  size_t tenth_ = 99;
};

nlohmann::ordered_json number(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
}

nlohmann::ordered_json json_of(const Comparison& comparison, const LabSummary& summary) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (size_t t = 0; t < comparison.tasks.size(); t++) {
    const TaskSetup& setup = comparison.tasks[t];
    for (size_t v = 0; v < setup.variants.size(); v++) {
      const VariantSummary& variant = summary.tasks[t].variants[v];
      nlohmann::ordered_json row = {{"task", setup.name}, {"variant", setup.variants[v].name}};
      for (size_t m = 0; m < variant.measures.size(); m++) {
        const Statistic& s = variant.measures[m];
        if (s.values.empty()) continue;
        row["measures"][setup.task->measures[m].name] = {
            {"mean", s.mean}, {"deviation", s.deviation}, {"seeds", s.values}};
      }
      if (setup.grid) {
        row["best"] = {{setup.grid->rows.key, setup.grid->rows.values[variant.row]},
                       {setup.grid->columns.key, setup.columns(v).values[variant.column]}};
        if (const Valley& valley = variant.valley; valley.shared >= 0)
          row["valley"] = {{"found", valley.found()},
                           {"slope", number(valley.slope)},
                           {"gain", valley.gain},
                           {"noise", valley.noise},
                           {"shared", setup.columns(v).values[static_cast<size_t>(valley.shared)]},
                           {"cost", number(valley.cost)}};
      }
      row["failed"] = variant.failed;
      row["seconds"] = variant.seconds.mean;
      rows.push_back(row);
    }
  }
  return rows;
}

// Where the best columns of a grid lie: how they go with the rows, what they gain over the least column, and
// what one for all rows costs at most.
void print_valleys(const TaskSetup& setup, const Grid& grid, const TaskSummary& task, int name_width,
                   const Terminal& screen) {
  std::string lines;
  for (size_t v = 0; v < task.variants.size(); v++) {
    const Valley& valley = task.variants[v].valley;
    if (valley.shared < 0) continue;
    lines += fmt::format(
        "{}  {}  {}  {}  {}\n", pad_to_width(setup.variants[v].name, name_width),
        pad_to_width(slope_text(valley, grid.rows.name), 10, true),
        pad_to_width(fmt::format("{} (noise {})", format_share(valley.gain), format_share(valley.noise)), 20,
                     true),
        pad_to_width(fmt::format("{:g}", setup.columns(v).values[static_cast<size_t>(valley.shared)]), 10,
                     true),
        pad_to_width(format_share(valley.cost), 8, true));
  }
  if (lines.empty()) return;
  const std::string head =
      fmt::format("{}  {}  {}  {}  {}", pad_to_width("", name_width), pad_to_width("slope", 10, true),
                  pad_to_width(fmt::format("best {} gains", grid.columns.name), 20, true),
                  pad_to_width("one " + grid.columns.name, 10, true), pad_to_width("costs", 8, true));
  fmt::print("{}\n{}", screen.dim(head), lines);
}

void print_table(const Comparison& comparison, const LabSummary& summary) {
  const Terminal screen = Terminal::of(stdout);
  size_t name_width = 8;
  for (const TaskSetup& setup : comparison.tasks)
    for (const Variant& variant : setup.variants) name_width = std::max(name_width, variant.name.size());
  for (size_t t = 0; t < comparison.tasks.size(); t++) {
    const TaskSetup& setup = comparison.tasks[t];
    std::string head = pad_to_width(setup.name, static_cast<int>(name_width));
    for (const Measure& measure : setup.task->measures) head += "  " + pad_to_width(measure.name, 18, true);
    fmt::print("{}\n", screen.dim(head));
    for (size_t v = 0; v < setup.variants.size(); v++) {
      const VariantSummary& variant = summary.tasks[t].variants[v];
      std::string line = pad_to_width(setup.variants[v].name, static_cast<int>(name_width));
      for (size_t m = 0; m < variant.measures.size(); m++) {
        const Statistic& s = variant.measures[m];
        const int decimals = setup.task->measures[m].decimals;
        const char* mark = variant.standings[m] == Standing::best   ? "◆ "
                           : variant.standings[m] == Standing::near ? "◇ "
                                                                    : "";
        const std::string text = s.values.empty()
                                     ? "failed"
                                     : fmt::format("{}{} ± {}", mark, format_fixed(s.mean, decimals),
                                                   format_fixed(s.deviation, decimals));
        const std::string cell = pad_to_width(text, 18, true);
        line += "  " + (variant.standings[m] == Standing::best ? screen.green(cell) : cell);
      }
      if (setup.grid)
        line += fmt::format("  at {}, {}", axis_text(setup.grid->rows, variant.row),
                            axis_text(setup.columns(v), variant.column));
      fmt::print("{}\n", line);
    }
    if (setup.grid) print_valleys(setup, *setup.grid, summary.tasks[t], static_cast<int>(name_width), screen);
  }
}

void lab(const Arguments& arguments) {
  if (arguments.name.empty()) return list();
  Comparison comparison = read_comparison(path_of(arguments.name), arguments.quick);
  std::string command = "intarsia lab " + shell_word(arguments.name);
  if (arguments.quick) command += " --quick";
  for (const std::string& assignment : arguments.assignments) {
    override_comparison(comparison, assignment);
    command += " " + shell_word(assignment);
  }
  LabOptions options;
  options.command = command;
  options.directory = arguments.out.empty()
                          ? "runs/lab-" + comparison.name + (arguments.quick ? "-quick" : "")
                          : arguments.out;
  Line line(stderr);
  options.progress = [&](const LabProgress& now) { line.show(now); };
  const OrderlyEnd orderly_end;
  options.cancel = &OrderlyEnd::asked;
  const LabResult result = run_lab(comparison, options);
  line.clear();
  const LabSummary summary = summarize(comparison, result);
  const std::string report = (options.directory / "report.html").string();
  if (result.interrupted)
    fmt::print(stderr, "^C  {} of {} runs are kept; go on: {}\n", summary.done, result.outcomes.size(),
               command);
  if (arguments.json) {
    fmt::print("{}\n", nlohmann::ordered_json{{"lab", comparison.name},
                                              {"report", report},
                                              {"runs", summary.done},
                                              {"failed", summary.failed},
                                              {"interrupted", result.interrupted},
                                              {"seconds", summary.seconds},
                                              {"rows", json_of(comparison, summary)}}
                           .dump());
    return;
  }
  if (result.interrupted) return;
  const Terminal screen = Terminal::of(stdout);
  print_table(comparison, summary);
  for (const std::string& failure : summary.failures) fmt::print("{} {}\n", screen.red("✕"), failure);
  fmt::print("{}  {}\n", screen.dim("report"), report);
}

}  // namespace

void add_lab(Command app) {
  Command verb = app.add(
      "lab", "Compare mechanisms under one budget, with a report; without a name, list the comparisons");
  auto arguments = std::make_shared<Arguments>();
  verb.option("name", arguments->name, "A comparison of recipes/lab, or a TOML file").type("NAME|FILE.toml");
  verb.option("assignments", arguments->assignments,
              "Settings of every run, as in training.steps=100 or task.images=500; seeds=5")
      .type("KEY=VALUE");
  verb.flag("--quick", arguments->quick, "A small form of some seconds");
  verb.flag("--json", arguments->json, "Print the result as JSON");
  verb.option("--out", arguments->out, "Where runs and report are kept (default: runs/lab-NAME)");
  verb.footer(
      "Examples:\n  intarsia lab\n  intarsia lab adamw --quick\n  intarsia lab adamw seeds=5 --out "
      "runs/adamw");
  verb.run([arguments] { lab(*arguments); });
}

}  // namespace intarsia::cli
