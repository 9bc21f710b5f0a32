// The distinct words of a text and how often each occurs.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace intarsia {

// Sorted by bytes, so that nothing that follows depends on how they were counted.
struct WordCounts {
  std::vector<std::string> words;
  std::vector<int64_t> counts;
};

// `cut` calls its second argument for each word of a chunk; it is called from several threads at once.
using CutWords =
    std::function<void(std::string_view chunk, const std::function<void(std::string_view word)>& word)>;
WordCounts count_words(const std::function<bool(std::string& chunk)>& next, const CutWords& cut);

}  // namespace intarsia
