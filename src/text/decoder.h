// From tokens back to text: what each token's piece is in it.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace intarsia {

// A token has two forms: the one at the start of a text, and the one behind other tokens.
class PieceDecoder {
 public:
  using Step = std::function<std::string(std::string piece, bool first)>;
  void add(Step step) { steps_.push_back(std::move(step)); }
  bool empty() const { return steps_.empty(); }
  std::string operator()(std::string_view piece, bool first) const;

  std::string end_suffix;    // a token that ends with it ends a word: a space follows, but not at the end
  bool strip_all = false;    // spaces at the start are dropped, however many tokens they are
  bool keeps_added = false;  // added tokens are their own text (their letters are not those of an alphabet)
  bool joins_repeated = false;  // one token several times in a row is one (CTC)
  bool prefixed = false;        // the first form lacks a space that the tokenizer puts before a text

 private:
  std::vector<Step> steps_;
};

// The byte of "<0x41>", or -1.
int fallback_byte(std::string_view piece);

// The steps that Hugging Face's decoders of these names are.
PieceDecoder::Step byte_level_decoding();
PieceDecoder::Step byte_fallback_decoding();
PieceDecoder::Step replace_decoding(std::string from, std::string to);
PieceDecoder::Step metaspace_decoding(std::string mark, bool prefixed);
PieceDecoder::Step wordpiece_decoding(std::string prefix);
// Without the spaces before English punctuation and endings.
PieceDecoder::Step cleanup_decoding();
PieceDecoder::Step suffix_decoding(std::string suffix);
// `content` up to so many times at the start and at the end; `whole`: of the text, not of each token.
PieceDecoder::Step strip_decoding(std::string content, int64_t start, int64_t stop, bool whole);
// A space between tokens.
PieceDecoder::Step joined_decoding();

}  // namespace intarsia
