#include "text/model/unigram.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <memory>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "core/fail.h"
#include "data/file.h"
#include "text/format/base64.h"
#include "text/model/scaled.h"
#include "text/unicode/unicode.h"

namespace intarsia {

namespace {

// Memory for a word, on the stack for words of a usual length. (Not kept by the thread: what a thread
// destroys at its end would keep the library loaded until then.)
template <class T>
class Room {
 public:
  explicit Room(size_t count)
      : large_(count > usual ? std::make_unique_for_overwrite<T[]>(count) : nullptr) {}
  T* data() { return large_ ? large_.get() : small_; }

 private:
  static constexpr size_t usual = 64;
  std::unique_ptr<T[]> large_;
  T small_[usual];
};

constexpr double infinity = std::numeric_limits<double>::infinity();

// Bytes that belong to the character at the start of `text`; broken bytes stand for themselves.
size_t step_length(std::string_view text) {
  if (static_cast<unsigned char>(text[0]) < 0x80) return 1;
  return std::max<size_t>(1, valid_character_length(text));
}

double log_add(double a, double b) {
  if (a < b) std::swap(a, b);
  return b == -infinity ? a : a + std::log1p(std::exp(b - a));
}

std::vector<std::pair<std::string_view, int32_t>> possible(const StringTable& words,
                                                           const std::vector<double>& scores) {
  std::vector<std::pair<std::string_view, int32_t>> list;
  for (int32_t id = 0; id < words.size(); ++id) {
    const bool first = !words[id].empty() && words.find(words[id]) == id;
    if (first && scores[id] > -infinity) list.emplace_back(words[id], id);
  }
  return list;
}

}  // namespace

double as_tokenizers_reads(double written) {
  std::array<char, 32> text;
  const char* end =
      std::to_chars(text.data(), text.data() + text.size(), std::abs(written), std::chars_format::scientific)
          .ptr;
  // Digits with a point behind the first, and an exponent with its sign.
  uint64_t digits = 0;
  int exponent = 0;
  const char* at = text.data();
  for (; at < end && *at != 'e'; ++at) {
    if (*at == '.') continue;
    digits = digits * 10 + static_cast<uint64_t>(*at - '0');
    if (at > text.data()) --exponent;
  }
  int power = 0;
  std::from_chars(at + (at + 1 < end && at[1] == '+' ? 2 : 1), end, power);
  exponent += power;
  constexpr int largest = 308;
  const auto ten_to = [](int n) {
    double result = 0;
    const std::string number = "1e" + std::to_string(n);
    std::from_chars(number.data(), number.data() + number.size(), result);
    return result;
  };
  auto value = static_cast<double>(digits);
  for (; exponent < -largest; exponent += largest) value /= ten_to(largest);
  value = exponent < 0 ? value / ten_to(-exponent) : value * ten_to(exponent);
  return std::copysign(value, written);
}

Unigram::Unigram(const StringTable& words, UnigramParts parts, std::string_view name)
    : parts_(std::move(parts)), trie_(possible(words, parts_.scores), name) {
  for (const double score : parts_.scores) {
    const auto single = static_cast<float>(score);
    has_score_.push_back(single == score);
    single_scores_.push_back(single == score ? single : 0);
  }
  const auto stands_for_unknown = [&](int32_t id) {
    if (id >= 0) has_score_[static_cast<size_t>(id)] = false;
  };
  stands_for_unknown(parts_.unknown);
  for (const int32_t id : parts_.bytes) stands_for_unknown(id);
  for (int byte = 0; byte < 256; ++byte) {
    const uint32_t node = trie_.step(Trie::root, static_cast<unsigned char>(byte));
    const bool alone = (parts_.by_bytes || byte < 0x80) && node != Trie::none && trie_.is_leaf(node);
    only_token_[byte] = alone ? trie_.value(node) : -1;
  }
}

// Calls edge(end, id, score) for each token that can begin at `begin`, short ones first, until it returns
// false if it returns anything; where no token is a single character, also for that as an unknown one.
template <class F>
void Unigram::each_edge(std::string_view word, size_t begin, F&& edge) const {
  const size_t character = parts_.by_bytes ? 1 : step_length(word.substr(begin));
  const auto goes_on = [&](size_t end, int32_t id, double score) {
    if constexpr (std::is_same_v<decltype(edge(end, id, score)), bool>) return edge(end, id, score);
    edge(end, id, score);
    return true;
  };
  bool single = false, ended = false;
  trie_.prefixes(word.substr(begin), [&](size_t length, int32_t id) {
    single |= length == character;
    ended = !goes_on(begin + length, id, parts_.scores[id]);
    return !ended;
  });
  if (!single && !ended) edge(begin + character, parts_.unknown, parts_.unknown_score);
}

template <bool rounded>
double Unigram::find_best(std::string_view word, double score, Step* steps) const {
  if (word.size() >= UINT32_MAX)
    fail("tokenizer: a word has {} bytes, expected fewer than 2^32", word.size());
  constexpr uint32_t none = UINT32_MAX;
  std::fill_n(steps, word.size() + 1, Step{0, -1, none, infinity});
  steps[0].score = score;
  steps[0].begin = 0;
  for (size_t begin = 0; begin < word.size();) {
    const double so_far = steps[begin].score;
    each_edge(word, begin, [&](size_t end, int32_t id, double added) {
      const double sum = added + so_far;
      const double candidate = rounded ? static_cast<double>(static_cast<float>(sum)) : sum;
      Step& step = steps[end];
      if (step.begin == none) {
        step = {candidate, id, static_cast<uint32_t>(begin), infinity};
      } else if (candidate > step.score) {
        step = {candidate, id, static_cast<uint32_t>(begin), candidate - step.score};
      } else {
        step.lead = std::min(step.lead, step.score - candidate);
      }
    });
    begin += parts_.by_bytes ? 1 : step_length(word.substr(begin));
  }
  double margin = infinity;
  for (size_t at = word.size(); at > 0; at = steps[at].begin) margin = std::min(margin, steps[at].lead);
  return margin;
}

// What `id` stands for comes out as itself, as bytes, or as one unknown token for all neighbouring ones.
void Unigram::append(std::string_view piece, int32_t id, bool& after_unknown, Ids& out) const {
  const bool known = id >= 0 && id != parts_.unknown;
  const auto has_id = [&](char c) { return parts_.bytes[static_cast<unsigned char>(c)] >= 0; };
  if (known) {
    out.push_back(id);
  } else if (std::all_of(piece.begin(), piece.end(), has_id)) {
    for (const char c : piece) out.push_back(parts_.bytes[static_cast<unsigned char>(c)]);
  } else {
    if (parts_.unknown < 0)
      fail("tokenizer: {} is not in its vocabulary, which has no token for what is unknown", quote(piece));
    if (!(after_unknown && parts_.fuse_unknown)) out.push_back(parts_.unknown);
    after_unknown = true;
    return;
  }
  after_unknown = false;
}

template <class F>
void Unigram::follow(Step* steps, size_t size, F&& token) {
  // Turns the links of the best way round: then `begin` of a place is the next one.
  uint32_t next = 0;
  for (auto at = static_cast<uint32_t>(size); at > 0;)
    next = std::exchange(at, std::exchange(steps[at].begin, next));
  for (uint32_t begin = 0; begin < size;) {
    const uint32_t end = next;
    token(begin, end, steps[end].id);
    begin = end;
    next = steps[end].begin;
  }
}

void Unigram::collect(std::string_view word, Step* steps, Ids& out) const {
  bool after_unknown = false;
  follow(steps, word.size(), [&](uint32_t begin, uint32_t end, int32_t id) {
    append(word.substr(begin, end - begin), id, after_unknown, out);
  });
}

void Unigram::segment(std::string_view word, Ids& out) const {
  Room<Step> steps(word.size() + 1);
  find_best<false>(word, 0, steps.data());
  collect(word, steps.data(), out);
}

void Unigram::encode(std::span<const std::string_view> words, double& state, Ids& out) const {
  if (!parts_.single_precision) return RememberingModel::encode(words, state, out);
  auto score = static_cast<float>(state);
  for_each_key(words, out, [&](std::string_view word, WordKey key, Buffer& ids) {
    const size_t known = find_known(cache_, key, score, ids.end());
    ids.add(known);
    bool after_unknown = false;
    if (known == 0) encode_new(cache_, key, word, score, after_unknown, ids.flush());
  });
  state = score;
}

// The best segmentation of a word is the same wherever it stands, unless rounding decides: that can only be
// if it won by less than what the sums of two segmentations can be off, half a unit in the last place a
// token.
void Unigram::encode_new(Cache& cache, WordKey key, std::string_view word, float& score, bool& after_unknown,
                         Ids& out) const {
  Room<Step> room(word.size() + 1);
  Step* steps = room.data();
  const double margin = find_best<false>(word, 0, steps);
  constexpr double unit = 0x1p-23, almost_one = 1 - 0x1p-20;
  const auto limit = static_cast<float>(margin / (static_cast<double>(word.size() + 1) * unit) * almost_one);
  const float start = score;
  const bool unknown_before = after_unknown;
  const size_t before = out.size();
  bool all_have_score = true;
  const auto take = [&](uint32_t begin, uint32_t end, int32_t id) {
    const bool unknown = id < 0 || id == parts_.unknown;
    all_have_score = all_have_score && !unknown && has_score_[static_cast<size_t>(id)];
    score =
        static_cast<float>(score + (unknown ? parts_.unknown_score : parts_.scores[static_cast<size_t>(id)]));
    append(word.substr(begin, end - begin), id, after_unknown, out);
  };
  follow(steps, word.size(), take);
  if (key && all_have_score) {
    out.push_back(std::bit_cast<int32_t>(limit));
    cache.put(key, &out[before], out.size() - before);
    out.pop_back();
  }
  if (std::abs(score) < limit) return;
  score = start;
  after_unknown = unknown_before;
  out.resize(before);
  find_best<true>(word, start, steps);
  follow(steps, word.size(), take);
}

double Unigram::log_sum(std::string_view word, double alpha) const {
  std::vector<double> sums(word.size() + 1, -infinity);
  sums[0] = 0;
  for (size_t begin = 0; begin < word.size(); ++begin) {
    if (sums[begin] == -infinity) continue;
    each_edge(word, begin, [&](size_t end, int32_t, double score) {
      sums[end] = log_add(sums[end], sums[begin] + alpha * score);
    });
  }
  return sums[word.size()];
}

// exp(alpha * score) of each id, behind that of what has none.
struct Unigram::Weights {
  double alpha;
  std::vector<double> plain;   // empty if one of them is far from what a double can hold
  std::vector<Scaled> scaled;  // then
};

std::shared_ptr<const Unigram::Weights> Unigram::weights(double alpha) const {
  const std::lock_guard lock(weights_mutex_);
  if (weights_ && weights_->alpha == alpha) return weights_;
  auto made = std::make_shared<Weights>();
  made->alpha = alpha;
  std::vector<double> exponents = {parts_.unknown_score};
  exponents.insert(exponents.end(), parts_.scores.begin(), parts_.scores.end());
  if (parts_.unknown >= 0) exponents[static_cast<size_t>(parts_.unknown) + 1] = parts_.unknown_score;
  bool fit = true;
  for (double& exponent : exponents) {
    const bool never = exponent == -infinity;
    if (!never) exponent *= alpha;
    fit = fit && (never || std::abs(exponent) < Scaled::most_plain);
  }
  if (fit) {
    for (const double exponent : exponents) made->plain.push_back(std::exp(exponent));
  } else {
    for (const double exponent : exponents) made->scaled.push_back(Scaled::exponential(exponent));
  }
  weights_ = made;
  return made;
}

// From the end: the sum of the weights of all segmentations behind each place, and a token drawn there with
// the share that the segmentations through it have. One random number a place; those that lie inside the
// tokens before them are not used.
template <class Weight>
void Unigram::draw(std::string_view word, const Weight* weights, Random& random, Ids& out) const {
  struct Token {
    uint32_t end;
    int32_t id;
  };
  Room<Scaled> room(word.size() + 1);
  Room<Token> drawn_room(word.size());
  Scaled* sums = room.data();
  Token* drawn = drawn_room.data();
  sums[word.size()] = {1, 0};
  // A quick generator, seeded by the good one.
  uint64_t state = uint64_t{random.bits()} << 32 | random.bits();
  const auto uniform = [&] {  // splitmix64
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
  };
  // The tokens that can begin at a place, and the sum up to each.
  const size_t most = trie_.longest_string() + 1;
  Room<Token> token_room(most);
  Room<double> sum_room(most);
  Token* tokens = token_room.data();
  double* up_to = sum_room.data();
  for (size_t begin = word.size(); begin-- > 0;) {
    const int32_t only = only_token_[static_cast<unsigned char>(word[begin])];
    if (only >= 0) {
      sums[begin] = sums[begin + 1] * weights[only + 1];
      sums[begin].normalize();
      drawn[begin] = {static_cast<uint32_t>(begin + 1), only};
      continue;
    }
    Scaled sum{0, sums[begin + 1].power};
    size_t count = 0;
    each_edge(word, begin, [&](size_t end, int32_t id, double) {
      const int64_t power = sum.power;
      sum += sums[end] * weights[id + 1];
      for (size_t i = 0; sum.power != power && i < count; ++i)
        up_to[i] = Scaled{up_to[i], power}.value_at(sum.power);
      up_to[count] = sum.value;
      tokens[count++] = {static_cast<uint32_t>(end), id};
    });
    const double place = uniform() * sum.value;
    size_t chosen = 0;
    for (size_t i = 0; i + 1 < count; ++i) chosen += up_to[i] <= place ? 1 : 0;
    drawn[begin] = tokens[chosen];
    sum.normalize();
    sums[begin] = sum;
  }
  bool after_unknown = false;
  for (size_t begin = 0; begin < word.size(); begin = drawn[begin].end)
    append(word.substr(begin, drawn[begin].end - begin), drawn[begin].id, after_unknown, out);
}

// https://kexue.fm/archives/9768: forward, each token against the best score so far.
void Unigram::draw_biased(std::string_view word, double alpha, Random& random, Step* steps) const {
  std::fill_n(steps, word.size() + 1, Step{-infinity, -1, 0, infinity});
  steps[0].score = 0;
  for (size_t begin = 0; begin < word.size(); ++begin) {
    const double so_far = steps[begin].score;
    if (so_far == -infinity) continue;
    each_edge(word, begin, [&](size_t end, int32_t id, double score) {
      Step& step = steps[end];
      const double candidate = so_far + score;
      const bool first = step.score == -infinity;
      if (!first && random.uniform() >= 1 / (1 + std::exp(alpha * (step.score - candidate)))) return;
      step = {candidate, id, static_cast<uint32_t>(begin), infinity};
    });
  }
}

void Unigram::sample(std::string_view word, const SubwordSampling& sampling, Random& random, Ids& out) const {
  if (!std::isfinite(sampling.alpha)) fail("sample: alpha is {}, expected a number", sampling.alpha);
  if (word.size() >= UINT32_MAX)
    fail("tokenizer: a word has {} bytes, expected fewer than 2^32", word.size());
  if (sampling.biased) {
    Room<Step> steps(word.size() + 1);
    draw_biased(word, sampling.alpha, random, steps.data());
    return collect(word, steps.data(), out);
  }
  const auto made = weights(sampling.alpha);
  if (made->scaled.empty()) {
    draw(word, made->plain.data(), random, out);
  } else {
    draw(word, made->scaled.data(), random, out);
  }
}

// The file of BytePiece: base64 of a piece to its id, the characters in it, and its count.
std::string Unigram::bytepiece_json(const Vocabulary& vocabulary) const {
  std::string out = "{";
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (!vocabulary.of_model[id]) continue;
    std::string characters;
    for_each_character(
        vocabulary.pieces[id], [&](char32_t, std::string_view bytes) { characters += bytes; },
        [](std::string_view) {});
    out += fmt::format("{}    {}: [{}, {}, {}]", out.size() == 1 ? "\n" : ",\n",
                       json_text(encode_base64(vocabulary.pieces[id])), id, json_text(characters),
                       parts_.counts[static_cast<size_t>(id)]);
  }
  return out + "\n}";
}

std::string Unigram::json(const Vocabulary& vocabulary) const {
  const bool byte_fallback =
      std::any_of(parts_.bytes.begin(), parts_.bytes.end(), [](int32_t id) { return id >= 0; });
  if (parts_.by_bytes) return bytepiece_json(vocabulary);
  std::string out =
      fmt::format("{{\"type\": \"Unigram\", \"unk_id\": {}, \"byte_fallback\": {},\n    \"vocab\": [",
                  parts_.unknown < 0 ? "null" : std::to_string(parts_.unknown), byte_fallback);
  // The id is the place in the list, so that what stands before the last of the model's own stands there,
  // too.
  int32_t count = vocabulary.size();
  while (count > 0 && !vocabulary.of_model[count - 1]) --count;
  for (int32_t id = 0; id < count; ++id) {
    const std::vector<double>& scores = parts_.written.empty() ? parts_.scores : parts_.written;
    const double score = std::max(scores[static_cast<size_t>(id)], -1e30);
    out += fmt::format("{}      [{}, {}]", id == 0 ? "\n" : ",\n", json_text(vocabulary.pieces[id]), score);
  }
  return out + "\n    ]}";
}

}  // namespace intarsia
