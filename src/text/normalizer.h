// What happens to a text before it is split: composition, and the marks that SentencePiece-like vocabularies
// use.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace intarsia {

class Normalizer {
 public:
  void add_nfc() { steps_.push_back({Kind::nfc, {}, {}}); }
  // `text` before a text that is not empty.
  void add_prepend(std::string text) { steps_.push_back({Kind::prepend, {}, std::move(text)}); }
  // Each occurrence of `from` (not empty) becomes `to`.
  void add_replace(std::string from, std::string to) {
    steps_.push_back({Kind::replace, std::move(from), std::move(to)});
  }
  bool empty() const { return steps_.empty(); }
  std::string operator()(std::string_view text) const;

 private:
  enum class Kind { nfc, prepend, replace };
  struct Step {
    Kind kind;
    std::string from, to;
  };
  std::vector<Step> steps_;
};

std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

}  // namespace intarsia
