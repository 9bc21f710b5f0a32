// Unigram (Kudo 2018, arXiv:1804.10959; the schedule of SentencePiece): frequent substrings as first
// vocabulary, then expectation maximization and pruning in turn.
#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "core/fail.h"
#include "core/threads.h"
#include "text/model/trie.h"
#include "text/pipeline.h"
#include "text/train/trainers.h"
#include "text/train/word_counts.h"
#include "text/unicode/unicode.h"

namespace intarsia {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr size_t longest_piece = 16;  // characters
constexpr int blocks = 64;            // of the words: their sums are added in this order

struct ScoredPiece {
  std::string text;
  double score = 0;
};

double log_add(double a, double b) {
  if (a < b) std::swap(a, b);
  return b == -infinity ? a : a + std::log1p(std::exp(b - a));
}

// The logarithmic derivative of the gamma function (Abramowitz and Stegun 6.3.18, after recurrence to x >=
// 7).
double digamma(double x) {
  double result = 0;
  while (x < 7) {
    result -= 1 / x;
    x += 1;
  }
  x -= 0.5;
  const double square = 1 / (x * x);
  return result + std::log(x) + square / 24 - 7 * square * square / 960 +
         31 * square * square * square / 8064;
}

class Trainer {
 public:
  explicit Trainer(WordCounts words) : words_(std::move(words)) {
    for (const std::string& word : words_.words) {
      std::vector<uint32_t> starts;
      for (size_t at = 0; at < word.size();
           at += std::max<size_t>(1, valid_character_length(std::string_view(word).substr(at))))
        starts.push_back(static_cast<uint32_t>(at));
      starts.push_back(static_cast<uint32_t>(word.size()));
      starts_.push_back(std::move(starts));
    }
  }

  std::vector<ScoredPiece> run(size_t wanted) {
    seed(std::max<size_t>(wanted * 12, 20000));
    // Pruned to a little more than what is wanted, since the characters must be in it.
    const auto target = static_cast<size_t>(static_cast<double>(wanted) * 1.1);
    while (true) {
      for (int i = 0; i < 2; ++i) {
        make_trie();
        maximize(expect());
      }
      if (pieces_.size() <= target) break;
      make_trie();
      prune(target);
    }
    return finish(wanted);
  }

 private:
  using Starts = std::vector<uint32_t>;

  // All substrings that occur twice or more, the ones with the highest count times length. One of n
  // characters can only be frequent if the one without its last is.
  void seed(size_t limit) {
    std::unordered_map<std::string_view, int64_t> last, characters;
    std::vector<std::pair<double, std::string_view>> candidates;
    for (size_t length = 1; length <= longest_piece; ++length) {
      std::unordered_map<std::string_view, int64_t> counts;
      for (size_t w = 0; w < words_.words.size(); ++w) {
        const std::string_view word = words_.words[w];
        const Starts& starts = starts_[w];
        for (size_t i = 0; i + length < starts.size(); ++i) {
          const auto text = word.substr(starts[i], starts[i + length] - starts[i]);
          const auto shorter = word.substr(starts[i], starts[i + length - 1] - starts[i]);
          if (length > 1 && !last.contains(shorter)) continue;
          counts[text] += words_.counts[w];
        }
      }
      if (length == 1) characters = counts;
      std::erase_if(counts, [&](const auto& entry) { return length > 1 && entry.second < 2; });
      if (length > 1) {
        for (const auto& [text, count] : counts)
          candidates.emplace_back(static_cast<double>(count) * static_cast<double>(length), text);
      }
      last = std::move(counts);
      if (last.empty()) break;
    }
    std::sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    if (candidates.size() > limit) candidates.resize(limit);
    for (const auto& [text, count] : characters)
      characters_.push_back({std::string(text), static_cast<double>(count)});
    std::sort(characters_.begin(), characters_.end(), [](const auto& a, const auto& b) {
      return a.score != b.score ? a.score > b.score : a.text < b.text;
    });
    pieces_ = characters_;
    for (const auto& [score, text] : candidates) pieces_.push_back({std::string(text), score});
    double total = 0;
    for (const ScoredPiece& piece : pieces_) total += piece.score;
    for (ScoredPiece& piece : pieces_) piece.score = std::log(piece.score / total);
  }

  void make_trie() {
    std::vector<std::pair<std::string_view, int32_t>> entries;
    for (size_t i = 0; i < pieces_.size(); ++i)
      entries.emplace_back(pieces_[i].text, static_cast<int32_t>(i));
    trie_ = Trie(std::move(entries), "train_unigram");
  }

  // A character that was pruned costs this.
  double unknown_score() const {
    double least = 0;
    for (const ScoredPiece& piece : pieces_) least = std::min(least, piece.score);
    return least - 10;
  }

