// WordPiece as Hugging Face's trainer has it: pairs of pieces are merged by count, pieces inside a word have
// the prefix "##".
#include <map>
#include <unordered_map>

#include "core/fail.h"
#include "text/pipeline.h"
#include "text/train/pair_counter.h"
#include "text/train/trainers.h"
#include "text/unicode/unicode.h"

namespace intarsia {

std::shared_ptr<Tokenizer> train_wordpiece(const TextStream& next, int32_t vocabulary) {
  const std::vector<std::string> special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  const std::string prefix = "##";
  TokenizerParts parts;
  parts.name = "train_wordpiece";
  parts.components.normalizer =
      R"({"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true})";
  parts.components.pre_tokenizer = R"({"type":"BertPreTokenizer"})";
  parts.components.post_processor = R"({"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]})";
  parts.components.decoder = R"({"type":"WordPiece","prefix":"##","cleanup":true})";
  const TextPipeline pipeline = read_components(parts.components, parts.name);
  const WordCounts words = count_words(next, [&](std::string_view chunk, const auto& word) {
    const std::string normal = pipeline.normalizer(chunk);
    pipeline.pre_tokenizer.for_each_word(normal, [&](std::string_view found) {
      if (valid_utf8_prefix(found) == found.size()) word(found);
    });
  });
  // Characters at the start of words, and inside; in the order of their text.
  std::map<std::string, int32_t, std::less<>> ids;
  const auto each_symbol = [&](std::string_view word, auto&& symbol) {
    bool first = true;
    for_each_character(
        word,
        [&](char32_t, std::string_view bytes) {
          symbol((first ? std::string() : prefix) + std::string(bytes));
          first = false;
        },
        [](std::string_view) {});
  };
  for (const std::string& word : words.words)
    each_symbol(word, [&](std::string text) { ids.emplace(std::move(text), 0); });
  std::vector<std::string> pieces = special;
  for (auto& [text, id] : ids) {
    id = static_cast<int32_t>(pieces.size());
    pieces.push_back(text);
  }
  if (static_cast<int64_t>(pieces.size()) > vocabulary)
    fail(
        "train_wordpiece: a vocabulary of {} entries is asked for, expected at least {} (5 special tokens "
        "and the "
        "characters of the text)",
        vocabulary, pieces.size());
  PairCounter pairs(words, [&](std::string_view word, Ids& out) {
    each_symbol(word, [&](const std::string& text) { out.push_back(ids.find(text)->second); });
  });
  std::unordered_map<std::string, int32_t> made(ids.begin(), ids.end());
  while (static_cast<int64_t>(pieces.size()) < vocabulary) {
    const auto [left, right] = pairs.best();
    if (left < 0) break;
    const std::string joined =
        pieces[static_cast<size_t>(left)] + pieces[static_cast<size_t>(right)].substr(prefix.size());
    const auto [known, fresh] = made.try_emplace(joined, static_cast<int32_t>(pieces.size()));
    if (fresh) pieces.push_back(joined);
    pairs.merge(known->second);
  }
  for (const std::string& piece : pieces) parts.pieces.push(piece);
  parts.in_vocabulary.assign(pieces.size(), true);
  for (size_t id = 0; id < special.size(); ++id) {
    parts.added.push_back(special_token(special[id], static_cast<int32_t>(id)));
  }
  WordPieceParts model;
  model.unknown = 1;
  model.unknown_piece = special[1];
  parts.model = model;
  return std::make_shared<PipelineTokenizer>(std::move(parts));
}

}  // namespace intarsia
