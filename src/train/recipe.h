// The table of a recipe's keys: reading, writing, command-line assignments, help and defaults all walk it.
#pragma once
#include <memory>
#include <span>
#include <string_view>
#include <variant>

#include "intarsia/autocast.h"
#include "intarsia/train.h"

namespace intarsia {

// Where a key's value lives in a Recipe; its type is the key's type.
using RecipePlace = std::variant<std::string*, int64_t*, double*, bool*>;

struct RecipeField {
  const char* key;  // "optimizer.learning_rate"
  RecipePlace (*place)(Recipe&);
  double lowest, highest;  // of a number
  const char* choices;     // of a text: "cosine linear wsd constant"; empty: any
  const char* help;
};

std::span<const RecipeField> recipe_fields();

// What toml++ must not be given: it frees nested tables by recursion, so a line has at most 500 dots; and on
// some letters beyond ASCII it runs into undefined behaviour where it asks whether they are blanks: outside
// of strings and comments, and behind a backslash that ends a line of a string. Errors name the line.
void check_toml(std::string_view text, std::string_view name);

// The policy of precision.narrow and precision.wide, for as long as it is held; null if both are empty.
std::unique_ptr<const Autocast> autocast_of(const Recipe& recipe);

}  // namespace intarsia
