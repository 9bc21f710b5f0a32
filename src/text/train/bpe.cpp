// Training of tokenizers: byte-level BPE (Sennrich et al. 2016, arXiv:1508.07909, on bytes as GPT-2 has it)
// and the vocabulary of characters.
#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>
#include <queue>
#include <unordered_map>

#include "core/fail.h"
#include "data/file.h"
#include "data/json.h"
#include "text/pipeline.h"
#include "text/unicode/byte_level.h"

namespace intarsia {

namespace {

constexpr int32_t alphabet = 256;

// The distinct words of a text and how often each occurs, in the order of their bytes.
struct WordCounts {
  std::vector<std::string> words;
  std::vector<int64_t> counts;
};

WordCounts count_words(const std::function<bool(std::string& chunk)>& next) {
  PreTokenizer splitter;
  splitter.add(known_pattern(patterns::gpt2));
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, int64_t, Hash, std::equal_to<>> found;
  for (std::string chunk; next(chunk);) {
    splitter.for_each_word(chunk, [&](std::string_view word) {
      const auto known = found.find(word);
      if (known == found.end()) {
        found.emplace(word, 1);
      } else {
        ++known->second;
      }
    });
  }
  std::vector<std::pair<std::string_view, int64_t>> sorted(found.begin(), found.end());
  std::sort(sorted.begin(), sorted.end());
  WordCounts result;
  for (const auto& [word, count] : sorted) {
    result.words.emplace_back(word);
    result.counts.push_back(count);
  }
  return result;
}

// All words side by side as symbols that are linked within their word. Each pair knows how often it occurs
// and where, so that a merge touches only its own places.
class PairCounter {
 public:
  explicit PairCounter(const WordCounts& text) {
    std::array<int32_t, 256> id_of;
    for (int32_t id = 0; id < alphabet; ++id) id_of[static_cast<unsigned char>(byte_alphabet()[id])] = id;
    size_t total = 0;
    for (const std::string& word : text.words) total += word.size();
    if (total >= UINT32_MAX)
      fail("train_bpe: the distinct words have {} bytes, expected fewer than 2^32", total);
    for (auto* links : {&next_, &previous_, &word_}) links->reserve(total);
    symbols_.reserve(total);
    for (uint32_t w = 0; w < text.words.size(); ++w) {
      const std::string& word = text.words[w];
      counts_.push_back(text.counts[w]);
      for (size_t i = 0; i < word.size(); ++i) {
        const auto at = static_cast<uint32_t>(symbols_.size());
        symbols_.push_back(id_of[static_cast<unsigned char>(word[i])]);
        word_.push_back(w);
        previous_.push_back(i == 0 ? none : at - 1);
        next_.push_back(i + 1 == word.size() ? none : at + 1);
      }
    }
    for (uint32_t at = 0; at < symbols_.size(); ++at) {
      if (next_[at] != none) add(at);
    }
    for (uint32_t pair = 0; pair < pairs_.size(); ++pair) push(pair);
    changed_.clear();
  }

  // The most frequent pair, of equal ones the one with the smaller ids; {-1, -1} when no pair is left.
  std::pair<int32_t, int32_t> best() {
    while (!heap_.empty()) {
      const Candidate top = heap_.top();
      heap_.pop();
      const Pair& pair = pairs_[top.pair];
      if (pair.count == 0) continue;
      if (pair.count == top.count) {
        best_ = top.pair;
        return {pair.left, pair.right};
      }
      // Counts only fall while an entry waits; a rise pushes another.
      if (pair.count < top.count) push(top.pair);
    }
    return {-1, -1};
  }

  // Merges the pair that best() gave into `symbol`, everywhere, the leftmost first.
  void merge(int32_t symbol) {
    std::vector<uint32_t> places = std::move(pairs_[best_].places);
    const int32_t left = pairs_[best_].left, right = pairs_[best_].right;
    pairs_[best_].count = 0;
    std::sort(places.begin(), places.end());
    for (const uint32_t at : places) {
      // Places that another merge has changed meanwhile are skipped.
      const uint32_t second = symbols_[at] == left ? next_[at] : none;
      if (second == none || symbols_[second] != right) continue;
      const uint32_t before = previous_[at], after = next_[second];
      if (before != none) remove(before);
      if (after != none) remove(second);
      symbols_[at] = symbol;
      symbols_[second] = -1;
      next_[at] = after;
      if (after != none) {
        previous_[after] = at;
        add(at);
      }
      if (before != none) add(before);
    }
    pairs_[best_].count = 0;
    pairs_[best_].places = {};
    for (const uint32_t pair : changed_) push(pair);
    for (const uint32_t pair : changed_) pairs_[pair].changed = false;
    changed_.clear();
  }

 private:
  static constexpr uint32_t none = UINT32_MAX;
  struct Pair {
    int32_t left, right;
    int64_t count = 0;
    std::vector<uint32_t> places;  // of the left symbol; some may be out of date
    bool changed = false;
  };
  struct Candidate {
    int64_t count;
    int32_t left, right;
    uint32_t pair;
    bool operator<(const Candidate& other) const {
      if (count != other.count) return count < other.count;
      return std::tie(left, right) > std::tie(other.left, other.right);
    }
  };

