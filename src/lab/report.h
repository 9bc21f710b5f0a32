// The report of a lab: DIR/report.html, one self-contained page.
#pragma once
#include "lab/summary.h"

namespace intarsia {

void write_lab_report(const Comparison& comparison, const LabResult& result, const LabOptions& options);
std::string lab_page(const Comparison& comparison, const LabSummary& summary, size_t runs,
                     const std::string& command, double now);

}  // namespace intarsia
