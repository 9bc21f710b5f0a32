#include "text/pipeline.h"

#include "core/fail.h"
#include "text/unicode/byte_level.h"

namespace intarsia {

void TokenizerParts::push_special(std::string_view text, bool of_model) {
  added.push_back(special_token(text, pieces.size()));
  pieces.push(text);
  in_vocabulary.push_back(of_model);
}

std::vector<bool> plain_tokens(const TokenizerParts& parts) {
  std::vector<bool> plain = parts.in_vocabulary;
  for (const AddedToken& token : parts.added) {
    if (token.special) plain[token.id] = false;
  }
  for (const int32_t id : parts.hidden) plain[id] = false;
  return plain;
}

namespace {

struct ModelMaker {
  std::shared_ptr<const StringTable> words;
  bool by_bytes;
  const std::vector<bool>& special;
  std::string_view name;

  std::unique_ptr<const SegmentationModel> operator()(BpeParts& parts) const {
    // Plain text must not become a special token, so no merge makes one.
    std::erase_if(parts.merges, [&](const Merge& merge) { return special[merge.result]; });
    parts.options.symbols = by_bytes ? Bpe::Symbols::bytes : Bpe::Symbols::characters;
    return std::make_unique<Bpe>(words, parts.merges, parts.options, name);
  }
  std::unique_ptr<const SegmentationModel> operator()(WordPieceParts& parts) const {
    return std::make_unique<WordPiece>(*words, parts, name);
  }
  std::unique_ptr<const SegmentationModel> operator()(WordLevelParts& parts) const {
    return std::make_unique<WordLevel>(words, parts);
  }
  std::unique_ptr<const SegmentationModel> operator()(UnigramParts& parts) const {
    return std::make_unique<Unigram>(*words, std::move(parts), name);
  }
  std::unique_ptr<const SegmentationModel> operator()(LongestMatchParts&) const {
    return std::make_unique<LongestMatch>(*words, name);
  }
};

}  // namespace

PipelineTokenizer::PipelineTokenizer(TokenizerParts parts)
    : name_(parts.name), components_(parts.components), pipeline_(parts.pipeline) {
  if (!pipeline_) pipeline_ = std::make_shared<const TextPipeline>(read_components(components_, name_));
  const int32_t count = parts.pieces.size();
  const std::vector<bool> plain = plain_tokens(parts);
  vocabulary_ = {std::move(parts.pieces), std::move(parts.in_vocabulary)};
  const StringTable& pieces = vocabulary_.pieces;
  added_ = std::move(parts.added);
  std::vector<bool> is_added(count);
  special_.resize(count);
  std::vector<AddedToken> raw, normalized;
  for (const AddedToken& token : added_) {
    is_added[token.id] = true;
    special_[token.id] = token.special;
    const bool in_normalized = token.normalized && !pipeline_->normalizer.empty();
    (in_normalized ? normalized : raw).push_back(token);
    if (in_normalized && !token.as_normalized) normalized.back().text = pipeline_->normalizer(token.text);
  }
  raw_added_ = AddedTokens(std::move(raw));
  normalized_added_ = AddedTokens(std::move(normalized));

  std::vector<const std::string*> surface(count);
  for (const auto& [id, text] : parts.surfaces) surface[id] = &text;
  auto words = std::make_shared<StringTable>();
  const bool by_bytes = pipeline_->byte_level;
  for (int32_t id = 0; id < count; ++id) {
    const std::string_view piece = pieces[id];
    const auto text = [&](bool first) {
      if (surface[id]) return *surface[id];
      return is_added[id] && pipeline_->decoder.keeps_added ? std::string(piece)
                                                            : pipeline_->decoder(piece, first);
    };
    bytes_.push(text(false));
    first_bytes_.push(text(true));
    std::optional<std::string> word;
    if (plain[id]) word = by_bytes ? piece_to_bytes(piece) : std::string(piece);
    words->push(word.value_or(std::string()));
  }
  words->index([&](int32_t id) { return !(*words)[id].empty(); });
  vocabulary_.pieces.index([&](int32_t id) { return !pieces[id].empty(); });
  words_ = words;
  model_ = std::visit(ModelMaker{words_, by_bytes, special_, name_}, parts.model);
  if (const auto* unigram = dynamic_cast<const Unigram*>(model_.get());
      unigram && pipeline_->sentencepiece && normalized_added_.empty())
    raw_unigram_ = RawUnigram::make(*pipeline_->sentencepiece, *unigram, *words_);
  const auto add_ids = [&](const std::vector<std::string>& names, Ids& ids) {
    for (const std::string& text : names) {
      const auto id = id_of(text);
      if (!id) fail("{}: post_processor names {}, which is not in the vocabulary", name_, text);
      ids.push_back(*id);
    }
  };
  add_ids(pipeline_->before, before);
  add_ids(pipeline_->after, after);
}

template <class Raw, class Words, class Token>
void PipelineTokenizer::cut(std::string_view text, const SpecialText& special, Raw&& raw, Words&& words,
                            Token&& token) const {
  const PreTokenizer& splitter = pipeline_->pre_tokenizer;
  const auto plain = [&](std::string_view part) {
    if (raw(part)) return;
    const bool at_start = part.data() == text.data();
    if (pipeline_->normalizer.empty()) return splitter.for_some_words(part, words, at_start);
    const std::string normal = pipeline_->normalizer(part);
    // As in `tokenizers`, what is left of a text whose first character was dropped does not start it.
    const auto keeps_first = [&] {
      const size_t length = std::max<size_t>(1, valid_character_length(part));
      return !splitter.minds_start() || !pipeline_->normalizer(part.substr(0, length)).empty();
    };
    const bool starts = at_start && keeps_first();
    const auto normal_part = [&](std::string_view rest) {
      splitter.for_some_words(rest, words, starts && rest.data() == normal.data());
    };
    // Normalized text has other places than the raw one: there, a part allows special tokens or none.
    const auto begin = static_cast<size_t>(part.data() - text.data());
    const SpecialText in_part{special.allows(begin, begin + part.size()), {}};
    normalized_added_.split(normal, in_part, normal_part, token);
  };
  raw_added_.split(text, special, plain, token);
}

Ids PipelineTokenizer::encode(std::string_view text, bool special) const {
  return encode_marked(text, {special, {}});
}

Ids PipelineTokenizer::encode_between(std::string_view text,
                                      std::span<const std::pair<size_t, size_t>> plain) const {
  return encode_marked(text, {true, plain});
}

Ids PipelineTokenizer::encode_marked(std::string_view text, const SpecialText& special) const {
  Ids out;
  out.reserve(text.size() / 3 + 8);
  double state = 0;
  cut(
      text, special, [&](std::string_view part) { return raw_unigram_ && raw_unigram_->encode(part, out); },
      [&](PreTokenizer::Words words) { model_->encode(words, state, out); },
      [&](int32_t id) {
        out.push_back(id);
        state = 0;
      });
  return out;
}

Ids PipelineTokenizer::sample(std::string_view text, const SubwordSampling& sampling, Random& random) const {
  Ids out;
  cut(
      text, SpecialText(), [](std::string_view) { return false; },
      [&](PreTokenizer::Words words) {
        for (const std::string_view word : words) model_->sample(word, sampling, random, out);
      },
      [&](int32_t id) { out.push_back(id); });
  return out;
}

void PipelineTokenizer::check(int32_t id) const {
  if (id < 0 || id >= size())
    fail("decode: id {} is not in the vocabulary, expected 0 to {}", id, size() - 1);
}

std::string_view PipelineTokenizer::bytes(int32_t id, bool special) const {
  check(id);
  return special_[id] && !special ? std::string_view() : bytes_[id];
}

std::string_view PipelineTokenizer::bytes_after(int32_t previous, int32_t id, bool special) const {
  const std::string_view text = bytes(id, special);
  if (pipeline_->decoder.joins_repeated && id == previous) return text.substr(0, 0);
  const bool first = previous == text_start || (previous >= 0 && previous == bos);
  return first && !text.empty() ? first_bytes_[id] : text;
}

std::string PipelineTokenizer::decode(std::span<const int32_t> ids, bool special) const {
  const PieceDecoder& decoder = pipeline_->decoder;
  std::string text;
  bool first = true, ends_word = false;
  int32_t previous = text_start;
  for (const int32_t id : ids) {
    check(id);
    if (special_[id] && !special) continue;
    if (decoder.joins_repeated && id == previous) continue;
    previous = id;
    const std::string_view bytes = first ? first_bytes_[id] : bytes_[id];
    text += bytes;
    ends_word = !decoder.end_suffix.empty() && vocabulary_.pieces[id].ends_with(decoder.end_suffix);
    const bool stripped = bytes.size() < bytes_[id].size();
    first = first && text.empty() && (decoder.strip_all || !stripped);
  }
  if (ends_word && text.ends_with(' ')) text.pop_back();
  return text;
}

std::optional<int32_t> PipelineTokenizer::id_of(std::string_view token) const {
  const int32_t id = vocabulary_.pieces.find(token);
  return id < 0 ? std::nullopt : std::optional(id);
}

std::string_view PipelineTokenizer::piece(int32_t id) const {
  check(id);
  return vocabulary_.pieces[id];
}

bool PipelineTokenizer::is_special(int32_t id) const {
  check(id);
  return special_[id];
}

}  // namespace intarsia
