#include "text/model/trie.h"

#include <algorithm>

#include "core/fail.h"

namespace intarsia {

namespace {

constexpr uint32_t block = 256;

// Which places of the array are free. Places of old blocks are given up, so that the search for a fitting
// base is bounded; those that it visits lie in the newest blocks.
class FreePlaces {
 public:
  explicit FreePlaces(std::string_view name) : name_(name) { grow(); }

  uint32_t size() const { return static_cast<uint32_t>(used_.size()); }
  // A base such that base ^ label is free for all labels, and no other node has it.
  uint32_t base_for(const std::vector<unsigned char>& labels) {
    constexpr uint32_t open_blocks = 16;
    const uint32_t first = size() > open_blocks * block ? size() - open_blocks * block : 0;
    search_from_ = std::max(search_from_, first);
    while (search_from_ < size() && used_[search_from_]) ++search_from_;
    for (uint32_t place = search_from_; place < size(); ++place) {
      if (used_[place]) continue;
      const uint32_t base = place ^ labels[0];
      const auto is_free = [&](unsigned char label) { return !used_[base ^ label]; };
      if (!taken_[base] && std::all_of(labels.begin(), labels.end(), is_free)) return take(base, labels);
    }
    const uint32_t fresh = size();
    grow();
    return take(fresh, labels);
  }

 private:
  void grow() {
    if (used_.size() + block > Trie::node_limit)
      fail("{}: its vocabulary needs more than {} nodes", name_, Trie::node_limit);
    used_.resize(used_.size() + block, false);
    taken_.resize(used_.size(), false);
    used_[0] = true;   // the root
    taken_[0] = true;  // nodes without children
  }
  uint32_t take(uint32_t base, const std::vector<unsigned char>& labels) {
    taken_[base] = true;
    for (const unsigned char label : labels) used_[base ^ label] = true;
    return base;
  }
  std::string_view name_;
  std::vector<bool> used_, taken_;
  uint32_t search_from_ = 0;
};

}  // namespace

Trie::Trie(std::vector<std::pair<std::string_view, int32_t>> strings, std::string_view name) {
  std::sort(strings.begin(), strings.end());
  for (const auto& string : strings) longest_string_ = std::max(longest_string_, string.first.size());
  FreePlaces places(name);
  // Strings [begin, end) share their first `depth` bytes, which lead to `node`.
  struct Range {
    size_t begin, end, depth;
    uint32_t node;
  };
  std::vector<Range> open;
  if (!strings.empty()) open.push_back({0, strings.size(), 0, root});
  std::vector<unsigned char> labels;
  std::vector<size_t> starts;
  while (!open.empty()) {
    Range range = open.back();
    open.pop_back();
    if (strings[range.begin].first.size() == range.depth)
      nodes_[range.node].value = strings[range.begin++].second;
    labels.clear();
    starts.clear();
    for (size_t i = range.begin; i < range.end; ++i) {
      const auto byte = static_cast<unsigned char>(strings[i].first[range.depth]);
      if (!labels.empty() && labels.back() == byte) continue;
      labels.push_back(byte);
      starts.push_back(i);
    }
    if (labels.empty()) continue;
    const uint32_t base = places.base_for(labels);
    nodes_.resize(places.size());
    nodes_[range.node].link |= base << 9;
    starts.push_back(range.end);
    for (size_t i = 0; i < labels.size(); ++i) {
      nodes_[base ^ labels[i]].link = labels[i] + 1u;
      open.push_back({starts[i], starts[i + 1], range.depth + 1, base ^ labels[i]});
    }
  }
}

}  // namespace intarsia
