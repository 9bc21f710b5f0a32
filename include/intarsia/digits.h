// Drawn digits: a small image data set that needs no file.
#pragma once
#include <cstdint>

#include "intarsia/array.h"

namespace intarsia {

struct Digits {
  Array images;  // [count, 784] f32, 28 x 28 pixels from 0 (paper) to 1 (ink)
  Array labels;  // [count] i32, 0 to 9
};

// `count` digits drawn as strokes with random place, size, slant, thickness and noise. The same (count, seed)
// gives the same bits; a longer draw starts with the shorter one. Draw test data with another seed.
Digits draw_digits(int64_t count, uint64_t seed);

}  // namespace intarsia
