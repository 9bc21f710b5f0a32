// BytePiece (https://kexue.fm/archives/9752): byte n-grams up to order 6 say where pieces begin; their
// counts, pruned to the vocabulary, are a unigram model.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "core/fail.h"
#include "text/format/bytepiece.h"
#include "text/model/unigram.h"
#include "text/train/trainers.h"
#include "text/unicode/unicode.h"

namespace intarsia {

namespace {

constexpr size_t order = 6, longest_piece = 36, longest_line = 10'000, special_count = 3;
constexpr int64_t least_count = 2;
constexpr double infinity = std::numeric_limits<double>::infinity();

using Counts = std::unordered_map<std::string, int64_t>;

// Calls f(line) for a text's lines with the newlines behind them; longer ones are cut.
template <class F>
void each_line(const TextStream& next, F&& f) {
  for (std::string chunk; next(chunk);) {
    const std::string text = to_nfc(chunk);
    for (size_t at = 0; at < text.size();) {
      size_t end = at, characters = 0;
      while (end < text.size() && text[end] != '\n' && characters < longest_line) {
        end += std::max<size_t>(1, valid_character_length(std::string_view(text).substr(end)));
        ++characters;
      }
      constexpr size_t most_newlines = 100;
      for (size_t i = 0; i < most_newlines && end < text.size() && text[end] == '\n'; ++i) ++end;
      f(std::string_view(text).substr(at, end - at));
      at = end;
    }
  }
}

// A byte string of at most 6 bytes as a number; different ones have different numbers, none is 0.
uint64_t key_of(std::string_view text) {
  uint64_t key = text.size() + 1;
  for (const char c : text) key = key << 8 | static_cast<unsigned char>(c);
  return key;
}

// n-grams to numbers: an open table that doubles.
class NgramTable {
 public:
  double& operator[](uint64_t key) {
    if (used_ * 2 >= slots_.size()) grow();
    Slot& slot = slots_[place(key)];
    if (slot.key == 0) {
      slot.key = key;
      ++used_;
    }
    return slot.value;
  }
  double find(uint64_t key, double otherwise) const {
    const Slot& slot = slots_[place(key)];
    return slot.key == 0 ? otherwise : slot.value;
  }
  // Replaces each value by f(key, value).
  template <class F>
  NgramTable mapped(F&& f) const {
    NgramTable result;
    for (const Slot& slot : slots_) {
      if (slot.key != 0) result[slot.key] = f(slot.key, slot.value);
    }
    return result;
  }

 private:
  struct Slot {
    uint64_t key = 0;
    double value = 0;
  };
  size_t place(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    const auto product = static_cast<unsigned __int128>(key) * 0x9e3779b97f4a7c15u;
    size_t at = (static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64)) & mask;
    while (slots_[at].key != 0 && slots_[at].key != key) at = (at + 1) & mask;
    return at;
  }
  void grow() {
    std::vector<Slot> old = std::move(slots_);
    slots_.assign(old.size() * 2, Slot());
    for (const Slot& slot : old) {
      if (slot.key != 0) slots_[place(slot.key)] = slot;
    }
  }
  std::vector<Slot> slots_ = std::vector<Slot>(size_t{1} << 16);
  size_t used_ = 0;
};

size_t length_of(uint64_t key) {
  size_t bytes = 0;
  while (key >> (8 * (bytes + 1)) != 0) ++bytes;
  return bytes;
}

// The logarithm of the probability of each n-gram's last byte behind the others.
class NgramModel {
 public:
  explicit NgramModel(const TextStream& next) {
    NgramTable counts;
    double positions = 0;
    each_line(next, [&](std::string_view line) {
      positions += static_cast<double>(line.size());
      for (size_t i = 0; i < line.size(); ++i) {
        for (size_t n = 1; n <= order && i + n <= line.size(); ++n) ++counts[key_of(line.substr(i, n))];
      }
    });
    for (int byte = 0; byte < 256; ++byte) {
      const char text = static_cast<char>(byte);
      double& count = counts[key_of({&text, 1})];
      if (count > 0) continue;
      count = 1;
      ++positions;
    }
    log_probabilities_ = counts.mapped([&](uint64_t key, double count) {
      const size_t length = length_of(key);
      if (length <= 1) return std::log(count) - std::log(positions);
      if (count < least_count) return -infinity;
      // The key of the n-gram without its last byte: its length is one less, too.
      const uint64_t mark = uint64_t{length + 1} << (8 * length);
      const uint64_t prefix = ((key - mark) >> 8) | (uint64_t{length} << (8 * (length - 1)));
      return std::log(count) - std::log(counts.find(prefix, 0));
    });
  }

