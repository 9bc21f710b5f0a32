#include "text/train/word_counts.h"

#include <algorithm>
#include <unordered_map>

#include "core/threads.h"

namespace intarsia {

namespace {

struct Hash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
using Counts = std::unordered_map<std::string, int64_t, Hash, std::equal_to<>>;

void add(Counts& counts, std::string_view word, int64_t count) {
  const auto known = counts.find(word);
  if (known == counts.end()) {
    counts.emplace(word, count);
  } else {
    known->second += count;
  }
}

}  // namespace

WordCounts count_words(const std::function<bool(std::string& chunk)>& next, const CutWords& cut) {
  const auto threads = static_cast<size_t>(std::max(1, thread_count()));
  std::vector<Counts> found(threads);
  std::vector<std::string> chunks(threads);
  for (bool more = true; more;) {
    size_t filled = 0;
    while (filled < threads && (more = next(chunks[filled]))) ++filled;
    if (filled == 0) break;
    parallel(static_cast<int>(filled), [&](int part) {
      Counts& counts = found[static_cast<size_t>(part)];
      cut(chunks[static_cast<size_t>(part)], [&](std::string_view word) { add(counts, word, 1); });
    });
  }
  for (size_t i = 1; i < threads; ++i) {
    for (const auto& [word, count] : found[i]) add(found[0], word, count);
    found[i] = {};
  }
  std::vector<std::pair<std::string_view, int64_t>> sorted(found[0].begin(), found[0].end());
  std::sort(sorted.begin(), sorted.end());
  WordCounts result;
  result.words.reserve(sorted.size());
  result.counts.reserve(sorted.size());
  for (const auto& [word, count] : sorted) {
    result.words.emplace_back(word);
    result.counts.push_back(count);
  }
  return result;
}

}  // namespace intarsia
