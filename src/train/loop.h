// What the training loop shares with the command and with auto.cpp.
#pragma once
#include "intarsia/train.h"

namespace intarsia {

// The text of a config.json for the recipe's model. Sizes stand under each of the names that architectures
// have for them.
std::string model_config(const Recipe& recipe, int64_t vocabulary);

}  // namespace intarsia
