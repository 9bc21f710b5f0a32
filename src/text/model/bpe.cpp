#include "text/model/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <queue>

#include <fmt/format.h>

#include "core/fail.h"
#include "data/file.h"
#include "text/unicode/unicode.h"

namespace intarsia {

namespace {

// Whether of two merges the one with the lower rank makes the lower id, and those of one rank the same.
bool are_ranks_results(std::span<const Merge> merges) {
  std::vector<std::pair<uint32_t, int32_t>> pairs;
  pairs.reserve(merges.size());
  for (const Merge& merge : merges) pairs.emplace_back(merge.rank, merge.result);
  std::sort(pairs.begin(), pairs.end());
  for (size_t i = 1; i < pairs.size(); ++i) {
    const bool same = pairs[i - 1].first == pairs[i].first;
    if (same ? pairs[i - 1].second != pairs[i].second : pairs[i - 1].second >= pairs[i].second) return false;
  }
  return true;
}

}  // namespace

MergeTable::MergeTable(std::span<const Merge> merges, std::string_view name) {
  const size_t slots = merges.empty() ? 1 : std::bit_ceil(merges.size() + merges.size() / 4 + 2);
  slots_.assign(slots, none);
  const bool by_result = are_ranks_results(merges);
  if (!by_result) results_.assign(slots, -1);
  mask_ = slots - 1;
  filter_.reset(slots);
  for (const Merge& merge : merges) {
    const int32_t largest = std::max({merge.left, merge.right, merge.result});
    if (largest >= 1 << id_bits)
      fail("{}: a merge has the id {}, expected one below {}", name, largest, 1 << id_bits);
    if (merge.rank >= none) fail("{}: has more than {} merges", name, none);
    const uint64_t pair = pair_of(merge.left, merge.right);
    const uint64_t hash = hash_of(pair);
    filter_.add(hash);
    const Found found = find(pair, hash);
    slots_[found.place] = pair << rank_bits | (by_result ? static_cast<uint32_t>(merge.result) : merge.rank);
    if (!by_result) results_[found.place] = merge.result;
  }
}

std::vector<Merge> MergeTable::list() const {
  constexpr uint64_t id_mask = (uint64_t{1} << id_bits) - 1;
  std::vector<Merge> merges;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const auto rank = static_cast<uint32_t>(slots_[i]) & none;
    if (rank == none) continue;
    const auto left = static_cast<int32_t>(slots_[i] >> rank_bits >> id_bits);
    const auto right = static_cast<int32_t>(slots_[i] >> rank_bits & id_mask);
    merges.push_back({left, right, result({rank, static_cast<uint32_t>(i)}), rank});
  }
  std::sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) {
    return std::tie(a.rank, a.left, a.right) < std::tie(b.rank, b.left, b.right);
  });
  return merges;
}

Bpe::Bpe(std::shared_ptr<const StringTable> words, std::span<const Merge> merges, const Options& options,
         std::string_view name)
    : words_(std::move(words)),
      merges_(merges, name),
      options_(options),
      whole_(std::make_unique<std::atomic<uint8_t>[]>(static_cast<size_t>(words_->size()))) {
  for (int byte = 0; byte < 256; ++byte) {
    const char text = static_cast<char>(byte);
    byte_ids_[byte] = words_->find({&text, 1});
  }
  if (joins_strings(merges)) seams_ = Seams(*words_);
}

bool Bpe::joins_strings(std::span<const Merge> merges) const {
  const auto is_missing = [](int32_t id) { return id < 0; };
  const Fallback& fallback = options_.fallback;
  const bool whole =
      options_.symbols == Symbols::bytes
          ? std::none_of(byte_ids_.begin(), byte_ids_.end(), is_missing)
          : !fallback.fuse || std::none_of(fallback.bytes.begin(), fallback.bytes.end(), is_missing);
  if (!whole || !options_.continuing_prefix.empty() || !options_.end_suffix.empty()) return false;
  return std::all_of(merges.begin(), merges.end(), [&](const Merge& merge) {
    const size_t left = (*words_)[merge.left].size(), right = (*words_)[merge.right].size();
    return left > 0 && right > 0 && (*words_)[merge.result].size() == left + right;
  });
}

// Most words end in ASCII and are short; seams are not worth looking for in those.
void Bpe::encode(std::span<const std::string_view> words, double& state, Ids& out) const {
  static_cast<void>(state);
  for_each_key(words, out, [&](std::string_view word, WordKey key, Buffer& ids) {
    const bool short_ascii = key && ends_in_ascii(word);
    if (short_ascii || seams_.empty()) {
      if (!encode_known(key, ids)) encode_new(word, key, ids.flush());
    } else {
      encode_parts(word, ids.flush());
    }
  });
}

void Bpe::encode_parts(std::string_view word, Ids& out) const {
  IdBuffer<64> ids(out);
  seams_.cut(word, [&](std::string_view part) {
    const bool whole = part.size() == word.size(), character = !whole && CharacterCache::holds(part);
    if (ids.left() < CharacterCache::most) ids.flush();
    if (const size_t known = character ? characters_.find(part, ids.end()) : 0) return ids.add(known);
    ids.flush();
    const size_t before = out.size();
    encode_part(part, whole, out);
    if (character) characters_.put(part, &out[before], out.size() - before);
  });
  ids.flush();
}

