// The lists of an Autocast: text alone, which the reader of recipes checks without any operation.
#include <algorithm>

#include "core/spelling.h"
#include "op/policy.h"

namespace intarsia {

namespace {

constexpr const char* castable[] = {tag::attention,   tag::cross_entropy, tag::layer_norm, tag::linear,
                                    tag::log_softmax, tag::matmul,        tag::rms_norm,   tag::softmax};

// Calls f(name) for each name of a list.
template <class F>
void each_name(std::string_view list, F f) {
  while (!list.empty()) {
    const size_t end = std::min(list.find(' '), list.size());
    if (end > 0) f(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
}

void check_name(std::string_view name) {
  std::string nearest = castable[0];
  const std::string given(name.substr(0, 64));
  for (const char* known : castable) {
    if (name == known) return;
    if (edit_distance(given, known) < edit_distance(given, nearest)) nearest = known;
  }
  fail_hint(fmt::format("did you mean {}?", nearest), "autocast: no operation \"{}\" can be cast", given);
}

}  // namespace

bool holds_name(std::string_view list, std::string_view name) {
  bool found = false;
  each_name(list, [&](std::string_view each) { found |= each == name; });
  return found;
}

void check_autocast(std::string_view narrow, std::string_view wide) {
  each_name(wide, check_name);
  each_name(narrow, [&](std::string_view name) {
    check_name(name);
    if (holds_name(wide, name)) fail("autocast: {} is in both lists", name);
  });
}

}  // namespace intarsia
