// SentencePiece's unigram model from raw text: what was seen before is looked up by its raw bytes, so that
// nothing is normalized twice. A text is cut into pieces at places where neither the normalizer nor a token
// looks across: at spaces, between characters that no token holds side by side, around characters that no
// token holds together with others. The best segmentation of a text is that of its pieces.
#pragma once
#include <array>
#include <atomic>
#include <bitset>
#include <memory>
#include <span>
#include <string_view>

#include "text/model/unigram.h"
#include "text/normalize/sentencepiece_normalizer.h"
#include "text/unicode/unicode.h"

namespace intarsia {

class RawUnigram {
 public:
  // Null if the model or the normalizer is of a kind that is not cut so. `tokens`: those of the model, of
  // which none may lie across a mark. All must outlive what is made.
  static std::unique_ptr<const RawUnigram> make(const SentencePieceNormalizer& normalizer,
                                                const Unigram& model, const StringTable& tokens);

  // Appends the ids of a text. False, and nothing appended, if the text holds what is too seldom to be
  // treated here: spaces that other characters become inside a piece, marks, pieces that vanish.
  bool encode(std::string_view text, Ids& out) const;

 private:
  // What a character of three bytes is: one of these, or the ASCII character that it becomes plus as_ascii.
  enum Kind : uint8_t { unseen, part_of_piece, alone, becomes_space, as_ascii = 128 };
  // A piece of one ASCII character, or of a mark.
  struct Single {
    int32_t id = -1;  // -1: unknown
    float score = 0;
  };
  static constexpr int mark = 128;  // behind the ASCII characters
  struct Item {
    enum What : uint8_t { piece, marked_piece, single, unknown_run };
    const char* begin;
    uint32_t count;  // bytes of a piece, the character of a single, or characters
    What what;
  };
  static constexpr size_t batch = 32;
  struct State;

  RawUnigram(const SentencePieceNormalizer& normalizer, const Unigram& model, const StringTable& tokens)
      : normalizer_(normalizer), model_(model), tokens_(tokens) {}
  bool read_scores();
  bool read_characters();
  static bool is_of_three(const char* at, const char* end) {
    const auto byte = [&](int i) { return static_cast<unsigned char>(at[i]); };
    return end - at >= 3 && (byte(0) & 0xf0) == 0xe0 && (byte(1) & 0xc0) == 0x80 && (byte(2) & 0xc0) == 0x80;
  }
  uint8_t kind_at(const char* at) const {
    const uint8_t known = kinds_[place_of_three(at)].load(std::memory_order_relaxed);
    return known != unseen ? known : find_kind(at);
  }
  uint8_t find_kind(const char* at) const;
  bool is_seam(unsigned left, unsigned right) const { return seams_[left][right >> 6] >> (right & 63) & 1; }
  bool is_nbsp(const char* at, const char* end) const {
    return nbsp_is_space_ && end - at >= 2 && at[0] == '\xc2' && at[1] == '\xa0';
  }
  const char* piece_end(const char* at, const char* end, unsigned left) const;
  size_t cut(const char*& at, const char* end, bool& after_mark, Item* items) const;
  std::string_view text_of(const Item& item) const;
  bool encode(std::span<const Item> items, State& state) const;
  bool encode_piece(const Item& item, WordKey key, State& state) const;

  const SentencePieceNormalizer& normalizer_;
  const Unigram& model_;
  const StringTable& tokens_;
  float unknown_score_ = 0;
  bool by_bytes_ = false;  // unknown characters become bytes
  // Of ASCII characters, the last of the mark: whether pieces end between the two.
  std::array<std::array<uint64_t, 2>, 129> seams_ = {};
  std::array<bool, 256> is_space_ = {};   // of bytes, whether they become a space
  std::array<int, 128> becomes_ = {};     // another ASCII character, wherever it stands, or -1
  std::array<Single, 129> singles_ = {};  // where becomes_ says so
  bool nbsp_is_space_ = false;
  std::bitset<65536> joined_;  // characters of three bytes that stand beside others in tokens or rules
  std::unique_ptr<std::atomic<uint8_t>[]> kinds_ = std::make_unique<std::atomic<uint8_t>[]>(1 << 16);
  mutable Unigram::Cache cache_;
};

}  // namespace intarsia
