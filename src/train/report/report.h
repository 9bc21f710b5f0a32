// The report of a run: RUN/report.html, one self-contained page.
#pragma once
#include <filesystem>
#include <string>

#include "data/file.h"
#include "train/report/log.h"

namespace intarsia {

// Reads RUN/log.jsonl and RUN/recipe.toml and writes RUN/report.html, whole or not at all. A log that has no
// step yet makes a page that says so. Errors: no log, disk full.
void write_report(const std::filesystem::path& run, FileSystem& files = system_files());

// What the page is made of, apart from the log.
struct ReportContext {
  std::string name;      // of the run: "bible"
  std::string run_path;  // as a command line would name it: "runs/bible"
  std::string recipe;    // the text of recipe.toml; may be empty
  double now = 0;        // unix seconds
};
std::string report_page(const RunHistory& history, const ReportContext& context);

}  // namespace intarsia
