// WordPiece (Schuster and Nakajima 2012; Devlin et al. 2018, arXiv:1810.04805): the longest token that a word
// starts with, then the longest continuation ("##ing"), and so on; a word that cannot be covered is unknown.
#pragma once
#include "text/model/segmentation.h"
#include "text/model/trie.h"

namespace intarsia {

struct WordPieceParts {
  std::string continuing_prefix = "##";
  int64_t longest_word = 100;  // in characters; longer ones are unknown
  int32_t unknown = -1;        // -1: an unknown word is an error
  std::string unknown_piece = {};
};

class WordPiece final : public RememberingModel<3> {
 public:
  // `words`: the pieces that may come out, empty for ids that may not.
  WordPiece(const StringTable& words, const WordPieceParts& parts, std::string_view name);
  std::string json(const Vocabulary& vocabulary) const override;

 private:
  void segment(std::string_view word, Ids& out) const override;
  WordPieceParts parts_;
  Trie trie_;
  uint32_t continuing_;  // the node of the prefix
};

// One word, one id: "WordLevel" of Hugging Face's `tokenizers`.
struct WordLevelParts {
  int32_t unknown = -1;  // -1: an unknown word is an error
  std::string unknown_piece = {};
};

class WordLevel final : public RememberingModel<3> {
 public:
  // `words` must be indexed.
  WordLevel(std::shared_ptr<const StringTable> words, const WordLevelParts& parts)
      : words_(std::move(words)), parts_(parts) {}
  std::string json(const Vocabulary& vocabulary) const override;

 private:
  void segment(std::string_view word, Ids& out) const override;
  std::shared_ptr<const StringTable> words_;
  WordLevelParts parts_;
};

// Again and again the longest token that the rest of the text starts with: the vocabulary of RWKV.
struct LongestMatchParts {};

class LongestMatch final : public RememberingModel<3> {
 public:
  LongestMatch(const StringTable& words, std::string_view name);
  std::string json(const Vocabulary& vocabulary) const override;

 private:
  void segment(std::string_view word, Ids& out) const override;
  Trie trie_;
};

}  // namespace intarsia
