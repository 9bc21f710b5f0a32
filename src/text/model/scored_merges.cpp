#include "text/model/scored_merges.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/fail.h"

namespace intarsia {

// More than what a vocabulary of 256,000 entries has; short tokens of few letters could make far more.
constexpr size_t merge_limit = 3 << 19;

std::vector<Merge> merges_by_score(const StringTable& pieces, const std::vector<bool>& plain,
                                   std::span<const float> scores, std::string_view name) {
  std::vector<int32_t> order;
  for (int32_t id = 0; id < pieces.size(); ++id) {
    if (!plain[id]) continue;
    if (!std::isfinite(scores[id])) fail("{}: the score of token {} is not a finite number", name, id);
    order.push_back(id);
  }
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return scores[a] > scores[b]; });
  std::vector<Merge> merges;
  uint32_t rank = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    const int32_t id = order[i];
    if (i > 0 && scores[id] != scores[order[i - 1]]) ++rank;
    const std::string_view piece = pieces[id];
    // Of equal pieces the first stands for all.
    if (pieces.find(piece) != id) continue;
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      const int32_t left = pieces.find(piece.substr(0, cut)), right = pieces.find(piece.substr(cut));
      if (left < 0 || right < 0 || !plain[left] || !plain[right]) continue;
      if (merges.size() == merge_limit)
        fail("{}: its tokens can be made by more than {} merges", name, merge_limit);
      merges.push_back({left, right, id, rank});
    }
  }
  return merges;
}

}  // namespace intarsia
