// Learning-rate schedules.
#pragma once
#include "intarsia/train.h"

namespace intarsia {

// The share of the peak at `step`, counted from 0: (step + 1) / warm_up in the warm-up, then 1 at its first
// step, falling to final_share at step `steps`, which is not taken.
//   cosine    half a cosine wave (Loshchilov & Hutter 2017)
//   linear    a line
//   wsd       1, then a line over the last decay_share of all steps (Hu et al. 2024)
//   constant  1
//   inverse_sqrt  the root of warm_up / (step + 1) (Vaswani et al. 2017)
//   restarts  half a cosine wave in `cycle` steps, then from the peak again, each wave cycle_growth times as
//   long
//             (SGDR)
double schedule_share(const Recipe::Schedule& schedule, int64_t steps, int64_t step);

}  // namespace intarsia
