#include "generate/heal.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace intarsia {

namespace {

constexpr size_t most_taken_back = 8;
constexpr int most_steps = 256;  // of the model, for one id
constexpr double never = -std::numeric_limits<double>::infinity();

// log(exp(a) + exp(b))
double log_sum(double a, double b) {
  if (a < b) std::swap(a, b);
  return b == never ? a : a + std::log1p(std::exp(b - a));
}

double log_sum(std::span<const float> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - top);
  return top + std::log(sum);
}

}  // namespace

Healer::Healer(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {
  for (int32_t id = 0; id < tokenizer.size(); ++id)
    if (!tokenizer.is_special(id) && !tokenizer.bytes(id).empty()) sorted_.push_back(id);
  std::sort(sorted_.begin(), sorted_.end(), [&](int32_t a, int32_t b) {
    const std::string_view x = tokenizer.bytes(a), y = tokenizer.bytes(b);
    return x != y ? x < y : a < b;
  });
}

std::span<const int32_t> Healer::beginning_with(std::string_view bytes) const {
  const auto begin = std::partition_point(sorted_.begin(), sorted_.end(),
                                          [&](int32_t id) { return tokenizer_.bytes(id) < bytes; });
  const auto end = std::partition_point(begin, sorted_.end(),
                                        [&](int32_t id) { return tokenizer_.bytes(id).starts_with(bytes); });
  return {begin, end};
}

std::vector<int32_t> Healer::inside(std::string_view rest) const {
  std::vector<int32_t> ids;
  for (size_t length = 1; length < rest.size(); ++length) {
    for (const int32_t id : beginning_with(rest.substr(0, length))) {
      if (tokenizer_.bytes(id).size() > length) break;  // the shorter ones come first
      ids.push_back(id);
    }
  }
  return ids;
}

std::string Healer::take_back(Ids& ids) const {
  std::string bytes, rest;
  size_t kept = ids.size();
  for (size_t i = ids.size(); i-- > 1 && ids.size() - i <= most_taken_back;) {
    const std::string_view own = tokenizer_.bytes(ids[i]);
    if (own.empty()) break;  // a special token
    bytes.insert(0, own);
    const auto longer = beginning_with(bytes);
    const bool replaceable = !longer.empty() && tokenizer_.bytes(longer.back()).size() > bytes.size();
    if (!replaceable) continue;
    kept = i;
    rest = bytes;
  }
  ids.resize(kept);
  return rest;
}

struct Healer::Search {
  const Model& model;
  double negligible;  // its logarithm
  double found = never;
  int steps = 0;
};

// The logarithm of the probability that tokens behind `logits` begin with `rest`. `so_far` is that of the
// tokens before them.
double Healer::log_probability(std::span<const float> logits, std::string_view rest, double so_far,
                               Search& search, std::vector<float>* healed) const {
  const double total = log_sum(logits);
  double sum = never;
  for (const int32_t id : beginning_with(rest)) {
    const float logit = logits[static_cast<size_t>(id)];
    sum = log_sum(sum, logit - total);
    if (healed) (*healed)[static_cast<size_t>(id)] = logit;
  }
  search.found = log_sum(search.found, so_far + sum);

  std::vector<int32_t> parts = inside(rest);
  std::stable_sort(parts.begin(), parts.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  for (const int32_t id : parts) {
    const double own = logits[static_cast<size_t>(id)] - total;
    if (so_far + own < search.found + search.negligible || search.steps == most_steps) break;
    ++search.steps;
    const std::vector<float> next = search.model.step(id);
    const double behind =
        log_probability(next, rest.substr(tokenizer_.bytes(id).size()), so_far + own, search, nullptr);
    search.model.back();
    sum = log_sum(sum, own + behind);
    if (healed) (*healed)[static_cast<size_t>(id)] = static_cast<float>(own + total + behind);
  }
  return sum;
}

std::vector<float> Healer::heal(std::span<const float> logits, std::string_view rest, const Model& model,
                                double negligible) const {
  std::vector<float> healed(logits.size(), -std::numeric_limits<float>::infinity());
  Search search{model, std::log(negligible)};
  // Where the search has found nothing, what fits is taken as it is.
  if (log_probability(logits, rest, 0, search, &healed) == never)
    for (const int32_t id : inside(rest)) healed[static_cast<size_t>(id)] = logits[static_cast<size_t>(id)];
  return healed;
}

}  // namespace intarsia
