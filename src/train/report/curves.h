// The five charts of a run's report.
#pragma once
#include <vector>

#include "page/chart.h"
#include "train/report/summary.h"

namespace intarsia {

// Loss, throughput, memory, gradient norm, learning rate, over the steps from 0 to the last one. `clip` is
// the norm that gradients are clipped to, 0 for none; `schedule` says what the learning rate does ("warm-up
// 100 steps, then cosine"). Empty if no step is logged.
std::vector<Chart> run_charts(const RunHistory& history, const RunSummary& summary, double clip,
                              const std::string& schedule);

}  // namespace intarsia
