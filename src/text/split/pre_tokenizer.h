// Text to words: a chain of steps, each cutting the pieces of the one before.
#pragma once
#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
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
    for_some_words(
        text,
        [&](Words words) {
          for (const std::string_view one : words) word(one);
        },
        at_start);
  }
  // The same, several words at once.
  using Words = std::span<const std::string_view>;
  template <class F>
  void for_some_words(std::string_view text, F&& words, bool at_start = true) const {
    if (steps_.empty()) {
      if (!text.empty()) words(Words(&text, 1));
      return;
    }
    while (!text.empty()) {
      const std::string_view valid = text.substr(0, valid_utf8_prefix(text));
      if (!valid.empty()) split(valid, 0, at_start, words);
      at_start = false;
      text.remove_prefix(valid.size());
      size_t broken = 0;
      while (broken < text.size() && valid_utf8_prefix(text.substr(broken, 4)) == 0) ++broken;
      const std::string_view rest = text.substr(0, broken);
      if (broken > 0) words(Words(&rest, 1));
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
  void split(std::string_view text, size_t level, bool at_start, F& words) const {
    if (level == steps_.size()) return words(Words(&text, 1));
    const Step& step = steps_[level];
    if (step.kind == Kind::alphabet) {
      // A type of its own ends the chain of types that lambdas in lambdas would make.
      const std::function<void(Words)> bytes = [&](Words parts) {
        for (const std::string_view part : parts) {
          const std::string word = *piece_to_bytes(part);
          const std::string_view view = word;
          words(Words(&view, 1));
        }
      };
      return split(bytes_to_piece(text), level + 1, at_start, bytes);
    }
    if (step.kind == Kind::mark) {
      std::string marked = step.replace ? replace_all(text, " ", step.mark) : std::string(text);
      const bool wanted = step.where == Where::everywhere || (step.where == Where::at_text_start && at_start);
      if (wanted && !marked.starts_with(step.mark)) marked.insert(0, step.mark);
      return split(marked, level + 1, at_start, words);
    }
    constexpr size_t most = 32;
    std::array<Splitter::Piece, most> pieces;
    std::array<std::string_view, most> parts;
    const bool last = level + 1 == steps_.size();
    for (size_t begin = 0; begin < text.size();) {
      size_t count = 0;
      const size_t found = step.splitter->some(text, begin, pieces);
      for (size_t i = 0; i < found; ++i) {
        const std::string_view part = text.substr(begin, pieces[i].end - begin);
        if (pieces[i].keep && !last) split(part, level + 1, at_start && begin == 0, words);
        if (pieces[i].keep && last) parts[count++] = part;
        begin = pieces[i].end;
      }
      if (count > 0) words(Words(parts.data(), count));
    }
  }
  std::vector<Step> steps_;
};

}  // namespace intarsia
