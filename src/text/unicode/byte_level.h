// The byte-level alphabet of GPT-2: each byte has a printable character that stands for it in a vocabulary
// file.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace intarsia {

// The character that stands for a byte: itself if it is printable Latin-1 and no space, else one from U+0100
// on.
char32_t byte_character(unsigned char byte);
// The bytes as a vocabulary file writes them: " the" is "Ġthe".
std::string bytes_to_piece(std::string_view bytes);
// The reverse; none if a character of the piece stands for no byte.
std::optional<std::string> piece_to_bytes(std::string_view piece);
// All bytes in the order of their characters, which is that of GPT-2's first 256 ids.
const std::string& byte_alphabet();

}  // namespace intarsia
