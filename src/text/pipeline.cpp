#include "text/pipeline.h"

#include "core/fail.h"
#include "data/file.h"
#include "text/byte_level.h"

namespace intarsia {

namespace {

// The byte of "<0x41>", or -1.
int fallback_byte(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  const int high = digit(piece[3]), low = digit(piece[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

}  // namespace

std::string PieceDecoder::operator()(std::string_view piece) const {
  if (byte_level) return piece_to_bytes(piece).value_or(std::string(piece));
  if (byte_fallback) {
    if (const int byte = fallback_byte(piece); byte >= 0) return std::string(1, static_cast<char>(byte));
  }
  std::string bytes(piece);
  for (const auto& [from, to] : replace) bytes = replace_all(bytes, from, to);
  return bytes;
}

std::vector<bool> plain_tokens(const TokenizerParts& parts) {
  std::vector<bool> plain = parts.in_vocabulary;
  for (const AddedToken& token : parts.added) {
    if (token.special) plain[token.id] = false;
  }
  return plain;
}

PipelineTokenizer::PipelineTokenizer(TokenizerParts parts)
    : name_(parts.name),
      components_(parts.components),
      pipeline_(read_components(parts.components, parts.name)) {
  const int32_t count = parts.pieces.size();
  const std::vector<bool> plain = plain_tokens(parts);
  pieces_ = std::move(parts.pieces);
  added_ = std::move(parts.added);
  in_vocabulary_ = std::move(parts.in_vocabulary);
  std::vector<bool> is_added(count);
  special_.resize(count);
  std::vector<AddedToken> raw, normalized;
  for (const AddedToken& token : added_) {
    is_added[token.id] = true;
    special_[token.id] = token.special;
    if (token.normalized && !pipeline_.normalizer.empty()) {
      normalized.push_back(token);
      normalized.back().text = pipeline_.normalizer(token.text);
    } else {
      raw.push_back(token);
    }
  }
  raw_added_ = AddedTokens(std::move(raw));
  normalized_added_ = AddedTokens(std::move(normalized));

  auto words = std::make_shared<StringTable>();
  const bool by_bytes = pipeline_.byte_level;
  for (int32_t id = 0; id < count; ++id) {
    const std::string_view piece = pieces_[id];
    bytes_.push(is_added[id] ? std::string(piece) : pipeline_.decoder(piece));
    std::optional<std::string> word;
    if (plain[id]) word = by_bytes ? piece_to_bytes(piece) : std::string(piece);
    words->push(word.value_or(std::string()));
  }
  words->index([&](int32_t id) { return !(*words)[id].empty(); });
  pieces_.index([&](int32_t id) { return !pieces_[id].empty(); });

  // Plain text must not become a special token, so no merge makes one.
  std::erase_if(parts.merges, [&](const Merge& merge) { return special_[merge.result]; });
  parts.model.symbols = by_bytes ? Bpe::Symbols::bytes : Bpe::Symbols::characters;
  model_ = std::make_unique<Bpe>(std::move(words), parts.merges, parts.model, name_);
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
  raw_added_.split(
      text, special,
      [&](std::string_view part) {
        // Normalized text has other places than the raw one: there, a part allows special tokens or none.
        const auto begin = static_cast<size_t>(part.data() - text.data());
        encode_plain(part, {special.allows(begin, begin + part.size()), {}}, out);
      },
      [&](int32_t id) { out.push_back(id); });
  return out;
}

void PipelineTokenizer::encode_plain(std::string_view text, const SpecialText& special, Ids& out) const {
  if (pipeline_.normalizer.empty()) return encode_words(text, out);
  const std::string normal = pipeline_.normalizer(text);
  normalized_added_.split(
      normal, special, [&](std::string_view plain) { encode_words(plain, out); },
      [&](int32_t id) { out.push_back(id); });
}

void PipelineTokenizer::encode_words(std::string_view text, Ids& out) const {
  pipeline_.pre_tokenizer.for_each_word(text, [&](std::string_view word) { model_->encode(word, out); });
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
  std::string_view text = bytes(id, special);
  const bool first = previous == text_start || (previous >= 0 && previous == bos);
  if (pipeline_.decoder.strip_space && first && text.starts_with(' ')) text.remove_prefix(1);
  return text;
}

std::optional<int32_t> PipelineTokenizer::id_of(std::string_view token) const {
  const int32_t id = pieces_.find(token);
  return id < 0 ? std::nullopt : std::optional(id);
}

std::string_view PipelineTokenizer::piece(int32_t id) const {
  check(id);
  return pieces_[id];
}

bool PipelineTokenizer::is_special(int32_t id) const {
  check(id);
  return special_[id];
}

}  // namespace intarsia
