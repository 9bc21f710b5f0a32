// The tokenizer that all formats become: added tokens, normalizer, splitters, model, decoder. The components
// stay at hand as Hugging Face's JSON, so that what was loaded from one format can be saved as
// tokenizer.json.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "intarsia/tokenizer.h"
#include "text/added_tokens.h"
#include "text/decoder.h"
#include "text/model/bpe.h"
#include "text/model/raw_unigram.h"
#include "text/model/unigram.h"
#include "text/model/wordpiece.h"
#include "text/normalize/normalizer.h"
#include "text/normalize/sentencepiece_normalizer.h"
#include "text/split/pre_tokenizer.h"

namespace intarsia {

// The components of a tokenizer.json besides model and added tokens, each as JSON.
struct Components {
  std::string normalizer = "null", pre_tokenizer = "null", post_processor = "null", decoder = "null";
};

// What the components say.
struct TextPipeline {
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  PieceDecoder decoder;
  bool byte_level = false;  // words are looked up as bytes
  // Of a SentencePiece model of which no token lies across a mark: what the normalizer does.
  std::shared_ptr<const SentencePieceNormalizer> sentencepiece;
  std::vector<std::string> before, after;  // special tokens that the post-processor puts around a text
};
// `name` stands before error messages. A component that isn't known is an error that names it.
TextPipeline read_components(const Components& components, std::string_view name);

using ModelParts = std::variant<BpeParts, WordPieceParts, WordLevelParts, UnigramParts, LongestMatchParts>;

struct TokenizerParts {
  std::string name;                 // of the file, for messages
  StringTable pieces;               // all ids; empty where an id is not used
  std::vector<bool> in_vocabulary;  // of the model; other ids are added tokens or unused
  std::vector<int32_t> hidden;      // ids of the model that no text becomes (bytes, unknown)
  std::vector<std::pair<int32_t, std::string>> surfaces;  // ids that are another text than their piece says
  std::vector<AddedToken> added;
  ModelParts model;
  Components components;
  // Instead of what the components say, where they cannot say it exactly.
  std::shared_ptr<const TextPipeline> pipeline;

  // Makes the next id a special token.
  void push_special(std::string_view text, bool of_model);
};

// For each id whether it may come out of plain text: what the model's vocabulary holds, but special tokens.
std::vector<bool> plain_tokens(const TokenizerParts& parts);

class PipelineTokenizer final : public Tokenizer {
 public:
  explicit PipelineTokenizer(TokenizerParts parts);

  Ids encode(std::string_view text, bool special) const override;
  Ids encode_between(std::string_view text, std::span<const std::pair<size_t, size_t>> plain) const override;
  Ids sample(std::string_view text, const SubwordSampling& sampling, Random& random) const override;
  std::string_view bytes(int32_t id, bool special) const override;
  std::string_view bytes_after(int32_t previous, int32_t id, bool special) const override;
  std::string decode(std::span<const int32_t> ids, bool special) const override;
  int32_t size() const override { return vocabulary_.size(); }
  std::optional<int32_t> id_of(std::string_view token) const override;
  std::string_view piece(int32_t id) const override;
  bool is_special(int32_t id) const override;
  void save(const std::filesystem::path& directory) const override;
  void write_gguf(GgufWriter& out, int64_t vocabulary) const override;

 private:
  void check(int32_t id) const;
  Ids encode_marked(std::string_view text, const SpecialText& special) const;
  // Calls words(PreTokenizer::Words) and token(id), in order; for each part of the text between special
  // tokens raw(part) first, and nothing else if that returns true.
  template <class Raw, class Words, class Token>
  void cut(std::string_view text, const SpecialText& special, Raw&& raw, Words&& words, Token&& token) const;
  void write_byte_level(GgufWriter& out, const Bpe& model) const;
  void write_sentencepiece(GgufWriter& out, const Bpe& model, int64_t vocabulary) const;

  std::string name_;
  Vocabulary vocabulary_;
  StringTable bytes_, first_bytes_;  // in text, and at its start
  std::vector<AddedToken> added_;
  std::vector<bool> special_;
  Components components_;
  std::shared_ptr<const TextPipeline> pipeline_;
  AddedTokens raw_added_, normalized_added_;
  std::shared_ptr<const StringTable> words_;
  std::unique_ptr<const SegmentationModel> model_;
  std::unique_ptr<const RawUnigram> raw_unigram_;  // or null
};

}  // namespace intarsia
