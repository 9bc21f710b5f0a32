// Training of tokenizers: byte-level BPE (Sennrich et al. 2016, arXiv:1508.07909, on bytes as GPT-2 has it)
// and the vocabulary of characters.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "core/fail.h"
#include "data/file.h"
#include "data/json.h"
#include "text/pipeline.h"
#include "text/train/pair_counter.h"
#include "text/unicode/byte_level.h"

namespace intarsia {

namespace {

constexpr int32_t alphabet = 256;

WordCounts count_bpe_words(const std::function<bool(std::string& chunk)>& next) {
  PreTokenizer splitter;
  splitter.add(known_pattern(patterns::gpt2));
  return count_words(next, [&](std::string_view chunk, const auto& word) {
    splitter.for_each_word(chunk, [&](std::string_view found) { word(found); });
  });
}

void add_special(TokenizerParts& parts, const std::vector<std::string>& special) {
  parts.pieces.index([](int32_t) { return true; });
  for (const std::string& text : special) {
    const bool twice = std::count(special.begin(), special.end(), text) > 1;
    if (text.empty() || twice || parts.pieces.find(text) >= 0)
      fail("train_bpe: the special token {} is {}", quote(text),
           text.empty() ? "empty"
           : twice      ? "named twice"
                        : "a token of the text");
    parts.push_special(text, true);
  }
}

}  // namespace

std::shared_ptr<Tokenizer> train_bpe(const std::function<bool(std::string& chunk)>& next,
                                     const BpeTraining& options) {
  const auto special_count = static_cast<int32_t>(options.special.size());
  const int32_t least = alphabet + special_count;
  if (options.vocabulary < least)
    fail(
        "train_bpe: a vocabulary of {} entries is asked for, expected at least {} (256 bytes and {} special "
        "tokens)",
        options.vocabulary, least, special_count);
  TokenizerParts parts;
  parts.name = "train_bpe";
  parts.components.pre_tokenizer =
      R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})";
  parts.components.decoder =
      R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true})";

  std::vector<std::string> pieces;
  for (const char c : byte_alphabet()) pieces.push_back(bytes_to_piece({&c, 1}));
  std::unordered_map<std::string, int32_t> id_of;
  std::array<int32_t, 256> id_of_byte;
  for (int32_t id = 0; id < alphabet; ++id)
    id_of_byte[static_cast<unsigned char>(byte_alphabet()[static_cast<size_t>(id)])] = id;
  PairCounter pairs(count_bpe_words(next), [&](std::string_view word, Ids& out) {
    for (const char c : word) out.push_back(id_of_byte[static_cast<unsigned char>(c)]);
  });
  BpeParts model;
  while (static_cast<int32_t>(pieces.size()) + special_count < options.vocabulary) {
    const auto [left, right] = pairs.best();
    if (left < 0) break;
    // Two pairs can make the same piece: "a" + "bc" and "ab" + "c".
    const auto [known, fresh] =
        id_of.try_emplace(pieces[left] + pieces[right], static_cast<int32_t>(pieces.size()));
    const int32_t id = known->second;
    if (fresh) pieces.push_back(known->first);
    model.merges.push_back({left, right, id, static_cast<uint32_t>(model.merges.size())});
    pairs.merge(id);
  }
  for (const std::string& piece : pieces) parts.pieces.push(piece);
  parts.in_vocabulary.assign(pieces.size(), true);
  add_special(parts, options.special);
  parts.model = std::move(model);
  auto tokenizer = std::make_shared<PipelineTokenizer>(std::move(parts));
  if (special_count > 0) {
    const auto end = static_cast<int32_t>(pieces.size());
    tokenizer->bos = tokenizer->eos = end;
    tokenizer->stop = {end};
  }
  return tokenizer;
}

}  // namespace intarsia