  template <class F>
  void each_edge(std::string_view word, size_t begin, double unknown, F&& edge) const {
    const size_t character = std::max<size_t>(1, valid_character_length(word.substr(begin)));
    bool single = false;
    trie_.prefixes(word.substr(begin), [&](size_t length, int32_t id) {
      single |= length == character;
      edge(begin + length, id, pieces_[static_cast<size_t>(id)].score);
      return true;
    });
    if (!single) edge(begin + character, -1, unknown);
  }

  // Calls f(word, count, sums) for all words; sums are those of a block, added up in the order of blocks.
  template <class F>
  std::vector<double> over_words(F&& f) const {
    std::vector<std::vector<double>> sums(blocks);
    const size_t count = words_.words.size();
    parallel_for(blocks, 1, [&](int64_t first, int64_t last) {
      for (int64_t block = first; block < last; ++block) {
        std::vector<double>& mine = sums[static_cast<size_t>(block)];
        mine.assign(pieces_.size(), 0);
        const size_t begin = count * static_cast<size_t>(block) / blocks;
        const size_t end = count * static_cast<size_t>(block + 1) / blocks;
        for (size_t w = begin; w < end; ++w) f(words_.words[w], static_cast<double>(words_.counts[w]), mine);
      }
    });
    std::vector<double> total(pieces_.size(), 0);
    for (const auto& mine : sums) {
      for (size_t i = 0; i < mine.size(); ++i) total[i] += mine[i];
    }
    return total;
  }

  // How often each piece is expected: forward and backward sums over all segmentations.
  std::vector<double> expect() const {
    const double unknown = unknown_score();
    return over_words([&](const std::string& word, double count, std::vector<double>& sums) {
      struct Edge {
        uint32_t begin, end;
        int32_t id;
        double score;
      };
      std::vector<Edge> edges;
      std::vector<double> forward(word.size() + 1, -infinity), backward(word.size() + 1, -infinity);
      forward[0] = 0;
      for (size_t begin = 0; begin < word.size(); ++begin) {
        if (forward[begin] == -infinity) continue;
        each_edge(word, begin, unknown, [&](size_t end, int32_t id, double score) {
          edges.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end), id, score});
          forward[end] = log_add(forward[end], forward[begin] + score);
        });
      }
      backward[word.size()] = 0;
      for (size_t i = edges.size(); i > 0; --i) {
        const Edge& e = edges[i - 1];
        backward[e.begin] = log_add(backward[e.begin], backward[e.end] + e.score);
      }
      for (const Edge& e : edges) {
        if (e.id < 0) continue;
        const double share = forward[e.begin] + e.score + backward[e.end] - forward[word.size()];
        sums[static_cast<size_t>(e.id)] += count * std::exp(share);
      }
    });
  }

  // Scores from expected counts, with the prior that favours few pieces; rare ones go.
  void maximize(const std::vector<double>& expected) {
    constexpr double least = 0.5;
    std::vector<ScoredPiece> kept;
    double total = 0;
    for (size_t i = 0; i < pieces_.size(); ++i) {
      if (expected[i] < least) continue;
      kept.push_back({std::move(pieces_[i].text), expected[i]});
      total += expected[i];
    }
    const double log_total = digamma(total);
    for (ScoredPiece& piece : kept) piece.score = digamma(piece.score) - log_total;
    pieces_ = std::move(kept);
  }

  // The best segmentation of `text`; without the piece `banned`, if one is named.
  Ids best(std::string_view text, int32_t banned, double unknown) const {
    struct Step {
      double score = -infinity;
      int32_t id = -1;
      size_t begin = 0;
    };
    std::vector<Step> steps(text.size() + 1);
    steps[0].score = 0;
    for (size_t begin = 0; begin < text.size(); ++begin) {
      if (steps[begin].score == -infinity) continue;
      each_edge(text, begin, unknown, [&](size_t end, int32_t id, double score) {
        if (id == banned && id >= 0) return;
        const double sum = steps[begin].score + score;
        if (sum > steps[end].score) steps[end] = {sum, id, begin};
      });
    }
    if (steps[text.size()].score == -infinity) return {};
    Ids ids;
    for (size_t at = text.size(); at > 0; at = steps[at].begin) ids.push_back(steps[at].id);
    return ids;
  }

  // Keeps three quarters of the pieces: those whose loss would cost the likelihood most, as if each of their
  // places became the next best segmentation.
  void prune(size_t target) {
    const double unknown = unknown_score();
    const std::vector<double> used =
        over_words([&](const std::string& word, double count, std::vector<double>& sums) {
          for (const int32_t id : best(word, -1, unknown)) {
            if (id >= 0) sums[static_cast<size_t>(id)] += count;
          }
        });
    double total = 0;
    for (const double count : used) total += count;
    const double log_total = std::log(total);
    std::vector<double> loss(pieces_.size(), 0);
    parallel_for(static_cast<int64_t>(pieces_.size()), 256, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const auto at = static_cast<size_t>(i);
        const Ids instead = best(pieces_[at].text, static_cast<int32_t>(i), unknown);
        // A character, which nothing can replace, stays.
        if (instead.empty() || std::count(instead.begin(), instead.end(), -1) > 0) {
          loss[at] = infinity;
          continue;
        }
        if (used[at] == 0) continue;
        const double new_total = std::log(total + used[at] * (static_cast<double>(instead.size()) - 1));
        double sum = 0;
        for (const int32_t id : instead)
          sum += std::log(used[static_cast<size_t>(id)] + used[at]) - new_total;
        loss[at] = used[at] / total * (std::log(used[at]) - log_total - sum);
      }
    });
    std::vector<size_t> order(pieces_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return loss[a] != loss[b] ? loss[a] > loss[b] : pieces_[a].text < pieces_[b].text;
    });
    constexpr double shrinking = 0.75;
    const auto keep = std::max(target, static_cast<size_t>(shrinking * static_cast<double>(pieces_.size())));
    order.resize(std::min(order.size(), keep));
    std::sort(order.begin(), order.end());
    std::vector<ScoredPiece> kept;
    kept.reserve(order.size());
    for (const size_t i : order) kept.push_back(std::move(pieces_[i]));
    pieces_ = std::move(kept);
  }

  // The characters, and the pieces with the highest scores.
  std::vector<ScoredPiece> finish(size_t wanted) {
    std::unordered_map<std::string_view, double> scores;
    double least = 0;
    for (const ScoredPiece& piece : pieces_) {
      scores[piece.text] = piece.score;
      least = std::min(least, piece.score);
    }
    std::vector<ScoredPiece> result;
    std::unordered_map<std::string_view, bool> is_character;
    for (const ScoredPiece& piece : characters_) {
      is_character[piece.text] = true;
      const auto found = scores.find(piece.text);
      // A character that lost all its places is a little less probable than the last piece.
      result.push_back({piece.text, found == scores.end()
                                        ? least - 1e-4 * static_cast<double>(result.size() + 1)
                                        : found->second});
    }
    std::vector<ScoredPiece> longer;
    for (const ScoredPiece& piece : pieces_) {
      if (!is_character.contains(piece.text)) longer.push_back(piece);
    }
    const auto before = [](const ScoredPiece& a, const ScoredPiece& b) {
      return a.score != b.score ? a.score > b.score : a.text < b.text;
    };
    std::sort(longer.begin(), longer.end(), before);
    if (result.size() > wanted)
      fail("train_unigram: the text has {} characters, more than the {} entries that are asked for",
           result.size(), wanted);
    longer.resize(std::min(longer.size(), wanted - result.size()));
    result.insert(result.end(), longer.begin(), longer.end());
    std::sort(result.begin(), result.end(), before);
    return result;
  }

  WordCounts words_;
  std::vector<Starts> starts_;  // of each word's characters, and its end
  std::vector<ScoredPiece> pieces_, characters_;
  Trie trie_;
};

}  // namespace

