#include "text/format/base64.h"

#include <array>
#include <cstdint>

#include "core/fail.h"

namespace intarsia {

namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<int, 256> digits = [] {
  std::array<int, 256> of{};
  of.fill(-1);
  for (size_t i = 0; i < alphabet.size(); ++i)
    of[static_cast<unsigned char>(alphabet[i])] = static_cast<int>(i);
  return of;
}();

}  // namespace

std::string decode_base64(std::string_view text, std::string_view place) {
  std::string bytes;
  bytes.reserve(text.size() * 3 / 4);
  uint32_t bits = 0;
  int count = 0;
  while (text.ends_with('=')) text.remove_suffix(1);
  for (const char c : text) {
    const int digit = digits[static_cast<unsigned char>(c)];
    if (digit < 0) fail("{}: holds a character that is not base64", place);
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count);
  }
  return bytes;
}

std::string encode_base64(std::string_view bytes) {
  std::string text;
  for (size_t at = 0; at < bytes.size(); at += 3) {
    const auto byte = [&](size_t i) {
      return at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0u;
    };
    const uint32_t bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    for (size_t i = 0; i < 4; ++i)
      text += at + i <= bytes.size() && (i < 2 || at + i - 1 < bytes.size())
                  ? alphabet[bits >> (18 - 6 * i) & 63]
                  : '=';
  }
  return text;
}

}  // namespace intarsia
