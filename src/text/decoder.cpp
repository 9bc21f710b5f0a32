#include "text/decoder.h"

#include <utility>

#include "text/normalize/normalizer.h"
#include "text/unicode/byte_level.h"

namespace intarsia {

std::string PieceDecoder::operator()(std::string_view piece, bool first) const {
  std::string text(piece);
  for (const Step& step : steps_) text = step(std::move(text), first);
  return text;
}

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

PieceDecoder::Step byte_level_decoding() {
  return [](const std::string& piece, bool) { return piece_to_bytes(piece).value_or(piece); };
}

PieceDecoder::Step byte_fallback_decoding() {
  return [](const std::string& piece, bool) {
    const int byte = fallback_byte(piece);
    return byte < 0 ? piece : std::string(1, static_cast<char>(byte));
  };
}

PieceDecoder::Step replace_decoding(std::string from, std::string to) {
  return [from = std::move(from), to = std::move(to)](const std::string& piece, bool) {
    return replace_all(piece, from, to);
  };
}

PieceDecoder::Step metaspace_decoding(std::string mark, bool prefixed) {
  return [mark = std::move(mark), prefixed](const std::string& piece, bool first) {
    return replace_all(piece, mark, first && prefixed ? "" : " ");
  };
}

PieceDecoder::Step wordpiece_decoding(std::string prefix) {
  return [prefix = std::move(prefix)](const std::string& piece, bool first) {
    if (first) return piece;
    return piece.starts_with(prefix) ? piece.substr(prefix.size()) : " " + piece;
  };
}

PieceDecoder::Step cleanup_decoding() {
  return [](std::string piece, bool) {
    constexpr std::pair<std::string_view, std::string_view> rules[] = {
        {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
        {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& [from, to] : rules) piece = replace_all(piece, from, to);
    return piece;
  };
}

PieceDecoder::Step suffix_decoding(std::string suffix) {
  return [suffix = std::move(suffix)](const std::string& piece, bool) {
    return replace_all(piece, suffix, " ");
  };
}

PieceDecoder::Step strip_decoding(std::string content, int64_t start, int64_t stop, bool whole) {
  return [content = std::move(content), start, stop, whole](std::string piece, bool first) {
    for (int64_t i = 0; (first || !whole) && i < start && piece.starts_with(content); ++i)
      piece.erase(0, content.size());
    for (int64_t i = 0; i < stop && piece.ends_with(content); ++i)
      piece.resize(piece.size() - content.size());
    return piece;
  };
}

PieceDecoder::Step joined_decoding() {
  return [](const std::string& piece, bool first) { return first ? piece : " " + piece; };
}

}  // namespace intarsia
