// How far a misspelt word is from a known one: what the hints "did you mean ...?" go by.
#pragma once
#include <cstddef>
#include <string_view>

namespace intarsia {

// How many characters must be put in, taken out, changed or swapped with a neighbour to make one word the
// other (optimal string alignment distance). Only the first 64 bytes of each count.
size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace intarsia
