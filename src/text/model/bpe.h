// Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909): a word is cut into symbols, and the adjacent
// pair whose merge has the lowest rank is merged, the leftmost of equal ones first, until no pair can be.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "intarsia/tokenizer.h"
#include "text/model/character_cache.h"
#include "text/model/hash_filter.h"
#include "text/model/seams.h"
#include "text/model/segmentation.h"

namespace intarsia {

struct Merge {
  int32_t left, right, result;
  uint32_t rank;  // lower first; merges may share a rank
};

// Pairs of ids to their merge.
class MergeTable {
 public:
  // Ids and ranks must be below these, so that a pair and its rank fit into 64 bits: what a lookup reads
  // decides the speed.
  static constexpr int id_bits = 21, rank_bits = 22;
  static constexpr uint32_t none = (uint32_t{1} << rank_bits) - 1;  // the rank of a pair that has no merge

  // Of merges with the same pair the last one counts, as in `tokenizers`. Errors name `name`.
  MergeTable(std::span<const Merge> merges, std::string_view name);
  struct Found {
    uint32_t rank, place;
  };
  Found find(int32_t left, int32_t right) const {
    const uint64_t pair = pair_of(left, right), hash = hash_of(pair);
    return filter_.may_hold(hash) ? find(pair, hash) : Found{none, 0};
  }
  // What a merge that was found makes.
  int32_t result(Found found) const {
    return results_.empty() ? static_cast<int32_t>(found.rank) : results_[found.place];
  }
  bool empty() const { return mask_ == 0; }
  // All of them, by rank.
  std::vector<Merge> list() const;

 private:
  static uint64_t pair_of(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << id_bits | static_cast<uint32_t>(right);
  }
  uint64_t hash_of(uint64_t pair) const {
    const auto product = static_cast<unsigned __int128>(pair ^ seed_) * 0x9e3779b97f4a7c15u;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
  Found find(uint64_t pair, uint64_t hash) const {
    for (size_t at = hash & mask_;; at = (at + 1) & mask_) {
      const uint64_t slot = slots_[at];
      const auto rank = static_cast<uint32_t>(slot) & none;
      if (slot >> rank_bits == pair || rank == none) return {rank, static_cast<uint32_t>(at)};
    }
  }
  uint64_t seed_ = hash_seed();
  std::vector<uint64_t> slots_;  // pair above, rank below; an empty one has the rank none
  // By slot; empty where results are in the order of ranks, as in most vocabularies: then they stand for the
  // ranks, and a merge needs one look at memory less.
  std::vector<int32_t> results_;
  size_t mask_ = 0;
  HashFilter filter_;
};

class Bpe final : public RememberingModel<3> {
 public:
  // How a word is cut into its first symbols.
  enum class Symbols {
    bytes,       // every byte is one; a byte that the vocabulary lacks is unknown, or else left out
    characters,  // every character; see Fallback
  };
  struct Fallback {
    std::array<int32_t, 256> bytes;  // ids for the bytes of an unknown character; -1: none
    int32_t unknown = -1;            // id of an unknown character; -1: it is an error
    bool fuse = false;               // neighbouring unknown characters make one id
    Fallback() { bytes.fill(-1); }
  };
  struct Options {
    Symbols symbols = Symbols::bytes;
    Fallback fallback;
    bool ignore_merges = false;  // a word that is a token is taken whole, whether or not merges make it
    double dropout = 0;          // of the file: kept, and not applied by encode()
    // What a symbol is looked up with: before all but the first of a word, behind the last.
    std::string continuing_prefix = {}, end_suffix = {};
  };

  // `words`: the bytes of each token, indexed where a word may be that token. Errors name `name`.
  Bpe(std::shared_ptr<const StringTable> words, std::span<const Merge> merges, const Options& options,
      std::string_view name);

  using SegmentationModel::encode;
  void encode(std::span<const std::string_view> words, double& state, Ids& out) const override;
  void sample(std::string_view word, const SubwordSampling& sampling, Random& random,
              Ids& out) const override;
  std::string json(const Vocabulary& vocabulary) const override;
  const Options& options() const { return options_; }
  const MergeTable& merges() const { return merges_; }

 private:
  void segment(std::string_view word, Ids& out) const override;
  // Whether merges make the word `id` that one id; found out at the first call and remembered.
  bool made(int32_t id, std::string_view word) const {
    const uint8_t known = whole_[id].load(std::memory_order_relaxed);
    return known ? known == 2 : find_out(id, word);
  }
  bool find_out(int32_t id, std::string_view word) const;
  void merge(std::string_view word, Ids& out) const;
  size_t first_symbols(std::string_view word, int32_t* out) const;
  static constexpr size_t few = 48;  // symbols
  size_t merge_few(int32_t* ids, size_t count) const;
  template <class Skip>
  size_t merge_many(int32_t* ids, size_t count, Skip&& skip) const;

  // Part by part between seams.
  void encode_parts(std::string_view word, Ids& out) const;
  void encode_part(std::string_view part, bool whole, Ids& out) const;
  static bool ends_in_ascii(std::string_view word) { return static_cast<signed char>(word.back()) >= 0; }
  // Whether a merge makes a string of the two that it merges, and each byte of a word counts.
  bool joins_strings(std::span<const Merge> merges) const;

  std::shared_ptr<const StringTable> words_;
  MergeTable merges_;
  Options options_;
  std::array<int32_t, 256> byte_ids_;
  mutable CharacterCache characters_;
  Seams seams_;  // empty where parts of a word may not be encoded by themselves
  std::unique_ptr<std::atomic<uint8_t>[]> whole_;  // 0 unknown, 1 no, 2 yes
};

struct BpeParts {
  Bpe::Options options;
  std::vector<Merge> merges;
};

}  // namespace intarsia
