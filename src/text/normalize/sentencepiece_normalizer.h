// How the library `sentencepiece` normalizes a text.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/model/trie.h"
#include "text/normalize/characters_map.h"
#include "text/normalize/normalizer.h"

namespace intarsia {

struct SentencePieceRules {
  std::shared_ptr<const CharactersMap> map;
  std::vector<std::string> kept;  // user-defined symbols: not mapped
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
  bool whitespace_as_suffix = false;
};

// The mark that stands for a space.
inline constexpr std::string_view space_mark = "▁";

class SentencePieceNormalizer {
 public:
  explicit SentencePieceNormalizer(SentencePieceRules rules);
  const SentencePieceRules& rules() const { return rules_; }

  // Broken bytes become U+FFFD.
  std::string operator()(std::string_view text) const;

  // What the text at the start of `text`, which is not empty, becomes; spaces stay spaces.
  struct Part {
    size_t length;  // of the input
    std::string_view text;
  };
  Part next(std::string_view text) const;
  // The bytes at the start that stay as they are; 0 if that is not clear at a glance.
  size_t plain_run(std::string_view text) const;

 private:
  bool stands_for_itself(char byte) const;
  void append(std::string_view text, std::string& out) const;

  SentencePieceRules rules_;
  std::string_view space_;
  Trie kept_;
  bool plain_[256] = {}, plain_space_ = false;
};

TextStep sentencepiece_step(std::shared_ptr<const SentencePieceNormalizer> normalizer);

}  // namespace intarsia
