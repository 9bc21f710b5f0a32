// Base64 (RFC 4648), as vocabulary files use it for bytes.
#pragma once
#include <string>
#include <string_view>

namespace intarsia {

// The bytes; `place` stands before the error about a character that is not of the alphabet.
std::string decode_base64(std::string_view text, std::string_view place);
std::string encode_base64(std::string_view bytes);

}  // namespace intarsia
