// What every segmentation model is: words to ids. A word is what the pre-tokenizer leaves: bytes without
// structure.
#pragma once
#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "intarsia/random.h"
#include "intarsia/tokenizer.h"
#include "text/model/string_table.h"
#include "text/model/word_cache.h"

namespace intarsia {

// All ids and their texts, as a vocabulary file has them.
struct Vocabulary {
  StringTable pieces;          // empty where an id is not used
  std::vector<bool> of_model;  // of the model's own vocabulary; other ids are added tokens or unused
  int32_t size() const { return pieces.size(); }
};

// Immutable but for what it may remember of words; safe for many threads at once.
class SegmentationModel {
 public:
  virtual ~SegmentationModel() = default;

  // Appends the ids of words that follow each other in a text, in which they lie. `state` is 0 at its start
  // and belongs to the model.
  virtual void encode(std::span<const std::string_view> words, double& state, Ids& out) const = 0;
  // Of one word that is the whole text.
  void encode(std::string_view word, Ids& out) const {
    double state = 0;
    encode(std::span(&word, 1), state, out);
  }
  // Appends a segmentation drawn at random; `sampling` says from which distribution. An error for a model
  // that has one segmentation only.
  virtual void sample(std::string_view word, const SubwordSampling& sampling, Random& random, Ids& out) const;
  // The object "model" of a tokenizer.json.
  virtual std::string json(const Vocabulary& vocabulary) const = 0;
};

// Ids on their way to a vector, which costs less than to append them one word at a time.
template <size_t room>
class IdBuffer {
 public:
  explicit IdBuffer(Ids& out) : out_(out) {}
  // Where the next ids are to be written, and how many were.
  int32_t* end() { return ids_.data() + count_; }
  void add(size_t count) { count_ += count; }
  size_t left() const { return room - count_; }
  // The vector, with all ids.
  Ids& flush() {
    out_.insert(out_.end(), ids_.data(), ids_.data() + count_);
    count_ = 0;
    return out_;
  }

 private:
  Ids& out_;
  size_t count_ = 0;
  std::array<int32_t, room> ids_;
};

// One that remembers words of at most `most` ids.
template <size_t most>
class RememberingModel : public SegmentationModel {
 public:
  using SegmentationModel::encode;
  void encode(std::span<const std::string_view> words, double& state, Ids& out) const override {
    static_cast<void>(state);
    for_each_key(words, out, [&](std::string_view word, WordKey key, Buffer& ids) {
      if (!encode_known(key, ids)) encode_new(word, key, ids.flush());
    });
  }

 protected:
  static constexpr size_t remembered = most, batch = 32;
  using Buffer = IdBuffer<batch * most>;

  virtual void segment(std::string_view word, Ids& out) const = 0;
  bool encode_known(WordKey key, Buffer& ids) const {
    const size_t count = key ? cache_.find(key, ids.end()) : 0;
    ids.add(count);
    return count > 0;
  }
  void encode_new(std::string_view word, WordKey key, Ids& out) const {
    const size_t before = out.size();
    segment(word, out);
    if (key) cache_.put(key, out.data() + before, out.size() - before);
  }
  // Calls f(word, key, ids) for each word when what is remembered of the next ones is on its way from memory.
  // Each call may write `most` ids to `ids`, or flush it and append to the vector.
  template <class F>
  void for_each_key(std::span<const std::string_view> words, Ids& out, F&& f) const {
    std::array<WordKey, batch> keys;
    if (words.empty()) return;
    Buffer ids(out);
    const char* last = words.back().data() + words.back().size();
    while (!words.empty()) {
      const size_t count = std::min(words.size(), batch);
      for (size_t i = 0; i < count; ++i) {
        // Words lie in one text, in order.
        const bool readable = last - words[i].data() >= 16;
        keys[i] = readable ? WordKey::of_readable(words[i]) : WordKey(words[i]);
        cache_.prefetch(keys[i]);
      }
      for (size_t i = 0; i < count; ++i) f(words[i], keys[i], ids);
      ids.flush();
      words = words.subspan(count);
    }
  }
  mutable WordCache<most> cache_;
};

// Parts of json(): a string that must be UTF-8, and "vocab" as an object from piece to id.
std::string json_text(std::string_view text);
std::string json_vocabulary(const Vocabulary& vocabulary);

}  // namespace intarsia
