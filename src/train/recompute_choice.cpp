// How a recipe says what a training step computes again.
#include <charconv>

#include "core/fail.h"
#include "core/format.h"
#include "train/recompute.h"

namespace intarsia {

RecomputeChoice parse_recompute(std::string_view text) {
  const auto refuse = [&]() {
    fail_hint("none, all, sqrt, attention, segments:7, binomial:4, budget:1.5GB",
              "recipe: training.recompute is \"{}\"", text);
  };
  RecomputeChoice choice;
  const size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  const std::string_view value = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  if (name == "binomial" || name == "segments") {
    choice.kind = name == "binomial" ? RecomputeChoice::binomial : RecomputeChoice::segments;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), choice.count);
    if (error != std::errc() || end != value.data() + value.size() || choice.count < 1) refuse();
    return choice;
  }
  if (name == "budget") {
    const std::optional<size_t> bytes = parse_bytes(value);
    if (!bytes) refuse();
    choice.kind = RecomputeChoice::budget;
    choice.bytes = *bytes;
    return choice;
  }
  using Kind = RecomputeChoice::Kind;
  const std::pair<std::string_view, Kind> plain[] = {
      {"none", Kind::none}, {"all", Kind::all}, {"sqrt", Kind::sqrt}, {"attention", Kind::attention}};
  for (const auto& [known, kind] : plain)
    if (text == known) {
      choice.kind = kind;
      return choice;
    }
  refuse();
  return choice;
}

}  // namespace intarsia
