// What every segmentation model is: words to ids. A word is what the pre-tokenizer leaves: bytes without
// structure.
#pragma once
#include <memory>
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

// Immutable but for what it remembers of words; safe for many threads at once.
class SegmentationModel {
 public:
  virtual ~SegmentationModel() = default;

  // Appends the ids of one word.
  void encode(std::string_view word, Ids& out) const {
    const auto key = WordCache::key_of(word);
    if (key && cache_.find(*key, out)) return;
    const size_t before = out.size();
    segment(word, out);
    if (key) cache_.put(*key, out.data() + before, out.size() - before);
  }
  // The same inside a text whose words are encoded in order; `state` starts at 0 and belongs to the model.
  virtual void encode(std::string_view word, double& state, Ids& out) const {
    static_cast<void>(state);
    encode(word, out);
  }
  // Appends a segmentation drawn at random; `sampling` says from which distribution. An error for a model
  // that has one segmentation only.
  virtual void sample(std::string_view word, const SubwordSampling& sampling, Random& random, Ids& out) const;
  // The object "model" of a tokenizer.json.
  virtual std::string json(const Vocabulary& vocabulary) const = 0;

 protected:
  virtual void segment(std::string_view word, Ids& out) const = 0;
  mutable WordCache cache_;
};

// Parts of json(): a string that must be UTF-8, and "vocab" as an object from piece to id.
std::string json_text(std::string_view text);
std::string json_vocabulary(const Vocabulary& vocabulary);

}  // namespace intarsia
