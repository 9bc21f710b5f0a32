#include "text/model/wordpiece.h"

#include <fmt/format.h>

#include "core/fail.h"
#include "data/file.h"

namespace intarsia {

namespace {

// Characters, or bytes that are none.
int64_t count_characters(std::string_view word) {
  int64_t count = 0;
  for (const char c : word) count += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return count;
}

std::vector<std::pair<std::string_view, int32_t>> entries(const StringTable& words) {
  std::vector<std::pair<std::string_view, int32_t>> list;
  for (int32_t id = 0; id < words.size(); ++id) {
    if (!words[id].empty() && words.find(words[id]) == id) list.emplace_back(words[id], id);
  }
  return list;
}

[[noreturn]] void refuse(std::string_view word) {
  fail("tokenizer: {} is not in its vocabulary, which has no token for what is unknown", quote(word));
}

}  // namespace

WordPiece::WordPiece(const StringTable& words, const WordPieceParts& parts, std::string_view name)
    : parts_(parts), trie_(entries(words), name), continuing_(trie_.find(parts.continuing_prefix)) {}

void WordPiece::segment(std::string_view word, Ids& out) const {
  const size_t before = out.size();
  bool known = count_characters(word) <= parts_.longest_word;
  for (size_t at = 0; known && at < word.size();) {
    const uint32_t node = at == 0 ? Trie::root : continuing_;
    const Trie::Longest found = node == Trie::none ? Trie::Longest{} : trie_.longest(word.substr(at), node);
    known = found.length > 0;
    at += found.length;
    if (known) out.push_back(found.value);
  }
  if (known) return;
  if (parts_.unknown < 0) refuse(word);
  out.resize(before);
  out.push_back(parts_.unknown);
}

std::string WordPiece::json(const Vocabulary& vocabulary) const {
  return fmt::format(
      R"({{"type": "WordPiece", "unk_token": {}, "continuing_subword_prefix": {}, "max_input_chars_per_word": {},)"
      "\n    \"vocab\": {}}}",
      json_text(parts_.unknown_piece), json_text(parts_.continuing_prefix), parts_.longest_word,
      json_vocabulary(vocabulary));
}

void WordLevel::segment(std::string_view word, Ids& out) const {
  int32_t id = words_->find(word);
  if (id < 0) id = parts_.unknown;
  if (id < 0) refuse(word);
  out.push_back(id);
}

std::string WordLevel::json(const Vocabulary& vocabulary) const {
  return fmt::format("{{\"type\": \"WordLevel\", \"unk_token\": {},\n    \"vocab\": {}}}",
                     json_text(parts_.unknown_piece), json_vocabulary(vocabulary));
}

LongestMatch::LongestMatch(const StringTable& words, std::string_view name) : trie_(entries(words), name) {}

void LongestMatch::segment(std::string_view word, Ids& out) const {
  while (!word.empty()) {
    const Trie::Longest found = trie_.longest(word);
    if (found.length == 0) refuse(word.substr(0, 1));
    out.push_back(found.value);
    word.remove_prefix(found.length);
  }
}

std::string LongestMatch::json(const Vocabulary&) const {
  fail_hint("keep the vocabulary file", "save: tokenizer.json cannot hold RWKV's tokenizer");
}

}  // namespace intarsia
