// A set of byte strings as a double array (Aoe 1989): a step from a node by a byte is one look at memory.
#pragma once
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace intarsia {

class Trie {
 public:
  static constexpr size_t node_limit = size_t{1} << 23;

  Trie() = default;
  // Strings (not empty, none twice) with values >= 0. Errors name `name`: more than node_limit places.
  Trie(std::vector<std::pair<std::string_view, int32_t>> strings, std::string_view name);

  // Nodes are numbers; 0 is the root.
  static constexpr uint32_t root = 0, none = UINT32_MAX;
  // The node behind `node` by `byte`, or none.
  uint32_t step(uint32_t node, unsigned char byte) const {
    const uint32_t next = nodes_[node].base() ^ byte;
    return nodes_[next].label() == byte + 1u ? next : none;
  }
  // Bytes of the longest string.
  size_t longest_string() const { return longest_string_; }
  // The value of the string that ends at `node`, or -1.
  int32_t value(uint32_t node) const { return nodes_[node].value; }

  bool is_leaf(uint32_t node) const { return nodes_[node].base() == 0; }

  // Calls f(length, value) for each string that `text` starts with, short ones first, until it returns false;
  // from `node` on.
  template <class F>
  void prefixes(std::string_view text, F&& f, uint32_t node = root) const {
    for (size_t i = 0; i < text.size(); ++i) {
      node = step(node, static_cast<unsigned char>(text[i]));
      if (node == none) return;
      if (const int32_t found = value(node); found >= 0 && !f(i + 1, found)) return;
    }
  }
  // The node of `text`, or none.
  uint32_t find(std::string_view text, uint32_t node = root) const {
    for (size_t i = 0; i < text.size() && node != none; ++i)
      node = step(node, static_cast<unsigned char>(text[i]));
    return node;
  }
  struct Longest {
    size_t length = 0;  // 0: none
    int32_t value = -1;
  };
  Longest longest(std::string_view text, uint32_t node = root) const {
    Longest best;
    prefixes(
        text,
        [&](size_t length, int32_t found) {
          best = {length, found};
          return true;
        },
        node);
    return best;
  }

 private:
  // label: 0 of a free place, else the byte that leads here, plus 1. The child by a byte is at base ^ byte;
  // base 0 is that of nodes without children.
  struct Node {
    uint32_t link = 0;  // base << 9 | label
    int32_t value = -1;
    uint32_t base() const { return link >> 9; }
    uint32_t label() const { return link & 511; }
  };
  std::vector<Node> nodes_ = std::vector<Node>(256);
  size_t longest_string_ = 0;
};

}  // namespace intarsia
