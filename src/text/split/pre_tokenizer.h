// Text to words: a chain of steps, each cutting the pieces of the one before.
#pragma once
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/normalize/normalizer.h"
#include "text/split/splitter.h"
#include "text/unicode/byte_level.h"
#include "text/unicode/unicode.h"

namespace intarsia {

class PreTokenizer {
 public:
  enum class Where { everywhere, at_text_start, nowhere };

  void add(std::shared_ptr<const Splitter> splitter) {
    steps_.push_back({Kind::split, std::move(splitter), {}, false, Where::nowhere});
  }
  // Pieces that do not start with `mark` get one, `where` it says so. `replace`: spaces become marks before.
  void add_mark_before(std::string mark, bool replace, Where where) {
    steps_.push_back({Kind::mark, nullptr, std::move(mark), replace, where});
  }
  // The steps behind see each byte as the character that stands for it in the byte-level alphabet.
  void add_alphabet() { steps_.push_back({Kind::alphabet, nullptr, {}, false, Where::nowhere}); }
  // Whether words depend on whether they start the text.
  bool minds_start() const {
    return std::any_of(steps_.begin(), steps_.end(),
                       [](const Step& step) { return step.where == Where::at_text_start; });
  }

  // Calls word(std::string_view) for each word of `text`, in order; `at_start`: nothing stands before `text`.
  // Bytes that are not valid UTF-8 make words of their own, one for each run of them; what lies between is
  // split as if it were alone.
  template <class F>
  void for_each_word(std::string_view text, F&& word, bool at_start = true) const {
    if (steps_.empty()) {
      if (!text.empty()) word(text);
      return;
    }
    while (!text.empty()) {
      const size_t valid = valid_utf8_prefix(text);
      if (valid > 0) split(text.substr(0, valid), 0, at_start, word);
      at_start = false;
      text.remove_prefix(valid);
      size_t broken = 0;
      while (broken < text.size() && valid_utf8_prefix(text.substr(broken, 4)) == 0) ++broken;
      if (broken > 0) word(text.substr(0, broken));
      text.remove_prefix(broken);
    }
  }

 private:
  enum class Kind { split, mark, alphabet };
  struct Step {
    Kind kind;
    std::shared_ptr<const Splitter> splitter;
    std::string mark;
    bool replace;
    Where where;
  };
  template <class F>
  void split(std::string_view text, size_t level, bool at_start, F& word) const {
    if (level == steps_.size()) return word(text);
    const Step& step = steps_[level];
    if (step.kind == Kind::alphabet) {
      // A type of its own ends the chain of types that lambdas in lambdas would make.
      const std::function<void(std::string_view)> bytes = [&](std::string_view part) {
        word(*piece_to_bytes(part));
      };
      return split(bytes_to_piece(text), level + 1, at_start, bytes);
    }
    if (step.kind == Kind::mark) {
      std::string marked = step.replace ? replace_all(text, " ", step.mark) : std::string(text);
      const bool wanted = step.where == Where::everywhere || (step.where == Where::at_text_start && at_start);
      if (wanted && !marked.starts_with(step.mark)) marked.insert(0, step.mark);
      return split(marked, level + 1, at_start, word);
    }
    const bool last = level + 1 == steps_.size();
    for (size_t begin = 0; begin < text.size();) {
      const Splitter::Piece piece = step.splitter->next(text, begin);
      if (piece.keep) {
        const std::string_view part = text.substr(begin, piece.end - begin);
        if (last) {
          word(part);
        } else {
          split(part, level + 1, at_start && begin == 0, word);
        }
      }
      begin = piece.end;
    }
  }
  std::vector<Step> steps_;
};

}  // namespace intarsia