  uint32_t pair_at(uint32_t at) {
    const int32_t left = symbols_[at], right = symbols_[next_[at]];
    const uint64_t key = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
    const auto [found, fresh] = index_.try_emplace(key, static_cast<uint32_t>(pairs_.size()));
    if (fresh) pairs_.push_back({left, right, 0, {}, false});
    return found->second;
  }
  void add(uint32_t at) {
    const uint32_t index = pair_at(at);
    Pair& pair = pairs_[index];
    pair.count += counts_[word_[at]];
    pair.places.push_back(at);
    if (!pair.changed) changed_.push_back(index);
    pair.changed = true;
  }
  void remove(uint32_t at) { pairs_[pair_at(at)].count -= counts_[word_[at]]; }
  void push(uint32_t index) {
    Pair& pair = pairs_[index];
    pair.changed = false;
    if (pair.count > 0) heap_.push({pair.count, pair.left, pair.right, index});
  }

  std::vector<int32_t> symbols_;  // -1: merged into the one before
  std::vector<uint32_t> next_, previous_, word_;
  std::vector<int64_t> counts_;  // of words
  std::vector<Pair> pairs_;
  std::unordered_map<uint64_t, uint32_t> index_;  // both ids to the pair
  std::priority_queue<Candidate> heap_;
  std::vector<uint32_t> changed_;  // pairs that grew since the last merge
  uint32_t best_ = 0;
};

void add_special(TokenizerParts& parts, const std::vector<std::string>& special) {
  parts.pieces.index([](int32_t) { return true; });
  for (const std::string& text : special) {
    const bool twice = std::count(special.begin(), special.end(), text) > 1;
    if (text.empty() || twice || parts.pieces.find(text) >= 0)
      fail("train_bpe: the special token {} is {}", quote(text),
           text.empty() ? "empty"
           : twice      ? "named twice"
                        : "a token of the text");
    AddedToken token;
    token.text = text;
    token.id = parts.pieces.size();
    token.special = true;
    parts.added.push_back(token);
    parts.pieces.push(text);
    parts.in_vocabulary.push_back(true);
  }
}

}  // namespace

std::shared_ptr<Tokenizer> train_bpe(const std::function<bool(std::string& chunk)>& next,
                                     const BpeTraining& options) {
  const auto special_count = static_cast<int32_t>(options.special.size());
  const int32_t least = alphabet + special_count;
  if (options.vocabulary < least)
    fail(
        "train_bpe: a vocabulary of {} entries is asked for, expected at least {} (256 bytes and {} special "
        "tokens)",
        options.vocabulary, least, special_count);
  TokenizerParts parts;
  parts.name = "train_bpe";
  parts.components.pre_tokenizer =
      R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})";
  parts.components.decoder =
      R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true})";

  std::vector<std::string> pieces;
  for (const char c : byte_alphabet()) pieces.push_back(bytes_to_piece({&c, 1}));
  std::unordered_map<std::string, int32_t> id_of;
  PairCounter pairs(count_words(next));
  BpeParts model;
  while (static_cast<int32_t>(pieces.size()) + special_count < options.vocabulary) {
    const auto [left, right] = pairs.best();
    if (left < 0) break;
    // Two pairs can make the same piece: "a" + "bc" and "ab" + "c".
    const auto [known, fresh] =
        id_of.try_emplace(pieces[left] + pieces[right], static_cast<int32_t>(pieces.size()));
    const int32_t id = known->second;
    if (fresh) pieces.push_back(known->first);
    model.merges.push_back({left, right, id, static_cast<uint32_t>(model.merges.size())});
    pairs.merge(id);
  }
  for (const std::string& piece : pieces) parts.pieces.push(piece);
  parts.in_vocabulary.assign(pieces.size(), true);
  add_special(parts, options.special);
  parts.model = std::move(model);
  auto tokenizer = std::make_shared<PipelineTokenizer>(std::move(parts));
  if (special_count > 0) {
    tokenizer->eos = static_cast<int32_t>(pieces.size());
    tokenizer->bos = tokenizer->eos;
    tokenizer->stop = {*tokenizer->eos};
  }
  return tokenizer;
}

std::shared_ptr<Tokenizer> train_characters(const std::function<bool(std::string& chunk)>& next) {
  std::vector<bool> seen(0x110000);
  std::string rest;  // a character that the end of a chunk cuts
  const auto note = [&](std::string_view text) {
    for (size_t at = 0; at < text.size();) {
      if (character_length(text.substr(at, 4)) == 0)
        fail("train_characters: the text holds {}, which is not UTF-8", quote(text.substr(at, 4)));
      const Character c = decode_character(text.data() + at);
      seen[c.code] = true;
      at += c.length;
    }
  };
  for (std::string chunk; next(chunk);) {
    chunk.insert(0, rest);
    const size_t cut = unfinished_suffix(chunk);
    rest = chunk.substr(chunk.size() - cut);
    note(std::string_view(chunk).substr(0, chunk.size() - cut));
  }
  note(rest);
  TokenizerParts parts;
  parts.name = "train_characters";
  parts.components.decoder = R"({"type":"Fuse"})";
  for (char32_t code = 0; code < seen.size(); ++code) {
    if (!seen[code]) continue;
    std::string piece;
    append_utf8(piece, code);
    parts.pieces.push(piece);
  }
  if (parts.pieces.size() == 0) fail("train_characters: the text is empty");
  parts.in_vocabulary.assign(static_cast<size_t>(parts.pieces.size()), true);
  return std::make_shared<PipelineTokenizer>(std::move(parts));
}

}  // namespace intarsia
