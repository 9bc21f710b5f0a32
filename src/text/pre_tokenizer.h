// Text to words: a chain of splitters, each cutting the pieces of the one before.
#pragma once
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/splitter.h"
#include "text/unicode.h"

namespace intarsia {

class PreTokenizer {
 public:
  void add(std::shared_ptr<const Splitter> splitter) { steps_.push_back({std::move(splitter), false}); }
  // Pieces that do not start with a space get one.
  void add_space_before() { steps_.push_back({nullptr, true}); }

  // Calls word(std::string_view) for each word of `text`, in order. Bytes that are not valid UTF-8 make words
  // of their own, one for each run of them; what lies between is split as if it were alone.
  template <class F>
  void for_each_word(std::string_view text, F&& word) const {
    while (!text.empty()) {
      const size_t valid = valid_utf8_prefix(text);
      if (valid > 0) split(text.substr(0, valid), 0, word);
      text.remove_prefix(valid);
      size_t broken = 0;
      while (broken < text.size() && valid_utf8_prefix(text.substr(broken, 4)) == 0) ++broken;
      if (broken > 0) word(text.substr(0, broken));
      text.remove_prefix(broken);
    }
  }

 private:
  struct Step {
    std::shared_ptr<const Splitter> splitter;
    bool space_before;
  };
  template <class F>
  void split(std::string_view text, size_t level, F& word) const {
    if (level == steps_.size()) return word(text);
    const Step& step = steps_[level];
    if (step.space_before) {
      if (text[0] == ' ') return split(text, level + 1, word);
      return split(" " + std::string(text), level + 1, word);
    }
    const bool last = level + 1 == steps_.size();
    for (size_t begin = 0; begin < text.size();) {
      const Splitter::Piece piece = step.splitter->next(text, begin);
      if (piece.keep) {
        const std::string_view part = text.substr(begin, piece.end - begin);
        if (last) {
          word(part);
        } else {
          split(part, level + 1, word);
        }
      }
      begin = piece.end;
    }
  }
  std::vector<Step> steps_;
};

}  // namespace intarsia
