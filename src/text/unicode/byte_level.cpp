#include "text/unicode/byte_level.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "data/file.h"
#include "text/unicode/unicode.h"

namespace intarsia {

namespace {

bool stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

struct Alphabet {
  std::array<char32_t, 256> characters;
  std::array<int, 512> bytes;  // of a character; -1: none
  Alphabet() {
    bytes.fill(-1);
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      characters[byte] = stands_for_itself(byte) ? static_cast<char32_t>(byte) : next++;
      bytes[characters[byte]] = byte;
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet instance;
  return instance;
}

}  // namespace

char32_t byte_character(unsigned char byte) { return alphabet().characters[byte]; }

std::string bytes_to_piece(std::string_view bytes) {
  std::string piece;
  for (const char c : bytes) append_utf8(piece, byte_character(static_cast<unsigned char>(c)));
  return piece;
}

std::optional<std::string> piece_to_bytes(std::string_view piece) {
  std::string bytes;
  bytes.reserve(piece.size());
  for (size_t at = 0; at < piece.size();) {
    if (character_length(piece.substr(at, 4)) == 0) return std::nullopt;
    const Character c = decode_character(piece.data() + at);
    if (c.code >= alphabet().bytes.size() || alphabet().bytes[c.code] < 0) return std::nullopt;
    bytes += static_cast<char>(alphabet().bytes[c.code]);
    at += c.length;
  }
  return bytes;
}

const std::string& byte_alphabet() {
  static const std::string ordered = [] {
    std::string bytes(256, '\0');
    std::iota(bytes.begin(), bytes.end(), '\0');
    std::sort(bytes.begin(), bytes.end(), [](char a, char b) {
      return byte_character(static_cast<unsigned char>(a)) < byte_character(static_cast<unsigned char>(b));
    });
    return bytes;
  }();
  return ordered;
}

}  // namespace intarsia
