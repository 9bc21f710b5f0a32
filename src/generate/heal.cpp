#include "generate/heal.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace intarsia {

namespace {

constexpr size_t most_taken_back = 8;
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
  const Lookahead& model;
  double negligible;  // its logarithm
  int most_steps;
  std::vector<double> best;  // by bytes done: the likeliest way that has done so many
  int steps = 0;

  Search(const Lookahead& lookahead, const Effort& effort, size_t bytes)
      : model(lookahead),
        negligible(std::log(effort.negligible)),
        most_steps(effort.steps),
        best(bytes + 1, never) {}
  // Whether a way that has done bytes up to `end` is worth going on.
  bool takes(double probability, size_t end) const { return probability >= best[end] + negligible; }
  void note(double probability, size_t begin, size_t end) {
    for (size_t i = begin + 1; i <= end; ++i) best[i] = std::max(best[i], probability);
  }
};

// The logarithm of the probability that tokens behind `logits` begin with `rest`. `so_far` is that of the
// tokens before them.
double Healer::search_all(std::span<const float> logits, std::string_view rest, double so_far, Search& search,
                          std::vector<float>* healed) const {
  const size_t all = search.best.size() - 1, begin = all - rest.size();
  const double total = log_sum(logits);
  double sum = never;
  for (const int32_t id : beginning_with(rest)) {
    const float logit = logits[static_cast<size_t>(id)];
    sum = log_sum(sum, logit - total);
    if (healed) (*healed)[static_cast<size_t>(id)] = logit;
  }
  search.note(so_far + sum, begin, all);

  std::vector<int32_t> parts = inside(rest);
  std::stable_sort(parts.begin(), parts.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  for (const int32_t id : parts) {
    const double own = logits[static_cast<size_t>(id)] - total;
    const size_t length = tokenizer_.bytes(id).size();
    if (search.steps == search.most_steps) break;
    if (!search.takes(so_far + own, begin + length)) continue;
    search.note(so_far + own, begin, begin + length);
    ++search.steps;
    const std::vector<float> next = search.model.step(id);
    const double behind = search_all(next, rest.substr(length), so_far + own, search, nullptr);
    search.model.back();
    sum = log_sum(sum, own + behind);
    if (healed) (*healed)[static_cast<size_t>(id)] = static_cast<float>(own + total + behind);
  }
  return sum;
}

std::vector<float> Healer::heal(std::span<const float> logits, std::string_view rest, const Lookahead& model,
                                const Effort& effort) const {
  std::vector<float> healed(logits.size(), -std::numeric_limits<float>::infinity());
  Search search(model, effort, rest.size());
  // Where the search has found nothing, what fits is taken as it is.
  if (search_all(logits, rest, 0, search, &healed) == never)
    for (const int32_t id : inside(rest)) healed[static_cast<size_t>(id)] = logits[static_cast<size_t>(id)];
  return healed;
}

double Healer::log_probability(std::span<const float> logits, std::string_view bytes, const Lookahead& model,
                               const Effort& effort) const {
  Search search(model, effort, bytes.size());
  return search_all(logits, bytes, 0, search, nullptr);
}

}  // namespace intarsia
