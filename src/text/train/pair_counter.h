// The adjacent pairs of symbols in a text's words, kept up to date while pairs are merged.
#pragma once
#include <algorithm>
#include <functional>
#include <queue>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/fail.h"
#include "intarsia/tokenizer.h"
#include "text/train/word_counts.h"

namespace intarsia {

// All words side by side as symbols that are linked within their word. Each pair knows how often it occurs
// and where, so that a merge touches only its own places.
class PairCounter {
 public:
  // `symbols` appends the first symbols of a word.
  PairCounter(const WordCounts& text, const std::function<void(std::string_view word, Ids& out)>& symbols) {
    Ids ids;
    for (uint32_t w = 0; w < text.words.size(); ++w) {
      ids.clear();
      symbols(text.words[w], ids);
      counts_.push_back(text.counts[w]);
      if (symbols_.size() + ids.size() >= none)
        fail("train: the distinct words have more than {} symbols", symbols_.size());
      for (size_t i = 0; i < ids.size(); ++i) {
        const auto at = static_cast<uint32_t>(symbols_.size());
        symbols_.push_back(ids[i]);
        word_.push_back(w);
        previous_.push_back(i == 0 ? none : at - 1);
        next_.push_back(i + 1 == ids.size() ? none : at + 1);
      }
    }
    for (uint32_t at = 0; at < symbols_.size(); ++at) {
      if (next_[at] != none) add(at);
    }
    for (uint32_t pair = 0; pair < pairs_.size(); ++pair) push(pair);
    changed_.clear();
  }

  // The most frequent pair, of equal ones the one with the smaller ids; {-1, -1} when no pair is left.
  std::pair<int32_t, int32_t> best() {
    while (!heap_.empty()) {
      const Candidate top = heap_.top();
      heap_.pop();
      const Pair& pair = pairs_[top.pair];
      if (pair.count == 0) continue;
      if (pair.count == top.count) {
        best_ = top.pair;
        return {pair.left, pair.right};
      }
      // Counts only fall while an entry waits; a rise pushes another.
      if (pair.count < top.count) push(top.pair);
    }
    return {-1, -1};
  }

  // Merges the pair that best() gave into `symbol`, everywhere, the leftmost first.
  void merge(int32_t symbol) {
    std::vector<uint32_t> places = std::move(pairs_[best_].places);
    const int32_t left = pairs_[best_].left, right = pairs_[best_].right;
    pairs_[best_].count = 0;
    std::sort(places.begin(), places.end());
    for (const uint32_t at : places) {
      // Places that another merge has changed meanwhile are skipped.
      const uint32_t second = symbols_[at] == left ? next_[at] : none;
      if (second == none || symbols_[second] != right) continue;
      const uint32_t before = previous_[at], after = next_[second];
      if (before != none) remove(before);
      if (after != none) remove(second);
      symbols_[at] = symbol;
      symbols_[second] = -1;
      next_[at] = after;
      if (after != none) {
        previous_[after] = at;
        add(at);
      }
      if (before != none) add(before);
    }
    pairs_[best_].count = 0;
    pairs_[best_].places = {};
    for (const uint32_t pair : changed_) push(pair);
    for (const uint32_t pair : changed_) pairs_[pair].changed = false;
    changed_.clear();
  }

 private:
  static constexpr uint32_t none = UINT32_MAX;
  struct Pair {
    int32_t left, right;
    int64_t count = 0;
    std::vector<uint32_t> places;  // of the left symbol; some may be out of date
    bool changed = false;
  };
  struct Candidate {
    int64_t count;
    int32_t left, right;
    uint32_t pair;
    bool operator<(const Candidate& other) const {
      if (count != other.count) return count < other.count;
      return std::tie(left, right) > std::tie(other.left, other.right);
    }
  };

  uint32_t pair_at(uint32_t at) {
    const int32_t left = symbols_[at], right = symbols_[next_[at]];
    const uint64_t key = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
    const auto [found, fresh] = index_.try_emplace(key, static_cast<uint32_t>(pairs_.size()));
    if (fresh) pairs_.push_back({left, right, 0, {}, false});
    return found->second;
  }
  void add(uint32_t at) {
    const uint32_t index = pair_at(at);
    Pair& pair = pairs_[index];
    pair.count += counts_[word_[at]];
    pair.places.push_back(at);
    if (!pair.changed) changed_.push_back(index);
    pair.changed = true;
  }
  void remove(uint32_t at) { pairs_[pair_at(at)].count -= counts_[word_[at]]; }
  void push(uint32_t index) {
    Pair& pair = pairs_[index];
    pair.changed = false;
    if (pair.count > 0) heap_.push({pair.count, pair.left, pair.right, index});
  }

  std::vector<int32_t> symbols_;  // -1: merged into the one before
  std::vector<uint32_t> next_, previous_, word_;
  std::vector<int64_t> counts_;  // of words
  std::vector<Pair> pairs_;
  std::unordered_map<uint64_t, uint32_t> index_;  // both ids to the pair
  std::priority_queue<Candidate> heap_;
  std::vector<uint32_t> changed_;  // pairs that grew since the last merge
  uint32_t best_ = 0;
};

}  // namespace intarsia