// A token that no merges make may be a word of its own, and not a part of one: neither is then remembered.
// Words that end in ASCII are remembered as words only.
void Bpe::encode_part(std::string_view part, bool whole, Ids& out) const {
  const bool ascii = ends_in_ascii(part);
  const WordKey key = ascii && !whole ? WordKey() : WordKey(part);
  const size_t before = out.size();
  if (key) {
    int32_t ids[remembered];
    if (const size_t known = cache_.find(key, ids)) {
      out.insert(out.end(), ids, ids + known);
      return;
    }
  }
  const int32_t id = words_->find(part);
  const bool same = id < 0 || made(id, part);
  if (id >= 0 && (same || (whole && options_.ignore_merges))) {
    out.push_back(id);
  } else {
    merge(part, out);
  }
  if (key && (same || ascii || !options_.ignore_merges)) cache_.put(key, &out[before], out.size() - before);
}

void Bpe::segment(std::string_view word, Ids& out) const {
  if (const int32_t id = words_->find(word); id >= 0 && (options_.ignore_merges || made(id, word))) {
    out.push_back(id);
  } else {
    merge(word, out);
  }
}

void Bpe::sample(std::string_view word, const SubwordSampling& sampling, Random& random, Ids& out) const {
  const size_t before = out.size();
  out.resize(before + word.size());
  size_t count = first_symbols(word, out.data() + before);
  if (sampling.dropout < 1)
    count = merge_many(out.data() + before, count, [&] { return random.uniform() < sampling.dropout; });
  out.resize(before + count);
}

bool Bpe::find_out(int32_t id, std::string_view word) const {
  Ids ids;
  merge(word, ids);
  const bool whole = ids.size() == 1 && ids[0] == id;
  whole_[id].store(whole ? 2 : 1, std::memory_order_relaxed);
  return whole;
}

void Bpe::merge(std::string_view word, Ids& out) const {
  if (word.size() <= few) {
    int32_t ids[few];
    const size_t count = merge_few(ids, first_symbols(word, ids));
    out.insert(out.end(), ids, ids + count);
    return;
  }
  const size_t before = out.size();
  out.resize(before + word.size());
  const size_t count = first_symbols(word, out.data() + before);
  out.resize(before + (count <= few ? merge_few(out.data() + before, count)
                                    : merge_many(out.data() + before, count, [] { return false; })));
}

// At most one id a byte.
size_t Bpe::first_symbols(std::string_view word, int32_t* out) const {
  const bool by_bytes = options_.symbols == Symbols::bytes;
  const bool affixed = !options_.continuing_prefix.empty() || !options_.end_suffix.empty();
  const Fallback& fallback = options_.fallback;
  size_t count = 0;
  bool after_unknown = false;
  for (size_t at = 0; at < word.size();) {
    // A byte that starts no character stands for itself.
    const size_t length = by_bytes ? 1 : std::max<size_t>(1, valid_character_length(word.substr(at)));
    const std::string_view symbol = word.substr(at, length);
    int32_t id;
    if (affixed) {
      std::string text(at > 0 ? options_.continuing_prefix : std::string());
      text += symbol;
      if (at + length == word.size()) text += options_.end_suffix;
      id = words_->find(text);
    } else {
      id = by_bytes ? byte_ids_[static_cast<unsigned char>(symbol[0])] : words_->find(symbol);
    }
    at += length;
    if (id >= 0) {
      out[count++] = id;
      after_unknown = false;
      continue;
    }
    const auto has_id = [&](char c) { return fallback.bytes[static_cast<unsigned char>(c)] >= 0; };
    if (std::all_of(symbol.begin(), symbol.end(), has_id)) {
      for (const char c : symbol) out[count++] = fallback.bytes[static_cast<unsigned char>(c)];
      after_unknown = false;
      continue;
    }
    if (fallback.unknown < 0) {
      if (by_bytes) continue;
      fail_hint("train the tokenizer on text that holds it",
                "tokenizer: the character {} is not in its vocabulary", quote(symbol));
    }
    if (!(fallback.fuse && after_unknown)) out[count++] = fallback.unknown;
    after_unknown = true;
  }
  return count;
}

