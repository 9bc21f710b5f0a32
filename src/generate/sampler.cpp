#include <algorithm>
#include <cmath>

#include "core/fail.h"
#include "intarsia/generate.h"

namespace intarsia {

namespace {

constexpr uint64_t sampling_stream =
    0x73616d706c65;  // "sample": apart from the streams that weights are drawn from

void require(bool fits, const char* what, double found, const char* expected) {
  if (!fits) fail("sampling: {} is {}, expected {}", what, found, expected);
}

}  // namespace

Sampler::Sampler(const Sampling& sampling) : sampling_(sampling), random_(sampling.seed, sampling_stream) {
  require(sampling.temperature >= 0 && std::isfinite(sampling.temperature), "temperature",
          sampling.temperature, "0 or more");
  require(sampling.top_k >= 0, "top_k", static_cast<double>(sampling.top_k), "0 (all) or more");
  require(sampling.top_p > 0 && sampling.top_p <= 1, "top_p", sampling.top_p, "more than 0, at most 1");
  require(sampling.min_p >= 0 && sampling.min_p <= 1, "min_p", sampling.min_p, "0 to 1");
  require(sampling.repetition_penalty > 0 && std::isfinite(sampling.repetition_penalty), "repetition_penalty",
          sampling.repetition_penalty, "more than 0");
}

int32_t Sampler::operator()(std::span<const float> logits, std::span<const int32_t> context) {
  candidates_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); i++) {
    if (std::isnan(logits[i])) fail("sampling: the logit of id {} is not a number", i);
    candidates_[i] = {logits[i], static_cast<int32_t>(i)};
  }
  if (sampling_.repetition_penalty != 1) {
    const auto penalty = static_cast<float>(sampling_.repetition_penalty);
    seen_.assign(logits.size(), 0);
    for (const int32_t id : context) {
      if (static_cast<size_t>(id) >= logits.size() || seen_[static_cast<size_t>(id)]++) continue;
      float& logit = candidates_[static_cast<size_t>(id)].logit;
      logit = logit > 0 ? logit / penalty : logit * penalty;
    }
  }
  if (sampling_.temperature > 0) return draw();
  const auto less = [](const Candidate& a, const Candidate& b) { return a.logit < b.logit; };
  return std::max_element(candidates_.begin(), candidates_.end(), less)->id;  // the first of equals
}

int32_t Sampler::draw() {
  const auto likelier = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  const auto k = static_cast<size_t>(sampling_.top_k);
  if (k && k < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(k), candidates_.end(),
                     likelier);
    candidates_.resize(k);
  }
  const double top =
      std::max_element(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) {
        return a.logit < b.logit;
      })->logit;
  const auto weight_of = [&](const Candidate& c) {
    return std::exp((static_cast<double>(c.logit) - top) / sampling_.temperature);
  };

  // Only the likeliest can be within top_p, so only as many as needed are sorted.
  double total = 0;
  for (const Candidate& candidate : candidates_) total += weight_of(candidate);
  size_t sorted = 0;
  size_t kept = candidates_.size();
  double sum = 0;
  weights_.clear();
  for (size_t i = 0; i < kept; i++) {
    if (i == sorted) {
      const size_t next = std::min(candidates_.size(), std::max<size_t>(64, sorted * 4));
      const auto begin = candidates_.begin();
      std::partial_sort(begin + static_cast<ptrdiff_t>(sorted), begin + static_cast<ptrdiff_t>(next),
                        candidates_.end(), likelier);
      sorted = next;
    }
    const double weight = weight_of(candidates_[i]);
    if (i > 0 && (weight == 0 || weight < sampling_.min_p)) break;  // the likeliest has weight 1
    weights_.push_back(weight);
    sum += weight;
    if (sum >= sampling_.top_p * total) break;
  }

  double left = random_.uniform() * sum;
  for (size_t i = 0; i < weights_.size(); i++) {
    left -= weights_[i];
    if (left < 0) return candidates_[i].id;
  }
  return candidates_[weights_.size() - 1].id;
}

}  // namespace intarsia
