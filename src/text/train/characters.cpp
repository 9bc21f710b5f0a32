// The vocabulary of characters.
#include "core/fail.h"
#include "data/file.h"
#include "text/pipeline.h"

namespace intarsia {

std::shared_ptr<Tokenizer> train_characters(const std::function<bool(std::string& chunk)>& next) {
  std::vector<bool> seen(0x110000);
  std::string rest;  // a character that the end of a chunk cuts
  const auto note = [&](std::string_view text) {
    for (size_t at = 0; at < text.size();) {
      if (character_length(text.substr(at, 4)) == 0)
        fail("train_characters: the text holds {}, which is not UTF-8", quote(text.substr(at, 4)));
      const Character c = decode_character(text.data() + at);
      seen[c.code] = true;
      at += c.length;
    }
  };
  for (std::string chunk; next(chunk);) {
    chunk.insert(0, rest);
    const size_t cut = unfinished_suffix(chunk);
    rest = chunk.substr(chunk.size() - cut);
    note(std::string_view(chunk).substr(0, chunk.size() - cut));
  }
  note(rest);
  TokenizerParts parts;
  parts.name = "train_characters";
  parts.components.decoder = R"({"type":"Fuse"})";
  for (char32_t code = 0; code < seen.size(); ++code) {
    if (!seen[code]) continue;
    std::string piece;
    append_utf8(piece, code);
    parts.pieces.push(piece);
  }
  if (parts.pieces.size() == 0) fail("train_characters: the text is empty");
  parts.in_vocabulary.assign(static_cast<size_t>(parts.pieces.size()), true);
  return std::make_shared<PipelineTokenizer>(std::move(parts));
}

}  // namespace intarsia