// Few symbols: those that are left are bits, and the least of the keys says which pair is merged next.
size_t Bpe::merge_few(int32_t* ids, size_t count) const {
  if (count < 2 || merges_.empty()) return count;
  // Of the pair that begins with each symbol: rank above place, so that of equal ranks the leftmost wins.
  constexpr int place_bits = 6;
  constexpr uint32_t no_merge = MergeTable::none << place_bits;
  uint32_t keys[few], places[few];
  const auto look = [&](size_t left, size_t right) {
    const MergeTable::Found merge = merges_.find(ids[left], ids[right]);
    keys[left] = merge.rank << place_bits | static_cast<uint32_t>(left);
    places[left] = merge.place;
  };
  for (size_t i = 0; i + 1 < count; ++i) look(i, i + 1);
  uint64_t there = ~uint64_t{0} >> (64 - count);
  while (true) {
    uint32_t least = no_merge;
    for (size_t i = 0; i + 1 < count; ++i) least = std::min(least, keys[i]);
    if (least >= no_merge) break;
    const size_t left = least & ((1u << place_bits) - 1);
    const uint64_t behind = there & ~uint64_t{1} << left;
    const auto right = static_cast<size_t>(std::countr_zero(behind));
    ids[left] = merges_.result({least >> place_bits, places[left]});
    there &= ~(uint64_t{1} << right);
    keys[left] = keys[right] = no_merge;
    if (const uint64_t next = behind & (behind - 1)) look(left, static_cast<size_t>(std::countr_zero(next)));
    if (const uint64_t before = there & ((uint64_t{1} << left) - 1))
      look(static_cast<size_t>(63 - std::countl_zero(before)), left);
  }
  size_t kept = 0;
  for (; there != 0; there &= there - 1) ids[kept++] = ids[std::countr_zero(there)];
  return kept;
}

// Many symbols: a linked list, and a heap of possible merges: O(n log n) whatever the word is.
// Where skip() says so a merge waits until another was done (dropout).
template <class Skip>
size_t Bpe::merge_many(int32_t* ids, size_t count, Skip&& skip) const {
  if (merges_.empty()) return count;
  const auto end = static_cast<uint32_t>(count);
  if (count >= UINT32_MAX) fail("tokenizer: a word has {} symbols, expected fewer than 2^32", count);
  std::vector<uint32_t> next(count), previous(count);
  // A possible merge: rank, then the position of its left symbol.
  std::vector<uint64_t> first;
  const auto candidate = [&](uint32_t at) {
    const uint32_t rank = merges_.find(ids[at], ids[next[at]]).rank;
    return uint64_t{rank} << 32 | at;
  };
  for (uint32_t i = 0; i < end; ++i) {
    next[i] = i + 1;
    previous[i] = i - 1;
  }
  constexpr uint64_t no_merge = uint64_t{MergeTable::none} << 32;
  for (uint32_t i = 0; i + 1 < end; ++i) {
    if (const uint64_t merge = candidate(i); merge < no_merge) first.push_back(merge);
  }
  std::priority_queue heap(std::greater<uint64_t>(), std::move(first));
  constexpr int32_t gone = -1;
  std::vector<uint64_t> skipped;
  while (!heap.empty()) {
    const uint64_t top = heap.top();
    heap.pop();
    const auto at = static_cast<uint32_t>(top);
    // Out of date if its symbols have changed since.
    if (ids[at] == gone || next[at] == end) continue;
    const uint32_t right = next[at];
    const MergeTable::Found merge = merges_.find(ids[at], ids[right]);
    if (merge.rank != top >> 32) continue;
    if (skip()) {
      skipped.push_back(top);
      continue;
    }
    for (const uint64_t again : skipped) heap.push(again);
    skipped.clear();
    ids[at] = merges_.result(merge);
    ids[right] = gone;
    next[at] = next[right];
    if (next[at] != end) {
      previous[next[at]] = at;
      if (const uint64_t following = candidate(at); following < no_merge) heap.push(following);
    }
    if (at > 0) {
      if (const uint64_t before = candidate(previous[at]); before < no_merge) heap.push(before);
    }
  }
  return static_cast<size_t>(std::remove(ids, ids + count, gone) - ids);
}

std::string Bpe::json(const Vocabulary& vocabulary) const {
  const Fallback& fallback = options_.fallback;
  const bool byte_fallback =
      std::any_of(fallback.bytes.begin(), fallback.bytes.end(), [](int32_t id) { return id >= 0; });
  const auto affix = [](const std::string& text) { return text.empty() ? "null" : json_text(text); };
  std::string out = fmt::format(
      "{{\n    \"type\": \"BPE\", \"dropout\": {}, \"unk_token\": {}, \"continuing_subword_prefix\": {},\n"
      "    \"end_of_word_suffix\": {}, \"fuse_unk\": {}, \"byte_fallback\": {}, \"ignore_merges\": {},\n"
      "    \"vocab\": {},\n    \"merges\": [",
      options_.dropout > 0 ? fmt::format("{}", options_.dropout) : "null",
      fallback.unknown < 0 ? "null" : json_text(vocabulary.pieces[fallback.unknown]),
      affix(options_.continuing_prefix), affix(options_.end_suffix), fallback.fuse, byte_fallback,
      options_.ignore_merges, json_vocabulary(vocabulary));
  bool first = true;
  for (const Merge& merge : merges_.list()) {
    out += first ? "\n" : ",\n";
    first = false;
    out += "      [" + json_text(vocabulary.pieces[merge.left]) + ", " +
           json_text(vocabulary.pieces[merge.right]) + "]";
  }
  return out + "\n    ]\n  }";
}

}  // namespace intarsia
