// The tokenizer that all formats become: added tokens, normalizer, splitters, model, decoder. The components
// stay at hand as Hugging Face's JSON, so that what was loaded from one format can be saved as
// tokenizer.json.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "intarsia/tokenizer.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/string_table.h"

namespace intarsia {

// The components of a tokenizer.json besides model and added tokens, each as JSON.
struct Components {
  std::string normalizer = "null", pre_tokenizer = "null", post_processor = "null", decoder = "null";
};

// From a token's piece to its bytes in decoded text.
struct PieceDecoder {
  bool byte_level = false;     // GPT-2's alphabet
  bool byte_fallback = false;  // <0x41> is a byte
  bool strip_space = false;    // a space at the start of a text is dropped
  std::vector<std::pair<std::string, std::string>> replace;
  std::string operator()(std::string_view piece) const;
};

// What the components say.
struct Pipeline {
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  PieceDecoder decoder;
  bool byte_level = false;          // words are looked up as bytes
  std::vector<std::string> prefix;  // special tokens that the post-processor puts before a text
};
// `name` stands before error messages. A component that isn't known is an error that names it.
Pipeline read_components(const Components& components, std::string_view name);

struct TokenizerParts {
  std::string name;                 // of the file, for messages
  StringTable pieces;               // all ids; empty where an id is not used
  std::vector<bool> in_vocabulary;  // of the model; other ids are added tokens or unused
  std::vector<AddedToken> added;
  std::vector<Merge> merges;
  Bpe::Options model;         // model.symbols follows from the components
  std::string unknown_piece;  // of model.fallback.unknown, if there is one
  Components components;
};

// For each id whether it may come out of plain text: what the model's vocabulary holds, but special tokens.
std::vector<bool> plain_tokens(const TokenizerParts& parts);

class PipelineTokenizer final : public Tokenizer {
 public:
  explicit PipelineTokenizer(TokenizerParts parts);

  Ids encode(std::string_view text, bool special) const override;
  Ids encode_between(std::string_view text, std::span<const std::pair<size_t, size_t>> plain) const override;
  std::string_view bytes(int32_t id, bool special) const override;
  std::string_view bytes_after(int32_t previous, int32_t id, bool special) const override;
  int32_t size() const override { return pieces_.size(); }
  std::optional<int32_t> id_of(std::string_view token) const override;
  std::string_view piece(int32_t id) const override;
  bool is_special(int32_t id) const override;
  void save(const std::filesystem::path& directory) const override;
  void write_gguf(GgufWriter& out, int64_t vocabulary) const override;

  // Special tokens that the file's post-processor puts before a text.
  const std::vector<std::string>& prefix() const { return pipeline_.prefix; }

 private:
  void check(int32_t id) const;
  Ids encode_marked(std::string_view text, const SpecialText& special) const;
  void encode_plain(std::string_view text, const SpecialText& special, Ids& out) const;
  void encode_words(std::string_view text, Ids& out) const;
  void write_byte_level(GgufWriter& out) const;
  void write_sentencepiece(GgufWriter& out, int64_t vocabulary) const;

  std::string name_;
  StringTable pieces_, bytes_;
  std::vector<AddedToken> added_;
  std::vector<bool> in_vocabulary_, special_;
  Components components_;
  Pipeline pipeline_;
  AddedTokens raw_added_, normalized_added_;
  std::unique_ptr<const Bpe> model_;
};

}  // namespace intarsia
