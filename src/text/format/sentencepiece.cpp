#include "text/format/sentencepiece.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/fail.h"
#include "data/file.h"
#include "data/json.h"
#include "text/format/base64.h"
#include "text/format/protobuf.h"
#include "text/model/scored_merges.h"
#include "text/normalize/characters_map.h"
#include "text/normalize/sentencepiece_normalizer.h"
#include "text/pipeline.h"

namespace intarsia {

namespace {

enum Type : uint64_t { plain = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

struct Piece {
  std::string_view text;
  float score = 0;
  uint64_t type = plain;
};

// What of the file is used; the field numbers are those of sentencepiece_model.proto.
struct ModelFile {
  std::vector<Piece> pieces;
  uint64_t model_type = 1;  // 1 unigram, 2 bpe
  bool byte_fallback = false;
  std::string_view characters_map;
  std::string unknown_surface = " \xe2\x81\x87 ";  // " ⁇ "
  int64_t bos = 1, eos = 2;
  SentencePieceRules rules;

  ModelFile(std::string_view file, std::string_view name) {
    ProtobufReader reader(file, name);
    for (ProtobufReader::Field field; reader.next(field);) {
      if (field.number == 1) read_piece(field.bytes, name);
      if (field.number == 2) read_trainer(field.bytes, name);
      if (field.number == 3) read_normalizer(field.bytes, name);
    }
    if (pieces.empty()) fail("{}: holds no pieces", name);
  }

