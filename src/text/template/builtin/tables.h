// Tables of builtins are sorted by name.
#pragma once
#include <algorithm>
#include <string_view>

#include "text/template/builtin/builtins.h"

namespace intarsia::jinja {

template <class Table>
const Builtin* find_in(const Table& table, std::string_view name) {
  const auto found = std::lower_bound(table.begin(), table.end(), name,
                                      [](const Builtin& each, std::string_view n) { return each.name < n; });
  return found != table.end() && found->name == name ? &*found : nullptr;
}

template <class Table>
constexpr bool is_sorted_table(const Table& table) {
  return std::is_sorted(table.begin(), table.end(),
                        [](const Builtin& a, const Builtin& b) { return a.name < b.name; });
}

}  // namespace intarsia::jinja