  // Calls piece(text) for the pieces of a line: the best path through the states "byte 1, 2, ... 6 or later
  // of a piece", where no piece begins inside a character.
  template <class F>
  void cut(std::string_view line, F&& piece) const {
    if (line.empty()) return;
    std::vector<std::array<uint8_t, order>> from(line.size());
    std::array<double, order> scores;
    for (size_t i = 0; i < line.size(); ++i) {
      std::array<double, order> next;
      const bool inside = (static_cast<unsigned char>(line[i]) & 0xc0) == 0x80;
      for (size_t state = 0; state < order; ++state) {
        double best = i == 0 && state == 0 ? 0 : -infinity;
        uint8_t source = 0;
        const auto consider = [&](size_t s) {
          if (scores[s] > best) {
            best = scores[s];
            source = static_cast<uint8_t>(s);
          }
        };
        if (i > 0 && state == 0) {
          for (size_t s = 0; s < order; ++s) consider(s);
        } else if (i > 0) {
          consider(state - 1);
          if (state == order - 1) consider(state);
        }
        const bool impossible = state > i || (state == 0 && inside);
        const double own =
            impossible ? -infinity
                       : log_probabilities_.find(key_of(line.substr(i - state, state + 1)), -infinity);
        next[state] = best + own;
        from[i][state] = source;
      }
      scores = next;
    }
    size_t state = static_cast<size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
    std::vector<size_t> starts;
    for (size_t i = line.size(); i > 0; --i) {
      if (state == 0) starts.push_back(i - 1);
      state = from[i - 1][state];
    }
    std::reverse(starts.begin(), starts.end());
    if (starts.empty() || starts[0] != 0) starts.insert(starts.begin(), 0);
    starts.push_back(line.size());
    for (size_t i = 0; i + 1 < starts.size(); ++i) piece(line.substr(starts[i], starts[i + 1] - starts[i]));
  }

 private:
  NgramTable log_probabilities_;
};

// The pieces `drop`, cut by the unigram model of `keep`, with their counts.
Counts split(const Counts& keep, const Counts& drop) {
  std::vector<std::pair<std::string, int64_t>> ordered(keep.begin(), keep.end());
  std::sort(ordered.begin(), ordered.end());
  StringTable words;
  UnigramParts parts;
  parts.by_bytes = true;
  double total = 0;
  for (const auto& [text, count] : ordered) total += static_cast<double>(count);
  for (const auto& [text, count] : ordered) {
    words.push(text);
    parts.scores.push_back(std::log(static_cast<double>(count)) - std::log(total));
  }
  words.index([](int32_t) { return true; });
  const Unigram model(words, std::move(parts), "train_bytepiece");
  Counts result;
  Ids ids;
  for (const auto& [text, count] : drop) {
    ids.clear();
    model.encode(text, ids);
    for (const int32_t id : ids) result[std::string(words[id])] += count;
  }
  return result;
}

// Until none is left that the others would be used for instead.
Counts without_wasted(Counts pieces) {
  while (true) {
    Counts next = split(pieces, pieces);
    for (int byte = 0; byte < 256; ++byte) next.try_emplace(std::string(1, static_cast<char>(byte)), 1);
    const bool same = next.size() == pieces.size();
    pieces = std::move(next);
    if (same) return pieces;
  }
}

void add(Counts& counts, const Counts& more) {
  for (const auto& [text, count] : more) counts[text] += count;
}

}  // namespace

std::shared_ptr<Tokenizer> train_bytepiece(const std::function<TextStream()>& open, int32_t vocabulary) {
  constexpr size_t least = 256 + special_count;
  if (vocabulary < static_cast<int32_t>(least))
    fail("train_bytepiece: a vocabulary of {} entries is asked for, expected at least {}", vocabulary, least);
  Counts pieces;
  {
    const NgramModel ngrams(open());
    each_line(open(), [&](std::string_view line) {
      ngrams.cut(line, [&](std::string_view piece) { ++pieces[std::string(piece)]; });
    });
  }
  for (int byte = 0; byte < 256; ++byte) pieces.try_emplace(std::string(1, static_cast<char>(byte)), 1);
  Counts keep, drop;
  for (const auto& [text, count] : pieces) {
    const bool kept = text.size() == 1 || (text.size() <= longest_piece && count >= least_count);
    (kept ? keep : drop)[text] = count;
  }
  add(keep, split(keep, drop));
  keep = without_wasted(std::move(keep));
  const size_t wanted = static_cast<size_t>(vocabulary) - special_count;
  if (keep.size() > wanted) {
    std::vector<std::pair<std::string, int64_t>> sorted(keep.begin(), keep.end());
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
      const bool a_long = a.first.size() > 1, b_long = b.first.size() > 1;
      if (a_long != b_long) return b_long;
      if (a.second != b.second) return a.second > b.second;
      if (a.first.size() != b.first.size()) return a.first.size() > b.first.size();
      return a.first < b.first;
    });
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(wanted);
    keep = Counts(sorted.begin(), middle);
    add(keep, split(keep, Counts(middle, sorted.end())));
    keep = without_wasted(std::move(keep));
  }
  return make_bytepiece({keep.begin(), keep.end()}, "train_bytepiece");
}

}  // namespace intarsia
