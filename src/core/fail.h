// fail("rms_norm: weight has shape {}, expected [{}]", ...) throws intarsia::Error with the formatted text.
#pragma once
#include <fmt/core.h>

#include <string>

#include "intarsia/error.h"

namespace intarsia {

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> text, Args&&... args) {
  throw Error(fmt::format(text, std::forward<Args>(args)...));
}

// The same with a hint: one action that may help.
template <class... Args>
[[noreturn]] void fail_hint(std::string hint, fmt::format_string<Args...> text, Args&&... args) {
  throw Error(fmt::format(text, std::forward<Args>(args)...), std::move(hint));
}

}  // namespace intarsia
