// Tokens to the tree of a template.
#pragma once
#include <string_view>

#include "text/template/syntax/syntax.h"

namespace intarsia::jinja {

// Error: "NAME:LINE: reason" for what Jinja refuses and for what this interpreter does not know. The
// constants of the tree live on `heap`.
Body parse(std::string_view source, std::string_view name, Heap& heap);

}  // namespace intarsia::jinja