std::shared_ptr<Tokenizer> train_unigram(const TextStream& next, int32_t vocabulary) {
  const std::vector<std::string> special = {"<unk>", "<s>", "</s>"};
  if (vocabulary < 4)
    fail("train_unigram: a vocabulary of {} entries is asked for, expected at least 4", vocabulary);
  TokenizerParts parts;
  parts.name = "train_unigram";
  parts.components.normalizer =
      R"({"type":"Sequence","normalizers":[{"type":"Nmt"},{"type":"NFKC"},{"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "}]})";
  parts.components.pre_tokenizer =
      R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true})";
  parts.components.decoder =
      R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true})";
  const TextPipeline pipeline = read_components(parts.components, parts.name);
  Trainer trainer(count_words(next, [&](std::string_view chunk, const auto& word) {
    const std::string normal = pipeline.normalizer(chunk);
    pipeline.pre_tokenizer.for_each_word(normal, [&](std::string_view found) {
      if (valid_utf8_prefix(found) == found.size()) word(found);
    });
  }));
  const std::vector<ScoredPiece> pieces = trainer.run(static_cast<size_t>(vocabulary) - special.size());
  UnigramParts model;
  double least = 0;
  for (size_t id = 0; id < special.size(); ++id) {
    parts.pieces.push(special[id]);
    model.scores.push_back(0);
    model.written.push_back(0);
    parts.added.push_back(special_token(special[id], static_cast<int32_t>(id)));
  }
  for (const ScoredPiece& piece : pieces) {
    parts.pieces.push(piece.text);
    model.written.push_back(piece.score);
    model.scores.push_back(as_tokenizers_reads(piece.score));
    least = std::min(least, model.scores.back());
  }
  parts.in_vocabulary.assign(model.scores.size(), true);
  model.unknown = 0;
  model.unknown_score = least - 10;
  parts.model = std::move(model);
  auto tokenizer = std::make_shared<PipelineTokenizer>(std::move(parts));
  tokenizer->bos = 1;
  tokenizer->eos = 2;
  tokenizer->stop = {2};
  return tokenizer;
}

}  // namespace intarsia
