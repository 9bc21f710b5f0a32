// JSON to values, in the order of the file.
#pragma once
#include <string_view>

#include "text/template/runtime.h"
#include "text/template/value/value.h"

namespace intarsia::jinja {

// All text in it, names too, is foreign. Error: "NAME: LINE:COLUMN: what".
Value read_json_value(Runtime& runtime, std::string_view text, std::string_view name);

}  // namespace intarsia::jinja