 private:
  void read_piece(std::string_view bytes, std::string_view name) {
    Piece piece;
    ProtobufReader reader(bytes, name);
    for (ProtobufReader::Field field; reader.next(field);) {
      if (field.number == 1) piece.text = field.bytes;
      if (field.number == 2) piece.score = ProtobufReader::as_float(field);
      if (field.number == 3) piece.type = field.value;
    }
    const size_t id = pieces.size();
    if (piece.text.empty()) fail("{}: piece {} is empty", name, id);
    if (!std::isfinite(piece.score)) fail("{}: the score of piece {} is not a finite number", name, id);
    if (piece.text.size() > scored_token_limit)
      fail("{}: piece {} has {} bytes, expected at most {}", name, id, piece.text.size(), scored_token_limit);
    pieces.push_back(piece);
  }
  void read_trainer(std::string_view bytes, std::string_view name) {
    ProtobufReader reader(bytes, name);
    for (ProtobufReader::Field field; reader.next(field);) {
      if (field.number == 3) model_type = field.value;
      if (field.number == 24) rules.whitespace_as_suffix = field.value != 0;
      if (field.number == 35) byte_fallback = field.value != 0;
      if (field.number == 41) bos = static_cast<int64_t>(field.value);
      if (field.number == 42) eos = static_cast<int64_t>(field.value);
      if (field.number == 44) unknown_surface = field.bytes;
    }
  }
  void read_normalizer(std::string_view bytes, std::string_view name) {
    ProtobufReader reader(bytes, name);
    for (ProtobufReader::Field field; reader.next(field);) {
      if (field.number == 2) characters_map = field.bytes;
      if (field.number == 3) rules.add_dummy_prefix = field.value != 0;
      if (field.number == 4) rules.remove_extra_whitespaces = field.value != 0;
      if (field.number == 5) rules.escape_whitespaces = field.value != 0;
    }
  }
};

// Whether a piece holds the mark of a space behind something else, so that text must not be cut before marks.
bool crosses_marks(std::string_view piece) {
  while (piece.starts_with(space_mark)) piece.remove_prefix(space_mark.size());
  return piece.find(space_mark) != std::string_view::npos;
}

// What Hugging Face's library is told about this model when it is saved as tokenizer.json.
Components components_of(const ModelFile& model) {
  Json normalizers = Json::array();
  if (!model.characters_map.empty())
    normalizers.push_back(
        {{"type", "Precompiled"}, {"precompiled_charsmap", encode_base64(model.characters_map)}});
  if (model.rules.remove_extra_whitespaces) {
    normalizers.push_back({{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}});
    normalizers.push_back({{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", " "}});
  }
  const Json metaspace = {{"type", "Metaspace"},
                          {"replacement", space_mark},
                          {"prepend_scheme", model.rules.add_dummy_prefix ? "always" : "never"},
                          {"split", true}};
  Json decoders = {metaspace};
  if (model.byte_fallback) decoders = {{{"type", "ByteFallback"}}, metaspace};
  Components components;
  if (!normalizers.empty())
    components.normalizer = Json{{"type", "Sequence"}, {"normalizers", normalizers}}.dump();
  components.pre_tokenizer = metaspace.dump();
  components.decoder = Json{{"type", "Sequence"}, {"decoders", decoders}}.dump();
  return components;
}

std::shared_ptr<const TextPipeline> pipeline_of(ModelFile& model, bool cut) {
  auto pipeline = std::make_shared<TextPipeline>();
  auto normalizer = std::make_shared<const SentencePieceNormalizer>(model.rules);
  pipeline->normalizer.add(sentencepiece_step(normalizer));
  if (cut) {
    pipeline->pre_tokenizer.add(mark_splitter(std::string(space_mark)));
    pipeline->sentencepiece = std::move(normalizer);
  }
  PieceDecoder& decoder = pipeline->decoder;
  decoder.strip_all = model.rules.remove_extra_whitespaces;
  decoder.prefixed = model.rules.add_dummy_prefix || model.rules.remove_extra_whitespaces;
  decoder.add([prefixed = decoder.prefixed](std::string_view piece, bool first) {
    if (first && prefixed && piece.starts_with(space_mark)) piece.remove_prefix(space_mark.size());
    return replace_all(piece, space_mark, " ");
  });
  return pipeline;
}

}  // namespace

bool is_sentencepiece(std::string_view file) {
  // Field 1, a message that starts with its own field 1, a text.
  if (file.size() < 4 || file[0] != 0x0a) return false;
  const auto length = static_cast<unsigned char>(file[1]);
  return length < 128 && file[2] == 0x0a && static_cast<unsigned char>(file[3]) < length;
}

std::shared_ptr<Tokenizer> parse_sentencepiece(std::string_view file, std::string_view name) {
  ModelFile model(file, name);
  if (model.model_type != 1 && model.model_type != 2)
    fail("{}: has the model type {}, which is not known; known are 1 (unigram) and 2 (bpe)", name,
         model.model_type);
  const bool is_unigram = model.model_type == 1;
  TokenizerParts parts;
  parts.name = name;
  int64_t unknown_id = -1;
  std::array<int32_t, 256> bytes;
  bytes.fill(-1);
  std::vector<float> scores;
  std::vector<double> unigram_scores;
  float least = 0, most = 0;
  bool any = false, cut = !model.rules.whitespace_as_suffix;
  for (const Piece& piece : model.pieces) {
    if (piece.type == plain) {
      least = any ? std::min(least, piece.score) : piece.score;
      most = any ? std::max(most, piece.score) : piece.score;
      any = true;
    }
  }
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    const Piece& piece = model.pieces[i];
    const auto id = static_cast<int32_t>(i);
    parts.pieces.push(piece.text);
    parts.in_vocabulary.push_back(true);
    scores.push_back(piece.score);
    double score = piece.score;
    switch (piece.type) {
      case plain:
        break;
      case unknown:
        if (unknown_id >= 0) fail("{}: pieces {} and {} are both unknown", name, unknown_id, id);
        unknown_id = id;
        parts.surfaces.emplace_back(id, model.unknown_surface);
        break;
      case control:
      case user_defined: {
        AddedToken token;
        token.text = piece.text;
        token.id = id;
        token.special = piece.type == control;
        token.normalized = !token.special;
        token.as_normalized = true;
        // The unigram model has its user-defined symbols in the vocabulary, with a score that nearly always
        // wins.
        if (token.special || !is_unigram) parts.added.push_back(token);
        if (!token.special) model.rules.kept.emplace_back(piece.text);
        score = static_cast<double>(static_cast<float>(piece.text.size()) * most) - 0.1;
        break;
      }
      case unused:
        break;
      case byte: {
        const int value = fallback_byte(piece.text);
        if (value < 0)
          fail("{}: piece {} is {}, expected a byte such as <0x41>", name, id, quote(piece.text));
        bytes[value] = id;
        parts.surfaces.emplace_back(id, std::string(1, static_cast<char>(value)));
        break;
      }
      default:
        fail("{}: piece {} has the type {}, which is not known", name, id, piece.type);
    }
    const bool from_text = piece.type == plain || piece.type == user_defined;
    if (from_text && crosses_marks(piece.text)) cut = false;
    if (!from_text) parts.hidden.push_back(id);
    unigram_scores.push_back(score);
  }
  if (unknown_id < 0) fail("{}: has no piece for what is unknown", name);
  parts.pieces.index([](int32_t) { return true; });
  for (int32_t id = 0; id < parts.pieces.size(); ++id) {
    if (parts.pieces.find(parts.pieces[id]) != id)
      fail("{}: {} has the ids {} and {}", name, quote(parts.pieces[id]), parts.pieces.find(parts.pieces[id]),
           id);
  }
  if (!model.byte_fallback) bytes.fill(-1);
  if (is_unigram) {
    UnigramParts unigram;
    unigram.scores = std::move(unigram_scores);
    unigram.unknown = static_cast<int32_t>(unknown_id);
    constexpr float unknown_penalty = 10;
    unigram.unknown_score = least - unknown_penalty;
    unigram.bytes = bytes;
    unigram.single_precision = true;
    parts.model = std::move(unigram);
  } else {
    BpeParts bpe;
    bpe.options.fallback.unknown = static_cast<int32_t>(unknown_id);
    bpe.options.fallback.bytes = bytes;
    bpe.options.fallback.fuse = true;
    bpe.merges = merges_by_score(parts.pieces, plain_tokens(parts), scores, name);
    parts.model = std::move(bpe);
  }
  model.rules.map = std::make_shared<const CharactersMap>(model.characters_map, name);
  parts.components = components_of(model);
  parts.pipeline = pipeline_of(model, cut);
  const auto count = static_cast<int64_t>(model.pieces.size());
  auto tokenizer = std::make_shared<PipelineTokenizer>(std::move(parts));
  const auto role = [&](int64_t id) {
    return id >= 0 && id < count ? std::optional(static_cast<int32_t>(id)) : std::nullopt;
  };
  tokenizer->bos = role(static_cast<int32_t>(model.bos));
  tokenizer->eos = role(static_cast<int32_t>(model.eos));
  if (tokenizer->eos) tokenizer->stop = {*tokenizer->eos};
  return tokenizer;
}

}  // namespace intarsia
